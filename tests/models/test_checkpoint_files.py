"""Weights of a folder: every file kind, every way in which shards and index can disagree, no code run."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from vl_dora.models.checkpoint_files import read_weights

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "b.bias": torch.ones(2, dtype=torch.bfloat16)}


def sharded(folder, **changes):
    save_file({"a.weight": TENSORS["a.weight"]}, folder / "model-1.safetensors")
    save_file({"b.bias": TENSORS["b.bias"]}, folder / "model-2.safetensors")
    shard_of = {"a.weight": "model-1.safetensors", "b.bias": "model-2.safetensors", **changes}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shard_of}))


def same(found):
    return found.keys() == TENSORS.keys() and all(torch.equal(found[k], v) for k, v in TENSORS.items())


def test_whole_files_and_shards_hold_the_same(tmp_path):
    for name in ("whole", "shards", "pickle", "old pickle"):
        (tmp_path / name).mkdir()
    save_file(TENSORS, tmp_path / "whole" / "model.safetensors")
    sharded(tmp_path / "shards")
    torch.save(TENSORS, tmp_path / "pickle" / "pytorch_model.bin")
    # As torch wrote files before version 1.6.
    old = tmp_path / "old pickle" / "pytorch_model.bin"
    torch.save(TENSORS, old, _use_new_zipfile_serialization=False)
    assert all(same(read_weights(path)) for path in sorted(tmp_path.iterdir()))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"b.bias": "model-1.safetensors"}, "disagree about 1 tensors, b.bias among them"),
        ({"c.bias": "model-2.safetensors"}, "disagree about 1 tensors, c.bias among them"),
        ({"b.bias": "../model-2.safetensors"}, "not a file of its own folder"),
    ],
)
def test_an_index_that_its_shards_contradict_is_refused(changes, words, tmp_path):
    sharded(tmp_path, **changes)
    with pytest.raises(ValueError, match=words):
        read_weights(tmp_path)


def test_what_is_missing_or_damaged_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no weights: neither model\.safetensors nor"):
        read_weights(tmp_path)
    sharded(tmp_path)
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks 1 of 2 shards, model-2\.safetensors"):
        read_weights(tmp_path)
    (tmp_path / "model-2.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match="model-2.safetensors is damaged"):
        read_weights(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(ValueError, match="is no index of shards"):
        read_weights(tmp_path)


class Thief:
    def __reduce__(self):
        return (print, ("ran",))


def test_a_pickle_of_anything_but_tensors_is_not_run(tmp_path, capsys):
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(pickle.dumps({"a": Thief()}))
    with pytest.raises(ValueError, match="is damaged or holds more than tensors"):
        read_weights(tmp_path)
    assert capsys.readouterr().out == ""
    torch.save([torch.ones(2)], file)
    with pytest.raises(ValueError, match="holds no mapping of names to tensors"):
        read_weights(tmp_path)
