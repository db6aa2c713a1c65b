"""Captions and video questions: their files in, scores out."""

from __future__ import annotations

import json

import pytest

from vl_dora.benchmarks.captions import Captions
from vl_dora.benchmarks.multiple_choice import NExTQA, ValueChoice
from vl_dora.benchmarks.open_video_qa import ActivityNetQA, MostFrequentQA


@pytest.fixture(scope="module")
def coco(shared):
    text = (shared / "data" / "metric_samples" / "captions_coco80.json").read_text(encoding="utf-8")
    return json.loads(text)


def test_coco_official_figures_from_coco_and_karpathy_files(write, coco):
    given, expected = coco["inputs"], coco["expected"]["corpus"]
    predictions = write(
        "results.json",
        [{"image_id": int(n), "caption": t} for n, t in reversed(given["predictions"].items())],
    )
    annotations = [
        {"image_id": int(name), "caption": text}
        for name, texts in given["references"].items()
        for text in texts
    ]
    plain = write(
        "captions.json", {"images": [{"id": int(n)} for n in given["references"]], "annotations": annotations}
    )
    karpathy = write(
        "dataset_coco.json",
        {
            "images": [{"cocoid": 1, "split": "train", "sentences": []}]
            + [
                {"cocoid": int(n), "split": "test", "sentences": [{"raw": text} for text in texts]}
                for n, texts in given["references"].items()
            ]
        },
    )
    for references in (plain, karpathy):
        scored = Captions()(predictions, references)
        for name, value in scored.scores.items():
            assert value == pytest.approx(expected[name], rel=1e-13), name
    with pytest.raises(ValueError, match="split=dev is not in references=.*; there: test, train"):
        Captions(split="dev")(predictions, karpathy)


def test_value_reads_clips_of_which_the_first_description_counts(write):
    rows = [
        {"clip_id": n, "vid_name": "v", "descs": [{"desc": t}, {"desc": "b"}]} for n, t in enumerate("ac")
    ]
    references = write("tvc.jsonl", rows)
    said = write(
        "p.jsonl", [{"clip_id": n, "descs": [{"desc": t}, {"desc": "x"}]} for n, t in enumerate("ac")]
    )
    assert Captions(variant="value")(said, references).scores["Bleu_1"] == 100.0
    with pytest.raises(ValueError, match="variant=tvc must be coco or value"):
        Captions(variant="tvc")


def test_pictures_without_a_caption_are_an_error(write):
    references = write("r.json", {"images": [{"id": 1}, {"id": 2}], "annotations": []})
    with pytest.raises(ValueError, match="2 pictures have no caption, such as 1, 2"):
        Captions()(write("p.json", [{"image_id": 1, "caption": "a"}]), references)


def test_value_choices_are_indices_by_id(write):
    rows = [{"qid": 7, "answer_idx": 1, "vid_name": "v", "show_name": "House"}, {"qid": 8, "answer_idx": 0}]
    references = write("tvqa.jsonl", rows)
    assert ValueChoice()(write("p.json", {"8": 1, "7": 1}), references).scores == {"accuracy": 50.0}
    listed = write("p.json", [{"qid": 8, "answer_idx": 0}, {"qid": 7, "answer_idx": 1}])
    assert ValueChoice()(listed, references).scores == {"accuracy": 100.0}
    with pytest.raises(ValueError, match="the answer to 8 must be the number of a choice, got '1'"):
        ValueChoice()(write("p.json", {"8": "1", "7": 1}), references)
    with pytest.raises(ValueError, match=r"1 id \(9\) not among the references"):
        ValueChoice()(write("p.json", {"7": 1, "8": 1, "9": 1}), references)


def test_nextqa_pairs_by_video_and_question(write):
    references = write("val.csv", "video,question,answer,qid,type,a0\n1,why,3,0,CW,x\n1,when,2,1,TC,x\n")
    scored = NExTQA()(write("p.json", {"1_1": 0, "1_0": {"prediction": 3, "answer": 3}}), references)
    assert scored.scores == {"accuracy": 50.0, "causal": 100.0, "temporal": 0.0}
    with pytest.raises(ValueError, match=r"lacks the columns \['type'\]"):
        NExTQA()(write("p.json", {"1_0": 1}), write("val.csv", "video,answer,qid\n1,2,0\n"))
    with pytest.raises(ValueError, match="row 2: 'answer' must be the number of a choice, got 'x'"):
        NExTQA()(write("p.json", {"1_0": 1}), write("val.csv", "video,answer,qid,type\n1,x,0,CW\n"))


def test_activitynet_reads_types_as_numbers_or_text(write):
    references = write(
        "test_a.json",
        [
            {"question_id": "v_a_b_0", "answer": "yes", "type": "3"},
            {"question_id": "v_a_b_1", "answer": "two", "type": 7},
        ],
    )
    scored = ActivityNetQA()(write("p.json", {"v_a_b_1": "two", "v_a_b_0": "no"}), references)
    assert scored.scores == {"accuracy": 0.5, "free": 0.5}
    assert scored.clusters == ["v_a_b", "v_a_b"]


def test_msvd_vocabulary_is_read_from_the_training_file(write):
    row = {"id": 0, "question": "what is it?", "answer": "cow", "video_id": 1}
    references = write("test_qa.json", [row])
    predictions = write("p.json", [{"id": 0, "answer": "cow"}])
    assert MostFrequentQA()(predictions, references).scores == {"accuracy": 1.0}
    train = write("train_qa.json", [{**row, "answer": "dog"}])
    assert MostFrequentQA(str(train))(predictions, references).scores == {"accuracy": 0.0}
