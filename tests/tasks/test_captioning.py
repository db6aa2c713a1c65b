"""Captioning as a task: rows of one caption and of a picture, scores and the server's file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vl_dora.batch import ImageRef, Prediction
from vl_dora.metrics import captions
from vl_dora.metrics.resampling import intervals, intervals_of
from vl_dora.tasks.captioning import Captioning
from vl_dora.tasks.interface import Task

REFERENCES = {
    391895: ["A man with a red helmet on a small moped.", "Man riding a motor bike on a dirt road."],
    60623: ["A young girl inhales with the intent of blowing out a candle.", "A girl and a candle."],
    483108: ["A man on a bicycle riding next to a train.", "A person is riding a bicycle near a train."],
}


def row(image: int, *texts: str, **more) -> dict:
    return {
        "image_id": image,
        "captions": list(texts) or REFERENCES[image],
        "images": (ImageRef(f"val2014/COCO_val2014_{image:012d}.jpg"),),
        **more,
    }


def predictions(**texts: str):
    return [Prediction(Captioning().example(row(int(k[1:]))), text) for k, text in texts.items()]


def test_is_a_task_whose_loss_is_the_mean_over_tokens():
    assert isinstance(Captioning(), Task) and Captioning().loss_reduction == "token"


def test_a_row_of_one_caption_is_learned_and_a_row_of_a_picture_is_scored():
    one = Captioning().example(row(391895, "A man.", caption_id=770337))
    assert (one.id, one.prompt, one.target) == ("391895-770337", "caption: ", "A man.")
    whole = Captioning().example(row(391895))
    assert whole.id == "391895" and whole.answers == tuple(REFERENCES[391895])
    assert Captioning().example(row(391895, "A cat.", caption_id=2)).id != one.id


def test_scores_are_the_official_ones_times_100():
    texts = {
        "i391895": "a man on a moped",
        "i60623": "a girl blowing out a candle",
        "i483108": "a man riding a bicycle next to a train",
    }
    report = Captioning().score(predictions(**texts))
    official = captions.score(list(texts.values()), list(REFERENCES.values())).scores
    assert report.scores == pytest.approx({k.lower(): 100 * v for k, v in official.items()})
    assert next(iter(report.scores)) == Captioning().headline == "cider"
    assert report.scores["cider"] == pytest.approx(sum(report.per_sample.values()) / 3)
    assert report.per_sample["483108"] > report.per_sample["391895"] > 0
    assert len(set(report.clusters.values())) == 3


def test_every_score_has_the_interval_of_the_corpus_score_itself():
    texts = [
        f"a {word} man on a {thing}" for word in "red small old".split() for thing in "bike moped".split()
    ]
    rows = [row(391895 if n % 2 else 483108) for n in range(6)]
    made = [{**mine, "image_id": n, "images": (ImageRef(f"{n}.jpg"),)} for n, mine in enumerate(rows)]
    said = [Prediction(Captioning().example(mine), text) for mine, text in zip(made, texts, strict=True)]
    report = Captioning().score(said)
    official = captions.score(texts, [mine["captions"] for mine in made])
    clusters = [report.clusters[name] for name in report.per_sample]
    assert intervals_of(report.weighted(), clusters) == {
        name.lower(): pytest.approx((100 * low, 100 * high))
        for name, (low, high) in intervals(official).items()
    }
    # BLEU of a resample is no mean of the BLEU of its pictures: it is worked out anew.
    weights = np.array([[3.0, 0, 1, 0, 0, 2]])
    thrice = [said[place] for place in (0, 0, 0, 2, 5, 5)]
    again = captions.score([p.text for p in thrice], [p.answers for p in thrice]).scores["Bleu_4"]
    assert report.weighted()(weights)["bleu_4"][0] == pytest.approx(100 * again)


def test_a_picture_without_captions_cannot_be_scored():
    bare = Captioning().example({**row(391895), "captions": []})
    with pytest.raises(ValueError, match="'391895' has no answers to score against"):
        Captioning().score([Prediction(bare, "a man")])


def test_the_submission_is_the_servers_list(tmp_path):
    (path,) = Captioning().write_submission(predictions(i391895=" a café "), tmp_path / "new")
    assert json.loads(path.read_text(encoding="utf-8")) == [{"image_id": 391895, "caption": "a café"}]
