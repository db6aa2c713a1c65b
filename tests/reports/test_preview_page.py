"""The page and the table tell all findings, carry their pictures, and take any text as text."""

from __future__ import annotations

import base64
import html
import io
import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from vl_dora.batch import Batch, Example, ImageRef
from vl_dora.models.tiny_tokenizer import build_tokenizer
from vl_dora.reports.charts import bars
from vl_dora.reports.preview_page import PreviewSample, embedded, require_replaceable, write_preview_page
from vl_dora.reports.preview_table import preview_table

NASTY = "<script>alert(\"'1'\")</script>"


@dataclass(frozen=True)
class Picture:
    pixels: np.ndarray | None
    caption: str


@pytest.fixture
def tokenizer():
    return build_tokenizer(["how many dogs are there", "yes no"])


@pytest.fixture
def sample(tokenizer):
    def make(number: int, split: str = "train", kind: str = "how many", picture=None) -> PreviewSample:
        example = Example(
            str(number),
            "how many dogs",
            "yes",
            images=(ImageRef("a.png"),),
            answers=("yes", "yes", "no"),
            targets=(("yes", 1.0), ("no", 0.25)),
            groups={"question_type": kind},
        )
        ids = torch.tensor([tokenizer(example.prompt)["input_ids"]])
        batch = Batch(
            (example,),
            ids,
            torch.ones_like(ids, dtype=torch.bool),
            pixels=torch.zeros(1, 1, 3, 8, 8, dtype=torch.uint8),
            labels=torch.tensor([tokenizer(example.target)["input_ids"]]),
        )
        seen = picture or Picture(np.zeros((8, 10, 3), np.uint8), "a.png")
        return PreviewSample("vqa", split, f"/data/q.json, row {number}", batch, (seen,), num_visual=4)

    return make


def report(**changes):
    finding = {"level": "error", "check": "files", "text": "2 of 3 are bad", "examples": [NASTY, "row 2"]}
    fine = {"level": "ok", "check": "rows", "text": "each is an example", "examples": ()}
    shape = {"edges": [0.5, 1.5, 2.5], "counts": [3, 1], "min": 1.0, "median": 1.0, "p95": 2.0, "max": 2.0}
    split = {
        "split": "train",
        "role": "train",
        "samples": 3,
        "fit": 1,
        "findings": [fine, finding],
        "lengths": {
            "tokens of a prompt": {**shape, "limits": {"data.max_prompt_tokens": 2, "positions": 900}}
        },
        "shares": {"target": {"distinct": 2, "total": 4, "top": [["yes", 3], ["no", 1]]}},
    }
    task = {"task": "vqa", "folder": "/data", "splits": [split], "between": []}
    return {
        "errors": 1,
        "warnings": 0,
        "tasks": [task],
        "experiment": "vqa",
        "model": NASTY,
        "data": None,
        **changes,
    }


def test_the_table_begins_with_what_is_wrong():
    lines = preview_table(report()).splitlines()
    error, fine = (next(n for n, line in enumerate(lines) if word in line) for word in ("ERROR", "ok   "))
    assert error < fine and "row 2" in lines[error + 2]
    assert lines[-1] == "1 error, no warnings" and max(map(len, lines)) <= 110


def test_the_page_holds_findings_tokens_answers_and_pictures(tmp_path, tokenizer, sample):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    page = tmp_path / "out" / "p.html"
    write_preview_page(report(), [sample(7, picture=Picture(pixels, "a.png"))], tokenizer, page)
    text = page.read_text()
    kind, data = re.search(r'<img src="data:image/(\w+);base64,([^"]+)"', text).groups()
    assert kind == "png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), pixels)
    tokens = re.findall(r'<span class="t([^"]*)" title="([^"]*)">([^<]*)</span>', text)
    assert [(c.split(), t.strip()) for c, _, t in tokens if "learned" in c] == [
        (["special", "learned"], "&lt;s&gt;"),
        (["learned"], "yes"),
        (["special", "learned"], "&lt;/s&gt;"),
    ]
    assert "dogs" in [t for c, _, t in tokens if not c]
    assert "4 visual tokens of picture 1" in text and "<span>8</span>" in text
    assert "×2, score 1" in text and "yes 80 %, no 20 %" in text
    assert ">q.json, row 7<" in text, "the folder stands at the top, once"


def test_texts_are_shown_and_never_run(tmp_path, tokenizer, sample):
    page = tmp_path / "p.html"
    write_preview_page(report(), [sample(1, kind=NASTY + "\"' &")], tokenizer, page)
    text = page.read_text()
    assert text.count("<script>") == 1, "only the page's own script"
    assert html.unescape(re.search(r"<ol><li>(.*?)</li>", text).group(1)) == NASTY


def test_nothing_on_the_page_is_fetched_from_elsewhere(tmp_path, tokenizer, sample):
    page = tmp_path / "p.html"
    write_preview_page(report(), [sample(1)], tokenizer, page)
    assert not re.search(r"https?://|@import|(src|href)=\"(?!data:)|url\(", page.read_text())


def test_a_group_that_names_every_sample_is_no_filter(tmp_path, tokenizer, sample):
    page = tmp_path / "p.html"
    given = [sample(n, kind=f"question {n}") for n in range(6)]
    write_preview_page(report(), given, tokenizer, page)
    assert 'data-key="question_type"' not in page.read_text()
    write_preview_page(report(), [sample(n, kind="ab"[n % 2]) for n in range(6)], tokenizer, page)
    assert page.read_text().count('data-key="question_type"') == 1


def test_a_picture_that_cannot_be_shown_is_named(tmp_path, tokenizer, sample):
    page = tmp_path / "p.html"
    write_preview_page(
        report(), [sample(1, picture=Picture(None, "a.h5 (stored features)"))], tokenizer, page
    )
    assert "a.h5 (stored features)" in page.read_text() and "<img" not in page.read_text()


def test_only_a_page_of_preview_is_overwritten(tmp_path, tokenizer):
    page, other = tmp_path / "p.html", tmp_path / "thesis.html"
    write_preview_page(report(), [], tokenizer, page)
    write_preview_page(report(errors=0), [], tokenizer, page)
    assert "0 errors" in page.read_text()
    other.write_text("<html>years of work</html>")
    with pytest.raises(ValueError, match="no page of preview"):
        write_preview_page(report(), [], tokenizer, other)
    assert other.read_text() == "<html>years of work</html>"
    with pytest.raises(ValueError, match="is a folder"):
        require_replaceable(tmp_path)


def test_photographs_are_embedded_in_the_shorter_of_two_formats():
    flat, noise = np.zeros((50, 50, 3), np.uint8), np.random.default_rng(0).integers(0, 256, (400, 400, 3))
    assert embedded(flat).startswith("data:image/png") and embedded(noise).startswith("data:image/jpeg")


def test_bars_fill_the_room_and_limits_stand_behind_the_last_value_they_allow():
    chart = bars(
        {"edges": [0.5, 1.5, 2.5], "counts": [3, 1], "min": 1, "max": 2, "limits": {"a": 2, "b": 900}}
    )
    assert [(b.left, b.width, b.height, b.words) for b in chart.bars] == [
        (0, 500, 1000, "1: 3"),
        (500, 500, 333.33, "2: 1"),
    ]
    assert [(line.left, line.words) for line in chart.lines] == [(1000, "a: 2"), (None, "b: 900")]


@pytest.mark.slow
def test_a_browser_filters_the_cards_without_an_error_or_a_request(tmp_path, tokenizer, sample, browser):
    page = tmp_path / "p.html"
    given = [sample(n, "train" if n < 6 else "val", 'is "it"?' if n % 3 else "count") for n in range(9)]
    write_preview_page(report(), given, tokenizer, page)
    # The press of a button is added to a copy: a page that is only rendered knows no hand.
    press = (
        "<script>document.querySelector('[data-key=split] [data-value=val]').click();"
        "document.querySelector('[data-key=question_type] [data-value=count]').click();"
        "document.body.dataset.fetched = performance.getEntriesByType('resource').map(e => e.name).join();"
        "document.body.dataset.wide = document.documentElement.scrollWidth - innerWidth;"
        "console.log('pressed')</script>"
    )
    pressed = tmp_path / "pressed.html"
    pressed.write_text(page.read_text().replace("</body>", press + "</body>"))
    first = browser.rendered(page, tmp_path / "profile")
    before = first.html
    assert first.console == ()
    assert len(re.findall(r"<article(?![^>]*hidden)", before)) == 9 and ">9 of 9 shown<" in before
    second = browser.rendered(pressed, tmp_path / "profile")
    after, said = second.html, second.console
    # The one line is the copy's own, which shows that lines of the console arrive here.
    assert len(said) == 1 and "pressed" in said[0]
    assert len(re.findall(r"<article(?![^>]*hidden)", after)) == 1 and ">1 of 9 shown<" in after
    assert 'data-fetched=""' in after
    assert int(re.search(r'data-wide="(-?\d+)"', after).group(1)) <= 0, "nothing is wider than the window"
