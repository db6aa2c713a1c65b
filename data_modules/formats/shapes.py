"""SHAPES: is the question true of a 3 x 3 grid of shapes? (Andreas et al. 2016, arXiv:1511.02799)

A split S is four files in one folder, item i being row i of each:

    S.input.npy      uint8 (N, 30, 30, 3), channel order blue, green, red
    S.query_str.txt  "is a triangle above right of a square"
    S.query          "(is triangle (above (right_of square)))", the logical form; may be absent
    S.output         "true" or "false"
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_modules.formats.annotation import data_root, read_text, split_file
from vl_dora.batch import ImageRef

_SENTENCES = ".query_str.txt"


@dataclass(frozen=True)
class Shapes:
    """Reads the official files; the split word is the name S, for instance `val` or `train.small`.

    Args:
        bgr: the pictures' channel order is blue, green, red, as in the official files.
    """

    bgr: bool = True

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The split's items in order: query_str, query (None when absent), output, split, index, images.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: the files disagree in length, or a line or the array is not as expected.
        """
        root = Path(root)
        there = self.splits(root)
        files = {
            key: split_file(root, split + key, split, there) for key in (_SENTENCES, ".output", ".input.npy")
        }
        sentences, outputs = _lines(files[_SENTENCES]), _lines(files[".output"])
        counts = {files[".input.npy"]: _num_pictures(files[".input.npy"])}
        counts |= {files[_SENTENCES]: len(sentences), files[".output"]: len(outputs)}
        forms: list[str] | None = None
        if (root / f"{split}.query").is_file():
            forms = _lines(root / f"{split}.query")
            counts[root / f"{split}.query"] = len(forms)
        if len(set(counts.values())) > 1:
            found = ", ".join(f"{path} {count}" for path, count in counts.items())
            raise ValueError(
                f"the files of split {split!r} must have one row an item each, but hold: {found}"
            )
        for index, (sentence, output) in enumerate(zip(sentences, outputs, strict=True)):
            where = f"{files[_SENTENCES]}, row {index + 1}"
            if not sentence:
                raise ValueError(f"{where}: an empty line; expected a question")
            if output not in ("true", "false"):
                raise ValueError(
                    f"{files['.output']}, row {index + 1}: expected true or false, got {output!r}"
                )
            yield (
                {
                    "query_str": sentence,
                    "query": forms[index] if forms else None,
                    "output": output,
                    "split": split,
                    "index": index,
                    "images": (ImageRef(f"{split}.input.npy", index=index, bgr=self.bgr),),
                },
                where,
            )

    def splits(self, root: Path) -> tuple[str, ...]:
        """The names S that have both sentences and pictures in the folder."""
        root = data_root(root)
        names = (f.name.removesuffix(_SENTENCES) for f in sorted(root.glob(f"*{_SENTENCES}")))
        return tuple(name for name in names if (root / f"{name}.input.npy").is_file())


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path).rstrip("\n").split("\n")]


def _num_pictures(path: Path) -> int:
    try:
        # Mapped, not read: only the header is looked at here.
        pictures = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a complete .npy array ({error})") from error
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3:
        raise ValueError(
            f"{path}: expected uint8 pictures (N, height, width, 3), got {pictures.dtype} {pictures.shape}"
        )
    return len(pictures)
