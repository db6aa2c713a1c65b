"""Files from anywhere are read as the data set's own are."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from data_modules.asked import AskedFiles, asked_batch, ref_of
from data_modules.clips import ClipSettings
from data_modules.collate import Collate
from vl_dora.batch import ClipRef, ImageRef
from vl_dora.models.tiny_tokenizer import build_tokenizer


@pytest.fixture
def data():
    """What `asked_batch` uses of a data module."""
    tokenizer = build_tokenizer(["is it red"])
    return SimpleNamespace(
        image_size=16, square_fill=None, clips=ClipSettings(frames=4), collate=Collate(tokenizer)
    )


def batch_of(data, *, most=None, **asked):
    return asked_batch(data, [AskedFiles(**asked)], most=most)


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png", pixels


@pytest.fixture
def animation(tmp_path):
    """Six frames of a second each, of one grey each."""
    frames = [Image.new("L", (16, 16), 40 * n) for n in range(6)]
    frames[0].save(tmp_path / "six.gif", save_all=True, append_images=frames[1:], duration=1000)
    return tmp_path / "six.gif"


def test_a_picture_is_seen_pixel_by_pixel(data, picture, monkeypatch):
    path, pixels = picture
    monkeypatch.chdir(path.parent)
    batch = batch_of(data, prompt="is it red", files=["a.png", str(path)])
    assert batch.pixels.shape == (1, 2, 3, 16, 16) and batch.labels is None
    np.testing.assert_array_equal(batch.pixels[0, 1].numpy().transpose(1, 2, 0), pixels)
    assert batch.examples[0].prompt == "is it red"


def test_a_video_gives_frames_of_its_whole_length(data, animation):
    batch = batch_of(data, prompt="is it red", files=[animation], frames=3)
    # The middles of three spans of two seconds are where the frames 1, 3 and 5 begin.
    assert batch.examples[0].frames.times == pytest.approx((1.0, 3.0, 5.0))
    greys = batch.pixels[0].float().mean((1, 2, 3)).tolist()
    assert greys == pytest.approx([40, 120, 200], abs=4)


def test_of_a_video_no_more_is_shown_than_the_network_takes(data, animation, picture):
    assert len(batch_of(data, prompt="is it", files=[animation]).pixels[0]) == 4
    assert len(batch_of(data, prompt="is it", files=[picture[0], animation], most=3).pixels[0]) == 3


def test_the_content_tells_what_a_file_is(picture, animation, tmp_path):
    disguised = tmp_path / "clip.mp4"
    disguised.write_bytes(picture[0].read_bytes())
    assert isinstance(ref_of(disguised), ImageRef)
    assert isinstance(ref_of(animation), ClipRef)


def test_what_cannot_be_used_is_one_sentence(data, picture, animation, tmp_path):
    (tmp_path / "half.png").write_bytes(picture[0].read_bytes()[:400])
    (tmp_path / "text.txt").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    big = Image.new("1", (10_000, 6_000))
    big.save(tmp_path / "big.png")
    for name, words in {
        "half.png": "damaged or truncated",
        "text.txt": "neither a picture nor a video",
        "empty.jpg": "is empty",
        "big.png": "is too large",
        "gone.png": "is missing",
    }.items():
        with pytest.raises(ValueError, match=words) as caught:
            batch_of(data, prompt="is it", files=[tmp_path / name])
        assert name in str(caught.value) and "\n" not in str(caught.value)
    for options, words in (
        ({"files": [picture[0]] * 3, "most": 2}, "3 files, the network takes at most 2"),
        ({"files": [animation] * 2}, "2 videos; one"),
        ({"files": [picture[0]], "frames": 2}, "names none"),
        ({"files": [animation], "frames": 0}, "at least 1"),
        ({"files": [animation], "frames": 5, "most": 3}, "at most 3"),
    ):
        with pytest.raises(ValueError, match=words):
            batch_of(data, prompt="is it", **options)


def test_a_conversation_that_leaves_no_room_for_an_answer_is_refused(data, picture):
    from data_modules.conversation_collate import ConversationCollate

    collate = ConversationCollate(data.collate.tokenizer, visual_tokens=4, max_tokens=4096)
    data.collate = collate
    asked = {"prompt": "it red", "files": [picture[0]], "turns": [("is it", "red")]}
    batch = batch_of(data, **asked)
    length = int(batch.prompt_lengths[0])
    data.collate = ConversationCollate(collate.tokenizer, visual_tokens=4, max_tokens=length + 1)
    assert int(batch_of(data, **asked).prompt_lengths[0]) == length
    data.collate = ConversationCollate(collate.tokenizer, visual_tokens=4, max_tokens=length)
    with pytest.raises(
        ValueError, match=f"has {length + 1} tokens with its answer, the network reads {length};"
    ):
        batch_of(data, **asked)


def test_questions_of_several_pictures_and_of_none_are_one_batch(data, picture):
    asked = [AskedFiles("is it"), AskedFiles("it", [picture[0]] * 2, target="red")]
    batch = asked_batch(data, asked)
    assert batch.image_mask.tolist() == [[False, False], [True, True]]
    # What nobody has to say has no label.
    assert (batch.labels[0] == -100).all() and (batch.labels[1] != -100).any()
