"""A finished run scored again gives the same figures; other splits and bad input."""

from __future__ import annotations

import json
import shutil

import pytest
import torch


def results(folder) -> dict:
    return json.loads((folder / "results.json").read_text())


def test_scoring_again_gives_the_same_figures(finished, evaluate):
    value = evaluate(finished)
    again, first = results(finished / "evaluations" / "test"), results(finished)
    for key in ("scores", "interval", "by_type", "baselines", "trainable", "total", "samples"):
        assert again[key] == first[key], key
    assert value == first["scores"]["accuracy"]
    lines = (finished / "evaluations" / "test" / "predictions.jsonl").read_text()
    assert lines == (finished / "predictions.jsonl").read_text()


def test_another_split_and_folder_are_scored_with_the_same_model(finished, evaluate, tmp_path):
    folder = results(finished)["data_folder"]
    shutil.copytree(folder, tmp_path / "elsewhere")
    evaluate(finished, f"data.root={tmp_path / 'elsewhere'}", "data.split=composition")
    found = results(finished / "evaluations" / "composition-elsewhere")
    assert found["split"] == "composition" and found["data_folder"] == str(tmp_path / "elsewhere")


def test_blind_beams_and_limit_reach_the_model(finished, evaluate, tmp_path):
    more = ["data.blind=true", "generation.num_beams=2", "data.limit.test=5", "data.eval_batch_size=2"]
    evaluate(finished, *more, f"output_dir={tmp_path / 'out'}")
    found = results(tmp_path / "out")
    assert found["blind"] is True and found["samples"] == 5


def test_the_token_rows_of_the_checkpoint_are_used(finished, evaluate, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    path = copy / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    assert set(checkpoint["frozen_rows"]) == {"bart.model.shared.weight"}
    checkpoint["frozen_rows"]["bart.model.shared.weight"] = torch.zeros(3, 3)
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match="of another network"):
        evaluate(copy)


def test_a_checkpoint_of_another_network_is_refused(finished, train, evaluate, tmp_path):
    train(tmp_path / "run", "adapter=lora", "adapter.language.rank=4", "evaluate_before=false")
    other = tmp_path / "run" / "checkpoints" / "best.ckpt"
    with pytest.raises(ValueError, match="checkpoint is of another network or adapter selection"):
        evaluate(finished, f"ckpt_path={other}")


def test_what_is_no_checkpoint_is_refused(finished, evaluate, tmp_path):
    (tmp_path / "x.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        evaluate(finished, f"ckpt_path={tmp_path / 'x.ckpt'}")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        evaluate(finished, f"ckpt_path={tmp_path / 'y.ckpt'}")


def test_what_is_no_run_directory_is_refused(evaluate, tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        evaluate(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match=r"holds no config\.yaml"):
        evaluate(tmp_path)
    (tmp_path / "config.yaml").write_text("a: [1")
    with pytest.raises(ValueError, match="cannot be read"):
        evaluate(tmp_path)
    (tmp_path / "config.yaml").write_text("a: 1")
    with pytest.raises(ValueError, match="is not the config of a run: it has no task"):
        evaluate(tmp_path)


def test_an_unknown_split_is_refused_with_those_there(finished, evaluate):
    with pytest.raises(ValueError, match=r"data\.split=dev .* splits found there: train, val, test"):
        evaluate(finished, "data.split=dev")
