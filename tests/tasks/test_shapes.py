"""SHAPES as a task: prompt, score by question, and the file in the form of S.output."""

from __future__ import annotations

import pytest

from data_modules.formats import Shapes as Reader
from vl_dora.batch import Prediction
from vl_dora.tasks.interface import Task
from vl_dora.tasks.shapes import Shapes


def row(index=0, output="true", question="is red a circle", split="val") -> dict:
    return {
        "query_str": question,
        "query": "(is red circle)",
        "output": output,
        "split": split,
        "index": index,
        "images": (),
    }


def predictions(*pairs):
    return [Prediction(Shapes().example(given), text) for given, text in pairs]


def test_is_a_task():
    assert isinstance(Shapes(), Task)


def test_the_prompt_is_the_sentence_and_never_the_logical_form():
    example = Shapes().example(row(output="false"))
    assert example.prompt == "shapes: is red a circle"
    assert (example.target, example.answers) == ("false", ("false",))


def test_a_prompt_without_the_questions_place_is_an_error():
    with pytest.raises(ValueError, match="must contain {question}"):
        Shapes(prompt="shapes: {query}")


def test_scores_are_percent_by_question_clustered_by_question():
    given = predictions(
        (row(0), "true"),
        (row(1), "False"),
        (row(2, "false", "is blue a square"), " FALSE"),
        (row(3), "maybe"),
    )
    report = Shapes().score(given)
    assert report.scores == {"accuracy": 50}
    assert report.by_type["question"] == {"is red a circle": pytest.approx(100 / 3), "is blue a square": 100}
    assert report.per_sample == {"val-0": 100, "val-1": 0, "val-2": 100, "val-3": 0}
    assert report.clusters["val-0"] == report.clusters["val-3"] != report.clusters["val-2"]


def test_the_submission_repeats_the_real_output_file(shared, tmp_path):
    folder = shared / "data" / "shapes"
    examples = [Shapes().example(given) for given, _ in Reader().rows(folder, "train.small")]
    given = [Prediction(example, example.target) for example in reversed(examples)]
    (path,) = Shapes().write_submission(given, tmp_path)
    assert path.name == "shapes_train.small.output"
    assert path.read_text() == (folder / "train.small.output").read_text()


def test_an_item_without_prediction_leaves_its_line_empty(tmp_path):
    (path,) = Shapes().write_submission(predictions((row(2), "true"), (row(0), "False\n")), tmp_path)
    assert path.read_text() == "false\n\ntrue\n"


def test_splits_go_to_files_of_their_own(tmp_path):
    paths = Shapes().write_submission(predictions((row(), "true"), (row(split="a-b"), "true")), tmp_path)
    assert [path.name for path in paths] == ["shapes_val.output", "shapes_a-b.output"]
