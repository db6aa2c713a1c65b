"""A survey that packets get wrong is made again by decoding; a seek that lands elsewhere is noticed."""

from __future__ import annotations

import numpy as np
import pytest

from data_modules.video import VideoError, pyav_reader, sample_frames, survey

from .conftest import number_of


@pytest.fixture(autouse=True)
def nothing_known_of_any_file():
    survey._survey.cache_clear()


def test_packets_and_decoding_agree_on_the_time_of_every_frame(clip):
    for name in ("h264_b_frames_from_5_s.mp4", "hevc.mkv", "vp9_hidden_frames.webm", "mpeg4_b_frames.avi"):
        found = survey.survey(clip(name).path)
        assert not found.from_decoding
        stamps, end = found.stamps, found.end
        survey.rescan(found)
        assert (found.stamps, found.end) == (stamps, end)


def test_a_codec_that_may_hide_frames_is_decoded_for_its_times(clip):
    assert survey.survey(clip("vp8.webm").path).from_decoding


@pytest.mark.parametrize("wish", [{"count": 3}, {"fps": 5}, {}])
def test_packets_that_promise_a_frame_too_many_are_found_out(clip, wish):
    path = clip("h264_b_frames_from_5_s.mp4").path
    right = sample_frames(path, **wish)
    found = survey.survey(path)
    phantom = found.stamps[30] + 1
    found.stamps.insert(31, phantom)
    mended = sample_frames(path, **wish)
    np.testing.assert_array_equal(mended.indices, right.indices)
    np.testing.assert_array_equal(mended.frames, right.frames)


def test_a_key_frame_that_is_none_is_found_out(clip):
    """Intra refresh marks packets as key frames from which no whole picture can be decoded."""
    path = clip("h264_intra_refresh.mp4").path
    found = survey.survey(path)
    assert len(found.keyframes) > 3
    few = sample_frames(path, count=2, start=1.0, end=1.4)
    assert [number_of(frame) for frame in few.frames] == few.indices.tolist()


def test_few_frames_of_many_are_read_by_seeking_and_many_in_one_go(clip, monkeypatch):
    found = survey.survey(clip("h264_b_frames_from_5_s.mp4").path)
    assert not pyav_reader.is_dense(found, [50]) and pyav_reader.is_dense(found, list(range(60)))

    def never(*_):
        raise AssertionError("went through the whole file")

    monkeypatch.setattr(pyav_reader, "_in_sequence", never)
    (frame,) = pyav_reader.read(found, [50], lambda pixels: pixels)
    assert number_of(frame) == 50


def test_surveys_of_many_files_are_forgotten():
    assert survey._survey.cache_info().maxsize == 256


def test_a_file_that_decodes_to_other_times_each_time_is_an_error(clip, monkeypatch):
    path = clip("h264.mp4").path

    def restless(*_):
        raise pyav_reader.SurveyMismatch("frame 3 has stamp 7")

    monkeypatch.setattr(pyav_reader, "_in_sequence", restless)
    with pytest.raises(VideoError, match=r"decodes otherwise from one time to the next \(frame 3"):
        sample_frames(path)
