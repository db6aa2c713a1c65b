"""Cornell NLVR as a task: what a network may read, scores, and the file for the official script."""

from __future__ import annotations

import json

import pytest

from data_modules.formats import NLVRCornell as Reader
from vl_dora.batch import Prediction
from vl_dora.metrics.nlvr_cornell import score_pictures
from vl_dora.metrics.statistic import at_once
from vl_dora.tasks.interface import Task
from vl_dora.tasks.nlvr_cornell import NLVRCornell


def row(statement="7-0", k=0, label="true", sentence="There are 2 blocks.") -> dict:
    return {
        "sentence": sentence,
        "label": label,
        "identifier": statement,
        "directory": "4",
        "presentation": statement.split("-")[0],
        "permutation": k,
        "picture": f"dev-{statement}-{k}.png",
        "label_source": "official",
        "images": (),
    }


def predictions(*pairs):
    return [Prediction(NLVRCornell().example(given), text) for given, text in pairs]


@pytest.fixture
def dev(shared):
    task = NLVRCornell()
    return [task.example(given) for given, _ in Reader().rows(shared / "data" / "nlvr", "dev")]


def test_is_a_task():
    assert isinstance(NLVRCornell(), Task)


def test_the_sentence_is_written_as_asked():
    given = row(sentence="There's  1 \"Blue\" box, isn't it.")
    assert NLVRCornell().example(given).prompt == "nlvr: there's 1 \" blue \" box , isn't it ."
    as_written = NLVRCornell(lowercase=False, space_punctuation=False)
    assert as_written.example(given).prompt == "nlvr: " + given["sentence"]
    assert NLVRCornell(lowercase=False).example(row()).prompt == "nlvr: There are 2 blocks ."


def test_a_prompt_without_the_sentences_place_is_an_error():
    with pytest.raises(ValueError, match="task.prompt='nlvr:' must contain {sentence}"):
        NLVRCornell(prompt="nlvr:")


def test_a_label_of_any_case_becomes_the_lower_case_target():
    example = NLVRCornell().example(row(label="True"))
    assert (example.target, example.answers) == ("true", ("true",))
    with pytest.raises(ValueError, match="must be true or false, got 'yes'"):
        NLVRCornell().example(row(label="yes"))


def test_the_prompt_depends_on_nothing_but_the_sentence():
    one, two = row("7-0", 0, "true"), row("9-3", 5, "false") | {"directory": "8"}
    assert NLVRCornell().example(one).prompt == NLVRCornell().example(two).prompt


def test_every_dev_picture_has_an_id_of_its_own(dev):
    assert len({example.id for example in dev}) == 5934
    assert dev[0].id == "1572-0-0" and dev[0].groups["presentation"] == "1572"


def test_scores_the_official_sample_as_the_official_script_does(dev, shared):
    kit = json.loads((shared / "data" / "metric_samples" / "nlvr1_dev.json").read_text(encoding="utf-8"))
    said = kit["inputs"]["image_predictions"]
    given = [Prediction(example, said[f"dev-{example.id}.png"]) for example in dev]
    report = NLVRCornell().score(given)
    expected = {name: pytest.approx(100 * value) for name, value in kit["expected"]["images"].items()}
    assert report.scores == {"accuracy": expected["precision"], "consistency": expected["consistency"]}
    assert sum(report.per_sample.values()) / 5934 == pytest.approx(report.scores["accuracy"])
    assert len(set(report.clusters.values())) == 267
    assert at_once(report.weighted(), 5934) == pytest.approx(report.scores)


def test_the_submission_read_back_as_the_script_reads_it_scores_the_same(dev, shared, tmp_path):
    said = [("true", "false", "TRUE ", "true, it is")[i % 4] for i in range(len(dev))]
    given = [Prediction(example, text) for example, text in zip(dev, said, strict=True)]
    report = NLVRCornell().score(given)
    (path,) = NLVRCornell().write_submission(given, tmp_path)
    lines = [line.split(",") for line in path.read_text().splitlines()]
    assert {len(line) for line in lines} == {2}
    labels = {example.groups["statement"]: example.target for example in dev}
    scores = score_pictures(dict(lines), labels)
    assert 100 * scores.precision == pytest.approx(report.scores["accuracy"])
    assert 100 * scores.consistency == pytest.approx(report.scores["consistency"])


def test_a_text_that_is_neither_word_is_wrong_and_said_so(tmp_path, caplog):
    given = predictions((row("7-0", 0, "true"), "yes"), (row("7-0", 1, "false"), ""))
    assert NLVRCornell().score(given).scores == {"accuracy": 0, "consistency": 0}
    assert "2 of 2 predictions are neither true nor false" in caplog.text
    (path,) = NLVRCornell().write_submission(given, tmp_path)
    assert path.read_text() == "dev-7-0-0.png,neither\ndev-7-0-1.png,neither\n"


def test_one_wrong_picture_breaks_the_consistency_of_its_presentation():
    given = predictions(
        (row("7-0"), "true"),
        (row("7-3", label="false"), "true"),
        (row("8-0"), "True"),
        (row("8-0", 1), "true"),
    )
    report = NLVRCornell().score(given)
    assert report.scores == {"accuracy": 75, "consistency": 50}
    assert report.by_type == {"label": {"false": 0, "true": 100}}
    assert report.clusters == {"7-0-0": "7", "7-3-0": "7", "8-0-0": "8", "8-0-1": "8"}
