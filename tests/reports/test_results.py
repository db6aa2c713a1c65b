"""results.json is whole or absent, and what is read back is what was written."""

from __future__ import annotations

import json

import pytest

from vl_dora.reports.files import whole_file
from vl_dora.reports.results import read_results, write_results

RESULTS = {"task": "vqa", "scores": {"accuracy": 87.25}, "trainable": 51_200, "answer": "naïve", "best": None}


def test_reads_back_what_was_written(tmp_path):
    write_results(tmp_path / "new" / "results.json", RESULTS)
    assert read_results(tmp_path / "new" / "results.json") == RESULTS
    assert read_results(tmp_path / "new") == RESULTS


def test_a_figure_that_json_cannot_hold_leaves_the_old_file(tmp_path):
    write_results(tmp_path / "results.json", RESULTS)
    with pytest.raises(ValueError):
        write_results(tmp_path / "results.json", {"score": float("nan")})
    assert json.loads((tmp_path / "results.json").read_text()) == RESULTS
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_an_error_while_writing_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError), whole_file(tmp_path / "page.html") as draft:
        draft.write_text("half of it")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_is_readable_by_others_as_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    write_results(tmp_path / "results.json", {})
    assert (tmp_path / "results.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_missing_or_damaged_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"results\.json does not exist"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text("{half")
    with pytest.raises(ValueError, match=r"results\.json is not JSON"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text("[1]")
    with pytest.raises(ValueError, match="holds a list"):
        read_results(tmp_path)
