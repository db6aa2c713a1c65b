"""Captions: COCO results against COCO, Karpathy or VALUE annotations.

Predictions: [{"image_id": 391895, "caption": "a man on a bike"}, ...]; VALUE: JSON lines {"clip_id": 7,
"descs": [{"desc": "..."}]}, of which the first counts
References, one of
    captions_val2014.json  {"images": [{"id": 391895}], "annotations": [{"image_id": 391895, "caption": ""}]}
    dataset_coco.json      {"images": [{"cocoid": 391895, "split": "test", "sentences": [{"raw": "..."}]}]}
    tvc_val_release.jsonl  {"clip_id": 7, "descs": [{"desc": "..."}, ...]} a line
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.benchmarks.fields import as_object, take, text_of
from vl_dora.benchmarks.files import by_id, first_of, id_of, matched, rows_of
from vl_dora.metrics import captions
from vl_dora.metrics.statistic import Scored

_IDS = ("image_id", "clip_id", "vid_name")
_PICTURE_IDS = ("cocoid", "imgid", "id")


@dataclass(frozen=True)
class Captions:
    """CIDEr, BLEU, ROUGE-L and, where asked for, METEOR.

    Args:
        variant: "coco", or "value": ASCII only, percent, two places.
        split: which split of a Karpathy file is scored; other files are scored whole.
        meteor: METEOR as well; needs Java and the extra `meteor`.

    Raises:
        ValueError: `variant` is another word.
    """

    variant: str = "coco"
    split: str = "test"
    meteor: bool = False

    def __post_init__(self) -> None:
        if self.variant not in ("coco", "value"):
            raise ValueError(f"variant={self.variant} must be coco or value")

    def __call__(self, predictions: Path, references: Path) -> Scored:
        """Scores captions against the references; ValueError names what is wrong in the files."""
        texts = self._references(references)
        bare = [name for name, mine in texts.items() if not mine]
        if bare:
            raise ValueError(
                f"references={references}: {len(bare)} pictures have no caption, such as "
                f"{', '.join(bare[:3])}"
            )
        said = by_id(
            rows_of(predictions, "predictions"),
            lambda row, where: id_of(row, _IDS, where),
            f"predictions={predictions}",
        )
        rows = matched(said, texts, files=(predictions, references))
        mine = [_first_caption(row, f"{predictions}, {name}") for name, row in zip(texts, rows, strict=True)]
        score = captions.score if self.variant == "coco" else captions.value_score
        return score(mine, list(texts.values()), with_meteor=self.meteor)

    def _references(self, path: Path) -> dict[str, list[str]]:
        text = text_of(path, "references")
        try:
            document = json.loads(text)
        except json.JSONDecodeError:
            document = None
        if not (isinstance(document, dict) and isinstance(document.get("images"), list)):
            rows = by_id(
                rows_of(path, "references"), lambda row, where: id_of(row, _IDS, where), f"references={path}"
            )
            return {name: _captions(row, f"{path}, {name}") for name, row in rows.items()}
        pictures = [
            (as_object(row, f"{path}, image {n}"), f"{path}, image {n}")
            for n, row in _numbered(document["images"])
        ]
        if "annotations" not in document:
            return self._karpathy(pictures, path)
        names = by_id(pictures, lambda row, where: id_of(row, _PICTURE_IDS, where), f"references={path}")
        found: dict[str, list[str]] = {name: [] for name in names}
        for number, value in _numbered(document["annotations"]):
            where = f"{path}, annotation {number}"
            row = as_object(value, where)
            name = id_of(row, ("image_id",), where)
            if name not in found:
                raise ValueError(f"{where}: the image_id {name} is not among the images of the file")
            found[name].append(take(row, "caption", str, where))
        return found

    def _karpathy(self, pictures: list[tuple[dict[str, Any], str]], path: Path) -> dict[str, list[str]]:
        splits = {row.get("split") for row, _ in pictures}
        mine = [(row, where) for row, where in pictures if row.get("split") == self.split]
        if not mine:
            raise ValueError(
                f"split={self.split} is not in references={path}; there: "
                f"{', '.join(sorted(map(str, splits)))}"
            )
        rows = by_id(mine, lambda row, where: id_of(row, _PICTURE_IDS, where), f"references={path}")
        return {
            name: [
                take(as_object(sentence, str(path)), "raw", str, f"{path}, {name}")
                for sentence in take(row, "sentences", list, f"{path}, {name}")
            ]
            for name, row in rows.items()
        }


def _numbered(values: Any) -> Any:
    return enumerate(values, start=1)


def _captions(row: Mapping[str, Any], where: str) -> list[str]:
    found = first_of(row, ("descs", "captions", "caption"), where)
    values = found if isinstance(found, list) else [found]
    texts = [value["desc"] if isinstance(value, dict) and "desc" in value else value for value in values]
    wrong = [text for text in texts if not isinstance(text, str)]
    if wrong:
        raise ValueError(f"{where}: a caption must be a text, got {wrong[0]!r}")
    return texts


def _first_caption(row: Mapping[str, Any], where: str) -> str:
    texts = _captions(row, where)
    if not texts:
        raise ValueError(f"{where}: the list of captions is empty")
    return texts[0]
