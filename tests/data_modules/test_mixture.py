"""Several data sets as one: batches of one task, marked samples, shared options, resuming."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from data_modules import VisionLanguageDataModule
from data_modules.clips import ClipSettings
from data_modules.collate import Sample
from data_modules.mixture import MixtureDataModule, MixtureDataset
from vl_dora.batch import ClipRef, Example
from vl_dora.tasks.mixture import Mixture


@pytest.fixture
def mixture(tmp_path, tokenizer, task, files, draw_world):
    """Builds a mixture of three worlds of 12, 20 and 6 samples a split; keyword arguments override."""
    for seed, (name, size) in enumerate({"one": 12, "two": 20, "three": 6}.items()):
        (tmp_path / name).mkdir()
        draw_world(tmp_path / name, seed=seed, num_samples=size)
    by_token = replace(task, loss_reduction="token")
    tasks = {"one": task, "two": by_token, "three": task}
    sizes = {"one": 5, "two": 4, "three": 3}

    def build(options=None, **overrides):
        parts = {
            name: functools.partial(
                VisionLanguageDataModule,
                files=files,
                **{"root": tmp_path / name, "batch_size": sizes[name], **(options or {}).get(name, {})},
            )
            for name in tasks
        }
        given = {"task": Mixture(tasks), "tokenizer": tokenizer, "image_size": 8, "parts": parts}
        return MixtureDataModule(**{**given, **overrides})

    return build


def ids(loader) -> list[list[str]]:
    return [[example.id for example in batch.examples] for batch in loader]


def tasks_of(batch) -> set[str]:
    return {example.groups["task"] for example in batch.examples}


def test_a_training_batch_is_of_one_task_with_its_own_size(mixture):
    batches = list(mixture().train_dataloader())
    assert all(len(tasks_of(batch)) == 1 for batch in batches)
    sizes = {name: [len(b) for b in batches if tasks_of(b) == {name}] for name in ("one", "two", "three")}
    assert sorted(sizes["one"]) == [2, 5, 5] and sizes["two"] == [4] * 5 and sizes["three"] == [3, 3]
    seen = sorted(name for batch in ids(mixture().train_dataloader()) for name in batch)
    assert len(seen) == len(set(seen)) == 38
    assert seen[0] == "one/train-0.png"


def test_each_task_keeps_its_reduction_of_the_loss(mixture):
    for batch in mixture().train_dataloader():
        rows = batch.label_weights.sum(1)
        if tasks_of(batch) == {"two"}:  # every token weighs the same
            weights = batch.label_weights[batch.label_weights > 0]
            assert weights.min() == pytest.approx(weights.max().item())
        else:  # every sample weighs the same
            assert rows.min() == pytest.approx(rows.max().item())
        assert rows.sum().item() == pytest.approx(1, rel=1e-5)


def test_evaluation_goes_through_the_parts_in_file_order(mixture):
    batches = ids(mixture(eval_batch_size=8).val_dataloader())
    assert [len(batch) for batch in batches] == [8, 4, 8, 8, 4, 6]
    expected = [
        f"{name}/val-{i}.png" for name, size in (("one", 12), ("two", 20), ("three", 6)) for i in range(size)
    ]
    assert [name for batch in batches for name in batch] == expected
    assert [name for batch in ids(mixture().test_dataloader()) for name in batch][0] == "one/test-0.png"


def test_pictures_of_examples_are_where_their_part_has_them(mixture, tmp_path):
    data = mixture()
    batch = next(iter(data.val_dataloader()))
    path = batch.examples[1].images[0].path
    assert path == str(tmp_path / "one" / "val-1.png")
    assert data.folder == tmp_path


def test_clips_of_examples_are_where_their_part_has_them(tmp_path):
    class OneClip:
        def __getitem__(self, key):
            return Sample(Example("1", "", "", frames=ClipRef("clips/1.mp4", indices=(0, 9))), None)

    name, (sample,) = MixtureDataset({"tvqa": OneClip()}, {"tvqa": tmp_path})["tvqa", 0, (0,)]
    assert name == "tvqa"
    assert sample.example.frames == ClipRef(str(tmp_path / "clips" / "1.mp4"), indices=(0, 9))


def test_the_order_is_a_function_of_seed_and_epoch_and_workers_change_nothing(mixture):
    loader = mixture(seed=1).train_dataloader()
    first = ids(loader)
    assert ids(mixture(seed=1).train_dataloader()) == first
    assert ids(mixture(seed=1, num_workers=2).train_dataloader()) == first
    assert ids(mixture(seed=2).train_dataloader()) != first
    loader.sampler.set_epoch(1)
    assert ids(loader) != first


def test_a_restart_goes_on_inside_the_epoch(mixture):
    whole = ids(mixture(seed=1).train_dataloader())
    stopped = mixture(seed=1).train_dataloader()
    passing = iter(stopped)
    for _ in range(4):
        next(passing)
    again = mixture(seed=1).train_dataloader()
    again.load_state_dict(stopped.state_dict())
    assert ids(again) == whole[4:]
    assert ids(again) == whole


def test_balanced_order_gives_every_part_as_many_batches(mixture):
    batches = list(mixture(order="balanced").train_dataloader())
    counts = [sum(tasks_of(b) == {name} for b in batches) for name in ("one", "two", "three")]
    assert counts == [3, 3, 3]


def test_options_given_hold_for_all_parts_and_null_leaves_them(mixture):
    data = mixture(batch_size=2, blind=True, limit={"train": 4})
    assert {part.batch_size for part in data.parts.values()} == {2} and data.blind
    assert all(part.blind and len(part.examples("train", "train")) == 4 for part in data.parts.values())
    assert mixture({"one": {"limit": {"val": 3}}}).parts["one"].limit["val"] == 3
    assert mixture(limit={"val": None}).parts["one"].batch_size == 5 and not mixture().blind


def test_one_root_holds_a_folder_for_each_part(mixture, tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "one").rename(tmp_path / "all" / "one")
    (tmp_path / "two").rename(tmp_path / "all" / "TWO")
    (tmp_path / "three").rename(tmp_path / "all" / "three")
    data = mixture(root=tmp_path / "all", folders={"two": "TWO"})
    assert data.folder == tmp_path / "all"
    assert len(ids(data.val_dataloader())) > 0


def test_stored_features_may_lie_in_folders_of_their_own(mixture):
    folders = {"one": "tv/clip-vit", "two": "tv/clip-vit", "three": "yc2/clip-vit"}
    data = mixture(features="~/vis", feature_folders=folders, folders={"one": "elsewhere"})
    home = Path("~").expanduser()
    assert [part.features for part in data.parts.values()] == [
        str(home / "vis" / f) for f in folders.values()
    ]
    beside = mixture(features="/vis", folders={"one": "ONE"})
    assert [part.features for part in beside.parts.values()] == ["/vis/ONE", "/vis/two", "/vis/three"]


def test_settings_of_clips_hold_for_all_parts_and_null_leaves_them(mixture):
    own = {"one": {"video": {"decoder": "pyav", "frames": None, "fps": 2.0}}}
    data = mixture(own, video={"decoder": None, "frames": 4, "fps": None})
    assert data.parts["one"].clips == ClipSettings("pyav", frames=4, fps=None)
    assert data.parts["two"].clips == ClipSettings("auto", frames=4, fps=None)
    data = mixture(own, video={"decoder": None, "frames": None, "fps": None})
    assert data.parts["one"].clips == ClipSettings("pyav", frames=None, fps=2.0)
    data = mixture(own, video={"decoder": "auto", "frames": None, "fps": None})
    assert data.parts["one"].clips == ClipSettings("auto", frames=None, fps=2.0)
    with pytest.raises(ValueError, match="data.video.size is unknown; allowed: decoder, frames, fps"):
        mixture(video={"size": 3})


def test_the_split_to_score_may_differ_between_parts(mixture):
    own = {"two": {"splits": {"train": "train", "val": "val", "test": "val"}}}
    assert mixture(own).evaluation_split == "test+val"
    assert mixture(own, split="train").evaluation_split == "train"


def test_a_part_without_a_split_takes_no_part_in_it(mixture):
    own = {"two": {"splits": {"train": "train", "test": "test"}}}
    data = mixture(own)
    assert {name.split("/")[0] for batch in ids(data.val_dataloader()) for name in batch} == {"one", "three"}
    own = {"two": {"splits": {"val": "val", "test": "test"}}}
    with pytest.raises(ValueError, match="data.parts.two.splits.train is not set"):
        mixture(own).train_dataloader()
    assert mixture(own).known_examples() is None


def test_known_examples_are_the_training_examples_of_all_parts(mixture):
    known = mixture().known_examples()
    assert len(known) == 38 and known[0].id == "one/train-0.png" and known[-1].groups == {"task": "three"}


def test_what_is_skipped_is_told_by_part_and_split(mixture, tmp_path):
    path = tmp_path / "two" / "train.json"
    rows = json.loads(path.read_text())
    del rows[3]["answer"]
    path.write_text(json.dumps(rows))
    data = mixture(on_error="skip")
    data.setup("fit")
    assert len(data.skipped["two/train"]) == 1 and data.skipped["one/train"] == []
    with pytest.raises(ValueError, match="train.json, row 4"):
        mixture().setup("fit")


def test_a_picture_that_goes_missing_names_its_sample(mixture, tmp_path):
    data = mixture({name: {"keep_in_memory": False} for name in ("one", "two", "three")})
    data.setup("fit")
    (tmp_path / "one" / "val-2.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match="sample 'one/val-2.png': .*not a picture file"):
        ids(data.val_dataloader())


def test_parts_must_be_the_tasks(mixture, task):
    with pytest.raises(ValueError, match=r"data.parts=\['one', 'two', 'three'\] must be the tasks .*: one"):
        mixture(task=Mixture({"one": task}))
    with pytest.raises(ValueError, match="must be the tasks of task.tasks: one task alone"):
        mixture(task=task)
    with pytest.raises(ValueError, match="data.order='random' must be proportional or balanced"):
        mixture(order="random")
