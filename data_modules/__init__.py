"""Data: official files and embedded worlds as batches of one task.

data_module     VisionLanguageDataModule, the one that configs name
reading         rows to checked examples; bad samples stop the run or are counted
dataset         one split, and the order in which it is gone through
mixture         several data modules as one, a batch of one task; mixture_order: whose turn it is
collate         samples to a Batch; packing: several conversations a row
visuals         pictures from files and arrays
video           frames of clips by time: data_modules.video.sample_frames
clips           which frames of a clip a run sees
stored_features features that a frozen tower computed once, and feature_writer, which writes them
features        features that others stored: h5, npz, parquet
cache           embedded worlds drawn once
inlaid          pictures that lie inside a table, written out once
formats         one file an official file format
scenes          the embedded worlds
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data_modules.data_module import VisionLanguageDataModule

__all__ = ["VisionLanguageDataModule"]


def __getattr__(name: str) -> Any:
    """Imports the data module, and Lightning with it, only where it is used."""
    if name == "VisionLanguageDataModule":
        from data_modules.data_module import VisionLanguageDataModule

        return VisionLanguageDataModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
