"""NLVR2 accuracy and consistency by the rules in words."""

from __future__ import annotations

import pytest

from vl_dora.metrics import nlvr2

LABELS = {"dev-1-0-0": "True", "dev-1-1-0": "False", "dev-1-0-1": "False", "dev-2-0-0": "True"}


def test_a_sentence_is_consistent_if_it_is_right_of_every_pair():
    said = {"dev-1-0-0": "true", "dev-1-1-0": "true", "dev-1-0-1": "FALSE", "dev-2-0-0": "True"}
    scored = nlvr2.score(said, LABELS)
    assert scored.scores == pytest.approx({"accuracy": 3 / 4, "consistency": 2 / 3})
    assert scored.by_type["label"] == {"false": 0.5, "true": 1.0}
    assert scored.clusters == ["dev-1-0", "dev-1-0", "dev-1-1", "dev-2-0"]


def test_subsets_have_accuracy_and_consistency_of_their_own():
    said = dict.fromkeys(LABELS, "true")
    scored = nlvr2.score(said, LABELS, {"balanced": frozenset({"dev-1-0-0", "dev-1-1-0"})})
    assert scored.scores["balanced_accuracy"] == 0.5
    assert scored.scores["balanced_consistency"] == 0.0
    # Within a subset only its own examples decide on a sentence.
    first = nlvr2.score(said, LABELS, {"balanced": frozenset({"dev-1-0-0"})})
    assert first.scores["balanced_consistency"] == 1.0


def test_anything_but_the_label_is_wrong():
    assert nlvr2.score({"dev-1-0-0": "yes"}, {"dev-1-0-0": "True"}).scores["accuracy"] == 0


def test_a_malformed_identifier_or_foreign_subset_is_an_error():
    with pytest.raises(ValueError, match="must be split-set-pair-sentence"):
        nlvr2.score({"dev-1": "true"}, {"dev-1": "true"})
    with pytest.raises(ValueError, match="none of the balanced identifiers"):
        nlvr2.score(dict.fromkeys(LABELS, "true"), LABELS, {"balanced": frozenset({"x"})})
