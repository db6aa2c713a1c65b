"""The page carries its pictures, hides nothing that was wrong, and takes any text as text."""

from __future__ import annotations

import base64
import html
import io
import re

import numpy as np
import pytest
from PIL import Image

from vl_dora.batch import ClipRef, Example, ImageRef, Prediction
from vl_dora.reports.pictures import embedded_png, read_picture
from vl_dora.reports.samples_page import MOST_FRAMES, choose, truth_of, verdict_of, write_samples_page


def prediction(number: int, *, kind: str = "count", text: str = "yes", images=(), prompt="vqa: is it?"):
    groups = {"question_type": kind}
    example = Example(str(number), prompt, "no", images=images, answers=("no",) * 3, groups=groups)
    return Prediction(example, text)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, size=(2, 8, 10, 3), dtype=np.uint8)


def decoded(address: str) -> np.ndarray:
    kind, data = address.split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_reads_a_file_a_crop_of_it_and_a_row_of_an_array(tmp_path, pixels):
    Image.fromarray(pixels[0]).save(tmp_path / "one.png")
    np.save(tmp_path / "all.npy", pixels[..., ::-1])
    np.testing.assert_array_equal(read_picture(ImageRef("one.png"), tmp_path), pixels[0])
    cropped = read_picture(ImageRef("one.png", crop=(2, 1, 7, 5)), tmp_path)
    np.testing.assert_array_equal(cropped, pixels[0, 1:5, 2:7])
    row = read_picture(ImageRef("all.npy", index=1, bgr=True), tmp_path)
    np.testing.assert_array_equal(row, pixels[1])
    with pytest.raises(ValueError, match="pictures 0 to 1; picture 2"):
        read_picture(ImageRef("all.npy", index=2), tmp_path)


def test_an_embedded_picture_holds_the_same_pixels_and_a_large_one_is_shrunk(pixels):
    np.testing.assert_array_equal(decoded(embedded_png(pixels[0, :, ::-1])), pixels[0, :, ::-1])
    assert decoded(embedded_png(np.zeros((1000, 500, 3), np.uint8))).shape == (384, 192, 3)


def test_the_page_embeds_each_picture_of_a_sample(tmp_path, pixels):
    np.save(tmp_path / "all.npy", pixels)
    images = (ImageRef("all.npy", index=0), ImageRef("all.npy", index=1, crop=(0, 0, 4, 4)))
    page = tmp_path / "out" / "samples.html"
    write_samples_page([prediction(1, images=images)], {"1": 0.0}, tmp_path, page, title="t")
    first, second = re.findall(r'<img src="([^"]+)"', page.read_text())
    np.testing.assert_array_equal(decoded(first), pixels[0])
    np.testing.assert_array_equal(decoded(second), pixels[1, :4, :4])


def test_pictures_come_from_the_given_reader(tmp_path, pixels):
    asked = []

    def read(image):
        asked.append(image)
        return pixels[1]

    image = ImageRef("nowhere.png")
    page = tmp_path / "samples.html"
    write_samples_page(
        [prediction(1, images=(image,))], {"1": 100.0}, tmp_path, page, title="t", read_picture=read
    )
    assert asked == [image]
    np.testing.assert_array_equal(decoded(re.findall(r'<img src="([^"]+)"', page.read_text())[0]), pixels[1])


def test_a_picture_that_has_gone_is_named_and_the_page_is_written(tmp_path):
    page = tmp_path / "samples.html"
    write_samples_page([prediction(1, images=(ImageRef("gone.png"),))], {"1": 0.0}, tmp_path, page, title="t")
    assert "No picture: gone.png" in page.read_text()


def test_nothing_on_the_page_is_fetched_from_elsewhere(tmp_path):
    page = tmp_path / "samples.html"
    write_samples_page([prediction(1)], {"1": 0.0}, tmp_path, page, title="t")
    assert not re.search(r"https?://|<link|@import|src=\"(?!data:)|url\(", page.read_text())


def test_texts_are_shown_and_never_run(tmp_path):
    page, nasty = tmp_path / "samples.html", "<script>alert(\"'1'\")</script>"
    given = prediction(1, prompt=nasty, text=nasty, kind=nasty + "\"' &")
    write_samples_page([given], {"1": 0.0}, tmp_path, page, title=nasty)
    text = page.read_text()
    assert text.count("<script>") == 1, "only the page's own script"
    shown = re.search(r'<p class="question">(.*?)</p>', text).group(1)
    assert html.unescape(shown) == nasty


def test_wrong_ones_come_first_and_right_ones_keep_a_third():
    given = [prediction(n) for n in range(100)]
    scores = {str(n): 100.0 if n < 50 else 30.0 if n < 60 else 0.0 for n in range(100)}
    chosen = choose(given, scores, group="question_type", limit=30)
    found = [scores[p.id] for p in chosen]
    assert found == sorted(found)
    assert len(found) == 30 and found.count(100.0) == 10


def test_every_kind_of_question_is_seen_however_rare():
    given = [prediction(n, kind="rare" if n == 99 else "count") for n in range(100)]
    chosen = choose(given, {str(n): 0.0 for n in range(100)}, group="question_type", limit=6)
    assert "99" in [p.id for p in chosen]


@pytest.mark.parametrize(("right", "wrong"), [(0, 100), (100, 0), (3, 100), (100, 3), (2, 2), (0, 0)])
def test_the_page_is_filled_as_far_as_there_is_something(right, wrong):
    scores = {str(n): 100.0 if n < right else 0.0 for n in range(right + wrong)}
    chosen = choose([prediction(n) for n in range(right + wrong)], scores, group=None, limit=30)
    assert len({p.id for p in chosen}) == min(30, right + wrong)


def test_verdicts_and_truth():
    assert [verdict_of(p) for p in (0.0, 30.0, 99.0, 100.0)] == ["wrong", "partly", "partly", "right"]
    assert truth_of(Example("1", "q", "t", answers=("no", "yes", "yes"))) == "yes ×2, no ×1"
    assert truth_of(Example("1", "q", "t", answers=("no", "no"))) == "no"
    assert truth_of(Example("1", "q", "t")) == "t"


def test_a_prediction_without_a_score_is_named(tmp_path):
    with pytest.raises(ValueError, match="no score in per_sample, the first is id '7'"):
        write_samples_page([prediction(7)], {}, tmp_path, tmp_path / "samples.html", title="t")
    assert not (tmp_path / "samples.html").exists()


@pytest.mark.slow
def test_a_browser_shows_the_cards_and_a_filter_button_hides_the_others(tmp_path, browser):
    page = tmp_path / "samples.html"
    given = [prediction(n, kind='is "it"?' if n % 3 else "count") for n in range(9)]
    write_samples_page(given, {str(n): 100.0 * (n % 2) for n in range(9)}, tmp_path, page, title="t")
    # The press of a button is added to a copy: a page that is only rendered knows no hand.
    press = "<script>document.querySelector('[data-key=question_type] [data-value=count]').click()</script>"
    pressed = tmp_path / "pressed.html"
    pressed.write_text(page.read_text().replace("</body>", press + "</body>"))
    before = browser.rendered(page, tmp_path / "profile").html
    after = browser.rendered(pressed, tmp_path / "profile").html
    assert len(re.findall(r"<article(?![^>]*hidden)", before)) == 9 and ">9 of 9 shown<" in before
    assert len(re.findall(r"<article(?![^>]*hidden)", after)) == 3 and ">3 of 9 shown<" in after


SEEN = ClipRef("videos/v.mp4", count=3, indices=(0, 4, 8), times=(0.1, 0.5, 0.9))


def page_of_clip(tmp_path, clip, read_clip) -> str:
    example = Example("1", "tvqa: who?", "a1", frames=clip, answers=("a1",), groups={})
    page = tmp_path / "samples.html"
    write_samples_page(
        [Prediction(example, "a0")], {"1": 0.0}, tmp_path, page, title="t", read_clip=read_clip
    )
    return page.read_text()


def test_a_clip_is_a_strip_of_the_frames_shown_with_their_times(tmp_path):
    frames = np.stack([np.full((90, 160, 3), value, np.uint8) for value in (10, 120, 240)])
    asked = []

    def read_clip(clip):
        asked.append(clip)
        return frames, (0.1, 0.5, 0.94)

    text = page_of_clip(tmp_path, SEEN, read_clip)
    assert asked == [SEEN]
    assert re.findall("<figcaption>(.*?)</figcaption>", text) == ["0.1 s", "0.5 s", "0.9 s"]
    shown = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        for data in re.findall('<img src="data:image/jpeg;base64,([^"]+)"', text)
    ]
    assert [picture.shape for picture in shown] == [(90, 160, 3)] * 3
    assert [round(float(picture.mean())) for picture in shown] == [10, 120, 240]
    assert 'class="note"' not in text and "No picture" not in text


def test_of_a_long_clip_some_frames_are_shown_and_that_is_said(tmp_path):
    frames = np.zeros((64, 8, 8, 3), np.uint8)
    clip = ClipRef("v.mp4", count=64, indices=tuple(range(64)), times=tuple(map(float, range(64))))
    text = page_of_clip(tmp_path, clip, lambda _: (frames, clip.times))
    times = re.findall("<figcaption>(.*?) s</figcaption>", text)
    assert len(times) == MOST_FRAMES and times[0] == "0.0" and times[-1] == "63.0"
    assert f"{MOST_FRAMES} of 64 frames" in text


def test_frames_beside_stored_features_are_told_to_be_others(tmp_path):
    text = page_of_clip(tmp_path, ClipRef("v.mp4"), lambda _: (np.zeros((1, 8, 8, 3), np.uint8), (0.5,)))
    assert "the network read stored features" in text


def test_a_clip_that_is_gone_or_not_to_be_read_is_named(tmp_path):
    def read_clip(clip):
        raise ValueError(f"video {clip.path} is missing")

    assert "No picture: videos/v.mp4: video videos/v.mp4 is missing" in page_of_clip(
        tmp_path, SEEN, read_clip
    )
    text = page_of_clip(tmp_path, SEEN, None)
    assert "videos/v.mp4, of which no frame is shown here" in text
