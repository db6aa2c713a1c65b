"""Clips in the data module: pixels, features kept in memory, padding, records, bad files."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from data_modules.clips import ClipSettings, clip_key
from vl_dora.batch import ClipRef, Example


def write_clip(path: Path, colours: list[int]) -> None:
    """A frame of each grey, ten a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for number, grey in enumerate(colours):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), grey, np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


LONG, SHORT = [20 * k for k in range(12)], [200, 100]


@pytest.fixture
def clips(tmp_path) -> Path:
    """Splits train, val and test of a long clip, a short one, and both again in parts."""
    folder = tmp_path / "clips"
    folder.mkdir()
    write_clip(folder / "long.mp4", LONG)
    write_clip(folder / "short.mp4", SHORT)
    rows = [
        {"id": "long", "clip": {"path": "long.mp4"}},
        {"id": "short", "clip": {"path": "short.mp4"}},
        {"id": "end of long", "clip": {"path": "long.mp4", "start": 0.8}},
        {"id": "two of long", "clip": {"path": "long.mp4", "count": 2}},
        {"id": "all of short", "clip": {"path": "short.mp4", "fps": 10.0}},
    ]
    for split in ("train", "val", "test"):
        (folder / f"{split}.json").write_text(json.dumps(rows))
    return folder


@dataclass(frozen=True)
class ClipTask:
    """Rows {"id", "clip": fields of a ClipRef}."""

    name: str = "clips"
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def example(self, row):
        return Example(row["id"], "is it raining", "yes", frames=ClipRef(**row["clip"]), answers=("yes",))


@pytest.fixture
def build(module, clips):
    def make(**options):
        return module(task=ClipTask(), root=clips, **{"video": {"frames": 4}, **options})

    return make


def greys(visuals) -> list[int]:
    return [round(float(frame.mean())) for frame in visuals]


def test_a_sample_shows_the_frames_asked_for_and_remembers_which(build):
    data = build().dataset("test")
    long, short, end, two, whole = (data[index] for index in range(5))
    assert greys(long.visuals) == pytest.approx([LONG[i] for i in (1, 4, 7, 10)], abs=2)
    assert long.example.frames == ClipRef(
        "long.mp4", count=4, indices=(1, 4, 7, 10), times=(0.1, 0.4, 0.7, 1.0)
    )
    assert greys(short.visuals) == pytest.approx(SHORT, abs=2)
    assert end.example.frames.indices == (8, 9, 10, 11) and end.example.frames.start == 0.8
    assert two.example.frames.indices == (3, 9)
    assert whole.example.frames.indices == (0, 1) and whole.example.frames.count is None
    assert all(frame.shape == (3, 8, 8) and frame.dtype == np.uint8 for frame in long.visuals)


def test_short_clips_are_padded_and_masked(build):
    (batch,) = build(eval_batch_size=5).dataloader("test")
    assert batch.pixels.shape == (5, 4, 3, 8, 8)
    assert batch.image_mask.sum(1).tolist() == [4, 2, 4, 2, 2]
    assert not batch.pixels[1, 2:].any()
    assert [e.frames.indices for e in batch.examples][1] == (0, 1)


def test_frames_a_second_are_as_many_as_the_clip_has(build):
    data = build(video={"frames": None, "fps": 5}).dataset("test")
    assert data[0].example.frames.indices == (0, 2, 4, 6, 8, 10)
    assert data[1].example.frames.indices == (0,)


@pytest.mark.parametrize("decoder", ["auto", "pyav", "decord"])
def test_every_decoder_shows_the_same(build, decoder):
    if decoder == "decord":
        pytest.importorskip("decord")
    data = build(video={"frames": 4, "decoder": decoder}, keep_in_memory=False)
    for _ in range(2):
        for index in range(5):
            ours, theirs = data.dataset("test")[index], build().dataset("test")[index]
            assert ours.example == theirs.example
            np.testing.assert_array_equal(np.stack(ours.visuals), np.stack(theirs.visuals))


def test_features_kept_in_memory_are_those_of_the_frames(build):
    def encode(pixels: torch.Tensor) -> torch.Tensor:
        return pixels.float().mean((2, 3))[:, None].expand(-1, 2, -1)

    data = build(eval_batch_size=5)
    pictures = next(iter(data.dataloader("test")))
    data.encode_pictures(encode)
    batch = next(iter(data.dataloader("test")))
    assert batch.pixels is None and batch.features.shape == (5, 4, 2, 3)
    assert batch.examples == pictures.examples
    expected = (
        encode(pictures.pixels.flatten(0, 1)).unflatten(0, (5, 4)) * pictures.image_mask[:, :, None, None]
    )
    torch.testing.assert_close(batch.features, expected)


def test_a_blind_run_sees_one_grey_frame_and_needs_no_file(build, clips):
    (clips / "long.mp4").unlink()
    sample = build(blind=True).dataset("test")[0]
    assert greys(sample.visuals) == [128] and sample.example.frames.indices is None


def test_bad_clips_stop_or_are_counted_with_their_reason(build, clips, caplog):
    raw = (clips / "long.mp4").read_bytes()
    (clips / "long.mp4").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(ValueError, match=r"'long': test.json, row 1: video .*long.mp4 is not a video file"):
        next(iter(build().dataloader("test")))
    (clips / "short.mp4").unlink()
    with pytest.raises(ValueError, match=r"test.json, row 2: video .*short.mp4 is missing"):
        build().examples("test")
    write_clip(clips / "short.mp4", SHORT)
    with caplog.at_level(logging.WARNING):
        data = build(on_error="skip")
        assert [example.id for example in data.examples("test")] == ["short", "all of short"]
    assert len(data.skipped["test"]) == 3 and "long.mp4 is not a video file" in data.skipped["test"][0]
    assert "left out 3 of 5 samples" in caplog.text


@pytest.mark.parametrize(
    ("video", "message"),
    [
        ({"decoder": "ffmpeg"}, "data.video.decoder='ffmpeg' must be one of auto, decord, pyav"),
        ({"frames": 4, "fps": 2}, "data.video.frames=4 and data.video.fps=2: give one, the other null"),
        ({"frames": None}, "data.video.frames=None and data.video.fps=None: give one"),
        ({"frames": 0}, "data.video.frames=0 must be a whole number of at least 1"),
        ({"frames": None, "fps": -1}, "data.video.fps=-1 must be a number above 0"),
        ({"count": 4}, "data.video.count is unknown; allowed: decoder, frames, fps"),
    ],
)
def test_a_wrong_setting_names_its_key(build, video, message):
    with pytest.raises(ValueError, match=message):
        build(video=video)


def test_the_key_of_a_clip_tells_all_that_its_frames_depend_on():
    settings = ClipSettings(frames=8)
    ref = ClipRef("a/b.mp4")
    kinds = [ref, replace(ref, count=4), replace(ref, fps=2), replace(ref, start=1.5), replace(ref, end=1.5)]
    keys = [clip_key(settings.settled(kind)) for kind in kinds]
    assert keys[0] == "a/b.mp4#frames=8" and keys[3] == "a/b.mp4#part=1.5-#frames=8"
    assert len(set(keys)) == 5


def test_the_defaults_of_the_config_are_those_of_the_code():
    from hydra import compose, initialize_config_module

    with initialize_config_module("vl_dora.conf", version_base="1.3"):
        assert ClipSettings(**compose("data/_video").data.video) == ClipSettings()


def test_people_see_the_frames_that_were_shown_as_they_are_in_the_file(build, clips):
    data = build()
    for number in range(5):
        shown = data.dataset("test")[number].example.frames
        frames, times = data.read_clip(shown)
        assert frames.shape == (len(shown.indices), 32, 32, 3) and times == shown.times
        expected = [(SHORT if "short" in shown.path else LONG)[n] for n in shown.indices]
        assert [round(float(frame.mean())) for frame in frames] == pytest.approx(expected, abs=2)


def test_a_clip_that_changed_or_went_is_not_shown_as_what_it_was(build, clips):
    data = build()
    shown = data.dataset("test")[0].example.frames
    with pytest.raises(ValueError, match="long.mp4 has other frames now than those that were shown"):
        data.read_clip(replace(shown, indices=(0, 1, 2, 3)))
    (clips / "long.mp4").unlink()
    with pytest.raises(ValueError, match="video .*long.mp4 is missing"):
        data.read_clip(shown)


def test_a_clip_of_stored_features_is_shown_by_the_settings(build):
    frames, times = build().read_clip(ClipRef("long.mp4"))
    assert len(frames) == 4 and times == (0.1, 0.4, 0.7, 1.0)
