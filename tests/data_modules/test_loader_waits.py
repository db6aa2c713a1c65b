"""A loader counts the seconds that each of its batches was waited for."""

from __future__ import annotations

import time

from vl_dora.batch import ImageRef


def test_every_batch_is_counted_and_what_happens_between_is_not(module):
    data = module()

    class Lazy:
        def check(self, ref: ImageRef) -> None: ...

        def load(self, ref: ImageRef):
            time.sleep(0.01)
            return visuals.load(ref)

    visuals = data.visuals
    data._visuals = Lazy()
    loader = data.train_dataloader()
    for _ in range(2):
        for _batch in loader:
            time.sleep(0.2)
    assert len(loader.waits) == 6
    # Batches of 5, 5 and 2 samples of 10 ms each; the 200 ms between belong to the step.
    assert all(least <= wait for least, wait in zip([0.05, 0.05, 0.02] * 2, loader.waits, strict=True))
    assert sum(loader.waits) < 6 * 0.2
