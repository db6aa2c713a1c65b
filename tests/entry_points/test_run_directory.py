"""A run's config is independent of where and when it is read again."""

from __future__ import annotations

from omegaconf import OmegaConf

from vl_dora.run_directory import find_runs, settle_paths


def test_folders_become_absolute_those_of_a_mixtures_parts_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VL_DORA_CHOSEN_RUN_DIR", "")
    parts = {"vqa": {"root": "a", "features": None}, "gqa": {"root": None, "features": "b"}}
    data = {"root": "all", "features": None, "parts": parts}
    config = OmegaConf.create({"paths": {"run_dir": "run"}, "data": data, "ckpt_path": "last"})
    assert settle_paths(config) == tmp_path / "run"
    assert config.data.root == str(tmp_path / "all") and config.data.features is None
    assert config.data.parts.vqa == {"root": str(tmp_path / "a"), "features": None}
    assert config.data.parts.gqa == {"root": None, "features": str(tmp_path / "b")}
    assert config.ckpt_path == "last"


def test_runs_come_in_the_order_in_which_their_sweep_numbered_them(tmp_path):
    for name in ("vqa/10", "vqa/9", "gqa/0", "vqa/1", "vqa/9/evaluations/pope"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text("seed: 1\n")
    found = [str(path.relative_to(tmp_path)) for path in find_runs(str(tmp_path))]
    assert found == ["gqa/0", "vqa/1", "vqa/9", "vqa/10"]
