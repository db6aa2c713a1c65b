from __future__ import annotations

import numpy as np
import pytest

from data_modules.collate import Collate
from data_modules.dataset import EpochSampler, ResumableLoader, VisionLanguageDataset
from data_modules.visuals import Blank
from vl_dora.batch import Example

ANSWERS = (("yes", 0.9), ("no", 0.3), ("two dogs", 0.0))


def dataset(num_samples: int = 10, *, training: bool = True, seed: int = 3) -> VisionLanguageDataset:
    examples = [Example(str(i), "is it raining", "yes", targets=ANSWERS) for i in range(num_samples)]
    return VisionLanguageDataset(examples, Blank.grey(2), training=training, seed=seed)


def loader(tokenizer, data: VisionLanguageDataset, **options) -> ResumableLoader:
    sampler = EpochSampler(len(data), seed=1, shuffle=True)
    return ResumableLoader(data, batch_size=4, sampler=sampler, collate_fn=Collate(tokenizer), **options)


def contents(batches) -> list:
    return [([e.id for e in b.examples], b.labels.tolist(), b.label_weights.tolist()) for b in batches]


def test_targets_are_drawn_in_proportion_to_their_scores():
    data = dataset(1)
    drawn = [data.sample(epoch, 0) for epoch in range(4000)]
    share = np.mean([s.target == "yes" for s in drawn])
    assert share == pytest.approx(0.75, abs=0.02)  # three standard deviations
    assert {(s.target, s.weight) for s in drawn} == {("yes", 0.9), ("no", 0.3)}


def test_a_draw_depends_on_seed_epoch_and_index_only():
    first, second = dataset(50), dataset(50)
    forwards = [first.sample(2, i).target for i in range(50)]
    backwards = [second.sample(2, i).target for i in reversed(range(50))]
    assert forwards == backwards[::-1]
    assert forwards != [first.sample(3, i).target for i in range(50)]
    assert forwards != [dataset(50, seed=4).sample(2, i).target for i in range(50)]


def test_evaluation_keeps_the_target_with_full_weight():
    data = dataset(training=False)
    assert {(data[i].target, data[i].weight) for i in range(10)} == {("yes", 1.0)}


def test_an_epoch_holds_every_index_once_in_an_order_of_its_own():
    sampler = EpochSampler(20, seed=5, shuffle=True)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        pairs = list(sampler)
        assert {e for e, _ in pairs} == {epoch}
        orders.append([i for _, i in pairs])
    assert sorted(orders[0]) == list(range(20))
    assert orders[0] == orders[2] != orders[1]
    assert orders[0] != EpochSampler(20, seed=6, shuffle=True).order(0)


def test_processes_share_an_epoch_without_overlap_but_for_the_last():
    parts = [
        [i for _, i in EpochSampler(11, seed=5, shuffle=True, num_replicas=4, rank=rank)] for rank in range(4)
    ]
    assert [len(p) for p in parts] == [3, 3, 3, 3]
    assert sorted(set(sum(parts, []))) == list(range(11))


def test_without_shuffling_the_order_is_the_file_s():
    assert [i for _, i in EpochSampler(5, shuffle=False)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_number_of_workers_changes_nothing(tokenizer, num_workers):
    alone = loader(tokenizer, dataset())
    helped = loader(tokenizer, dataset(), num_workers=num_workers, persistent_workers=True)
    for epoch in (0, 1):
        alone.sampler.set_epoch(epoch)
        helped.sampler.set_epoch(epoch)
        assert contents(alone) == contents(helped)


def test_an_epoch_cut_short_goes_on_where_it_stopped(tokenizer):
    whole = loader(tokenizer, dataset())
    whole.sampler.set_epoch(4)
    expected = contents(whole)
    cut = loader(tokenizer, dataset())
    cut.sampler.set_epoch(4)
    batches = iter(cut)
    next(batches)
    state = cut.state_dict()
    assert state == {"epoch": 4, "batches": 1}
    resumed = loader(tokenizer, dataset())
    resumed.load_state_dict(state)
    resumed.sampler.set_epoch(4)
    assert contents(resumed) == expected[1:]
    assert contents(resumed) == expected, "a later pass starts at the beginning"


def test_an_epoch_that_was_finished_is_not_skipped_into(tokenizer):
    resumed = loader(tokenizer, dataset())
    resumed.load_state_dict({"epoch": 0, "batches": 3})
    resumed.sampler.set_epoch(1)
    assert len(contents(resumed)) == 3


class _Broken:
    def load(self, ref):
        raise ValueError("picture a.png is missing")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_bad_picture_reaches_the_user_in_one_line(tokenizer, num_workers):
    data = dataset()
    data.examples = [Example("q1", "is it raining", "yes", images=("a.png",))]
    data.visuals = _Broken()
    with pytest.raises(ValueError) as caught:
        list(loader(tokenizer, data, num_workers=num_workers))
    assert str(caught.value) == "sample 'q1': picture a.png is missing"
