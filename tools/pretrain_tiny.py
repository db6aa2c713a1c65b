"""Makes a tiny VL-BART base: first its tower, then the network, on a drawn world.

    python tools/pretrain_tiny.py scenes --out vl_dora/bases/tiny_scenes

Stage 1 trains `TinyTower` to tell what every grid cell holds (binary cross-entropy per channel).
Stage 2 freezes it, stores its features in memory and trains `VLBart` on the world's captions and
questions. Held-out scenes score both. The base, its scores and a model card are written at the
end, and a copy every `--save-every` steps.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from muon import make_optimizers
from torch import Tensor, nn
from write_model_card import write_card

from vl_dora.batch import Batch, Example
from vl_dora.models.base import NETWORK_FILE, load_base, load_tokenizer, save_base
from vl_dora.models.tiny_tokenizer import build_tokenizer
from vl_dora.models.vision import TinyTower
from vl_dora.models.vl_bart import VLBart

logger = logging.getLogger("pretrain_tiny")

WORLDS = {
    "scenes": "data_modules.scenes.world",
    "boxes": "data_modules.scenes.boxes",
    "clips": "data_modules.scenes.clip_world",
    "shapes": "data_modules.scenes.shapes",
}


@dataclass
class Material:
    """Drawn samples in memory: pictures or their features, and tokenised questions by bucket."""

    pixels: Tensor  # (n, I, 3, height, width) uint8
    cells: Tensor  # (n, I, G, G, C) bool
    questions: list[tuple[int, str, str, str]]  # (sample, kind, prompt, target)
    features: Tensor | None = None  # (n, I, N, F) float16
    buckets: dict[str, list[tuple[int, list[int], list[int]]]] = field(default_factory=dict)


def draw(world: str, seed: int, count: int, size: int) -> Material:
    """Draws `count` samples of a world, pictures resized to size x size."""
    from PIL import Image

    pixels, cells, questions = [], [], []
    for number, drawn in enumerate(importlib.import_module(WORLDS[world]).samples(seed, count)):
        pictures = drawn.pixels
        if pictures.shape[1:3] != (size, size):
            pictures = np.stack(
                [
                    np.asarray(Image.fromarray(p).resize((size, size), Image.Resampling.BICUBIC))
                    for p in pictures
                ]
            )
        pixels.append(pictures.transpose(0, 3, 1, 2))
        cells.append(drawn.cells)
        questions += [(number, *question) for question in drawn.questions]
    return Material(torch.from_numpy(np.stack(pixels)), torch.from_numpy(np.stack(cells)), questions)


def train_tower(material: Material, held_out: Material, steps: int, batch_size: int, lr: float) -> tuple:
    """Stage 1: a tower whose every token tells its cell; returns it with its held-out score."""
    tower, pixels = TinyTower(), material.pixels.flatten(0, 1)
    cells = material.cells.flatten(0, 1).flatten(1, 2).float()  # (M, N, C)
    head = nn.Linear(tower.num_features, cells.shape[-1])
    parameters = [*tower.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    started = time.time()
    for step in range(1, steps + 1):
        chosen = torch.randint(len(pixels), (batch_size,))
        loss = F.binary_cross_entropy_with_logits(head(tower(pixels[chosen])), cells[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            logger.info("tower step %d loss %.4f (%.0f s)", step, loss.item(), time.time() - started)
    tower.eval()
    truth = held_out.cells.flatten(0, 1).flatten(1, 2)
    with torch.no_grad():
        parts = held_out.pixels.flatten(0, 1).split(256)
        told = torch.cat([head(tower(part)) for part in parts]) > 0
    filled = truth.any(-1)
    exact = (told == truth).all(-1)
    scores = {"filled_cells_exact": _percent(exact[filled]), "cells_exact": _percent(exact)}
    logger.info("tower held-out %s", scores)
    return tower, scores


def store_features(material: Material, tower: nn.Module) -> None:
    """Replaces pictures by tower features (float16)."""
    with torch.no_grad():
        flat = torch.cat([tower(part).half() for part in material.pixels.flatten(0, 1).split(256)])
    material.features = flat.unflatten(0, material.pixels.shape[:2])
    material.pixels = torch.empty(0)


def tokenize(material: Material, tokenizer, long: int, more: list[str]) -> None:
    """Tokenises every question once, long targets in a bucket of their own; kinds in `more` count tenfold."""
    prompts = tokenizer([q[2] for q in material.questions])["input_ids"]
    targets = tokenizer([q[3] for q in material.questions])["input_ids"]
    buckets = defaultdict(list)
    for (sample, kind, *_), prompt, target in zip(material.questions, prompts, targets, strict=True):
        bucket = buckets["long" if len(target) > long else "short"]
        bucket += [(sample, prompt, target)] * (10 if kind in more else 1)
    material.buckets = dict(buckets)


@torch.no_grad()
def order_by_place(network: VLBart, seed: int) -> None:
    """Starts the visual order embedding as row + column: smooth in both, so neighbours are alike.

    From small random rows, places are learned last and slowly. Cosines of 1 to 4 half waves over
    the grid's rows and columns are mixed at random into the width, with unit variance; the frames of a
    clip are ordered likewise.
    """
    side = int(network.num_visual_tokens**0.5)
    steps = (torch.arange(side) + 0.5) / side
    waves = torch.stack([torch.cos(torch.pi * k * steps) for k in range(1, 5)], dim=1)
    generator = torch.Generator().manual_seed(seed)
    table = network.bart.model.shared.weight
    rows, columns = (
        waves @ torch.randn(4, table.shape[1], generator=generator) / 2 for _ in ("rows", "columns")
    )
    places = (rows[:, None] + columns[None]).flatten(0, 1)
    table[-side * side :] = places.flip(0).to(table)
    if network.visual_embedding.max_images > 2:  # frames of a clip, in the order of time
        num_frames = network.visual_embedding.max_images
        times = (torch.arange(num_frames) + 0.5) / num_frames
        waves = torch.stack([torch.cos(torch.pi * k * times) for k in range(1, 9)], dim=1)
        frames = waves @ torch.randn(8, table.shape[1], generator=generator) / 2
        network.visual_embedding.image_order.weight.copy_(frames)


def batch_of(items: list[tuple[int, list[int], list[int]]], features: Tensor) -> Batch:
    """Pads prompts with the padding id 1, targets with -100; every sample weighs the same."""

    def padded(rows: list[list[int]], value: int) -> Tensor:
        longest = max(map(len, rows))
        return torch.tensor([row + [value] * (longest - len(row)) for row in rows])

    ids = padded([item[1] for item in items], 1)
    labels = padded([item[2] for item in items], -100)
    weights = (labels != -100).float()
    weights = weights / weights.sum(1, keepdim=True) / len(items)
    return Batch(
        examples=tuple(Example(str(item[0]), "", "") for item in items),
        input_ids=ids,
        attention_mask=ids != 1,
        features=features[[item[0] for item in items]].float(),
        labels=labels,
        label_weights=weights,
    )


def train_network(network: VLBart, material: Material, options: argparse.Namespace, save) -> None:
    """Stage 2: linear warm-up, cosine to zero, batches of one bucket each."""
    random = np.random.RandomState(options.seed)
    trained = [p for name, p in network.named_parameters() if not name.startswith("vision.")]
    optimizers = make_optimizers(options.optimizer, network, trained, options.lr)

    def rate(step: int) -> float:
        warm = min(1.0, (step + 1) / options.warmup)
        return warm * 0.5 * (1 + np.cos(np.pi * step / options.steps))

    orders = {name: iter(()) for name in material.buckets}
    started, losses = time.time(), []
    network.train()
    for step in range(1, options.steps + 1):
        is_long = "long" in orders and random.rand() < options.long_share
        name = "long" if is_long or "short" not in orders else "short"
        items = []
        while len(items) < options.batch_size:
            number = next(orders[name], None)
            if number is None:
                orders[name] = order(material.buckets[name], options, random)
                continue
            items.append(material.buckets[name][number])
        loss = network.loss(batch_of(items, material.features))
        network.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = options.lr * rate(step - 1)
            optimizer.step()
        losses.append(loss.item())
        if step % 100 == 0:
            logger.info("step %d loss %.4f (%.0f s)", step, np.mean(losses[-100:]), time.time() - started)
        last = step in (options.steps, options.stop_after)
        if step % options.save_every == 0 or last:
            save(step, last)
            network.train()
        if last:
            return


def order(
    bucket: list[tuple[int, list[int], list[int]]], options: argparse.Namespace, random
) -> Iterator[int]:
    """All places of a bucket, shuffled; with --like-lengths prompts of one batch have like lengths."""
    places = random.permutation(len(bucket))
    if not options.like_lengths:
        return iter(places)
    size, batches = options.batch_size, []
    for start in range(0, len(places), 50 * size):
        window = sorted(places[start : start + 50 * size], key=lambda place: len(bucket[place][1]))
        batches += [window[i : i + size] for i in range(0, len(window) - size + 1, size)]
    return (place for number in random.permutation(len(batches)) for place in batches[number])


@torch.no_grad()
def score(network: VLBart, tokenizer, material: Material, limit: int) -> dict[str, float]:
    """Exact answers in percent by kind, greedy decoding, on up to `limit` questions of each kind."""
    network.eval()
    by_kind = defaultdict(list)
    for question in material.questions:
        if len(by_kind[question[1]]) < limit:
            by_kind[question[1]].append(question)
    scores = {}
    for kind, questions in by_kind.items():
        right = []
        for start in range(0, len(questions), 250):
            part = questions[start : start + 250]
            prompts = tokenizer([q[2] for q in part])["input_ids"]
            items = [(q[0], prompt, [2]) for q, prompt in zip(part, prompts, strict=True)]
            longest = max(len(ids) for ids in tokenizer([q[3] for q in part])["input_ids"])
            ids = network.generate(
                batch_of(items, material.features), num_beams=1, max_new_tokens=longest + 2
            )
            told = tokenizer.batch_decode(ids, skip_special_tokens=True)
            expected = tokenizer.batch_decode(
                tokenizer([q[3] for q in part])["input_ids"], skip_special_tokens=True
            )
            right += [a.strip() == b.strip() for a, b in zip(told, expected, strict=True)]
        scores[kind] = _percent(torch.tensor(right))
    return scores


def _percent(hits: Tensor) -> float:
    return round(100 * hits.float().mean().item(), 2)


def _words(material: Material, options: argparse.Namespace) -> list[str]:
    texts = [text for _, _, prompt, target in material.questions for text in (prompt, target)]
    return texts + [options.words.read_text() for _ in range(options.min_count) if options.words]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("world", choices=sorted(WORLDS))
    parser.add_argument("--out", type=Path, required=True, help="directory of the base")
    parser.add_argument("--samples", type=int, default=40_000, help="drawn samples to train on")
    parser.add_argument("--tower-samples", type=int, default=8_000, help="of these, pictures for the tower")
    parser.add_argument("--held-out", type=int, default=500, help="samples to score with")
    parser.add_argument("--tower-steps", type=int, default=1500)
    parser.add_argument("--tower-lr", type=float, default=3e-3)
    parser.add_argument("--start-from", help="a base to go on from: its tower, words and weights; no stage 1")
    parser.add_argument("--order-by-place", action="store_true", help="structured visual order embedding")
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--stop-after", type=int, help="steps; the schedule stays that of --steps")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--optimizer", choices=("adamw", "muon"), default="adamw", help="of stage 2")
    parser.add_argument("--warmup", type=int, default=1000, help="steps; fewer make it stall")
    parser.add_argument("--long-share", type=float, default=0.2, help="share of batches with long targets")
    parser.add_argument("--long", type=int, default=13, help="tokens from which on a target is long")
    parser.add_argument(
        "--more", nargs="*", default=[], metavar="KIND", help="kinds to ask ten times as often"
    )
    parser.add_argument("--like-lengths", action="store_true", help="prompts of one batch have like lengths")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--ffn", type=int, default=384)
    parser.add_argument("--layers", type=int, nargs=2, default=(3, 2), help="encoder and decoder layers")
    parser.add_argument("--image-size", type=int, default=96, help="pixels; a token per 16 x 16 of them")
    parser.add_argument("--max-images", type=int, default=2)
    parser.add_argument("--positions", type=int, default=128, help="most tokens of a text")
    parser.add_argument("--words", type=Path, help="a text file whose words join the vocabulary")
    parser.add_argument("--min-count", type=int, default=1, help="rarer words are spelled in letters")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=1000)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)

    started = time.time()
    held_out = draw(options.world, options.seed + 10_000, options.held_out, options.image_size)
    few = draw(options.world, options.seed + 20_000, options.tower_samples, options.image_size)
    logger.info("%d samples drawn (%.0f s)", options.tower_samples, time.time() - started)
    start = json.loads((Path(options.start_from) / NETWORK_FILE).read_text()) if options.start_from else {}
    if start:
        tokenizer = load_tokenizer(options.start_from)
        tower, tower_scores = TinyTower().eval(), start["tower_scores"]
    else:
        tower, tower_scores = train_tower(few, held_out, options.tower_steps, 64, options.tower_lr)
        tokenizer = build_tokenizer(_words(few, options), options.min_count)
    text = {
        "vocab_size": len(tokenizer),
        "d_model": options.width,
        "encoder_layers": options.layers[0],
        "decoder_layers": options.layers[1],
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": options.ffn,
        "decoder_ffn_dim": options.ffn,
        "max_position_embeddings": options.positions,
        "dropout": 0.0,
        "init_std": 0.05,
    }
    shape = {
        "feature_dim": tower.num_features,
        "num_visual_tokens": (options.image_size // 16) ** 2,
        "max_images": options.max_images,
    }
    network = VLBart(text, vision=tower, **shape)
    if start:
        load_base(network, options.start_from)
    if options.order_by_place:
        order_by_place(network, options.seed)
    tower.requires_grad_(False)
    logger.info("%d parameters", sum(p.numel() for p in network.parameters()))

    material = draw(options.world, options.seed + 30_000, options.samples, options.image_size)
    logger.info("%d samples drawn (%.0f s)", options.samples, time.time() - started)
    for part in (material, held_out):
        store_features(part, tower)
    tokenize(material, tokenizer, options.long, options.more)
    logger.info(
        "features stored (%.0f s); %s",
        time.time() - started,
        {k: len(v) for k, v in material.buckets.items()},
    )

    def save(step: int, final: bool) -> None:
        limit = 500 if final else 100
        scores = score(network, tokenizer, held_out, limit)
        logger.info("step %d held-out %s", step, scores)
        facts = {
            "network": {"text": text, **shape},
            "image_size": options.image_size,
            "world": options.world,
            "commands": [*start.get("commands", []), "python " + " ".join(sys.argv)],
            "steps": start.get("steps", 0) + step,
            "seconds": start.get("seconds", 0) + round(time.time() - started),
            "seed": options.seed,
            "tower_scores": tower_scores,
            "scores": scores,
            "questions_a_kind": limit,
        }
        save_base(network, tokenizer, options.out, facts)
        write_card(options.out)

    train_network(network, material, options, save)


if __name__ == "__main__":
    main()
