"""Two processes that share the weights of a LLaVA take the steps of one process that holds them all."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from vl_dora.adapters import apply_adapters, load_trainable_state, merged, save_adapter, trainable_state
from vl_dora.batch import Batch, Example
from vl_dora.lightning_modules import sharding

pytestmark = pytest.mark.slow

WORKER = """
import runpy, sys
import torch
import torch.distributed as distributed
from torch.distributed.device_mesh import init_device_mesh

source, rank, meeting, given, out = sys.argv[1:]
made = runpy.run_path(source)
torch.set_num_threads(1)
distributed.init_process_group("gloo", "file://" + meeting, rank=int(rank), world_size=2)
made["work"](init_device_mesh("cpu", (2,)), int(rank), given, out)
distributed.destroy_process_group()
"""
DORA = {"method": "dora", "layers": ["q_proj", "down_proj"], "rank": 2}
# Name -> selection, options of the network: both norm gradients, a merged forward, layers computed again.
CASES = {
    "detached": ({"projector": "full", "language": DORA}, {}),
    "full": (
        {
            "projector": {**DORA, "layers": None},
            "language": {**DORA, "layers": ["v_proj", "lm_head"], "norm_gradient": "full"},
        },
        {"checkpointing": True, "loss_chunk": 3},
    ),
    "merged": ({"language": {**DORA, "merged_forward": "always"}}, {}),
}
# Of each step a batch for each process, as many words to learn in each; (pictures, prompt, answer) a row.
STEPS = [
    [[(1, [5, 6, 7], [8, 9, 2]), (1, [10], [12, 13, 2])], [(1, [14, 15], [16, 9, 2]), (1, [5], [6, 3, 2])]],
    [[(1, [7, 6], [9, 8, 2]), (1, [11], [12, 14, 2])], [(0, [5, 6, 7], [8, 9, 2]), (0, [10], [12, 13, 2])]],
    [[(0, [20], [21, 22, 2]), (0, [11], [13, 14, 2])], [(1, [5, 7], [8, 10, 2]), (1, [4], [12, 13, 2])]],
]


def network_of(name: str):
    """A LLaVA like `tiny_llava`, adapted and away from its start, where DoRA would be the identity."""
    from vl_dora.models.llava import Llava

    selection, options = CASES[name]
    every = {"num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.3}
    vision = {"hidden_size": 16, "intermediate_size": 24, "image_size": 8, "patch_size": 4, **every}
    text = {
        "vocab_size": 40,
        "hidden_size": 24,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
        **every,
    }
    torch.manual_seed(0)
    network = Llava(vision, {**text, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}, **options)
    apply_adapters(network, selection)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return network.train()


def trained(network, batches) -> dict:
    """Three clipped steps of two micro-batches: losses, gradients, norms, weights, the optimizer's state."""
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(parameters.values(), lr=0.01)
    found: dict = {"losses": [], "gradients": [], "norms": []}
    for parts in batches:
        optimizer.zero_grad()
        for _ in range(2):
            loss = torch.stack([network.loss(part) for part in parts]).mean()
            loss.backward()
        found["losses"].append(loss.item())
        found["gradients"].append({name: p.grad.clone() for name, p in parameters.items()})
        found["norms"].append(torch.nn.utils.clip_grad_norm_(parameters.values(), 0.1))
        optimizer.step()
    state = optimizer.state_dict()["state"]
    found |= {"weights": trainable_state(network), "optimizer": [state[number] for number in sorted(state)]}
    return sharding.put_together(found)


def work(mesh, rank: int, given: str, out: str) -> None:
    """What each of the two processes does."""
    every = {}
    tensors = torch.load(given, weights_only=True)
    batches, shown = (
        [[unpacked(part) for part in parts] for parts in tensors["steps"]],
        unpacked(tensors["shown"]),
    )
    for name in CASES:
        network = network_of(name)
        num_weights = sum(p.numel() for p in network.parameters())
        sharding.shard(network, mesh)
        found = every[name] = {}
        found["share"] = sum(p.to_local().numel() for p in network.parameters()) / num_weights
        # Before the first step, as runs are scored before they are trained.
        found["before"] = answers(network, shown, 4)
        found |= trained(network, [[parts[rank]] for parts in batches])
        # One process may have more to say than the other.
        found["after"] = answers(network, shown, 4 + 2 * rank)
        with sharding.whole(network):
            save_adapter(network, Path(f"{out}-{name}"))
            weights = trainable_state_without_hooks(network)
        for factor in (2.0, 1.0):
            sharding.release(network)  # what is no block stays gathered after a loss without a backward
            parameters = dict(network.named_parameters())
            state = {n: sharding.spread_like(factor * t, parameters[n]) for n, t in weights.items()}
            load_trainable_state(network, state)
            sharding.forget_norms(network)
            found[f"loss of {factor}"] = network.loss(batches[0][rank]).item()
        found["again"] = sharding.put_together(trainable_state(network))
    torch.save(every, f"{out}.pt")


def packed(batch: Batch) -> dict[str, torch.Tensor]:
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}


def unpacked(tensors: dict[str, torch.Tensor]) -> Batch:
    examples = tuple(Example(str(number), "", "") for number in range(len(tensors["input_ids"])))
    return Batch(examples, **tensors)


def trainable_state_without_hooks(network) -> dict:
    return {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}


def answers(network, shown, length: int) -> list:
    """Ids generated by the merged network, which is as it was afterwards."""
    training = network.training
    with sharding.whole(network), merged(network.eval()):
        ids = network.generate(shown, num_beams=1, max_new_tokens=length).tolist()
    network.train(training)
    return ids


@pytest.fixture(scope="module")
def outcome(conversation_batch, tmp_path_factory):
    """Case -> what one process found and what two did, by rank; and the folder of what was saved."""
    folder = tmp_path_factory.mktemp("sharded")
    batches = [
        [conversation_batch(rows, seed=10 * step + part) for part, rows in enumerate(parts)]
        for step, parts in enumerate(STEPS)
    ]
    shown = conversation_batch([(1, [5, 6, 7], []), (1, [10, 4], [])])
    steps = [[packed(part) for part in parts] for parts in batches]
    torch.save({"steps": steps, "shown": packed(shown)}, folder / "given")
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, __file__, str(rank)]
            + [str(folder / name) for name in ("meeting", "given", str(rank))]
        )
        for rank in (0, 1)
    ]
    assert [worker.wait() for worker in workers] == [0, 0]
    two = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    one = {}
    for name in CASES:
        network = network_of(name)
        before = answers(network, shown, 4)
        one[name] = {"before": before, **trained(network, batches), "network": network}
        one[name]["after"] = answers(network, shown, 6)
    return SimpleNamespace(one=one, two=two, folder=folder, batches=batches)


@pytest.mark.parametrize("name", CASES)
def test_steps_are_those_of_one_process_to_float32(outcome, name):
    one, (first, second) = outcome.one[name], [found[name] for found in outcome.two]
    losses = [(a + b) / 2 for a, b in zip(first["losses"], second["losses"], strict=True)]
    assert losses == pytest.approx(one["losses"], rel=1e-5)
    assert [float(n) for n in first["norms"]] == pytest.approx([float(n) for n in one["norms"]], rel=1e-5)
    assert all(float(norm) > 0.1 for norm in one["norms"]), "nothing was clipped"
    for key, exact in (("gradients", 1e-6), ("weights", 1e-4), ("optimizer", 1e-6)):
        torch.testing.assert_close(first[key], one[key], rtol=1e-4, atol=exact)


@pytest.mark.parametrize("name", CASES)
def test_each_process_holds_about_half(outcome, name):
    shares = [found[name]["share"] for found in outcome.two]
    assert sum(shares) == pytest.approx(1) and shares[0] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("name", CASES)
def test_merged_answers_are_those_of_one_process_however_long_each_speaks(outcome, name):
    one, (first, second) = outcome.one[name], [found[name] for found in outcome.two]
    assert first["before"] == second["before"] == one["before"]
    assert second["after"] == one["after"]
    assert first["after"] == [row[: len(first["after"][0])] for row in one["after"]]


@pytest.mark.parametrize("name", CASES)
def test_the_adapter_saved_is_the_one_that_a_whole_network_saves(outcome, name):
    network = outcome.one[name]["network"]
    load_trainable_state(network, outcome.two[0][name]["weights"])
    save_adapter(network, outcome.folder / f"whole-{name}")
    for file in ("adapter_config.json", "vl_dora.json"):
        texts = [(outcome.folder / f"{who}-{name}" / file).read_text() for who in ("whole", "0", "1")]
        assert texts[0] == texts[1] == texts[2]
    tensors = [
        load_file(outcome.folder / f"{who}-{name}" / "adapter_model.safetensors") for who in ("whole", "0")
    ]
    torch.testing.assert_close(tensors[1], tensors[0], rtol=0, atol=0)


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_into_the_shares_is_there(outcome, name):
    first = outcome.two[0][name]
    torch.testing.assert_close(first["again"], first["weights"], rtol=0, atol=0)
    network = outcome.one[name]["network"]
    for factor in (2.0, 1.0):
        load_trainable_state(network, {n: factor * t for n, t in first["weights"].items()})
        loss = network.loss(outcome.batches[0][0]).item()
        assert first[f"loss of {factor}"] == pytest.approx(loss, rel=1e-5)


def test_a_network_without_blocks_is_refused(tiny_vl_bart):
    network = tiny_vl_bart()
    apply_adapters(network, {"language": {"method": "dora", "layers": ["q_proj"], "rank": 2}})
    with pytest.raises(ValueError, match="cannot spread a VLBart, which names no blocks; use .*strategy=ddp"):
        sharding.check_spreadable(network)


def test_a_whole_network_stays_as_it_is(tiny_llava):
    network = tiny_llava()
    weights = [p.data_ptr() for p in network.parameters()]
    with sharding.whole(network):
        assert [p.data_ptr() for p in network.parameters()] == weights
    assert not sharding.is_sharded(network)
    tensor = torch.ones(2)
    assert (
        sharding.spread_like(tensor, tensor) is tensor and sharding.put_together({"a": tensor})["a"] is tensor
    )
