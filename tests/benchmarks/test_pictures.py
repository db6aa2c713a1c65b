"""Benchmarks on pictures: their files in, official figures out."""

from __future__ import annotations

import json
import random

import pytest

from vl_dora.benchmarks.anls import ANLS
from vl_dora.benchmarks.gqa import GQA
from vl_dora.benchmarks.nlvr2 import NLVR2
from vl_dora.benchmarks.nlvr_cornell import NLVRCornell
from vl_dora.benchmarks.pope import POPE
from vl_dora.benchmarks.scienceqa import ScienceQA
from vl_dora.benchmarks.textvqa import TextVQA, question_of
from vl_dora.benchmarks.vqa import VQA
from vl_dora.metrics.statistic import at_once
from vl_dora.metrics.vqa_accuracy import vl_t5_accuracy


@pytest.fixture(scope="session")
def kit(shared):
    folder = shared / "data" / "metric_samples"
    return lambda name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def shuffled(rows):
    return random.Random(0).sample(rows, len(rows))


def test_vqa_official_figures_whatever_the_order_of_the_file(write, kit):
    sample = kit("vqa_accuracy")
    references = write("annotations.json", {"annotations": sample["annotations"]})
    predictions = write("results.json", shuffled(sample["results"]))
    scored = VQA()(predictions, references)
    official = list(sample["expected_per_question"].values())
    assert scored.scores == {"accuracy": round(sum(official) / len(official), 2)}
    assert at_once(scored.statistic, 90)["accuracy"] == pytest.approx(sum(official) / len(official))
    assert set(scored.by_type["answer_type"]) == {row["answer_type"] for row in sample["annotations"]}
    assert VQA(vl_t5_accuracy)(predictions, references).scores["accuracy"] < scored.scores["accuracy"]


def test_vizwiz_names_its_rows_after_the_picture(write):
    humans = [{"answer": "red", "answer_confidence": "yes"}] * 10
    references = write("val.json", [{"image": "a.jpg", "answer_type": "other", "answers": humans}])
    scored = VQA()(write("p.json", [{"image": "a.jpg", "answer": "red"}]), references)
    assert scored.scores == {"accuracy": 100.0} and scored.by_type["answer_type"] == {"other": 100.0}


def test_cornell_official_figures_of_pictures_and_of_statements(write, kit):
    sample = kit("nlvr1_dev")
    given, expected = sample["inputs"], sample["expected"]
    references = write("dev.jsonl", [{"identifier": n, "label": w} for n, w in given["labels"].items()])
    for inputs, outcome in (("image_predictions", "images"), ("structured_predictions", "structured")):
        lines = shuffled([f"{name},{word}\n" for name, word in given[inputs].items()])
        scored = NLVRCornell()(write("p.csv", "".join(lines)), references)
        assert scored.scores == pytest.approx(expected[outcome], abs=1e-15)


def test_a_word_that_is_no_label_is_wrong_and_counted_and_a_head_is_no_picture(write):
    references = write("dev.jsonl", [{"identifier": "7-0", "label": "true"}])
    lines = [f"dev-7-0-{k}.png,{'yes' if k < 2 else 'True'}\n" for k in range(6)]
    scored = NLVRCornell()(write("p.csv", "".join(lines)), references)
    assert scored.scores == {"precision": pytest.approx(4 / 6), "consistency": 0.0}
    (note,) = scored.notes
    assert note.startswith("2 of 6 predictions are neither true nor false") and "'yes' for 7-0-0" in note
    assert NLVRCornell()(write("s.csv", "7-0,TRUE\n"), references).notes == ()
    with pytest.raises(ValueError, match=r"p.csv: 'image' is no name of a picture, split-n-m-k.png"):
        NLVRCornell()(write("p.csv", "".join(["image,label\n", *lines])), references)


def test_textvqa_official_figures_joined_by_id_and_by_picture_and_question(write, kit):
    sample = kit("textvqa_accuracy")
    data, by_id, by_prompt = [], [], []
    for number, item in enumerate(sample["inputs"]):
        picture, question = f"p{number // 2}", f"What is number {number}?"
        data.append(
            {"question_id": number, "image_id": picture, "question": question, "answers": item["gt_answers"]}
        )
        by_id.append({"question_id": number, "answer": item["pred_answer"]})
        prompt = f"{question}\nReference OCR token: a, b\nAnswer the question using a single word or phrase."
        by_prompt.append({"question_id": picture, "prompt": prompt, "text": item["pred_answer"]})
    references = write("val.json", {"data": data})
    expected = 100 * sum(sample["expected_per_item"]) / len(sample["expected_per_item"])
    for rows in (by_id, by_prompt):
        scored = TextVQA()(write("p.jsonl", shuffled(rows)), references)
        assert scored.scores["accuracy"] == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match=r"1 id \(p0: what is number 0\?\) more than once"):
        TextVQA()(write("p.jsonl", [*by_prompt, by_prompt[0]]), references)


def test_the_question_is_cut_out_of_the_known_prompts():
    assert question_of("Who?\nAnswer shortly.") == "who?"
    assert question_of("Who?\nReference OCR token: a\nAnswer.") == "who?"
    assert question_of("Reference OCR token: a\nWho?\nAnswer.") == "who?"
    assert question_of("OCR tokens: a b. Question: Who? Short answer:") == "who?"
    with pytest.raises(ValueError, match="no question can be cut out"):
        question_of("Who?")


def test_anls_reads_the_layouts_of_both_servers(write):
    references = write("r.json", {"data": [{"questionId": 1, "answers": ["dakota"]}]})
    scored = ANLS()(write("p.json", [{"questionId": 1, "answer": "dakot"}]), references)
    assert scored.scores == pytest.approx({"anls": 5 / 6, "accuracy": 0.0})


QUESTION = {
    "question": "Is it red?",
    "imageId": "2381",
    "answer": "yes",
    "isBalanced": True,
    "groups": {"global": None, "local": "x"},
    "entailed": ["1", "2"],
    "types": {"structural": "verify", "semantic": "attr", "detailed": "verifyAttr"},
    "semantic": [{"operation": "select", "argument": "car (1)", "dependencies": []}],
}


def test_gqa_reads_questions_and_choices(write):
    other = {**QUESTION, "isBalanced": False, "answer": "no", "entailed": []}
    references = write("questions.json", {"1": QUESTION, "2": other})
    predictions = write(
        "p.json", [{"questionId": "2", "prediction": "yes"}, {"questionId": "1", "prediction": "yes"}]
    )
    choices = write("choices.json", {"1": {"valid": ["yes", "no"], "plausible": ["no"]}})
    found = GQA(str(choices))(predictions, references).scores
    assert found.pop("open") != found["binary"]  # there is no open question: not a number
    assert found == {
        "accuracy": 100.0,
        "binary": 100.0,
        "consistency": 0.0,
        "validity": 100.0,
        "plausibility": 0.0,
    }
    with pytest.raises(ValueError, match="has no choices for 1 balanced questions, such as 1"):
        GQA(str(write("choices.json", {"2": {"valid": [], "plausible": []}})))(predictions, references)
    with pytest.raises(ValueError, match=r"1 of 2 ids \(2\) without a prediction"):
        GQA()(write("p.json", [{"questionId": "1", "prediction": "yes"}]), references)


def test_nlvr2_reads_csv_and_subsets(write):
    rows = [{"identifier": f"dev-0-{pair}-0", "label": "True"} for pair in range(2)]
    references = write("dev.jsonl", rows)
    balanced = write("balanced.jsonl", rows[:1])
    predictions = write("p.csv", "dev-0-1-0,False\ndev-0-0-0,true\n")
    scored = NLVR2(balanced=str(balanced))(predictions, references)
    assert scored.scores == {
        "accuracy": 0.5,
        "consistency": 0.0,
        "balanced_accuracy": 1.0,
        "balanced_consistency": 1.0,
    }
    with pytest.raises(ValueError, match="1 identifiers are not among the references, such as dev-9-0-0"):
        foreign = write("balanced.jsonl", [{"identifier": "dev-9-0-0", "label": "True"}])
        NLVR2(balanced=str(foreign))(predictions, references)


def labels(count: int, offset: int = 0):
    return [
        {
            "question_id": n,
            "image": f"{n + offset}.jpg",
            "text": f"Is there a thing {n}?",
            "label": ("yes", "no")[n % 2],
        }
        for n in range(1, count + 1)
    ]


def test_pope_pairs_by_id_and_not_by_line(write):
    references = write("coco_pope_random.json", "".join(json.dumps(row) + "\n" for row in labels(4)))
    order = (4, 1, 3, 2)
    said = [{"question_id": n, "text": "No, none." if n % 2 else "Yes"} for n in order]
    assert POPE()(write("p.jsonl", said), references).scores["accuracy"] == 1.0
    renumbered = [{**row, "question_id": place} for place, row in enumerate(said, start=1)]
    assert POPE()(write("p.jsonl", renumbered), references).scores["accuracy"] == 0.5


def test_pope_of_several_categories_needs_to_know_which(write, tmp_path):
    for category, offset in (("random", 0), ("popular", 10)):
        text = "".join(json.dumps(row) + "\n" for row in labels(2, offset))
        write(f"labels/coco_pope_{category}.json", text)
    folder = tmp_path / "labels"
    truth = {1: "no", 2: "yes"}
    assert {row["question_id"]: row["label"] for row in labels(2)} == truth
    said = [
        {"question_id": n, "category": category, "text": truth[n] if category == "random" else "yes"}
        for n in (2, 1)
        for category in ("popular", "random")
    ]
    scored = POPE()(write("p.jsonl", said), folder)
    assert scored.by_type["accuracy"] == {"popular": 0.5, "random": 1.0}
    bare = [{"question_id": row["question_id"], "text": "yes"} for row in said]
    with pytest.raises(ValueError, match="names no 'category'"):
        POPE()(write("p.jsonl", bare), folder)
    # LLaVA numbers its questions through and adds an instruction to their text.
    asked, answers = [], []
    for number, (category, row) in enumerate(
        [("popular", row) for row in labels(2, 10)] + [("random", row) for row in labels(2)]
    ):
        text = f"{row['text']}\nAnswer the question using a single word or phrase."
        asked.append({"question_id": number, "image": row["image"], "text": text, "category": category})
        answers.append({"question_id": number, "text": row["label"] if category == "random" else "yes"})
    questions = write("questions.jsonl", shuffled(asked))
    again = POPE(str(questions))(write("p.jsonl", shuffled(answers)), folder)
    assert again.by_type == scored.by_type


def test_scienceqa_official_parses_and_missing_answers(write, kit):
    sample = kit("scienceqa_answers")
    references = write("problems.json", sample["problems"])
    predictions = write("p.jsonl", shuffled(sample["predictions"]))
    with pytest.raises(ValueError, match="3 of 90 ids"):
        ScienceQA()(predictions, references)
    scored = ScienceQA(missing="wrong")(predictions, references)
    said = {row["question_id"] for row in sample["predictions"]}
    right = {
        name: problem["answer"] < len(problem["choices"])
        and sample["parsed_answer"][name] == "ABCDE"[problem["answer"]]
        for name, problem in sample["problems"].items()
    }
    pictures = [r["question_id"] for r in sample["predictions"] if "<image>" in r["prompt"]]
    assert scored.scores["accuracy"] == pytest.approx(100 * sum(right.values()) / 90)
    assert scored.scores["image_accuracy"] == pytest.approx(
        100 * sum(right[name] for name in pictures) / len(pictures)
    )
    splits = write("splits.json", {"test": sorted(said), "val": []})
    assert len(ScienceQA(str(splits))(predictions, references).clusters) == 87
    with pytest.raises(ValueError, match="split=dev is not in splits=.*; there: test, val"):
        ScienceQA(str(splits), "dev")(predictions, references)
    with pytest.raises(ValueError, match="missing=ignore must be error or wrong"):
        ScienceQA(missing="ignore")
