from __future__ import annotations

import functools
import json
import subprocess
import sys

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image

from data_modules import VisionLanguageDataModule
from data_modules.stored_features import write_features
from vl_dora.batch import ImageRef


def ids(loader) -> list[str]:
    return [e.id for batch in loader for e in batch.examples]


def one_line(error: pytest.ExceptionInfo) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_batch_holds_the_pictures_texts_and_labels_of_its_rows(module, world, tokenizer):
    batch = next(iter(module().val_dataloader()))
    row = json.loads((world / "val.json").read_text())[2]
    assert batch.examples[2].id == row["id"]
    expected = np.asarray(Image.open(world / "val-2.png").resize((8, 8), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(batch.pixels[2, 0].numpy(), expected.transpose(2, 0, 1))
    assert tokenizer.decode(batch.input_ids[2], skip_special_tokens=True) == row["question"]
    supervised = batch.labels[2][batch.labels[2] != -100]
    assert tokenizer.decode(supervised, skip_special_tokens=True) == row["answer"]


def test_evaluation_keeps_file_order_and_every_sample(module):
    data = module()
    expected = [f"val-{i}.png" for i in range(12)]
    assert ids(data.val_dataloader()) == ids(data.dataloader("val")) == expected
    assert ids(data.test_dataloader()) == [f"test-{i}.png" for i in range(12)]
    assert ids(module(split="val").test_dataloader()) == expected


def test_training_is_shuffled_by_seed_and_epoch(module):
    loader = module(seed=1).train_dataloader()
    assert [len(batch) for batch in loader] == [5, 5, 2]
    first = ids(loader)
    assert sorted(first) == sorted(f"train-{i}.png" for i in range(12))
    assert ids(module(seed=1).train_dataloader()) == first
    loader.sampler.set_epoch(1)
    assert ids(loader) != first
    assert ids(module(seed=2).train_dataloader()) != first


def test_the_embedded_world_is_drawn_where_no_root_is_given(module, tmp_path, draw_world):
    drawn = functools.partial(draw_world, seed=9, num_samples=4)
    data = module(root=None, embedded=drawn, cache_dir=tmp_path / "cache")
    data.prepare_data()
    assert data.folder.parent == tmp_path / "cache"
    assert len(ids(data.val_dataloader())) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "does not exist"),
        (lambda p: p.mkdir(), "empty folder"),
        (lambda p: p.write_text("x"), "not a folder"),
    ],
)
def test_a_root_that_holds_no_data_is_named(module, tmp_path, make, message):
    make(tmp_path / "data")
    with pytest.raises(ValueError, match=f"data.root=.*{message}") as error:
        module(root=tmp_path / "data").setup("fit")
    one_line(error)


def test_no_root_and_no_world_asks_for_a_root(module):
    with pytest.raises(ValueError, match="set data.root"):
        module(root=None).setup("fit")


def test_an_unknown_split_lists_those_that_are_there(module):
    with pytest.raises(ValueError, match="data.splits.val=dev .* test, train, val"):
        module(splits={"train": "train", "val": "dev"}).setup("fit")
    with pytest.raises(ValueError, match="data.split=dev .* test, train, val"):
        module(split="dev").setup("test")


def test_a_split_may_be_absent(module):
    data = module(splits={"train": "train", "val": None})
    data.setup("fit")
    assert data.val_dataloader() == [] and data.test_dataloader() == []
    with pytest.raises(ValueError, match="data.splits.train is not set"):
        module(splits={"val": "val"}).train_dataloader()


BAD_ROWS = [
    ({"answer": ...}, "field 'answer' is missing"),
    ({"answer": 7}, "answer is 7"),
    ({"id": "train-0.png"}, "id 'train-0.png' occurs twice, first in train.json, row 1"),
    ({"images": ["none.png"]}, "none.png is missing"),
    ({"question": "how many red dogs are left of the tree"}, "data.max_prompt_tokens=8"),
    ({"answer": ""}, "no target to learn"),
    ({"targets": [("yes", 0.0), ("no", 0.0)]}, "no target with a score above 0"),
    ({"targets": [("yes", 3.0)]}, "outside 0..1"),
]


@pytest.mark.parametrize(("fields", "message"), BAD_ROWS)
def test_a_bad_row_stops_before_the_first_step_and_names_file_and_row(module, change, fields, message):
    change("train", 4, **fields)
    with pytest.raises(ValueError) as error:
        module(max_prompt_tokens=8).setup("fit")
    assert one_line(error).startswith("train.json, row 5: ") and message in str(error.value)


@pytest.mark.parametrize(("fields", "message"), BAD_ROWS)
def test_a_bad_row_is_left_out_counted_and_named_on_request(module, change, caplog, fields, message):
    change("train", 4, **fields)
    data = module(max_prompt_tokens=8, on_error="skip")
    data.setup("fit")
    assert len(data.examples("train", "train")) == 11
    assert len(data.skipped["train"]) == 1 and data.skipped["val"] == []
    assert "left out 1 of 12 samples of split train" in caplog.text and message in caplog.text


def test_what_is_left_out_is_capped(module, change):
    for number in range(3):
        change("train", number, answer=...)
    module(on_error="skip", max_skipped=3).setup("fit")
    with pytest.raises(
        ValueError, match="more than data.max_skipped=2 .* row 1: .* row 2: .* row 3"
    ) as error:
        module(on_error="skip", max_skipped=2).setup("fit")
    one_line(error)


def test_a_split_of_bad_rows_only_is_an_error(module, change):
    for number in range(12):
        change("val", number, answer=...)
    with pytest.raises(ValueError, match="split val of .* has no sample"):
        module(on_error="skip").setup("fit")


def test_an_empty_split_is_an_error(module, world):
    (world / "val.json").write_text("[]")
    with pytest.raises(ValueError, match="split val of .* has no sample"):
        module().setup("fit")


def truncate(path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def test_a_truncated_picture_raises_when_it_is_met(module, world):
    truncate(world / "val-3.png")
    data = module()
    data.setup("fit")
    with pytest.raises(ValueError, match=r"'val-3.png': val.json, row 4: picture .* is damaged or truncated"):
        list(data.val_dataloader())


def test_a_truncated_picture_is_known_at_setup_when_it_may_be_left_out(module, world):
    truncate(world / "val-3.png")
    data = module(on_error="skip")
    data.setup("fit")
    assert "val.json, row 4: picture" in data.skipped["val"][0]
    assert "val-3.png" not in ids(data.val_dataloader()) and len(ids(data.val_dataloader())) == 11


def test_truncated_texts_are_counted(module, change, caplog):
    change("train", 4, question="how many red dogs are left of the tree")
    data = module(max_prompt_tokens=8, on_long="truncate")
    data.setup("fit")
    assert "shortens the prompt of 1 of 12 samples of split train" in caplog.text
    assert max(batch.input_ids.shape[1] for batch in data.train_dataloader()) == 8


def test_a_limit_takes_a_seeded_subset_in_file_order(module):
    def chosen(**options):
        return ids(module(limit={"val": 5}, **options).val_dataloader())

    numbers = [int(name[4:-4]) for name in chosen()]
    assert len(numbers) == 5 and numbers == sorted(numbers) != list(range(5))
    assert chosen() == chosen() != chosen(seed=1)
    assert len(ids(module(limit={"val": 5}).test_dataloader())) == 12


def test_a_blind_run_sees_grey_and_needs_no_pictures(module, world):
    for picture in world.glob("*.png"):
        picture.unlink()
    batch = next(iter(module(blind=True).train_dataloader()))
    assert batch.pixels.shape == (5, 1, 3, 8, 8) and set(batch.pixels.flatten().tolist()) == {128}


def test_stored_features_take_the_place_of_pixels(module, tmp_path):
    names = [f"{split}-{i}.png" for split in ("train", "val", "test") for i in range(12)]
    rows = [(ImageRef(name), np.full((4, 3), i)) for i, name in enumerate(names)]
    write_features(tmp_path / "f", rows, tower="tiny")
    batch = next(iter(module(features=tmp_path / "f", image_size=None).val_dataloader()))
    assert batch.pixels is None and batch.features[:, 0, 0, 0].tolist() == [12, 13, 14, 15, 16]
    blind = next(iter(module(features=tmp_path / "f", blind=True).val_dataloader()))
    assert blind.features.shape == (5, 1, 4, 3) and blind.features.abs().sum() == 0
    write_features(tmp_path / "g", rows[:20], tower="tiny")
    with pytest.raises(ValueError, match="val.json, row 9: .*no features of val-8.png"):
        module(features=tmp_path / "g").setup("fit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "ignore"}, "data.on_error='ignore' must be raise or skip"),
        ({"batch_size": 0}, "data.batch_size=0"),
        ({"eval_batch_size": 0}, "data.eval_batch_size=0"),
        ({"num_workers": -1}, "data.num_workers=-1"),
        ({"max_skipped": 1.5}, "data.max_skipped=1.5"),
        ({"limit": {"train": 0}}, "data.limit.train=0"),
        ({"limit": {"valid": 9}}, "data.limit.valid is unknown; allowed: train, val, test"),
        ({"splits": {"dev": "dev"}}, "data.splits.dev is unknown"),
        ({"image_size": None}, "model.image_size"),
        ({"seed": -1}, "data.seed=-1"),
    ],
)
def test_an_unfit_option_names_its_key(module, options, message):
    with pytest.raises(ValueError, match=message) as error:
        module(**options)
    one_line(error)


def test_pictures_are_read_once_where_they_are_kept(module, world):
    data = module()
    first = [b.pixels for b in data.val_dataloader()]
    for picture in world.glob("val-*.png"):
        picture.unlink()
    assert all(torch.equal(a, b.pixels) for a, b in zip(first, data.val_dataloader(), strict=True))
    with pytest.raises(ValueError, match="val-0.png is missing"):
        list(module(keep_in_memory=False).val_dataloader())


class _Recorder(lightning.LightningModule):
    """Learns one number; notes the ids and targets of every training batch."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.seen: list[tuple[int, list[str], list]] = []

    def training_step(self, batch, batch_index):
        epoch = self.trainer.current_epoch
        self.seen.append((epoch, [e.id for e in batch.examples], batch.labels.tolist()))
        return self.scale * batch.label_weights.sum()

    def validation_step(self, batch, batch_index):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def _fit(data: VisionLanguageDataModule, folder, resume=None) -> list:
    """Batches of a run of 8 steps that leaves `step=<n>.ckpt` after each."""
    recorder = _Recorder()
    every_step = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    trainer = lightning.Trainer(
        max_steps=8,
        accelerator="cpu",
        logger=False,
        callbacks=[every_step],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(recorder, data, ckpt_path=resume)
    return recorder.seen


def test_lightning_resumes_inside_an_epoch_with_the_very_same_batches(module, change, tmp_path):
    """12 samples in batches of 5: epochs of 3 steps, killed inside one, at its end, and behind it."""
    for number in range(12):
        change("train", number, targets=[("yes", 0.9), ("no", 0.9)])
    whole = _fit(module(), tmp_path)
    assert [epoch for epoch, *_ in whole] == [0, 0, 0, 1, 1, 1, 2, 2]
    for step in (2, 3, 4):
        assert _fit(module(), tmp_path, tmp_path / f"step={step}.ckpt") == whole[step:], f"step {step}"


def test_importing_the_package_does_not_import_lightning():
    code = "import sys, data_modules; sys.exit('lightning' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
