"""Every fault that is put into a small data set is found, named with file and row, and nothing else is."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace

import av
import numpy as np
import pytest
from PIL import Image

from data_modules.checks import inspect
from vl_dora.batch import ClipRef, Example
from vl_dora.tasks.interface import ScoreReport


@dataclass(frozen=True)
class Scored:
    """The task of these tests, with exact match as its score."""

    task: object
    name: str = "ask"
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def example(self, row):
        return replace(self.task.example(row), groups={"question_type": row["question"].split()[0]})

    def score(self, predictions):
        hits = [100.0 * (p.text in p.answers) for p in predictions]
        return ScoreReport({"accuracy": sum(hits) / len(hits)})

    def write_submission(self, predictions, directory):
        return []


@pytest.fixture
def checked(module, task):
    """checked(**data options) -> the findings of split or pair as {(place, check): [finding, ...]}."""

    def run(*, limits=None, check_files="all", samples=0, **options):
        data = module(**{"task": Scored(task), **options})
        report = inspect(data, limits=limits, check_files=check_files, samples=samples).report
        found: dict = {}
        for place in (*report["tasks"][0]["splits"], *report["tasks"][0]["between"]):
            name = place["split"] if "role" in place else f"train-{place['split']}"
            for finding in place["findings"]:
                found.setdefault((name, finding["check"]), []).append(finding)
        return found

    return run


def bad(found) -> set:
    return {(*key, f["level"]) for key, findings in found.items() for f in findings if f["level"] != "ok"}


def test_a_sound_data_set_has_no_error_and_no_warning(checked):
    assert bad(checked()) == set()


def test_all_broken_pictures_are_named_with_their_rows(world, checked):
    (world / "train-2.png").unlink()
    data = (world / "train-5.png").read_bytes()
    (world / "train-5.png").write_bytes(data[: len(data) // 2])
    (world / "train-7.png").write_bytes(b"")
    found = checked()
    (files,) = found["train", "files"]
    assert bad(found) == {("train", "files", "error")}
    assert files["text"] == "3 of 12 pictures and clips cannot be used; 3 samples need them"
    for line, row, why in zip(files["examples"], (3, 6, 8), ("missing", "damaged", "empty"), strict=True):
        assert line.startswith(f"train.json, row {row}: picture train-{row - 1}.png") and why in line


def test_what_is_left_out_by_choice_is_a_warning_up_to_the_limit(world, checked):
    (world / "train-2.png").unlink()
    (world / "train-3.png").unlink()
    assert bad(checked(on_error="skip")) == {("train", "files", "warning")}
    assert bad(checked(on_error="skip", max_skipped=1)) == {("train", "files", "error")}


def test_a_doubled_id_and_an_unfit_row_are_both_named(change, checked):
    change("train", 4, id="train-1.png")
    change("train", 6, answer=7)
    (rows,) = checked()["train", "rows"]
    assert rows["level"] == "error" and rows["text"] == "2 of 12 rows are unfit"
    assert (
        rows["examples"][0] == "train.json, row 5: id 'train-1.png' occurs twice, first in train.json, row 2"
    )
    assert "row 7" in rows["examples"][1] and "answer is 7" in rows["examples"][1]


def test_a_target_without_a_token_is_found_and_one_without_text_too(change, checked):
    change("train", 3, answer="  ")
    change("train", 4, answer="")
    found = checked()
    assert found["train", "labels"][0]["examples"] == [
        "train.json, row 4: sample 'train-3.png' has the target '  '"
    ]
    assert "row 5" in found["train", "targets"][0]["examples"][0]


def test_the_text_that_is_cut_is_told_exactly(change, checked):
    change("train", 0, question="how many red dogs are left of the tree")
    change("train", 1, question="how many red dogs are left")
    found = checked(max_prompt_tokens=6, on_long="truncate")
    # <s> and </s> leave room for four words.
    assert found["train", "prompts"][0]["examples"] == [
        "train.json, row 1: sample 'train-0.png' loses 'are left of the tree'",
        "train.json, row 2: sample 'train-1.png' loses 'are left'",
    ]
    assert found["train", "prompts"][0]["level"] == "warning"
    (refused,) = checked(max_prompt_tokens=6)["train", "prompts"]
    assert refused["level"] == "error" and refused["text"].startswith("2 of 12 prompts are longer")


def test_limits_of_network_and_generation_are_kept(change, checked):
    change("train", 0, question="how many red dogs are left of the tree")
    change("val", 1, answer="is it raining")
    found = checked(limits={"positions": 8, "max_new_tokens": {"": 4}})
    assert "row 1: sample 'train-0.png', 11 tokens of prompt" in found["train", "positions"][0]["examples"][0]
    assert "row 2: sample 'val-1.png', 5 tokens" in found["val", "generation"][0]["examples"][0]
    assert ("train", "generation") not in found


def test_words_without_a_token_are_named_and_their_price_is_told(change, checked):
    change("val", 0, question="is it hailing", answer="hail")
    found = checked()
    texts = {f["text"] for f in found["val", "words"]}
    assert any("'hailing' in 1 prompt" in text for text in texts)
    assert any("'hail' in 1 target" in text for text in texts)
    (ceiling,) = found["val", "ceiling"]
    # 11 of 12 can be said.
    assert ceiling["level"] == "warning" and "accuracy 91.7 %" in ceiling["text"]
    assert ceiling["examples"] == ["'hail' comes back as ''"]


def test_a_training_picture_under_another_name_is_found_in_evaluation(world, change, checked):
    with Image.open(world / "train-3.png") as picture:
        picture.save(world / "val-8.png", compress_level=0)
    assert (world / "val-8.png").read_bytes() != (world / "train-3.png").read_bytes()
    found = checked()
    question, picture = found["train-val", "leak"]
    assert (question["level"], picture["level"]) == ("error", "warning")
    assert "val.json, row 9 (val-8.png) and train.json, row 4 (train-3.png)" in question["examples"][0]
    assert picture["examples"] == ["val.json, row 9 and train.json, row 4: val-8.png is train-3.png"]
    change("val", 8, question="how many dogs")
    (only,) = checked()["train-val", "leak"]
    assert only["level"] == "warning" and "row 9" in only["examples"][0]


def test_shared_ids_are_told(change, checked):
    change("val", 2, id="train-5.png")
    (leak,) = checked()["train-val", "leak"]
    assert leak["examples"] == ["val.json, row 3 and train.json, row 6: id 'train-5.png'"]


def test_repeats_and_contradictions_within_a_split(world, change, checked):
    rows = json.loads((world / "train.json").read_text())
    shutil.copy(world / "train-1.png", world / "train-2.png")
    shutil.copy(world / "train-4.png", world / "train-5.png")
    change("train", 0, question="how many dogs")
    change("train", 2, answer=rows[1]["answer"])
    change("train", 5, answer={"yes": "no", "no": "yes"}[rows[4]["answer"]])
    found = checked()
    assert (
        "row 3 (train-2.png) asks what train.json, row 2 (train-1.png) asks"
        in found["train", "repeats"][0]["examples"][0]
    )
    assert (
        "row 6 (train-5.png) asks what train.json, row 5 (train-4.png) asks"
        in found["train", "contradictions"][0]["examples"][0]
    )


def test_one_prompt_with_several_targets_of_a_picture_is_no_fault(world, change, checked):
    for number in range(6):
        change("train", number, images=["train-0.png"], answer=("yes", "no", "two dogs")[number % 3])
    found = checked()
    assert ("train", "contradictions") not in found


def test_samples_without_pictures_and_with_too_many(change, checked):
    change("train", 1, images=[])
    change("train", 2, images=["train-2.png", "train-3.png"])
    found = checked(limits={"max_images": 1})
    assert "row 2" in found["train", "text only"][0]["examples"][0]
    assert "row 3: sample 'train-2.png' has 2" in found["train", "files"][1]["examples"][0]


def test_a_picture_of_one_colour_is_a_warning(world, checked):
    Image.new("RGB", (10, 8), (9, 90, 200)).save(world / "test-0.png")
    assert bad(checked()) == {("test", "flat", "warning")}


def test_answers_never_trained_on_and_one_sided_ones(change, checked):
    for number in range(12):
        change("train", number, answer="yes")
        change("val", number, answer="no")
    found = checked()
    assert found["train", "balance"][0]["level"] == "warning"
    assert found["train-val", "answers"][0]["text"].startswith("100.0 % of the targets of val (12 of 12)")


def test_a_missing_split_is_an_error_that_names_those_that_are_there(world, checked):
    (world / "test.json").unlink()
    (rows,) = checked()["test", "rows"]
    assert rows["level"] == "error" and "data.splits.test=test is not in" in rows["text"]
    assert "splits found there: train, val" in rows["text"]


def test_without_files_none_is_opened_and_a_sample_still_asks_for_all(world, checked):
    for picture in world.glob("train-*.png"):
        picture.unlink()
    assert bad(checked(check_files="none")) == {(s, "files", "warning") for s in ("train", "val", "test")}
    assert ("train", "files", "error") in bad(checked(check_files="sample"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"check_files": "some"}, "preview.check_files=some must be one of all, sample, none"),
        ({"samples": -1}, "preview.samples=-1 must be a whole number of at least 0"),
    ],
)
def test_wrong_options_are_refused(module, options, message):
    with pytest.raises(ValueError, match=message):
        inspect(module(), **options)


def test_threads_find_what_one_finds(world, checked):
    (world / "train-2.png").unlink()
    assert checked(num_workers=3) == checked()


def test_samples_are_as_the_collate_makes_them_and_of_every_split(module, task):
    data = module(task=Scored(task))
    shown = inspect(data, samples=5).samples
    assert [s.split for s in shown] == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    for sample in shown:
        (example,) = sample.batch.examples
        again = data.collate(
            [data.dataset(sample.split, "test").sample(0, int(example.id[:-4].split("-")[1]))]
        )
        assert sample.batch.labels.tolist() == again.labels.tolist()
        assert sample.visuals[0].pixels.shape == (8, 10, 3)


@dataclass(frozen=True)
class ClipTask(Scored):
    """Rows whose "images" are clips."""

    def example(self, row):
        example = super().example(row)
        return replace(example, images=(), frames=ClipRef(example.images[0].path))


def write_clip(path, shade: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for number in range(20):
            pixels = np.full((32, 32, 3), shade, np.uint8)
            pixels[:, number : number + 4] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())


def test_clips_are_decoded_measured_compared_and_shown(world, module, task):
    for number, split in enumerate(("train", "val")):
        rows = json.loads((world / f"{split}.json").read_text())[:2]
        for place, row in enumerate(rows):
            row["images"] = [f"{split}-{place}.mp4"]
            write_clip(world / f"{split}-{place}.mp4", 40 * (2 * number + place))
        (world / f"{split}.json").write_text(json.dumps(rows))
    shutil.copy(world / "train-1.mp4", world / "val-1.mp4")
    (world / "train-0.mp4").write_bytes((world / "train-0.mp4").read_bytes()[:300])
    data = module(task=ClipTask(task), video={"frames": 4}, splits={"train": "train", "val": "val"})
    found = inspect(data, limits={"max_images": 4}, samples=2)
    train, val = found.report["tasks"][0]["splits"]
    (files,) = [f for f in train["findings"] if f["check"] == "files"]
    assert files["level"] == "error" and "row 1: video train-0.mp4" in files["examples"][0]
    assert val["lengths"]["seconds of a clip"]["max"] == pytest.approx(2.0)
    assert val["lengths"]["frames a second of a clip"]["max"] == pytest.approx(10.0)
    assert val["lengths"]["frames shown of a clip"]["max"] == 4
    (leak, _) = [f for f in found.report["tasks"][0]["between"][0]["findings"] if f["check"] == "leak"]
    assert (
        leak["level"] == "error"
        and "val.json, row 2 (val-1.png) and train.json, row 2 (train-1.png)" in leak["examples"][0]
    )
    assert [len(s.visuals) for s in found.samples] == [4, 4]
    assert "frame 2 at 0.20 s" in found.samples[0].visuals[0].caption
    (crowded,) = [
        f
        for f in inspect(data, limits={"max_images": 3}, samples=0).report["tasks"][0]["splits"][1][
            "findings"
        ]
        if "max_images=3" in f["text"]
    ]
    assert len(crowded["examples"]) == 2


def test_a_rare_kind_of_question_is_among_the_samples():
    from data_modules.checks.samples import choose

    rows = [
        (Example(str(n), "q", "t", groups={"question_type": "rare" if n == 50 else "often"}), f"row {n}")
        for n in range(99)
    ]
    chosen = choose(rows, 4, seed=0)
    assert "50" in [example.id for example, _ in chosen] and len(chosen) == 4
    assert choose(rows, 200, seed=1) == rows
