"""MMBench: LLaVA's answers, or a file made for the upload, against a table with answers.

References: mmbench_dev_20230712.tsv, columns index, question, A, B, C, D, answer, category, l2-category,
image in any order; `image` is base64, or the index of the row that holds it.
Predictions: JSON lines {"question_id": 241, "text": "A"}; or the upload, a csv or xlsx with the columns index
and prediction. Free text is read by the rules of `vl_dora.metrics.mmbench`, where the benchmark's server asks
a language model, so figures may differ from the server's where answers are no letters.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np

from vl_dora.benchmarks.fields import named, text_of
from vl_dora.benchmarks.files import as_text, by_id, first_of, id_of, matched, rows_of
from vl_dora.metrics import mmbench
from vl_dora.metrics.statistic import Numbers, Scored, Sums, ratio

_ABSENT = ("", "nan", "none")
_NEEDED = ("index", "A", "B", "answer")


@dataclass(frozen=True)
class MMBench:
    """Accuracy over questions in percent; of one that is asked in several orders every row must be right."""

    def __call__(self, predictions: Path, references: Path) -> Scored:
        """Scores answers against the table; ValueError names what is wrong in the files."""
        wanted = by_id(_table(references), lambda row, where: row["index"], f"references={references}")
        items = [_item(row, f"{references}, index {index}") for index, row in wanted.items()]
        texts = matched(_said(Path(predictions).expanduser()), wanted, files=(predictions, references))
        found = mmbench.score(texts, items)
        pictures = _pictures(wanted)
        notes = () if _all_read(texts, items) else ("texts that name no option count as wrong",)
        return Scored(
            scores=found.scores,
            scale="percent",
            statistic=_statistic(texts, items, "accuracy_a_row" in found.scores),
            clusters=[pictures[str(items[place].index)] for place in found.first],
            by_type=found.by_type,
            notes=notes,
        )


def _statistic(texts: Sequence[str], items: Sequence[mmbench.Item], by_row: bool) -> Sums:
    """The scores under weights of the questions, in the order in which they first appear."""
    columns: dict[int, list[float]] = {}
    for text, item in zip(texts, items, strict=True):
        hit = mmbench.letter(text, item.options) == item.answer
        row = columns.setdefault(item.index % mmbench.CIRCLE, [100.0, 1.0, 0.0, 0.0])
        row[0] *= hit
        row[2] += 100.0 * hit
        row[3] += 1.0

    def formula(sums: Numbers) -> dict[str, Numbers]:
        found = {"accuracy": ratio(sums[:, 0], sums[:, 1])}
        return {**found, "accuracy_a_row": ratio(sums[:, 2], sums[:, 3])} if by_row else found

    return Sums(np.array(list(columns.values())), formula)


def _all_read(texts: Sequence[str], items: Sequence[mmbench.Item]) -> bool:
    return all(
        mmbench.letter(text, item.options) is not None for text, item in zip(texts, items, strict=True)
    )


def _table(path: Path | str) -> Iterator[tuple[dict[str, str], str]]:
    """Rows of the table by column."""
    limit = csv.field_size_limit(sys.maxsize)  # pictures lie in the cells
    try:
        lines = text_of(path, "references").splitlines(keepends=True)
        yield from _rows(list(csv.reader(lines, delimiter="\t")), f"references={path}", _NEEDED)
    except csv.Error as error:
        raise ValueError(f"references={path} is no table of tab-separated values ({error})") from None
    finally:
        csv.field_size_limit(limit)


def _rows(
    cells: Sequence[Sequence[str]], file: str, needed: Sequence[str]
) -> Iterator[tuple[dict[str, str], str]]:
    head = list(cells[0]) if cells else []
    missing = [name for name in needed if name not in head]
    if missing:
        columns = named(dict.fromkeys(head))
        raise ValueError(f"{file}: the column {missing[0]!r} is missing; columns there: {columns}")
    for number, row in enumerate(islice(cells, 1, None), start=2):
        if len(row) != len(head):
            raise ValueError(f"{file}, row {number}: {len(row)} cells, but the table has {len(head)} columns")
        yield dict(zip(head, row, strict=True)), f"{file}, row {number}"


def _item(row: Mapping[str, str], where: str) -> mmbench.Item:
    if not row["index"].isdigit():
        raise ValueError(f"{where}: 'index' must be a whole number")
    options = []
    for name in mmbench.LETTERS:
        if _absent(row.get(name, "")):
            break
        options.append(row[name])
    if _absent(row["answer"]):
        raise ValueError(f"{where}: there is no answer to compare with; the server alone scores such a table")
    groups = {"category": row.get("category", ""), "l2_category": row.get("l2-category", "")}
    return mmbench.Item(
        int(row["index"]), tuple(options), row["answer"], {k: v for k, v in groups.items() if v}
    )


def _absent(text: str) -> bool:
    return text.strip().lower() in _ABSENT


def _pictures(rows: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Index -> what tells its picture; rows may point to another's."""
    found = {}
    for index, row in rows.items():
        image = row.get("image", "").strip()
        owner = image if image.isdigit() and image in rows else index
        pixels = rows[owner].get("image", "") or owner
        found[index] = hashlib.sha256(pixels.encode()).hexdigest()
    return found


def _said(path: Path) -> dict[str, str]:
    """Index -> text, of any of the three kinds of file."""
    file = f"predictions={path}"
    if path.suffix.lower() in (".csv", ".xlsx"):
        cells = _workbook(path, file) if path.suffix.lower() == ".xlsx" else _comma_separated(path)
        rows = by_id(_rows(cells, file, ("index", "prediction")), lambda row, where: row["index"], file)
        return {index: row["prediction"] for index, row in rows.items()}
    answers = by_id(
        rows_of(path, "predictions"), lambda row, where: id_of(row, ("question_id", "index"), where), file
    )
    return {
        index: as_text(first_of(row, ("text", "prediction"), f"{path}, {index}"), index)
        for index, row in answers.items()
    }


def _comma_separated(path: Path) -> list[list[str]]:
    return list(csv.reader(text_of(path, "predictions").splitlines(keepends=True)))


def _workbook(path: Path, file: str) -> list[list[str]]:
    if not path.is_file():
        raise FileNotFoundError(f"{file} does not exist; give the path of a file")
    if find_spec("openpyxl") is None:
        raise ValueError(
            f"{file} needs openpyxl, which is not installed: pip install 'vl-dora[xlsx]', or give a csv"
        )
    from openpyxl import load_workbook

    try:
        book = load_workbook(path, read_only=True)
    except Exception as error:  # noqa: BLE001 - damaged workbooks raise all sorts of errors
        raise ValueError(f"{file} is no workbook that can be read: {error}") from None
    found = [
        ["" if cell is None else str(cell) for cell in row]
        for row in book.worksheets[0].iter_rows(values_only=True)
    ]
    book.close()
    return found
