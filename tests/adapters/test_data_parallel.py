"""Two processes with half of the batch each get the gradients and the steps of one process."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from vl_dora.adapters import DoRALinear, LoRALinear, MagnitudeLinear

WORKER = """
import runpy, sys
import torch
import torch.distributed as distributed
from torch.nn.parallel import DistributedDataParallel

source, rank, meeting, out = sys.argv[1:]
made = runpy.run_path(source)
distributed.init_process_group("gloo", "file://" + meeting, rank=int(rank), world_size=2)
half = slice(0, 4) if rank == "0" else slice(4, 8)
found = {}
for name, options in made["OPTIONS"].items():
    network = made["network"](*options)
    found[name] = made["train"](network, DistributedDataParallel(network), half)
torch.save(found, out)
distributed.destroy_process_group()
"""

OPTIONS = {
    "detached": ("detached", "never"),
    "full": ("full", "never"),
    "full, merged forward": ("full", "always"),
}


def network(norm_gradient: str, merged_forward: str) -> nn.Sequential:
    """One layer of each method, away from its start; half-trained, so that DDP meets frozen tensors."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        DoRALinear(
            nn.Linear(6, 10), rank=2, alpha=4, norm_gradient=norm_gradient, merged_forward=merged_forward
        ),
        nn.Tanh(),
        LoRALinear(nn.Linear(10, 8), rank=2, alpha=4),
        nn.Tanh(),
        MagnitudeLinear(nn.Linear(8, 5)),
    )
    with torch.no_grad():
        for parameter in layers.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return layers.train()


def train(layers: nn.Module, run: nn.Module, part: slice) -> dict[str, torch.Tensor]:
    """Three optimizer steps of two micro-batches on a part of the batch; gradients and parameters."""
    inputs = torch.randn(2, 8, 3, 6, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.SGD([p for p in layers.parameters() if p.requires_grad], lr=0.05)
    found = {}
    for step in range(3):
        optimizer.zero_grad()
        for micro_batch in inputs:
            run(micro_batch[part]).square().mean().backward()
        found.update({f"{step} {n}": p.grad.clone() for n, p in layers.named_parameters() if p.requires_grad})
        optimizer.step()
    return found | {n: p.detach().clone() for n, p in layers.named_parameters()}


@pytest.mark.slow
def test_two_processes_are_one(tmp_path):
    outs = [tmp_path / "0.pt", tmp_path / "1.pt"]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, __file__, str(rank), str(tmp_path / "meeting"), str(out)]
        )
        for rank, out in enumerate(outs)
    ]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    for name, options in OPTIONS.items():
        alone = network(*options)
        expected = train(alone, alone, slice(0, 8))
        for out in outs:
            found = torch.load(out, weights_only=True)[name]
            assert set(found) == set(expected)
            for key, value in expected.items():
                torch.testing.assert_close(
                    found[key], value, atol=1e-6, rtol=1e-5, msg=lambda m, n=f"{name}, {key}": f"{n}: {m}"
                )
