"""Where the pictures of LLaVA's benchmarks lie: question files name them without their folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from data_modules.formats.vl_adapter import Pictures
from vl_dora.batch import ImageRef


class NamedPictures:
    """Finds pictures by file name, or by the stem that official files give.

    Args:
        root: the data folder.
        folders: where they are looked for below it, the first that has it.
    """

    def __init__(self, root: Path, folders: tuple[str, ...]) -> None:
        self._root = root
        self._folders = tuple(folders)
        self._pictures = Pictures(root)

    def named(self, name: str) -> ImageRef:
        """The picture of this file name, which may be a path below one of the folders.

        A picture that is in none of them is looked for in the first, whose absence the loader reports.
        """
        if "/" in name:
            there = [f for f in self._folders if (self._root / f / name).is_file()]
            return ImageRef(str(PurePosixPath((there or list(self._folders))[0]) / name))
        for folder in self._folders:
            if self._pictures.holds(folder, name):
                return ImageRef(str(PurePosixPath(folder) / name))
        return ImageRef(str(PurePosixPath(self._folders[0]) / name))

    def of_stem(self, stem: str) -> ImageRef:
        """The picture of this stem, .jpg or .png, in the first folder that has it."""
        return self._pictures.find(self._folders, stem)
