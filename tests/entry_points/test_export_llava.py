"""What a LLaVA run leaves is read by plain transformers and PEFT, whose answers are those of the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import hydra
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoProcessor, LlavaForConditionalGeneration

from vl_dora.models.base import save_base
from vl_dora.models.llava import Llava
from vl_dora.models.tiny_tokenizer import build_tokenizer

peft = pytest.importorskip("peft", reason="PEFT is the oracle here")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*tie_word_embeddings.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
]

WORDS = (
    "is are there the a what color shape how many red blue green circle square triangle yes no user assistant"
)
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 48,
    "patch_size": 16,
    "initializer_range": 0.2,
}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.8,
}


def composed(name: str, overrides: list[str]):
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        return hydra.compose(name, overrides)


@pytest.fixture(scope="module")
def llava_run(tmp_path_factory) -> SimpleNamespace:
    """A finished run of a random tiny LLaVA and its three exports."""
    from vl_dora.building import build
    from vl_dora.export import export
    from vl_dora.run_directory import read_config
    from vl_dora.train import train

    folder = tmp_path_factory.mktemp("llava")
    tokenizer = build_tokenizer([WORDS], 1, ())
    text = {**TEXT, "vocab_size": len(tokenizer), "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    torch.manual_seed(0)
    save_base(Llava(VISION, {**text, "max_position_embeddings": 512}), tokenizer, folder / "base", {})
    run = folder / "run"
    network = [
        "experiment=llava_instruct",
        f"model.base={folder / 'base'}",
        *(f"++model.network.vision.{key}={value}" for key, value in VISION.items()),
        *(f"model.network.text.{key}={value}" for key, value in text.items()),
        "model.image_size=48",
        "model.data.collate.visual_tokens=9",
    ]
    fast = [
        "debug=fast",
        "adapter.language.rank=4",
        "optim.lr=0.01",
        "generation.max_new_tokens=8",
        "evaluate_before=false",
        "data.packing=true",
        "data.embedded.train=24",
        "data.embedded.val=4",
        "data.embedded.test=8",
        f"paths.cache_dir={folder / 'cache'}",
        f"paths.run_dir={run}",
    ]
    train(composed("train", [*network, *fast]))
    out = {
        to: export(composed("export", [f"run={run}", f"to={to}", "samples=4"]))
        for to in ("base", "merged", "peft")
    }
    lines = (run / "predictions.jsonl").read_text().splitlines()
    texts = {found["id"]: found["text"] for found in map(json.loads, lines)}
    config = read_config(run)
    data = build(config).data
    data.setup("test")
    asked = [(example, texts[example.id]) for example in data.examples("test:answers")]
    return SimpleNamespace(run=run, **out, network=network, config=config, data=data, asked=asked)


def plain_models(run) -> dict[str, torch.nn.Module]:
    """The merged folder, and the base with the adapter on it, by transformers and PEFT alone."""
    base = LlavaForConditionalGeneration.from_pretrained(run.base)
    return {
        "merged": LlavaForConditionalGeneration.from_pretrained(run.merged).eval(),
        "peft": peft.PeftModel.from_pretrained(base, run.peft).eval(),
    }


def picture_of(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        return opened.convert("RGB")


def messages(example) -> list[dict]:
    found = []
    for question, answer in (*example.turns, (example.prompt, None)):
        found.append({"role": "user", "content": question})
        if answer is not None:
            found.append({"role": "assistant", "content": answer})
    return found


def test_plain_transformers_and_peft_answer_as_the_run_does(llava_run):
    processors = {
        name: AutoProcessor.from_pretrained(getattr(llava_run, name)) for name in ("merged", "peft")
    }
    answered = {True: 0, False: 0}
    for name, model in plain_models(llava_run).items():
        for example, expected in llava_run.asked:
            pictures = [picture_of(llava_run.data.folder / image.path) for image in example.images]
            prompt = processors[name].apply_chat_template(messages(example), add_generation_prompt=True)
            inputs = processors[name](
                text=prompt, images=pictures or None, add_special_tokens=False, return_tensors="pt"
            )
            ids = model.generate(**inputs, max_new_tokens=8, do_sample=False)
            new = ids[0, inputs["input_ids"].shape[1] :]
            text = processors[name].decode(new, skip_special_tokens=True).strip()
            assert text == expected, (name, example.id)
            answered[bool(pictures)] += 1
    assert min(answered.values()) >= 2 and len({text for _, text in llava_run.asked}) > 1


def test_their_logits_are_those_of_the_network_here(llava_run):
    from vl_dora.adapters import load_adapter
    from vl_dora.building import made

    model = llava_run.config.model
    network = made(model.network).eval()
    made(model.load_base)(network, model.base)
    load_adapter(network, llava_run.peft)
    batch = next(iter(llava_run.data.test_dataloader()))
    processor = AutoProcessor.from_pretrained(llava_run.merged)
    shown = batch.pixels.flatten(0, 1)[batch.image_mask.flatten()]
    inputs = {
        "input_ids": batch.input_ids.masked_fill(batch.input_ids < 0, processor.image_token_id),
        "attention_mask": batch.attention_mask.long(),
        "pixel_values": processor.image_processor(list(shown), return_tensors="pt")["pixel_values"],
    }
    with torch.no_grad():
        ours = network.logits(batch)[:, 1:]
        for name, plain in plain_models(llava_run).items():
            theirs = plain(**inputs).logits[:, :-1, : ours.shape[-1]]
            kept = batch.attention_mask[:, 1:]
            error = (theirs[kept] - ours[kept]).norm(dim=-1) / ours[kept].norm(dim=-1)
            assert float(error.max()) < 1e-4, name


def test_the_folders_hold_what_their_readers_look_for(llava_run):
    config = json.loads((llava_run.merged / "config.json").read_text())
    assert (
        config["model_type"] == "llava"
        and config["text_config"]["vocab_size"] == config["image_token_index"] + 1
    )
    for name in ("merged", "base", "peft"):
        folder: Path = getattr(llava_run, name)
        assert "USER: " in (folder / "chat_template.jinja").read_text()
        assert (folder / "tokenizer.json").is_file() and (folder / "processor_config.json").is_file()
        words = "PeftModel" if name == "peft" else "LlavaForConditionalGeneration.from_pretrained"
        assert words in (folder / "README.md").read_text()
    keys = load_file(llava_run.peft / "adapter_model.safetensors")
    assert all(key.startswith(("base_model.model.model.", "base_model.model.lm_head")) for key in keys)
    assert not any(".llava." in key for key in keys)
    options = json.loads((llava_run.peft / "adapter_config.json").read_text())
    assert options["modules_to_save"] == ["model.multi_modal_projector"] and options["use_dora"]


def test_a_merged_folder_is_a_base_here_too(llava_run):
    from vl_dora.building import build
    from vl_dora.run_directory import read_config

    config = read_config(llava_run.run)
    config.model.base = config.model.tokenizer = str(llava_run.merged)
    network = build(config).module.network
    stored = LlavaForConditionalGeneration.from_pretrained(llava_run.merged).state_dict()
    for name, tensor in network.llava.state_dict().items():
        name = name.replace(".base.", ".")
        if name in stored:
            assert torch.equal(tensor, stored[name][: len(tensor)]), name


@pytest.mark.parametrize("ours", [True, False])
def test_an_adapter_of_others_is_folded_in_by_convert(ours, llava_run, tmp_path):
    from vl_dora.convert import convert

    theirs = tmp_path / "theirs"
    shutil.copytree(llava_run.peft, theirs)
    if not ours:
        (theirs / "vl_dora.json").unlink()  # as PEFT writes it
    out = tmp_path / "out"
    convert(composed("convert", [*llava_run.network, f"from={theirs}", f"out={out}", "to=merged"]))
    expected, found = (load_file(folder / "model.safetensors") for folder in (llava_run.merged, out))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=1e-5)
    assert (out / "chat_template.jinja").read_text() == (llava_run.merged / "chat_template.jinja").read_text()
    with pytest.raises(ValueError, match="to=base must be peft or merged"):
        convert(composed("convert", [*llava_run.network, f"from={theirs}", f"out={out}2", "to=base"]))
