"""BLEU, ROUGE-L and CIDEr against the official figures, and the rules in words."""

from __future__ import annotations

import math
import shutil
from importlib.util import find_spec

import numpy as np
import pytest

from vl_dora.metrics import captions, meteor
from vl_dora.metrics.bleu import bleu, counts, formula
from vl_dora.metrics.cider import cider
from vl_dora.metrics.ptb_tokenizer import tokenize
from vl_dora.metrics.rouge_l import rouge_l
from vl_dora.metrics.statistic import at_once

OFFICIAL = ("CIDEr", "Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L")


@pytest.fixture(scope="module")
def coco(kit):
    """(captions, references, expected of the corpus, expected of each picture)."""
    sample = kit("captions_coco80")
    names = list(sample["inputs"]["predictions"])
    return (
        [sample["inputs"]["predictions"][name] for name in names],
        [sample["inputs"]["references"][name] for name in names],
        sample["expected"]["corpus"],
        [sample["expected"]["per_image"][name] for name in names],
    )


def test_a_set_scores_what_the_official_evaluator_gave_it(coco):
    mine, references, expected, _ = coco
    scored = captions.score(mine, references)
    assert tuple(scored.scores) == OFFICIAL
    for name in OFFICIAL:
        assert scored.scores[name] == pytest.approx(expected[name], rel=1e-14), name


def test_each_picture_scores_what_the_official_evaluator_gave_it(coco):
    mine, references, _, expected = coco
    texts = tokenize(mine)
    others = [tokenize(each) for each in references]
    assert cider(texts, others) == pytest.approx([row["CIDEr"] for row in expected], rel=1e-12)
    for text, each, row in zip(texts, others, expected, strict=True):
        assert rouge_l(text, each) == row["ROUGE_L"]
        alone = formula(np.array([counts(text, each)], dtype=np.float64))
        for name in ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4"):
            assert alone[name][0] == pytest.approx(row[name], rel=1e-12)


def test_a_perfect_score_is_just_below_one():
    texts = ["a man rides a brown horse"] * 20
    perfect = at_once(bleu(texts, [[text] for text in texts]), len(texts))["Bleu_4"]
    assert 1 - 1e-9 < perfect < 1


def test_bleu_takes_the_closest_reference_length_and_the_shorter_of_two():
    assert counts("a b c", ["a b", "a b c d"])[1] == 2
    assert counts("a b c", ["a b c d e f", "a b c d"])[1] == 4


def test_bleu_clips_a_word_to_its_most_frequent_reference():
    assert counts("the the the", ["the cat", "the the dog"])[6] == 2


def test_rouge_takes_best_precision_and_best_recall_from_different_references():
    # Precision 2/2 from the long reference, recall 1/1 from the short one.
    assert rouge_l("a b", ["a x b y", "a"]) == 1.0


def test_rouge_of_an_empty_caption_is_zero():
    assert rouge_l("", ["a dog"]) == 0.0
    assert rouge_l("", [""]) == 0.0


def test_cider_of_a_single_picture_is_zero():
    assert cider(["a dog runs"], [["a dog runs"]]) == [0.0]
    assert "single picture" in captions.score(["a dog"], [["a dog"]]).notes[0]


def test_cider_by_hand():
    # Two pictures with no common word: idf = log 2 for every n-gram; equal texts have cosine 1 for the orders
    # that they are long enough for: 1 and 2 of 4.
    assert cider(["red dog", "blue cat"], [["red dog"], ["blue cat"]]) == pytest.approx([5.0, 5.0])
    # One bigram less costs exp(-1 / 72); the cosine of unigrams is 1 / sqrt 2.
    assert cider(["red", "blue cat"], [["red dog"], ["blue cat"]])[0] == pytest.approx(
        10 / 4 * math.sqrt(0.5) * math.exp(-1 / 72)
    )


def test_value_turns_other_characters_into_spaces_and_gives_percent_with_two_places():
    assert captions.ascii_only("café — noir") == "caf    noir"
    mine, references = ["a café here", "a dog"], [["a caf here"], ["a dog runs"]]
    scored = captions.value_score(mine, references)
    plain = captions.score(["a caf  here", "a dog"], references)
    assert scored.scores == {name: round(100 * value, 2) for name, value in plain.scores.items()}
    exact = at_once(scored.statistic, 2)
    assert scored.scores == {name: round(value, 2) for name, value in exact.items()}


def test_agrees_with_the_package_on_drawn_captions():
    pytest.importorskip("pycocoevalcap", reason="the extra meteor is not installed")
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    rng = np.random.default_rng(0)
    words = "a the man dog on in red blue bike runs sits".split()

    def drawn() -> str:
        return " ".join(rng.choice(words, size=rng.integers(1, 12)))

    mine = [drawn() for _ in range(50)]
    others = [[drawn() for _ in range(rng.integers(1, 6))] for _ in mine]
    truth, said = dict(enumerate(others)), {key: [text] for key, text in enumerate(mine)}
    scores, _ = Bleu(4).compute_score(truth, said, verbose=0)
    assert list(at_once(bleu(mine, others), 50).values()) == pytest.approx(scores, rel=1e-13)
    assert sum(cider(mine, others)) / 50 == pytest.approx(Cider().compute_score(truth, said)[0], rel=1e-12)
    rouge = [rouge_l(text, each) for text, each in zip(mine, others, strict=True)]
    assert sum(rouge) / 50 == pytest.approx(Rouge().compute_score(truth, said)[0], rel=1e-13)


def test_nothing_to_score_is_an_error():
    with pytest.raises(ValueError, match="no captions"):
        captions.score([], [])
    with pytest.raises(ValueError, match="1 pictures have no reference caption, the first is number 2"):
        captions.score(["a", "b"], [["a"], []])


def test_meteor_without_java_says_what_to_do(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="needs Java.*meteor=false"):
        captions.score(["a dog", "a cat"], [["a dog"], ["a cat"]], with_meteor=True)


def test_meteor_without_the_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/java")
    monkeypatch.setattr(meteor, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'vl-dora\[meteor\]'"):
        captions.score(["a dog", "a cat"], [["a dog"], ["a cat"]], with_meteor=True)


@pytest.mark.skipif(
    shutil.which("java") is None or find_spec("pycocoevalcap") is None,
    reason="needs Java and the extra meteor",
)
def test_meteor_is_that_of_the_official_program(coco):
    mine, references, expected, _ = coco
    assert captions.score(mine, references, with_meteor=True).scores["METEOR"] == expected["METEOR"]
