"""Frames by number and time, of every kind of file, by either decoder."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from data_modules.video import VideoError, sample_frames
from data_modules.video.survey import _survey

from .conftest import DECORD_KINDS, KINDS, number_of, picture, write_clip


def by_the_rule(times: list[float], end: float, count: int) -> list[int]:
    """The frame on the screen at the middle of each of `count` equal spans."""
    middles = times[0] + (np.arange(count) + 0.5) * (end - times[0]) / count
    return [max(i for i, t in enumerate(times) if t <= m + 1e-9) for m in middles]


def end_of(times: list[float], name: str) -> float:
    return times[-1] + (0.1 if name.endswith(".gif") else 0.04)


@pytest.fixture(autouse=True)
def nothing_known_of_any_file():
    _survey.cache_clear()


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_of_every_kind_has_its_number_and_time(clip, name):
    made = clip(name)
    found = sample_frames(made.path)
    assert [number_of(frame) for frame in found.frames] == list(range(60))
    assert found.indices.tolist() == list(range(60)) and found.requested == 60
    shift = found.times[0] - made.times[0]
    # MPEG-TS, FLV and AVI files of B-frames start later by the delay of the encoder.
    assert 0 <= shift < (0.2 if name.endswith((".ts", ".flv", ".avi")) else 0.0006)
    np.testing.assert_allclose(found.times - shift, made.times, atol=0.0011)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("count", [1, 3, 7, 24])
def test_a_few_frames_are_the_same_as_those_of_all(clip, name, count):
    path = clip(name).path
    whole = sample_frames(path, decoder="pyav")
    few = sample_frames(path, count=count, decoder="pyav")
    np.testing.assert_array_equal(few.frames, whole.frames[few.indices])
    np.testing.assert_array_equal(few.times, whole.times[few.indices])
    assert [number_of(frame) for frame in few.frames] == few.indices.tolist()


@pytest.mark.parametrize("name", DECORD_KINDS)
def test_both_decoders_give_the_same_frames(clip, name):
    path = clip(name).path
    for wish in ({"count": 5}, {"count": 40}, {"fps": 7}, {}):
        ours = sample_frames(path, decoder="pyav", **wish)
        theirs = sample_frames(path, decoder="decord", **wish)
        assert (ours.decoder, theirs.decoder) == ("pyav", "decord")
        np.testing.assert_array_equal(ours.frames, theirs.frames)
        np.testing.assert_array_equal(ours.times, theirs.times)
        np.testing.assert_array_equal(ours.indices, theirs.indices)


@pytest.mark.parametrize("name", sorted(set(KINDS) - set(DECORD_KINDS)))
def test_decord_gets_no_file_that_it_may_read_wrongly(clip, name):
    path = clip(name).path
    for _ in range(3):
        assert sample_frames(path).decoder == "pyav"
    with pytest.raises(VideoError, match=r"not for decord: .*; use decoder auto or pyav"):
        sample_frames(path, decoder="decord")


@pytest.mark.parametrize("name", DECORD_KINDS)
def test_auto_uses_decord_when_most_of_a_sound_file_is_wanted(clip, name):
    path = clip(name).path
    first, second, few = sample_frames(path), sample_frames(path), sample_frames(path, count=3)
    assert (first.decoder, second.decoder, few.decoder) == ("pyav", "decord", "pyav")
    np.testing.assert_array_equal(first.frames, second.frames)


def test_uniform_sampling_follows_the_written_rule(clip):
    for name in ("h264.mp4", "h264_variable.mp4", "h264_variable.mkv", "h264_b_frames_from_5_s.mp4"):
        made = clip(name)
        for count in (1, 2, 5, 13, 30):
            found = sample_frames(made.path, count=count)
            expected = list(dict.fromkeys(by_the_rule(made.times, end_of(made.times, name), count)))
            assert found.indices.tolist() == expected and found.requested == count


def test_a_fixed_rate_gives_the_frame_on_the_screen_at_each_instant(clip):
    made = clip("h264_variable.mp4")
    for fps in (0.7, 2, 10, 100):
        instants = np.arange(0, end_of(made.times, made.path.name), 1 / fps)
        expected = [max(i for i, t in enumerate(made.times) if t <= m + 5e-4) for m in instants]
        assert sample_frames(made.path, fps=fps).indices.tolist() == list(dict.fromkeys(expected))


def test_a_rate_of_the_file_itself_gives_every_frame_once(tmp_path):
    made = write_clip(tmp_path / "ntsc.mkv", "libx264", rate=30)
    found = sample_frames(made.path, fps=30)
    assert found.indices.tolist() == list(range(60)) and found.requested == 60


def test_a_clip_shorter_than_asked_is_given_whole_and_says_so(tmp_path, clip):
    one = write_clip(tmp_path / "one.mp4", "libx264", num_frames=1)
    found = sample_frames(one.path, count=8)
    assert found.frames.shape == (1, 96, 128, 3) and found.requested == 8
    assert sample_frames(one.path, fps=10).indices.tolist() == [0]
    assert len(sample_frames(clip("h264_variable.mp4").path, count=61).frames) == 60


def test_a_part_of_a_clip_is_sampled_alone(clip):
    made = clip("h264_b_frames_from_5_s.mp4")
    found = sample_frames(made.path, count=4, start=6.0, end=6.8)
    assert found.times.tolist() == pytest.approx([6.08, 6.28, 6.48, 6.68])
    assert sample_frames(made.path, start=7.3, end=100.0).indices.tolist() == [57, 58, 59]
    assert sample_frames(made.path, start=0, end=5.01).indices.tolist() == [0]
    with pytest.raises(VideoError, match=r"nothing between start=8 and end=None.* runs from 5 to 7\.4"):
        sample_frames(made.path, count=2, start=8)


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
@pytest.mark.parametrize("mirrored", [(False, False), (True, False), (False, True)])
def test_frames_are_turned_and_mirrored_as_the_file_says(tmp_path, degrees, mirrored):
    made = write_clip(tmp_path / "turned.mp4", "libx264", num_frames=3, turn=(degrees, *mirrored))
    expected = np.rot90(picture(1), degrees // 90)
    expected = expected[:, ::-1] if mirrored[0] else expected
    expected = expected[::-1] if mirrored[1] else expected
    found = sample_frames(made.path)
    assert found.frames[1].shape == expected.shape
    assert np.abs(found.frames[1].astype(int) - expected).mean() < 6
    if (degrees, mirrored) != (0, (False, False)):
        with pytest.raises(VideoError, match="turned frames"):
            sample_frames(made.path, decoder="decord")


def test_frames_are_resized_while_they_are_decoded(clip):
    found = sample_frames(clip("h264.mp4").path, count=4, size=64)
    assert found.frames.shape == (4, 64, 64, 3) and found.frames.dtype == np.uint8
    assert [number_of(frame) for frame in found.frames] == found.indices.tolist()


def test_the_best_stream_is_taken_and_the_others_ignored(tmp_path):
    path = tmp_path / "two.mp4"
    with av.open(str(path), "w") as container:
        small, large = (container.add_stream("libx264", rate=25) for _ in range(2))
        small.disposition, large.disposition = 0, av.stream.Disposition.default
        sound = container.add_stream("aac", rate=44100)
        (small.width, small.height), (large.width, large.height) = (64, 48), (256, 192)
        for number in range(20):
            for stream in (small, large):
                frame = av.VideoFrame.from_ndarray(picture(number, stream.width, stream.height), "rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 35280), np.float32), "fltp", "stereo")
        silence.sample_rate, silence.pts = 44100, 0
        container.mux(sound.encode(silence))
        for stream in (small, large, sound):
            container.mux(stream.encode(None))
    found = sample_frames(path)
    assert found.frames.shape == (20, 192, 256, 3)
    assert [number_of(frame) for frame in found.frames] == list(range(20))


def test_shared_clips_have_the_times_and_colours_that_were_written_down(shared):
    folder = shared / "data" / "video"
    expected = json.loads((folder / "expected.json").read_text())
    sound = {k: v for k, v in expected.items() if "decoded_frames" in v and "decode_error" not in v}
    assert len(sound) >= 7
    for name, facts in sound.items():
        found = sample_frames(folder / name)
        assert len(found.frames) == facts["decoded_frames"], name
        assert found.frames.shape[1:3] == (facts["height"], facts["width"]), name
        times = [t for t in facts["pts_s"] if t != "..."]
        ends = found.times if len(times) == len(found.times) else [*found.times[:5], *found.times[-5:]]
        np.testing.assert_allclose(ends, times, atol=1e-5, err_msg=name)
        for frame, colour in ((0, "mean_rgb_first"), (-1, "mean_rgb_last")):
            np.testing.assert_allclose(
                found.frames[frame].mean(axis=(0, 1)), facts[colour], atol=3, err_msg=name
            )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decoder": "ffmpeg"}, "decoder='ffmpeg' must be one of auto, decord, pyav"),
        ({"count": 2, "fps": 1.0}, "exclude each other"),
        ({"count": 0}, "count=0 must be a whole number of at least 1"),
        ({"count": 2.5}, "count=2.5 must be a whole number"),
        ({"fps": 0}, "fps=0 must be a number above 0"),
        ({"fps": float("nan")}, "fps=nan must be a number above 0"),
        ({"start": float("inf")}, "start=inf must be a number of seconds"),
    ],
)
def test_an_argument_that_makes_no_sense_is_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        sample_frames(tmp_path / "any.mp4", **arguments)


def test_a_changed_file_is_read_anew(tmp_path):
    path = Path(tmp_path / "a.mp4")
    write_clip(path, "libx264", num_frames=5)
    assert len(sample_frames(path).frames) == 5
    write_clip(path, "libx264", num_frames=9)
    assert len(sample_frames(path).frames) == 9
