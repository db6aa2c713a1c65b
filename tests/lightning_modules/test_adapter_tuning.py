"""AdapterTuning on a small stand-in network: what trains, what is scored, what is saved."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from vl_dora.batch import Batch, Example, Prediction
from vl_dora.lightning_modules.adapter_tuning import AdapterTuning
from vl_dora.lightning_modules.checkpoint_files import read_checkpoint
from vl_dora.lightning_modules.checkpoints import KeepCheckpoints
from vl_dora.lightning_modules.optimizer import OptimizerSettings
from vl_dora.lightning_modules.watching import MovementWatch
from vl_dora.tasks.interface import ScoreReport

pytestmark = pytest.mark.filterwarnings("ignore:Found .* module.* in eval mode")

LORA = {"language": {"method": "lora", "layers": ["head"], "rank": 2}}


class Stand(nn.Module):
    """A tower with batch norm and a head; it generates the number that the head finds largest."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 3)
        self.parts = {"vision": ("tower",), "language": ("head",)}
        self.adapter_extras: dict[str, int] = {}
        self.seen: list[tuple[bool, bool]] = []
        self.asked: list[tuple[int, int]] = []

    def forward(self, batch: Batch) -> torch.Tensor:
        return self.head(self.tower(batch.features[:, 0, 0]))

    def loss(self, batch: Batch) -> torch.Tensor:
        self.seen.append((self.tower.training, self.head.training))
        return nn.functional.cross_entropy(self(batch), batch.labels[:, 0])

    def generate(self, batch: Batch, *, num_beams: int, max_new_tokens: int) -> torch.Tensor:
        self.asked.append((num_beams, max_new_tokens))
        return self(batch).argmax(1, keepdim=True)


class Words:
    def batch_decode(self, ids, skip_special_tokens):
        assert skip_special_tokens
        return [f" {int(row[0])} " for row in ids]


class Exact:
    name, headline, loss_reduction = "exact", "accuracy", "sample"

    def score(self, predictions: list[Prediction]) -> ScoreReport:
        hits = {p.id: 100.0 * (p.text == p.answers[0]) for p in predictions}
        return ScoreReport({"accuracy": sum(hits.values()) / len(hits)}, per_sample=hits)


def batches(answered: bool = True) -> list[Batch]:
    torch.manual_seed(3)
    made = []
    for number in range(4):
        features = torch.randn(6, 1, 1, 4)
        labels = features[:, 0, 0].argmax(1).clamp(max=2)[:, None]
        examples = tuple(
            Example(f"{number}-{i}", "", str(int(label)), answers=(str(int(label)),) if answered else ())
            for i, label in enumerate(labels)
        )
        ids = torch.zeros(6, 1, dtype=torch.long)
        made.append(Batch(examples, ids, ids.bool(), features=features, labels=labels))
    return made


def loader(answered: bool = True) -> DataLoader:
    return DataLoader(batches(answered), batch_size=None)


def tuning(selection=LORA, **changes) -> AdapterTuning:
    torch.manual_seed(0)
    settings = OptimizerSettings(**{"lr": 0.05, "warmup_fraction": 0.0, **changes})
    return AdapterTuning(
        network=Stand(),
        task=Exact(),
        tokenizer=Words(),
        selection=selection,
        optimizer=settings,
        generation={"num_beams": 1, "max_new_tokens": 1},
    )


def fitted(module, folder, steps=8, callbacks=(), ckpt_path=None, **settings):
    keep = KeepCheckpoints(folder, 2, "val/accuracy")
    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator="cpu",
        callbacks=[*callbacks, keep],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **settings,
    )
    trainer.fit(module, loader(), loader(), ckpt_path=ckpt_path, weights_only=True)
    keep.finish(trainer, module, loader())
    return trainer, keep


def test_only_what_the_selection_names_trains_and_the_tower_rests(tmp_path):
    module = tuning()
    before = {name: tensor.clone() for name, tensor in module.network.state_dict().items()}
    fitted(module, tmp_path)
    moved = {n for n, tensor in module.network.state_dict().items() if not torch.equal(before[n], tensor)}
    assert moved == {"head.lora_a", "head.lora_b"}
    # In every step, also those after a validation, the frozen tower is in evaluation mode.
    assert module.network.seen == [(False, True)] * 8


def test_a_part_that_trains_is_in_training_mode(tmp_path):
    module = tuning({"vision": "full", **LORA})
    fitted(module, tmp_path)
    assert module.network.seen == [(True, True)] * 8


def test_scores_come_from_generated_text_of_merged_adapters(tmp_path):
    module = tuning()
    fitted(module, tmp_path)
    module.eval()
    expected = []
    with torch.no_grad():
        for batch in batches():
            texts = [str(int(n)) for n in module.network(batch).argmax(1)]
            expected += [text == e.answers[0] for text, e in zip(texts, batch.examples, strict=True)]
    assert module.outcome.report.scores["accuracy"] == pytest.approx(100 * sum(expected) / 24)
    assert len(module.outcome.predictions) == 24
    assert not module.network.head.merged


def test_a_split_without_answers_gives_predictions_and_no_score(tmp_path):
    module = tuning()
    trainer = lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    trainer.test(module, loader(answered=False), verbose=False)
    assert module.outcome.report is None and len(module.outcome.predictions) == 24


def test_a_checkpoint_holds_what_trains_and_gives_it_back(tmp_path):
    module = tuning()
    _, keep = fitted(module, tmp_path)
    assert set(read_checkpoint(keep.last)["state_dict"]) == {"head.lora_a", "head.lora_b"}
    fresh = tuning()
    fresh.load_checkpoint(keep.last)
    for name, tensor in module.network.state_dict().items():
        torch.testing.assert_close(fresh.network.state_dict()[name], tensor)


def test_a_checkpoint_of_another_selection_is_refused_and_changes_nothing(tmp_path):
    _, keep = fitted(tuning(), tmp_path)
    other = tuning({"language": {"method": "dora", "layers": ["head"], "rank": 2}})
    before = {name: tensor.clone() for name, tensor in other.network.state_dict().items()}
    with pytest.raises(
        ValueError, match=r"last\.ckpt: the checkpoint is of another network .* head\.magnitude"
    ):
        other.load_checkpoint(keep.last)
    for name, tensor in other.network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_frozen_rows_that_no_base_brings_travel_with_the_checkpoint(tmp_path):
    module = tuning()
    module.network.adapter_extras = {"head.base.weight": 1}
    _, keep = fitted(module, tmp_path)
    fresh = tuning()
    fresh.network.adapter_extras = {"head.base.weight": 1}
    with torch.no_grad():
        fresh.network.head.base.weight.zero_()
    fresh.load_checkpoint(keep.last)
    assert torch.equal(fresh.network.head.base.weight[1:], module.network.head.base.weight[1:])
    assert not fresh.network.head.base.weight[0].any()


def test_best_checkpoint_is_the_state_of_the_best_validation(tmp_path):
    module = tuning(lr=0.5)
    scores = {}

    class Scores(lightning.Callback):
        def on_validation_end(self, trainer, pl_module):
            scores.setdefault(trainer.global_step, pl_module.outcome.report.scores["accuracy"])

    _, keep = fitted(module, tmp_path, steps=12, callbacks=[Scores()])
    best = max(scores.values())
    assert keep.best_score == best
    assert keep.best_step == min(step for step, score in scores.items() if score == best)
    assert read_checkpoint(keep.best)["global_step"] == keep.best_step


def test_movement_watch_stops_a_run_in_which_an_adapter_stands_still(tmp_path):
    with pytest.raises(ValueError, match="did not move"):
        fitted(tuning(lr=1e-30), tmp_path, callbacks=[MovementWatch(3)])
    fitted(tuning(), tmp_path, callbacks=[MovementWatch(3)])


class Unreached(lightning.Callback):
    """Takes the gradients of the first adapted layer away, as batches that do not reach it would."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        name = next(n for n, _ in pl_module.network.named_parameters() if "lora_a" in n).rpartition(".")[0]
        if trainer.global_step < self.steps:
            for parameter in pl_module.network.get_submodule(name).parameters(recurse=False):
                parameter.grad = None


def test_movement_watch_waits_for_what_the_first_batches_do_not_reach(tmp_path):
    fitted(tuning(), tmp_path, steps=12, callbacks=[Unreached(5), MovementWatch(3)])
    with pytest.raises(ValueError, match="did not move"):
        fitted(tuning(), tmp_path, steps=12, callbacks=[Unreached(100), MovementWatch(3)])


def test_decay_is_kept_off_biases_norms_and_magnitudes_unless_asked_for():
    selection = {"language": {"method": "dora", "layers": ["head"], "rank": 2, "biases": True}}
    for asked in (False, True):
        module = tuning(selection, weight_decay=0.1, decay_norms_and_magnitudes=asked)
        module.trainer = SimpleNamespace(estimated_stepping_batches=10)
        optimizer = module.configure_optimizers()["optimizer"]
        names = {id(p): name for name, p in module.network.named_parameters()}
        decay = {names[id(p)]: g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
        magnitude = 0.1 if asked else 0.0
        wanted = {"head.lora_a": 0.1, "head.lora_b": 0.1, "head.magnitude": magnitude, "head.base.bias": 0.0}
        assert decay == wanted


def test_the_rate_rises_linearly_and_falls_linearly_to_zero():
    settings = OptimizerSettings(lr=1.0, warmup_fraction=0.2)
    factors = [settings.factor(step, 10) for step in range(11)]
    assert factors == pytest.approx([0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0.0])
    assert OptimizerSettings(lr=1.0, warmup_fraction=0.0, schedule="constant").factor(9, 10) == 1.0


def test_cosine_decay_is_half_a_wave_from_the_full_rate_to_zero():
    settings = OptimizerSettings(lr=1.0, warmup_fraction=0.1, schedule="cosine")
    found = [settings.factor(step, 20) for step in range(21)]
    assert found[:2] == [0.5, 1.0]
    for step in range(2, 21):
        assert abs(found[step] - 0.5 * (1 + math.cos(math.pi * (step - 2) / 18))) < 1e-12


@pytest.mark.parametrize(
    ("option", "value"),
    [("lr", 0), ("lr", "fast"), ("weight_decay", -1), ("warmup_fraction", 2), ("betas", (1.0, 0.9))],
)
def test_an_optimizer_setting_outside_its_range_is_refused_by_name(option, value):
    with pytest.raises(ValueError, match=f"optim.{option}="):
        OptimizerSettings(**{"lr": 1e-3, option: value})


def test_batches_of_a_task_in_a_mixture_are_generated_by_its_own_settings(tmp_path):
    module = AdapterTuning(
        network=Stand(),
        task=Exact(),
        tokenizer=Words(),
        selection=LORA,
        optimizer=OptimizerSettings(lr=0.05),
        generation={"num_beams": 1, "max_new_tokens": 8, "by_task": {"caption": {"num_beams": 5}}},
    )
    captions = [
        replace(batch, examples=tuple(replace(e, groups={"task": "caption"}) for e in batch.examples))
        for batch in batches()
    ]
    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path
    )
    trainer.test(module, DataLoader([batches()[0], captions[1]], batch_size=None), verbose=False)
    assert module.network.asked == [(1, 8), (5, 8)]


def test_processes_do_not_send_each_other_what_all_of_them_draw(tmp_path):
    module = tuning({"language": {"method": "dvora", "layers": ["head"], "rank": 2}})
    torch.distributed.init_process_group("gloo", f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(module)
    finally:
        torch.distributed.destroy_process_group()
    sent = {id(buffer) for buffer in parallel.modules_buffers}
    pair = module.network.head.projections
    assert id(module.network.tower.running_mean) in sent
    assert not sent & {id(pair.a), id(pair.b)}
