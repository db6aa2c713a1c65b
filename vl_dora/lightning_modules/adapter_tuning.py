"""AdapterTuning: any network, any task, any choice of adapters, trained and scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from vl_dora.adapters import (
    adapted_layers,
    apply_adapters,
    load_trainable_state,
    merge,
    parameter_groups,
    shared_matrices,
    trainable_state,
    unmerge,
)
from vl_dora.batch import Batch, Prediction
from vl_dora.lightning_modules.checkpoint_files import read_checkpoint
from vl_dora.lightning_modules.gathering import gathered
from vl_dora.lightning_modules.optimizer import OptimizerSettings
from vl_dora.lightning_modules.sharding import (
    forget_norms,
    gather,
    is_sharded,
    put_together,
    release,
    shard,
    spread_like,
)
from vl_dora.models.interface import Network
from vl_dora.tasks.interface import ScoreReport, Task


@dataclass(frozen=True)
class Outcome:
    """Predictions of one pass over a split, and their scores; None where the split has no answers."""

    predictions: list[Prediction]
    report: ScoreReport | None

    def logged(self, split: str) -> dict[str, float]:
        """Scores by the names under which they are logged, `<split>/<score>`."""
        return {
            f"{split}/{name}": value for name, value in (self.report.scores if self.report else {}).items()
        }


class AdapterTuning(lightning.LightningModule):
    """Adapts a network as selected, trains what the selection trains, scores generated text.

    Validation and test generate with merged adapters, at the plain network's cost; the unmerged
    weights come back bit for bit afterwards.

    Args:
        network: fresh, its base weights loaded.
        task: the object that also made the examples.
        tokenizer: decodes what the network writes.
        selection: part -> method word or rule, see `vl_dora.adapters`.
        optimizer: settings of AdamW.
        generation: `num_beams`, `max_new_tokens` and other fields of the network's `generate`; `by_task`:
            task of a mixture -> fields that differ for its samples.

    Attributes:
        audit: what `apply_adapters` said.
        outcome: predictions and scores of the last validation or test.
        earlier: predictions that a test which was cut off has made already; the next one begins with them.

    Raises:
        ValueError: a selection that does not fit the network.
    """

    strict_loading = True

    def __init__(
        self,
        *,
        network: Network,
        task: Task,
        tokenizer: Any,
        selection: Mapping[str, Any],
        optimizer: OptimizerSettings,
        generation: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.audit = apply_adapters(network, selection, default_lr=optimizer.lr)  # type: ignore[arg-type]
        self.network = network
        # DDP would send these before every forward, hundreds of megabytes for large networks; each process
        # draws the same. This is the name under which torch looks for what to leave alone.
        self._ddp_params_and_buffers_to_ignore = [
            f"network.{name}"
            for name in shared_matrices(network)  # type: ignore[arg-type]
        ]
        self.task = task
        self.tokenizer = tokenizer
        self.optimizer_settings = optimizer
        self.generation = dict(generation)
        self.generation_by_task = dict(self.generation.pop("by_task", None) or {})
        self.outcome: Outcome | None = None
        self.earlier: list[Prediction] = []
        self._predictions: list[Prediction] = []

    def configure_model(self) -> None:
        """Spreads the network over the processes when training starts, where the trainer asks for that.

        Scoring needs all of it in every process, so what is only scored stays whole.

        Raises:
            ValueError: this network cannot be spread.
        """
        fits = self.trainer.state.fn == "fit"
        if self.device_mesh is not None and fits and not is_sharded(self.network):
            shard(self.network, self.device_mesh["data_parallel"])

    # --- training ---------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        loss = self.network.loss(batch)
        several = self.trainer.world_size > 1
        if several:
            loss = loss * self._share(batch)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch), sync_dist=several)
        rates = [group["lr"] for group in self.trainer.optimizers[0].param_groups]
        self.log("lr", max(rates), prog_bar=True, batch_size=len(batch))
        return loss

    def _share(self, batch: Batch) -> Tensor:
        """What this process's batch weighs beside those of the others, whose gradients are averaged.

        Their mean is then the loss of all samples in one batch, however unequal the processes' parts are.
        """
        name = batch.examples[0].groups.get("task")
        task = self.task.member(name) if hasattr(self.task, "member") and name is not None else self.task
        assert batch.labels is not None
        of_tokens = task.loss_reduction == "token"
        own = (batch.labels != -100).sum() if of_tokens else torch.tensor(len(batch))
        own = own.to(self.device, torch.float32)
        everyone = self.trainer.strategy.reduce(own.clone(), reduce_op="sum")
        return own * self.trainer.world_size / everyone

    def on_train_start(self) -> None:
        self._rest_what_is_frozen()

    def on_validation_end(self) -> None:
        self._rest_what_is_frozen()

    def _rest_what_is_frozen(self) -> None:
        """Parts in which nothing trains stay in evaluation mode: no dropout, no running means."""
        for part, paths in self.network.parts.items():
            if self.audit.parts[part].trainable == 0:
                for path in paths:
                    self.network.get_submodule(path).eval()  # type: ignore[attr-defined]

    def configure_optimizers(self) -> Any:
        settings = self.optimizer_settings
        groups = parameter_groups(
            self.network,  # type: ignore[arg-type]
            self.audit,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            decay_norms_and_magnitudes=settings.decay_norms_and_magnitudes,
        )
        optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps)
        num_steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: settings.factor(step, num_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # --- evaluation -------------------------------------------------------------------------

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self._predict(batch)

    def test_step(self, batch: Batch, batch_index: int) -> dict[str, list[Prediction]]:
        return {"predictions": self._predict(batch)}

    def on_validation_epoch_start(self) -> None:
        self._start()

    def on_test_epoch_start(self) -> None:
        self._start()
        self._predictions = list(self.earlier)

    def on_validation_epoch_end(self) -> None:
        self._finish("val")

    def on_test_epoch_end(self) -> None:
        self._finish("test")

    def _start(self) -> None:
        self._predictions = []
        gather(self.network)
        if adapted_layers(self.network):  # type: ignore[arg-type]
            merge(self.network)  # type: ignore[arg-type]

    def _predict(self, batch: Batch) -> list[Prediction]:
        # A batch is of one task.
        own = self.generation_by_task.get(batch.examples[0].groups.get("task"), {})
        ids = self.network.generate(batch, **{**self.generation, **own})
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        predictions = [
            Prediction(example, text.strip()) for example, text in zip(batch.examples, texts, strict=True)
        ]
        self._predictions += predictions
        return predictions

    def _finish(self, split: str) -> None:
        if adapted_layers(self.network):  # type: ignore[arg-type]
            unmerge(self.network)  # type: ignore[arg-type]
        release(self.network)
        predictions = gathered(self._predictions)
        answered = any(prediction.answers for prediction in predictions)
        self.outcome = Outcome(predictions, self.task.score(predictions) if answered else None)
        for name, value in self.outcome.logged(split).items():
            self.log(name, value, prog_bar=name.endswith(f"/{self.task.headline}"), sync_dist=True)

    # --- checkpoints: what trains, nothing else -----------------------------------------------

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:  # type: ignore[override]
        """The tensors that train, by their names in the network.

        Of a network that is spread over processes all of them must call it, and the first alone has them.
        """
        return put_together(trainable_state(self.network))  # type: ignore[arg-type]

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Puts them back; every name is accounted for.

        Raises:
            ValueError: names are missing or left over, or a shape differs.
        """
        release(self.network)
        parameters = dict(self.network.named_parameters())  # type: ignore[attr-defined]
        state = {name: spread_like(t, parameters.get(name, t)) for name, t in state_dict.items()}
        load_trainable_state(self.network, state)  # type: ignore[arg-type]
        if is_sharded(self.network):
            forget_norms(self.network)  # type: ignore[arg-type]
        return torch.nn.modules.module._IncompatibleKeys([], [])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["frozen_rows"] = {name: rows.clone() for name, rows in self._frozen_rows().items()}

    @torch.no_grad()
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Puts back the frozen rows that no base brings: they are random, and everything rests on them.

        Raises:
            ValueError: the checkpoint is of another network.
        """
        slots, rows = self._frozen_rows(), checkpoint.get("frozen_rows", {})
        stored = {name: tuple(tensor.shape) for name, tensor in rows.items()}
        needed = {name: tuple(tensor.shape) for name, tensor in slots.items()}
        if stored != needed:
            raise ValueError(
                f"the checkpoint is of another network or adapter selection: "
                f"it holds the frozen rows {stored}, the network has {needed}"
            )
        for name, slot in slots.items():
            slot.copy_(rows[name])

    def load_checkpoint(self, path: Path) -> None:
        """Takes the weights of a checkpoint file, every tensor accounted for.

        Raises:
            FileNotFoundError: no such file.
            ValueError: it is no checkpoint, or one of another network or adapter selection.
        """
        checkpoint = read_checkpoint(path)
        try:
            self.on_load_checkpoint(checkpoint)
            self.load_state_dict(checkpoint["state_dict"])
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def _frozen_rows(self) -> dict[str, Tensor]:
        """Rows that travel with the adapter (`network.adapter_extras`), where they do not train."""
        extras = getattr(self.network, "adapter_extras", {})
        parameters = dict(self.network.named_parameters())  # type: ignore[attr-defined]
        return {n: parameters[n][first:] for n, first in extras.items() if not parameters[n].requires_grad}
