"""What is no sound video ends in a VideoError that names file and reason; never in wrong frames."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from data_modules.video import VideoError, sample_frames, survey

from .conftest import B_FRAMES, write_clip

WISHES = [{"count": 1}, {"count": 4}, {"fps": 2.0}, {}]


def refused(path: Path, words: str) -> None:
    for decoder in ("auto", "pyav", "decord"):
        for wish in WISHES:
            with pytest.raises(VideoError, match=words) as caught:
                sample_frames(path, decoder=decoder, **wish)
            assert str(path) in str(caught.value) and "\n" not in str(caught.value)
            assert caught.value.path == path and caught.value.reason


def halves(path: Path, to: Path, share: float = 0.6) -> Path:
    raw = path.read_bytes()
    to.write_bytes(raw[: int(len(raw) * share)])
    return to


def test_what_is_not_there_or_no_file_is_named(tmp_path):
    refused(tmp_path / "missing.mp4", "is missing")
    refused(tmp_path, "is not a file")
    (tmp_path / "empty.mp4").touch()
    refused(tmp_path / "empty.mp4", "is empty")


def test_a_text_named_like_a_video_is_no_video(tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("These are notes on a video, not the video.\n" * 50)
    refused(path, "is not a video file that can be opened")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.mp4", "#EXTM3U\n#EXTINF:10,\nclip.mp4\n"),
        ("list.m3u8", "#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/clip.ts\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile clip.mp4\n"),
    ],
)
def test_a_list_of_other_files_is_not_followed(tmp_path, name, text):
    write_clip(tmp_path / "clip.mp4", "libx264", num_frames=5)
    (tmp_path / name).write_text(text)
    refused(tmp_path / name, "is not a video file that can be opened")


def test_a_picture_is_no_video(tmp_path):
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "still.png")
    refused(tmp_path / "still.png", "is not a video file")


def test_sound_alone_has_no_frames(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 44100), np.float32), "fltp", "stereo")
        silence.sample_rate = 44100
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    refused(path, "has no video stream")


def test_a_missing_index_is_damage(tmp_path):
    raw = write_clip(tmp_path / "a.mp4", "libx264").path.read_bytes()
    (tmp_path / "headless.mp4").write_bytes(raw[: raw.index(b"moov") - 4])
    refused(tmp_path / "headless.mp4", "header is damaged or missing")


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mkv", "libx264", B_FRAMES),
        ("a.webm", "libvpx-vp9", {"cpu-used": "8"}),
        ("a.avi", "mpeg4", {}),
        ("a.flv", "libx264", {}),
        ("a.mp4", "libx264", {"movflags": "faststart"}),
        ("a.mp4", "libx265", {"x265-params": "log-level=none"}),
    ],
)
def test_a_file_cut_short_is_refused_whatever_is_asked_of_it(tmp_path, name, codec, options):
    made = write_clip(tmp_path / name, codec, options=options, num_frames=100)
    if "movflags" in options or name.endswith("mp4"):
        with av.open(str(made.path)) as source:
            target = av.open(str(tmp_path / f"fast-{name}"), "w", options={"movflags": "faststart"})
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
            target.close()
        made.path.unlink()
        shutil.move(tmp_path / f"fast-{name}", made.path)
    assert len(sample_frames(made.path).frames) == 100
    cut = halves(made.path, tmp_path / f"cut-{name}")
    refused(cut, "cut short")


def test_the_shared_damaged_clips_are_refused(shared):
    folder = shared / "data" / "video"
    refused(folder / "corrupt_empty.mp4", "is empty")
    refused(folder / "corrupt_truncated_faststart.mp4", "damaged or cut short")
    refused(folder / "nasa_audio_only.mp4", "has no video stream")


@pytest.mark.parametrize(("codec", "options"), [("libx264", {}), ("libx264", B_FRAMES), ("mpeg4", {})])
def test_flipped_bytes_give_an_error_or_the_right_frames(tmp_path, codec, options):
    """Codecs without checks of their own (VP9) cannot tell; these can, nearly always."""
    clean = write_clip(tmp_path / "a.mp4", codec, options=options).path
    frames = sample_frames(clean).frames
    raw = clean.read_bytes()
    low, high = raw.index(b"mdat") + 8, raw.index(b"moov")
    refusals = 0
    for seed in range(20):
        draw = np.random.RandomState(seed)
        damaged = bytearray(raw)
        for place in draw.randint(low, high, size=20):
            damaged[place] ^= 1 << draw.randint(8)
        path = tmp_path / f"damaged-{seed}.mp4"
        path.write_bytes(damaged)
        for decoder in ("auto", "decord"):
            for wish in ({"count": 3}, {}, {}):
                try:
                    found = sample_frames(path, decoder=decoder, **wish)
                except VideoError as error:
                    assert "damaged" in str(error)
                    refusals += 1
                else:
                    np.testing.assert_array_equal(found.frames, frames[found.indices])
    assert refusals > 60


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("MAX_PIXELS", "claims frames of 128 x 96; at most 1,000 pixels are allowed"),
        ("MAX_SECONDS", "claims to last 0 hours; at most 0 are allowed"),
    ],
)
def test_more_than_the_limits_is_refused_before_decoding(tmp_path, monkeypatch, limit, words):
    made = write_clip(tmp_path / "a.mp4", "libx264")
    monkeypatch.setattr(survey, limit, {"MAX_PIXELS": 1_000, "MAX_SECONDS": 1}[limit])
    refused(made.path, words)


def test_a_clip_that_claims_days_is_refused(tmp_path):
    made = write_clip(tmp_path / "long.mp4", "libx264", num_frames=2, gaps=(25 * 3600 * 30,))
    refused(made.path, r"claims to last 30 hours; at most 24 are allowed")


def test_more_frames_than_memory_should_hold_are_refused(clip, monkeypatch):
    from data_modules.video import frames

    monkeypatch.setattr(frames, "MAX_BYTES", 128 * 96 * 3 * 10)
    assert len(sample_frames(clip("h264.mp4").path, count=10).frames) == 10
    with pytest.raises(VideoError, match=r"would give 11 frames of 128 x 96"):
        sample_frames(clip("h264.mp4").path, count=11)
    assert len(sample_frames(clip("h264.mp4").path, count=11, size=32).frames) == 11


def test_a_rate_beyond_reason_is_refused(clip):
    with pytest.raises(VideoError, match=r"has 2,400,000,000 instants at fps=1000000000.0"):
        sample_frames(clip("h264.mp4").path, fps=1e9)


def test_an_error_keeps_its_facts_on_the_way_from_a_worker(tmp_path):
    with pytest.raises(VideoError) as caught:
        sample_frames(tmp_path / "missing.mp4")
    sent = pickle.loads(pickle.dumps(caught.value))
    assert str(sent) == str(caught.value) and sent.path == tmp_path / "missing.mp4"
    assert sent.reason == "is missing"
