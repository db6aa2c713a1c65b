"""The strategy behind `trainer=fsdp2`: Lightning's, with the checkpoints of every other run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.optim import Optimizer

from vl_dora.lightning_modules.sharding import is_sharded, put_together, spread_like

PRECISIONS = ("32-true", "bf16-mixed")


class ShardedStrategy(ModelParallelStrategy):
    """Weights, gradients and optimizer states spread over all processes; a CPU will do.

    Lightning's strategy spreads a model in two dimensions, and saves and loads all of its state dict. Here
    there is one dimension, and a checkpoint is of what trains alone, as one process writes it: any number of
    processes goes on from it.

    Raises:
        ValueError: on the start of the trainer, a precision that turns weights over after they are spread.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def _configure_launcher(self) -> None:
        # The last thing that the trainer does with a strategy before other processes start.
        precision = self.precision_plugin.precision
        if precision not in PRECISIONS:
            raise ValueError(
                f"trainer.precision={precision} does not go with trainer=fsdp2; "
                f"use {' or '.join(PRECISIONS)} (and model.module.frozen_dtype=bfloat16)"
            )
        super()._configure_launcher()

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def model_to_device(self) -> None:
        # What is spread lies on its device already, and adapted layers look at their weights when moved.
        assert self.lightning_module is not None
        if not is_sharded(self.lightning_module.network):
            super().model_to_device()

    # --- checkpoints -----------------------------------------------------------------------------

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        assert self.lightning_module is not None
        return self.lightning_module.state_dict()

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        if isinstance(optimizer, LightningOptimizer):
            optimizer = optimizer.optimizer
        return put_together(optimizer.state_dict())

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        # Lightning forgets what it was told of `weights_only` where it loads after the model is spread.
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=True)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        assert self.lightning_module is not None
        self.lightning_module.load_state_dict(checkpoint["state_dict"], strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, whole in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            state = {
                number: {
                    # AdamW counts its steps in a tensor of its own shape.
                    name: spread_like(value, parameters[number])
                    if getattr(value, "shape", None) == parameters[number].shape
                    else value
                    for name, value in values.items()
                }
                for number, values in whole["state"].items()
            }
            optimizer.load_state_dict({**whole, "state": state})
