"""The summary and the files of weights whose relation of direction and magnitude is known."""

from __future__ import annotations

import csv
import json

import pytest

from vl_dora.reports.decomposition import Moved, summarise, write_analysis


def points(method: str, relation: float, offset: float = 0.0) -> list[Moved]:
    """Three layers at two steps, magnitude = offset + relation * direction."""
    return [
        Moved("run", method, 1, f"encoder.{i}.{kind}", step, offset + relation * d, d)
        for i, kind in enumerate(("q_proj", "v_proj", "q_proj"))
        for step, d in ((10, 0.1 * (i + 1)), (20, 0.25 * (i + 1)))
    ]


def test_a_rising_line_has_correlation_one_and_a_falling_one_minus_one() -> None:
    summary = summarise([*points("lora", 0.5), *points("dora", -0.2, 1.0)])
    lines = {(line.method, line.kind): line for line in summary.lines}
    assert lines["lora", "all"].correlation == pytest.approx(1)
    assert lines["lora", "all"].slope == pytest.approx(0.5)
    assert lines["dora", "all"].correlation == pytest.approx(-1)
    assert lines["dora", "q_proj"].slope == pytest.approx(-0.2)
    assert lines["lora", "all"].points == 6
    # Two points of one kind lie on a line whatever they are.
    assert lines["lora", "v_proj"].correlation is None


def test_the_end_is_the_last_step() -> None:
    (line, *_) = summarise(points("lora", 2.0)).lines
    assert line.direction == pytest.approx(0.25 * 2)
    assert line.magnitude == pytest.approx(2 * 0.25 * 2)


def test_without_variation_there_is_no_correlation() -> None:
    flat = [Moved("r", "magnitude", 1, f"l.{i}.q", 1, float(i), 0.0) for i in range(4)]
    (line,) = summarise(flat).lines
    assert line.correlation is None
    assert line.slope is None
    assert "–" in summarise(flat).table()


def test_nothing_is_not_summarised() -> None:
    with pytest.raises(ValueError, match="nothing"):
        summarise([])


def test_every_point_and_line_is_in_the_files(tmp_path) -> None:
    found = [*points("lora", 0.5), *points("full", -0.5)]
    write_analysis(found, summarise(found), tmp_path / "out")
    with (tmp_path / "out" / "analysis.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["magnitude"]) for row in rows] == [point.magnitude for point in found]
    lines = json.loads((tmp_path / "out" / "analysis.json").read_text())
    assert [line["method"] for line in lines] == ["lora"] * 3 + ["full"] * 3
    assert (tmp_path / "out" / "analysis.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "analysis.csv",
        "analysis.json",
        "analysis.md",
        "analysis.png",
    ]
