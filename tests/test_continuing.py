"""What a run that was cut off goes on from, and what several processes hand to each other."""

from __future__ import annotations

import errno
import os

import pytest
from omegaconf import OmegaConf

from vl_dora.continuing import changed_settings, disk_errors_told
from vl_dora.processes import hand_over, handed_over, own_group
from vl_dora.run_directory import open_for_writing, write_config


@pytest.fixture
def config(tmp_path):
    names = ("task", "model", "data", "adapter", "trainer")
    about = {**{name: {"a": 1} for name in names}, "paths": {"run_dir": str(tmp_path)}, "ckpt_path": None}
    return OmegaConf.create({**about, "optim": {"lr": 0.1}})


def test_a_run_cut_off_before_its_first_checkpoint_begins_anew(config, tmp_path, caplog):
    caplog.set_level("INFO")
    write_config(tmp_path, config)
    with pytest.raises(ValueError, match="holds a run already; go on with it by ckpt_path=last"):
        open_for_writing(tmp_path, config)
    config.ckpt_path = "last"
    assert open_for_writing(tmp_path, config) is None
    assert "was cut off before its first checkpoint, and begins anew" in caplog.text


def test_other_settings_are_told(config, tmp_path, caplog):
    write_config(tmp_path, config)
    config.optim.lr, config.paths.run_dir, config.ckpt_path = 0.2, "elsewhere", "last"
    assert changed_settings(tmp_path, config) == ["optim.lr: 0.1 -> 0.2"]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert open_for_writing(tmp_path, config) == tmp_path / "checkpoints" / "last.ckpt"
    assert "goes on with other settings: optim.lr: 0.1 -> 0.2" in caplog.text


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_an_error_of_the_disk_becomes_a_sentence(number, tmp_path):
    with pytest.raises(ValueError) as caught, disk_errors_told(tmp_path):
        raise OSError(number, os.strerror(number), "some/file")
    assert str(caught.value).startswith(f"some/file: {os.strerror(number)}; no checkpoint was saved before")


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(BlockingIOError), disk_errors_told(tmp_path):
        raise OSError(errno.EAGAIN, "again")


def test_a_process_started_beside_the_first_takes_its_config_and_the_next_run_is_alone(config, monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    before = dict(os.environ)
    with own_group():
        hand_over(config, None)
        assert handed_over() is None  # this is the first process
        os.environ["LOCAL_RANK"] = "1"
        found = handed_over()
        assert found is not None and found == (config, None)
    assert dict(os.environ) == before
