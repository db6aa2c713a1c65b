"""One file an official file format; each reader turns a split's files into rows.

A reader is a frozen dataclass with

- `rows(root, split)`: an iterator over (row, "file, row N") in file order; a row is a dict of the
  official fields plus `images`, a tuple of `vl_dora.batch.ImageRef` with paths relative to `root`;
- `splits(root)`: the split words that the folder can serve.

Readers open no picture. An error names file and row, what was found and what is expected.
"""

from data_modules.formats.coco_captions import CocoCaptions
from data_modules.formats.gqa import GQA
from data_modules.formats.nlvr2 import NLVR2
from data_modules.formats.nlvr_cornell import NLVRCornell
from data_modules.formats.shapes import Shapes
from data_modules.formats.vqav2 import VQAv2

__all__ = ["GQA", "NLVR2", "CocoCaptions", "NLVRCornell", "Shapes", "VQAv2"]
