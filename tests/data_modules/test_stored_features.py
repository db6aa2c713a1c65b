from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from data_modules.stored_features import StoredFeatures, feature_key, write_features
from vl_dora.batch import ImageRef

REFS = [ImageRef("a.png"), ImageRef("a.png", crop=(0, 0, 4, 4)), ImageRef("b.npy", index=2)]


@pytest.fixture
def arrays() -> list[np.ndarray]:
    return list(np.random.RandomState(0).randn(3, 4, 5).astype(np.float32))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_written_is_read_back_in_any_order(tmp_path, arrays, dtype):
    write_features(tmp_path / "f", zip(REFS, arrays, strict=True), tower="tiny", dtype=dtype)
    stored = StoredFeatures(tmp_path / "f")
    assert stored.tower == "tiny" and stored.shape == (4, 5)
    for ref, array in reversed(list(zip(REFS, arrays, strict=True))):
        loaded = stored.load(ref)
        assert loaded.dtype == dtype
        np.testing.assert_array_equal(loaded, array.astype(dtype))


def test_the_file_is_a_plain_numpy_array(tmp_path, arrays):
    write_features(tmp_path / "f", zip(REFS, arrays, strict=True), tower="tiny", dtype="float32")
    np.testing.assert_array_equal(np.load(tmp_path / "f" / "features.npy"), np.stack(arrays))
    assert json.loads((tmp_path / "f" / "index.json").read_text())["rows"][feature_key(REFS[2])] == 2


def test_thousands_of_rows_fit_the_header_written_for_none(tmp_path):
    rows = ((ImageRef(f"{i}.png"), np.full((1, 1), i)) for i in range(1_234))
    write_features(tmp_path / "f", rows, tower="tiny", dtype="float32")
    assert StoredFeatures(tmp_path / "f").load(ImageRef("1233.png")) == 1_233


def test_crops_and_rows_of_one_file_have_keys_of_their_own():
    assert len({feature_key(ref) for ref in [*REFS, ImageRef("b.npy", index=1)]}) == 4


def test_a_picture_without_features_is_named(tmp_path, arrays):
    write_features(tmp_path / "f", zip(REFS, arrays, strict=True), tower="tiny")
    stored = StoredFeatures(tmp_path / "f")
    for ask in (stored.load, stored.check):
        with pytest.raises(
            ValueError, match=r"no features of a.png#crop=1,0,4,4 .*3 pictures and 0 clips of tower tiny"
        ):
            ask(ImageRef("a.png", crop=(1, 0, 4, 4)))


def test_a_folder_appears_whole_or_not_at_all(tmp_path, arrays):
    def breaking():
        yield REFS[0], arrays[0]
        raise RuntimeError("the tower broke")

    with pytest.raises(RuntimeError):
        write_features(tmp_path / "f", breaking(), tower="tiny")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_not_overwritten(tmp_path, arrays):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not an empty folder"):
        write_features(tmp_path / "f", zip(REFS, arrays, strict=True), tower="tiny")
    assert [p.name for p in (tmp_path / "f").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no features"),
        ([(REFS[0], np.zeros((4, 5))), (REFS[1], np.zeros((4, 6)))], r"\(4, 6\)"),
        ([(REFS[0], np.zeros((4, 5))), (REFS[0], np.zeros((4, 5)))], "given twice"),
        ([(REFS[0], np.zeros(5))], r"\(N, F\) is needed"),
        ([(REFS[0], np.full((4, 5), 1e6))], "not finite in float16"),
    ],
)
def test_unfit_features_are_refused(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        write_features(tmp_path / "f", rows, tower="tiny")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["features.npy", "index.json"])
def test_a_missing_or_damaged_file_is_named(tmp_path, arrays, name):
    write_features(tmp_path / "f", zip(REFS, arrays, strict=True), tower="tiny")
    path = tmp_path / "f" / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="data.features=.* is damaged"):
        StoredFeatures(tmp_path / "f")
    path.unlink()
    with pytest.raises(ValueError, match=f"data.features=.* holds no {name}"):
        StoredFeatures(tmp_path / "f")


def test_an_index_of_other_features_is_refused(tmp_path, arrays):
    write_features(tmp_path / "f", zip(REFS, arrays, strict=True), tower="tiny")
    write_features(tmp_path / "g", [(REFS[0], arrays[0])], tower="tiny")
    (tmp_path / "f" / "index.json").write_text((tmp_path / "g" / "index.json").read_text())
    with pytest.raises(ValueError, match="do not fit the 3"):
        StoredFeatures(tmp_path / "f")


def test_a_loader_worker_gets_the_folder_and_not_the_data(tmp_path):
    rows = [(ImageRef("a.png"), np.ones((100, 100)))]
    stored = StoredFeatures(write_features(tmp_path / "f", rows, tower="tiny"))
    sent = pickle.dumps(stored)
    assert len(sent) < 2_000
    assert pickle.loads(sent).load(ImageRef("a.png")).sum() == 10_000
