"""Features that others stored are recognised by what lies in the folder, and read by name."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from data_modules.features import open_features
from data_modules.features.by_name import H5Files, NpzFiles
from data_modules.features.parquet import ParquetShards
from data_modules.stored_features import StoredFeatures, write_features
from vl_dora.batch import ClipRef, ImageRef

NAMES = [f"COCO_train2014_{number:012d}" for number in range(30)]
DRAW = np.random.RandomState(0)
ARRAYS = dict(zip(NAMES, DRAW.randn(30, 6, 5).astype(np.float16), strict=True))


def write_h5(folder: Path) -> None:
    h5py = pytest.importorskip("h5py")
    folder.mkdir(parents=True)
    for name, array in ARRAYS.items():
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file.create_dataset(f"{name}/features", data=array)


def write_npz(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, array in ARRAYS.items():
        np.savez(folder / f"{name}.npz", features=array)


def write_parquet(folder: Path, *, rows_a_shard: int = 12, rows_a_group: int = 5, **changes) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, 30, rows_a_shard)):
        names = NAMES[start : start + rows_a_shard]
        flat = pa.array(np.concatenate([ARRAYS[name].ravel() for name in names]))
        rows = pa.FixedSizeListArray.from_arrays(pa.FixedSizeListArray.from_arrays(flat, 5), 6)
        columns = {"img_id": pa.array(names), "features": rows, **changes}
        pq.write_table(
            pa.table(columns),
            folder / f"part-{number}.parquet",
            row_group_size=rows_a_group,
            compression="zstd",
        )


WRITERS = {"h5": (write_h5, H5Files), "npz": (write_npz, NpzFiles), "parquet": (write_parquet, ParquetShards)}


@pytest.fixture(params=list(WRITERS))
def folder(request, tmp_path) -> tuple[Path, type]:
    """A folder of each format, the files one folder deeper."""
    write, reader = WRITERS[request.param]
    write(tmp_path / "features" / "train2014")
    return tmp_path / "features", reader


def test_every_array_is_read_by_the_name_of_its_picture_in_any_order(folder):
    path, reader = folder
    stored = open_features(path)
    assert isinstance(stored, reader) and stored.shape == (6, 5)
    for name in np.random.RandomState(1).permutation(NAMES):
        ref = ImageRef(f"train2014/{name}.jpg")
        stored.check(ref)
        loaded = stored.load(ref)
        assert loaded.dtype == np.float16
        np.testing.assert_array_equal(loaded, ARRAYS[name])


def test_a_clip_is_one_picture_of_as_many_tokens_as_it_has_frames(folder):
    path, _ = folder
    for name in (f"{NAMES[3]}.mp4", NAMES[3]):
        shown, array = open_features(path).load_clip(ClipRef(name))
        assert array.shape == (1, 6, 5) and shown.indices is None
        np.testing.assert_array_equal(array[0], ARRAYS[NAMES[3]])


def test_names_with_dots_and_no_suffix_are_found(tmp_path):
    (tmp_path / "tv").mkdir()
    np.savez(tmp_path / "tv" / "friends_s01.e02.npz", features=np.ones((7, 512), np.float32))
    _, array = open_features(tmp_path / "tv").load_clip(ClipRef("friends_s01.e02"))
    assert array.shape == (1, 7, 512)


def test_what_is_not_there_is_named(folder):
    path, _ = folder
    with pytest.raises(ValueError, match=r"data.features=.* has no features of other.jpg"):
        open_features(path).check(ImageRef("other.jpg"))
    with pytest.raises(ValueError, match="of whole files, not of a part"):
        open_features(path).load(ImageRef(f"{NAMES[0]}.jpg", crop=(0, 0, 4, 4)))
    with pytest.raises(ValueError, match="of whole files, not of a part"):
        open_features(path).load_clip(ClipRef(NAMES[0], start=1.0))


def test_a_worker_gets_no_open_file(folder):
    path, _ = folder
    stored = open_features(path)
    stored.load(ImageRef(f"{NAMES[0]}.jpg"))
    sent = pickle.loads(pickle.dumps(stored))
    np.testing.assert_array_equal(sent.load(ImageRef(f"{NAMES[9]}.jpg")), ARRAYS[NAMES[9]])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_worker_reads_what_the_parent_reads(folder):
    from torch.utils.data import DataLoader

    path, _ = folder
    stored = open_features(path)
    stored.load(ImageRef(NAMES[0]))
    loader = DataLoader(
        [ImageRef(name) for name in NAMES], num_workers=2, collate_fn=lambda r: stored.load(r[0])
    )
    for name, loaded in zip(NAMES, loader, strict=True):
        np.testing.assert_array_equal(loaded, ARRAYS[name])


def test_damaged_files_are_named(folder):
    path, _ = folder
    file = next(p for p in sorted(path.rglob("*.*")) if p.is_file())
    file.write_bytes(file.read_bytes()[:-400])
    with pytest.raises(ValueError, match=rf"{file.name} is damaged: \w+"):
        open_features(path).load(ImageRef(file.stem))


def test_a_file_without_its_array_is_named(tmp_path):
    write_npz(tmp_path / "f")
    np.savez(tmp_path / "f" / f"{NAMES[0]}.npz", other=np.ones(3))
    with pytest.raises(ValueError, match=r"0000.npz holds no features under 'features'"):
        open_features(tmp_path / "f").load(ImageRef(NAMES[0]))


def test_an_array_of_another_width_is_refused(tmp_path):
    write_npz(tmp_path / "f")
    np.savez(tmp_path / "f" / f"{NAMES[7]}.npz", features=np.ones((6, 4), np.float16))
    stored = open_features(tmp_path / "f")
    stored.shape = (6, 5)  # whichever file was looked at first
    with pytest.raises(ValueError, match=r"are float16 \(6, 4\); float16 or float32 \(N, 5\) is needed"):
        stored.load(ImageRef(f"{NAMES[7]}.jpg"))


def test_parquet_keeps_the_row_groups_last_used(tmp_path, monkeypatch):
    write_parquet(tmp_path / "f")
    stored = open_features(tmp_path / "f")
    limit = 2 * 5 * 6 * 5 * 2
    monkeypatch.setattr("data_modules.features.parquet.KEEP_BYTES", limit)
    for name in NAMES:
        np.testing.assert_array_equal(stored.load(ImageRef(name)), ARRAYS[name])
        assert sum(group.nbytes for group in stored._groups.values()) <= limit
    assert len(stored._groups) >= 2


def test_parquet_with_large_row_groups_is_warned_of(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("data_modules.features.parquet.LARGE_GROUP", 100)
    write_parquet(tmp_path / "f")
    open_features(tmp_path / "f")
    assert "a row group holds 5 pictures" in caplog.text


def test_parquet_columns_that_cannot_be_told_apart_are_refused(tmp_path):
    pa = pytest.importorskip("pyarrow")
    write_parquet(tmp_path / "f", rows_a_shard=30, file=pa.array(NAMES))
    with pytest.raises(ValueError, match="one text column"):
        open_features(tmp_path / "f")


def test_parquet_with_a_name_twice_is_refused(tmp_path):
    pa = pytest.importorskip("pyarrow")
    write_parquet(tmp_path / "f", rows_a_shard=30, img_id=pa.array([NAMES[0], *NAMES[:29]]))
    with pytest.raises(ValueError, match=f"'{NAMES[0]}' comes twice"):
        open_features(tmp_path / "f")


def test_own_features_are_recognised(tmp_path):
    write_features(tmp_path / "f", [(ImageRef("a.png"), np.ones((2, 3)))], tower="tiny")
    assert isinstance(open_features(tmp_path / "f"), StoredFeatures)


def test_a_folder_of_nothing_or_of_everything_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        open_features(tmp_path / "missing")
    with pytest.raises(ValueError, match=r"holds no stored features; it must hold features.npy"):
        open_features(tmp_path)
    write_npz(tmp_path / "a")
    (tmp_path / "b.h5").touch()
    with pytest.raises(ValueError, match=r"several formats \(\.h5, \.npz\)"):
        open_features(tmp_path)


@pytest.mark.parametrize("package", ["h5py", "pyarrow"])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, package):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == package else find(name, *a)
    )
    (tmp_path / ("a.h5" if package == "h5py" else "a.parquet")).touch()
    with pytest.raises(ValueError, match=rf"needs {package} for these files; .*vl-dora\[features\]"):
        open_features(tmp_path)
