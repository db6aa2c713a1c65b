"""What a run learned, written, read back and proved; nothing is left where the proof fails."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from vl_dora.adapters import AdaptedLayer, DoRALinear, load_adapter
from vl_dora.agreement import TOLERANCES


def results(folder) -> dict:
    return json.loads((folder / "results.json").read_text())


def predictions(folder) -> list[str]:
    return [json.loads(line)["text"] for line in (folder / "predictions.jsonl").read_text().splitlines()]


def test_the_merged_network_is_a_base_that_scores_what_the_run_scored(
    finished, export, train, small, tmp_path
):
    folder = export(finished, "to=merged", f"out={tmp_path / 'merged'}")
    overrides = [f"model.base={folder}", "adapter=frozen", "evaluate_before=false"]
    train(tmp_path / "again", *overrides)
    assert predictions(tmp_path / "again") == predictions(finished)
    assert results(tmp_path / "again")["scores"] == results(finished)["scores"]


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_merged_weights_are_written_in_the_dtype_asked_for(dtype, finished, export, tmp_path):
    folder = export(finished, "to=merged", f"dtype={dtype}", f"out={tmp_path / 'm'}")
    tensors = load_file(folder / "model.safetensors")
    assert {str(t.dtype) for n, t in tensors.items() if n.endswith("weight")} == {f"torch.{dtype}"}
    assert not any("lora" in name or "magnitude" in name for name in tensors)


def test_the_exported_adapter_holds_what_the_run_kept_and_carries_its_papers(finished, export, tmp_path):
    folder = export(finished, "to=peft", f"out={tmp_path / 'adapter'}", "samples=5")
    for name in ("adapter_model.safetensors", "adapter_config.json", "vl_dora_rows.safetensors"):
        assert (folder / name).read_bytes() == (finished / "adapter" / name).read_bytes(), name
    card = (folder / "README.md").read_text()
    score = results(finished)["scores"]["accuracy"]
    for words in ("language: dora", f"| accuracy | {score:.2f} |", "torch 2", "8 samples of split test"):
        assert words in card, words
    assert json.loads((folder / "generation.json").read_text())["num_beams"] == 1
    assert (folder / "tokenizer.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


@pytest.mark.filterwarnings("ignore:.*tie_word_embeddings.*:UserWarning")
def test_peft_itself_loads_the_exported_adapter(finished, export, small, tmp_path):
    peft = pytest.importorskip("peft", reason="PEFT is the oracle here")
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    folder = export(finished, "to=peft", f"out={tmp_path / 'adapter'}", "samples=2")
    model = OmegaConf.load(finished / "config.yaml").model
    networks = [instantiate(model.network, _convert_="all").eval() for _ in range(2)]
    for network in networks:
        instantiate(model.load_base)(network, str(small.folder / "base"))
    load_adapter(networks[0], folder)
    wrapped = peft.PeftModel.from_pretrained(networks[1], folder).eval()
    ids = torch.arange(4, 24).reshape(2, 10)
    ours, theirs = (
        n.bart(input_ids=ids, decoder_input_ids=ids).logits for n in (networks[0], wrapped.base_model.model)
    )
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-4)


def test_without_out_the_folder_lies_in_the_run(finished, export):
    folder = export(finished, "to=merged", "dtype=bfloat16", "samples=2")
    assert folder == finished / "exported" / "merged-bfloat16"
    with pytest.raises(ValueError, match="is there already; name a folder that is new or empty"):
        export(finished, "to=merged", "dtype=bfloat16", "samples=2")


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_a_merge_that_drops_the_magnitude_is_refused_with_the_worst_sample(
    dtype, finished, export, tmp_path, monkeypatch
):
    def forgetful(layer):
        return layer.base.weight + layer.scale * layer.lora_b @ layer.lora_a

    # A run of four steps has hardly moved its magnitudes: here they are half as large.
    def halved(layer):
        return 0.5 * forgetful(layer)

    monkeypatch.setattr(DoRALinear, "merged_weight", torch.no_grad()(halved))
    with pytest.raises(ValueError, match=rf"allowed for {dtype}.*worst sample '\d+': '.*' is answered"):
        export(finished, "to=merged", f"dtype={dtype}", f"out={tmp_path / 'm'}")
    assert list(tmp_path.iterdir()) == []


def test_one_changed_number_of_a_written_adapter_is_refused(finished, export, tmp_path, monkeypatch):
    from vl_dora.adapters import files

    real = files.Saved.write

    def tampered(saved, directory):
        real(saved, directory)
        file = directory / "adapter_model.safetensors"
        tensors = load_file(file)
        key = next(key for key in tensors if key.endswith("lora_magnitude_vector"))
        tensors[key] *= 1.5
        save_file(tensors, file, metadata={"format": "pt"})

    monkeypatch.setattr(files.Saved, "write", tampered)
    with pytest.raises(ValueError, match="differs from the run and was not written"):
        export(finished, "to=peft", f"out={tmp_path / 'a'}")
    assert list(tmp_path.iterdir()) == []


def test_an_export_stopped_while_writing_leaves_nothing(finished, export, tmp_path, monkeypatch):
    def full_disk(layer):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(AdaptedLayer, "file_entries", full_disk)
    with pytest.raises(OSError, match="No space left"):
        export(finished, "to=peft", f"out={tmp_path / 'a'}")
    assert list(tmp_path.iterdir()) == []


def test_bad_folders_are_refused(finished, export, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is there already"):
        export(finished, "to=peft", f"out={tmp_path / 'full'}")
    with pytest.raises(ValueError, match="is there already"):
        export(finished, "to=peft", f"out={tmp_path / 'full' / 'mine.txt'}")
    with pytest.raises(ValueError, match="cannot be written"):
        export(finished, "to=peft", f"out={tmp_path / 'full' / 'mine.txt' / 'below'}")
    with pytest.raises(FileNotFoundError, match=r"holds no config\.yaml"):
        export(tmp_path, "to=peft")
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"


def test_a_checkpoint_of_another_run_and_a_frozen_run_are_refused(finished, train, export, tmp_path):
    train(tmp_path / "run", "adapter=frozen", "evaluate_before=false")
    with pytest.raises(ValueError, match="trained nothing"):
        export(tmp_path / "run", "to=merged")
    train(tmp_path / "lora", "adapter=lora", "adapter.language.rank=4", "evaluate_before=false")
    other = tmp_path / "lora" / "checkpoints" / "best.ckpt"
    with pytest.raises(ValueError, match="of another network or adapter selection"):
        export(finished, "to=merged", f"ckpt_path={other}", f"out={tmp_path / 'm'}")
    assert not (tmp_path / "m").exists()
