"""Times an epoch of training with a tower on the fly against one on stored features, same pictures.

    python tools/benchmark_features.py
    python tools/benchmark_features.py --text tiny --tower vit_base_patch32_clip_224.openai

Random weights, random JPEG files, one CPU thread. The two epochs are run in turns, so that a busy machine
slows both; the ratio of each pair and its median are printed. Storing the features is timed on its own.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from data_modules.collate import Collate, Sample
from data_modules.stored_features import StoredFeatures, write_features
from data_modules.visuals import Pixels
from vl_dora.adapters import apply_adapters
from vl_dora.batch import Example, ImageRef
from vl_dora.models.tiny_tokenizer import build_tokenizer
from vl_dora.models.vision import TimmTower
from vl_dora.models.vl_bart import VLBart

WORDS = "what is in the picture a dog two cats red bus yes no"
# facebook/bart-base, and the tiny base's text part.
TEXTS: dict[str, dict[str, Any]] = {
    "base": {"vocab": 50465, "d_model": 768, "layers": 6, "heads": 12, "ffn": 3072},
    "tiny": {"vocab": 396, "d_model": 96, "layers": 3, "heads": 4, "ffn": 384},
}


def draw_pictures(folder: Path, num: int) -> list[ImageRef]:
    """Photograph-sized JPEG files, 480 x 360 pixels of smooth noise."""
    random = np.random.default_rng(0)
    refs = [ImageRef(f"{number}.jpg") for number in range(num)]
    for ref in refs:
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        coarse.resize((480, 360), Image.Resampling.BICUBIC).save(folder / ref.path, quality=90)
    return refs


def build_network(text: str, tower: nn.Module) -> VLBart:
    """VL-BART of the size `text` with DoRA of rank 16 on q and v, the tower frozen."""
    size = TEXTS[text]
    fields = {"vocab_size": size["vocab"], "d_model": size["d_model"], "max_position_embeddings": 128}
    for side in ("encoder", "decoder"):
        fields[f"{side}_layers"] = size["layers"]
        fields[f"{side}_attention_heads"] = size["heads"]
        fields[f"{side}_ffn_dim"] = size["ffn"]
    network = VLBart(fields, feature_dim=tower.num_features, num_visual_tokens=36, vision=tower)
    method = {"method": "dora", "layers": ["q_proj", "v_proj"], "rank": 16}
    apply_adapters(network, {"vision": "frozen", "projector": "frozen", "language": method})
    return network


def batches(examples: list[Example], visuals: Any, collate: Collate, size: int) -> Iterator[Any]:
    """Batches as the data module makes them in its own process."""
    for start in range(0, len(examples), size):
        part = examples[start : start + size]
        yield collate([Sample(e, e.target, 1.0, tuple(map(visuals.load, e.images))) for e in part])


def epoch(network: VLBart, make: Callable[[], Iterator[Any]]) -> float:
    """Seconds of one epoch of training steps, loading included."""
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-4)
    network.train()
    if network.vision is not None:
        network.vision.eval()
    started = time.perf_counter()
    for batch in make():
        network.loss(batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    return time.perf_counter() - started


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tower", default="resnet101_clip.openai", help="a timm model; random weights")
    parser.add_argument("--text", default="base", choices=tuple(TEXTS), help="size of the language part")
    parser.add_argument("--pictures", type=int, default=32, help="samples of an epoch, a picture each")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=3, help="how often both epochs are run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tower = TimmTower(options.tower).eval()
    tokenizer = build_tokenizer([WORDS])
    network = build_network(options.text, tower)
    collate = Collate(tokenizer)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        refs = draw_pictures(folder, options.pictures)
        examples = [Example(ref.path, "what is in the picture", "two cats", images=(ref,)) for ref in refs]
        pixels = Pixels(folder, tower.image_size)
        started = time.perf_counter()
        with torch.inference_mode():
            rows = ((r, tower(torch.from_numpy(pixels.load(r))[None])[0].numpy()) for r in refs)
            stored = StoredFeatures(write_features(folder / "features", rows, tower=options.tower))
        storing = time.perf_counter() - started
        ratios = []
        for pair in range(options.pairs):
            fresh, kept = (
                epoch(network, lambda v=visuals: batches(examples, v, collate, options.batch_size))
                for visuals in (pixels, stored)
            )
            ratios.append(fresh / kept)
            sys.stdout.write(
                f"pair {pair + 1}: on the fly {fresh:.1f} s, stored {kept:.1f} s, {fresh / kept:.2f} times\n"
            )
    sys.stdout.write(
        f"{options.tower}, {stored.shape[0]} x {stored.shape[1]} float16, {options.text} language part, "
        f"{options.pictures} pictures, batch {options.batch_size}, one thread: stored features are "
        f"{statistics.median(ratios):.2f} times faster per epoch; storing took {storing:.1f} s once\n"
    )


if __name__ == "__main__":
    main()
