"""One file an official file format; each reader turns a split's files into rows.

A reader is a frozen dataclass with

- `rows(root, split)`: an iterator over (row, "file, row N") in file order; a row is a dict of the
  official fields plus what is to be seen: `images`, a tuple of `vl_dora.batch.ImageRef`, or `frames`, a
  `vl_dora.batch.ClipRef`, with paths relative to `root`; of a clip with speech also `subtitles`, a tuple of
  {"text", "start", "end"} in seconds;
- `splits(root)`: the split words that the folder can serve.

Readers open no picture and no clip. An error names file and row, what was found and what is expected.
"""

from data_modules.formats.activitynet_qa import ActivityNetQA
from data_modules.formats.asked_folder import AskedFolder
from data_modules.formats.coco_captions import CocoCaptions
from data_modules.formats.gqa import GQA
from data_modules.formats.llava_gqa import LlavaGQA
from data_modules.formats.llava_vqav2 import LlavaVQAv2
from data_modules.formats.mmbench import MMBench
from data_modules.formats.msvd_qa import MSRVTTQA, MSVDQA
from data_modules.formats.nextqa import NExTQA
from data_modules.formats.nlvr2 import NLVR2
from data_modules.formats.nlvr_cornell import NLVRCornell
from data_modules.formats.pope import POPE
from data_modules.formats.scienceqa import ScienceQA
from data_modules.formats.shapes import Shapes
from data_modules.formats.textvqa import TextVQA
from data_modules.formats.value_captions import TVC, YC2C
from data_modules.formats.value_choices import TVQA, How2QA
from data_modules.formats.vizwiz import VizWiz
from data_modules.formats.vqav2 import VQAv2

__all__ = [
    "ActivityNetQA",
    "AskedFolder",
    "CocoCaptions",
    "GQA",
    "How2QA",
    "LlavaGQA",
    "LlavaVQAv2",
    "MMBench",
    "MSRVTTQA",
    "MSVDQA",
    "NExTQA",
    "NLVR2",
    "NLVRCornell",
    "POPE",
    "ScienceQA",
    "Shapes",
    "TVC",
    "TVQA",
    "TextVQA",
    "VQAv2",
    "VizWiz",
    "YC2C",
]
