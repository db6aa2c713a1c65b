"""Features that others stored, one array a picture or clip, found by name.

open     open_features: which reader a folder is for
by_name  what the readers share, and those of one file a picture (h5) or clip (npz)
parquet  sharded parquet files

Folders that tools/extract_features makes are read by `data_modules.stored_features`.
"""

from data_modules.features.open import open_features

__all__ = ["open_features"]
