"""A step from two short stacks of layers equals the step of all of them, which is run in full beside it."""

from __future__ import annotations

import pytest
from torch import nn

from vl_dora.adapters import apply_adapters
from vl_dora.planning.batch_shape import BatchShape
from vl_dora.planning.equal_layers import SHORT, WORTH, Stack, lengthened, stack_of
from vl_dora.planning.step import training_step
from vl_dora.planning.step_cost import StepCost

COUNT = WORTH + 2
LAYERS = "llava.model.language_model.layers"
DORA = {"method": "dora", "layers": ["q_proj", "up_proj"], "rank": 4, "alpha": 4}
TOWER = {"method": "lora", "layers": [r".*layers\.0\..*q_proj"], "rank": 2}
SHAPE = BatchShape(8, 60, 30, 1, visual_tokens=4, pixels=8)


class Module(nn.Module):
    """What a planned step asks of a Lightning module."""

    def __init__(self, selection: dict, count: int = COUNT, **options) -> None:
        from vl_dora.models.llava import Llava

        super().__init__()
        common = {"num_attention_heads": 2, "num_hidden_layers": 2}
        vision = {**common, "hidden_size": 16, "intermediate_size": 24, "image_size": 8, "patch_size": 4}
        text = {**common, "hidden_size": 24, "intermediate_size": 32, "vocab_size": 40}
        text |= {"num_hidden_layers": count, "pad_token_id": 0, "eos_token_id": 2}
        self.network = Llava(vision, text, **options).to("meta")
        self.audit = apply_adapters(self.network, selection)

    def on_train_start(self) -> None:
        """Nothing rests."""


def in_full(module: Module, **step) -> StepCost:
    return training_step(module, SHAPE.make, **step).cost()


def from_short(selection: dict, options: dict, **step) -> StepCost:
    traces = []
    for count in (SHORT, SHORT + 1):
        module = Module(selection, **options)
        stack = stack_of(module.network)
        assert stack == Stack(LAYERS, COUNT)
        stack.cut(module.network, count)
        layers = stack.layers(module.network)
        traces.append(training_step(module, SHAPE.make, **step, layers=layers))
    return lengthened(*traces, COUNT - SHORT - 1).cost()


CASES = {
    "dora": ({"language": DORA}, {}),
    "dora and projector": ({"language": DORA, "projector": "full"}, {}),
    "full norm gradient": ({"language": {**DORA, "norm_gradient": "full", "dropout": 0.1}}, {}),
    "lora": ({"language": {**DORA, "method": "lora", "dropout": 0.1}, "vision": TOWER}, {}),
    "vera": ({"language": {"method": "vera", "layers": ["q_proj", "up_proj"], "rank": 4}}, {}),
    "full": ({"language": "full", "projector": "full"}, {}),
    "checkpoints": ({"language": DORA, "projector": "full"}, {"checkpointing": True}),
    "full with checkpoints": ({"language": "full"}, {"checkpointing": True, "loss_chunk": 100}),
    "frozen": ({}, {}),
}


@pytest.mark.parametrize(
    ("device", "precision", "accumulates"), [("cpu", "32-true", False), ("cuda", "bf16-mixed", True)]
)
@pytest.mark.parametrize("name", CASES)
def test_it_is_the_step_in_full_to_the_byte(name, device, precision, accumulates):
    selection, options = CASES[name]
    step = {"device": device, "precision": precision, "accumulates": accumulates}
    assert from_short(selection, options, **step) == in_full(Module(selection, **options), **step)


def test_layers_that_differ_are_no_stack():
    one = {**DORA, "layers": [r".*layers\.3\.self_attn\.q_proj"]}
    for rule in (one, {**DORA, "layers": ["up_proj"], "also": {"one": one}}):
        assert stack_of(Module({"language": rule}).network) is None


def test_few_layers_are_run_in_full():
    assert stack_of(Module({"language": DORA}, count=WORTH - 1).network) is None
