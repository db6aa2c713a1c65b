"""Pictures written out of a table: one file for the same bytes, whole or not there."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data_modules.inlaid import InlaidPictures


@pytest.mark.parametrize(
    ("data", "suffix"),
    [
        (b"\xff\xd8\xff\xe0jpeg", ".jpg"),
        (b"\x89PNG\r\n", ".png"),
        (b"GIF89a", ".gif"),
        (b"no picture", ".picture"),
    ],
)
def test_a_file_holds_the_bytes_and_is_named_by_what_they_are(tmp_path, data, suffix):
    path = Path(InlaidPictures(tmp_path / "new" / "folder").add(data).path)
    assert path.is_absolute() and path.suffix == suffix and path.read_bytes() == data
    assert os.listdir(path.parent) == [path.name]


def test_the_same_bytes_are_one_file_whoever_writes_them(tmp_path):
    def written(number):
        return InlaidPictures(tmp_path).add(b"\x89PNG" + bytes(50_000 + number % 2)).path

    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(written, range(40)))
    assert len(set(paths)) == 2 and sorted(os.listdir(tmp_path)) == sorted(Path(p).name for p in set(paths))


def test_a_write_that_fails_leaves_nothing_and_names_the_key(tmp_path, monkeypatch):
    pictures = InlaidPictures(tmp_path)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("data_modules.inlaid.os.replace", full)
    with pytest.raises(
        ValueError, match=r"paths.cache_dir: .*cannot be written to \(No space left on device\)"
    ):
        pictures.add(b"bytes")
    assert os.listdir(tmp_path) == []
