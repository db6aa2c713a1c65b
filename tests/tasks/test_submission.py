"""A submission file is there whole or not at all."""

from __future__ import annotations

import os

import pytest

from vl_dora.tasks.submission import write_whole


def test_replaces_an_older_file_and_leaves_nothing_else(tmp_path):
    path = write_whole(tmp_path / "a" / "b.txt", "old\n")
    assert write_whole(path, "é\n").read_bytes() == "é\n".encode()
    assert os.listdir(path.parent) == ["b.txt"]


def test_a_text_that_cannot_be_written_leaves_the_older_file(tmp_path):
    path = write_whole(tmp_path / "b.txt", "old\n")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")
    assert path.read_text() == "old\n"
    assert os.listdir(tmp_path) == ["b.txt"]
