"""A comparison as one HTML page that needs no network: tables, pictures, answers side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vl_dora.batch import ImageRef
from vl_dora.reports import pictures
from vl_dora.reports.comparison import Comparison
from vl_dora.reports.comparison_charts import data_uri
from vl_dora.reports.comparison_gallery import Shown, gallery
from vl_dora.reports.comparison_tables import failed_rows, method_rows, pair_rows, type_rows
from vl_dora.reports.files import whole_file

MOST_VALUES = 24  # of a filter; more are no use as buttons


def write_page(
    found: Comparison,
    path: Path,
    *,
    title: str,
    charts: Sequence[tuple[str, str]],
    limit: int,
    read: Callable[[Mapping[str, Any]], Sequence[str]] | None = None,
) -> None:
    """Writes the page.

    Args:
        found: what is compared.
        path: the file to write.
        title: head of the page.
        charts: (caption, SVG text).
        limit: samples shown.
        read: a line of predictions -> its pictures as addresses; None: read below the run's data folder.
    """
    folder = Path(str((found.methods[0].trials[0].results or {}).get("data_folder", "")))
    cards, counts = gallery(found, limit=limit, read=read or (lambda line: pictures_of(line, folder)))
    trials = sum(len(method.trials) for method in found.methods)
    results = found.methods[0].trials[0].results or {}
    lead = (
        f"{len(found.methods)} methods, {trials} runs, scored on {results.get('samples')} samples of split "
        f"{results.get('split')} ({results.get('task')}); {results.get('device')}."
    )

    # Templates are compiled only where a page is written.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("vl_dora.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    html = pages.get_template("comparison_page.html").render(
        title=title,
        lead=lead,
        conditions=found.conditions,
        methods=method_rows(found),
        pairs=pair_rows(found),
        types=type_rows(found),
        failed=failed_rows(found),
        charts=[(caption, data_uri(svg)) for caption, svg in charts],
        cards=cards,
        counts=counts,
        filters=_filters(cards),
    )
    with whole_file(path) as draft:
        draft.write_text(html, encoding="utf-8")


def _filters(cards: Sequence[Shown]) -> dict[str, list[str]]:
    keys = dict.fromkeys(["verdict", *(key for card in cards for key in card.groups)])
    values = {key: sorted({card.groups[key] for card in cards if key in card.groups}) for key in keys}
    return {key: own for key, own in values.items() if 1 < len(own) <= MOST_VALUES}


def pictures_of(line: Mapping[str, Any], folder: Path) -> list[str]:
    """The pictures that a line of `predictions.jsonl` names, as addresses.

    Raises:
        OSError, ValueError: one cannot be read.
    """
    found = []
    for name in line.get("images") or []:
        path, _, index = str(name).partition("#")
        ref = ImageRef(path, index=int(index) if index.isdigit() else None)
        found.append(pictures.embedded_png(pictures.read_picture(ref, folder), longest=256))
    return found
