"""Makes the tiny LLaVA base on drawn scenes: tower, words, then LLaVA's two stages.

    python tools/pretrain_llava.py --out vl_dora/bases/tiny_llava

1. tower: the CLIP-shaped tower tells of every patch what lies there and where the patch is;
2. words: the language part alone, on conversations that tell the scene in words;
3. projector: alone, on descriptions of pictures (LLaVA's first stage);
4. both: projector and language part on all conversations (LLaVA's second stage).

The tower is frozen after 1 and its features are kept in memory. Conversations are those of
`data_modules.scenes.conversations` with the questions of pretraining, which fine-tuning never asks. The base,
its held-out scores and a model card are written at the end, and a copy every `--save-every` steps of stage 4.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from muon import Muon
from numpy.random import RandomState
from torch import Tensor, nn
from write_llava_card import write_card

from data_modules.collate import Sample
from data_modules.conversation_collate import ConversationCollate
from data_modules.length_order import GroupedSampler, words_of
from data_modules.scenes.conversations import Talk, talks
from data_modules.scenes.scene import CELL_CHANNELS, GRID, SIDE, random_scene
from data_modules.templates import vicuna_v1
from vl_dora.batch import Example, ImageRef
from vl_dora.models.base import NETWORK_FILE, save_base
from vl_dora.models.llava import Llava
from vl_dora.models.llava_base import load_base, load_tokenizer
from vl_dora.models.tiny_tokenizer import build_tokenizer
from vl_dora.tasks.instructions import plain

logger = logging.getLogger("pretrain_llava")

VISION = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": SIDE,
    "patch_size": SIDE // GRID,
    "projection_dim": 128,
}


@dataclass(frozen=True)
class Drawn:
    """Conversations in memory: examples and, for those with a picture, its features.

    Args:
        talks: what was drawn.
        examples: the conversations, last pair apart.
        features: (n, N, F) float16 of the pictures.
        picture: row of `features` for each conversation; None for text alone.
    """

    talks: list[Talk]
    examples: list[Example]
    features: np.ndarray
    picture: list[int | None]

    def sample(self, number: int) -> Sample:
        """One conversation as the collate takes it."""
        row = self.picture[number]
        seen = () if row is None else (self.features[row].astype(np.float32),)
        return Sample(self.examples[number], self.examples[number].target, 1.0, seen)


def scene_pixels(scenes: Sequence[Any]) -> Tensor:
    """(M, 3, 96, 96) uint8."""
    return torch.from_numpy(np.stack([scene.draw() for scene in scenes]).transpose(0, 3, 1, 2).copy())


def scene_cells(scenes: Sequence[Any]) -> Tensor:
    """(M, N, C) bool: what lies in each patch."""
    return torch.from_numpy(np.stack([scene.cells() for scene in scenes])).flatten(1, 2)


def train_tower(network: Llava, options: argparse.Namespace) -> dict[str, float]:
    """Stage 1, on pictures that are never seen twice; returns the held-out scores in percent."""
    random, held_out = RandomState(options.seed + 20_000), RandomState(options.seed + 25_000)
    tower, channels = network.vision, len(CELL_CHANNELS)
    head = nn.Linear(tower.num_features, channels + 2 * GRID)
    places = torch.arange(GRID * GRID)
    rows, columns = places // GRID, places % GRID
    trained = [*tower.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=options.tower_lr, weight_decay=0.01)
    steps = options.tower_steps
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.tower_lr, steps, pct_start=0.1)
    started = time.time()
    for step in range(1, steps + 1):
        scenes = [random_scene(random) for _ in range(options.tower_batch)]
        told = head(tower(scene_pixels(scenes)))
        loss = F.binary_cross_entropy_with_logits(told[..., :channels], scene_cells(scenes).float())
        for first, truth in ((channels, rows), (channels + GRID, columns)):
            scores = told[..., first : first + GRID].flatten(0, 1)
            loss = loss + 0.1 * F.cross_entropy(scores, truth.repeat(len(scenes)))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            logger.info("tower step %d loss %.4f (%.0f s)", step, loss.item(), time.time() - started)
    scenes = [random_scene(held_out) for _ in range(300)]
    with torch.no_grad():
        told = torch.cat([head(tower(part)) for part in scene_pixels(scenes).split(100)])
    cells = scene_cells(scenes)
    exact, filled = ((told[..., :channels] > 0) == cells).all(-1), cells.any(-1)
    placed = (told[..., channels : channels + GRID].argmax(-1) == rows) & (
        told[..., channels + GRID :].argmax(-1) == columns
    )
    scores = {"filled_cells": _percent(exact[filled]), "cells": _percent(exact), "places": _percent(placed)}
    logger.info("tower held-out %s", scores)
    return scores


@torch.no_grad()
def keep(network: Llava, chosen: list[Talk]) -> Drawn:
    """Conversations with the features of their pictures."""
    shown = [number for number, talk in enumerate(chosen) if talk.shown]
    rows = {number: row for row, number in enumerate(shown)}
    parts = [shown[i : i + 256] for i in range(0, len(shown), 256)]
    features = [
        network.vision(scene_pixels([chosen[n].scene for n in part])).half().numpy() for part in parts
    ]
    empty = np.zeros((0, GRID * GRID, VISION["hidden_size"]), np.float16)
    examples = [example_of(str(number), talk) for number, talk in enumerate(chosen)]
    picture = [rows.get(number) for number in range(len(chosen))]
    return Drawn(chosen, examples, np.concatenate([empty, *features]), picture)


def example_of(name: str, talk: Talk, turn: int | None = None) -> Example:
    """A conversation, or what it is up to one of its answers, as an example."""
    *before, (prompt, target) = talk.turns[:turn]
    images = (ImageRef(name),) if talk.shown else ()
    return Example(name, prompt, target, images=images, turns=tuple(before))


def train_stage(
    network: Llava,
    collate: ConversationCollate,
    drawn: Drawn,
    trained: list[nn.Parameter],
    options: argparse.Namespace,
    *,
    name: str,
    steps: int,
    lr: float,
    save: Callable[[int, bool], None] = lambda step, last: None,
) -> None:
    """Trains some parameters on some conversations: linear warm-up, cosine to zero."""
    network.requires_grad_(False)
    for parameter in trained:
        parameter.requires_grad_(True)
    matrices = [p for p in trained if p.ndim == 2 and p.shape[0] != options.vocabulary]
    others = [p for p in trained if not any(p is m for m in matrices)]
    adamw = torch.optim.AdamW(
        others if options.muon else trained, lr=lr, betas=(0.9, 0.98), weight_decay=0.01
    )
    optimizers = [adamw, *([Muon(matrices, lr)] if options.muon else [])]
    warmup = min(options.warmup, max(1, steps // 10))
    order = batches(drawn, options.batch_size, options.seed)
    started, losses = time.time(), []
    network.train()
    network.llava.model.vision_tower.eval()
    for step in range(1, steps + 1):
        rate = min(1.0, step / warmup) * 0.5 * (1 + np.cos(np.pi * (step - 1) / steps))
        batch = collate([drawn.sample(number) for number in next(order)])
        loss = network.loss(batch)
        network.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr * rate
            optimizer.step()
        losses.append(loss.item())
        if step % 50 == 0:
            spent = time.time() - started
            logger.info("%s step %d loss %.4f (%.0f s)", name, step, np.mean(losses[-50:]), spent)
        if step % options.save_every == 0 or step == steps:
            save(step, step == steps)
            network.train()
            network.llava.model.vision_tower.eval()


def batches(drawn: Drawn, size: int, seed: int) -> Iterator[list[int]]:
    """Numbers of conversations, a batch at a time, of one kind and like lengths; pass after pass."""
    sampler = GroupedSampler(
        [words_of(example) for example in drawn.examples],
        [talk.shown for talk in drawn.talks],
        group_size=min(size, len(drawn.examples)),
        seed=seed,
    )
    epoch = 0
    while True:
        numbers = sampler.order(epoch)
        parts = [numbers[i : i + size] for i in range(0, len(numbers), size)]
        yield from (part for part in parts if len({drawn.talks[n].shown for n in part}) == 1)
        epoch += 1


@torch.no_grad()
def score(network: Llava, collate: ConversationCollate, drawn: Drawn, limit: int) -> dict[str, float]:
    """Exact answers in percent by kind of question, greedy, at most so many of each."""
    network.eval()
    asked: dict[str, list[Sample]] = defaultdict(list)
    for number, talk in enumerate(drawn.talks):
        for turn in range(1, len(talk.turns) + 1):
            kind = question_kind(talk, turn)
            if len(asked[kind]) < limit:
                example = example_of(str(number), talk, turn)
                asked[kind].append(Sample(example, example.target, 1.0, drawn.sample(number).visuals))
    found = {}
    for kind, samples in sorted(asked.items()):
        right = []
        for part in (samples[i : i + 100] for i in range(0, len(samples), 100)):
            batch = collate(part)
            longest = max(len(collate.tokenizer(s.target)["input_ids"]) for s in part)
            ids = network.generate(batch, num_beams=1, max_new_tokens=longest + 2)
            told = collate.tokenizer.batch_decode(ids, skip_special_tokens=True)
            meant = collate.tokenizer.batch_decode(
                collate.tokenizer([str(s.target) for s in part])["input_ids"], skip_special_tokens=True
            )
            right += [plain(a) == plain(b) for a, b in zip(told, meant, strict=True)]
        found[kind] = _percent(torch.tensor(right))
    return found


def question_kind(talk: Talk, turn: int) -> str:
    """Short questions by their first words, the others by the kind of conversation."""
    if talk.kind != "short":
        return f"{talk.kind}, turn {turn}" if talk.kind == "description" else talk.kind
    return " ".join(talk.turns[turn - 1][0].replace("<image>\n", "").split()[:2])


def _percent(hits: Tensor) -> float:
    return round(100 * hits.float().mean().item(), 2)


def build(
    options: argparse.Namespace, drawn: Sequence[Talk]
) -> tuple[Llava, Any, dict[str, Any], dict[str, Any]]:
    """Network, tokenizer, the network's shape, and what an earlier base tells of itself."""
    if options.start_from:
        start = json.loads((Path(options.start_from) / NETWORK_FILE).read_text())
        network = Llava(**start["network"])
        load_base(network, options.start_from)
        return network, load_tokenizer(options.start_from), start["network"], start
    # Its words hold those that only fine-tuning asks, or they could not be learned with a frozen table.
    asked = islice(talks(RandomState(options.seed + 5), pretraining=False), 3000)
    mute = SimpleNamespace(eos_token="")
    texts = [vicuna_v1(talk.turns, mute).text.replace("<image>", "") for talk in (*drawn, *asked)]
    tokenizer = build_tokenizer(texts, 1, (), capital_alone="ABCDE")
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": options.width,
        "intermediate_size": options.ffn,
        "num_hidden_layers": options.layers,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
        "initializer_range": 0.05,
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    shape = {"vision": VISION, "text": text}
    return Llava(**shape), tokenizer, shape, {}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="directory of the base")
    parser.add_argument("--start-from", help="a base to go on from: tower, words and weights; stage 4 only")
    parser.add_argument("--samples", type=int, default=40_000, help="conversations of stage 4")
    parser.add_argument("--held-out", type=int, default=600, help="conversations to score with")
    parser.add_argument("--tower-steps", type=int, default=3_000)
    parser.add_argument("--tower-batch", type=int, default=32)
    parser.add_argument("--tower-lr", type=float, default=1e-3)
    parser.add_argument("--word-steps", type=int, default=600, help="of stage 2")
    parser.add_argument("--projector-steps", type=int, default=300, help="of stage 3")
    parser.add_argument("--steps", type=int, default=6_000, help="of stage 4")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--muon", action="store_true", help="Muon for the matrices, AdamW for the rest")
    parser.add_argument("--warmup", type=int, default=300, help="steps; at most a tenth of a stage")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--ffn", type=int, default=352)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=1000)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    started = time.time()
    chosen = list(islice(talks(RandomState(options.seed + 30_000), pretraining=True), options.samples))
    network, tokenizer, shape, start = build(options, chosen)
    options.vocabulary = shape["text"]["vocab_size"]
    collate = ConversationCollate(tokenizer, visual_tokens=GRID * GRID, max_tokens=512)
    logger.info("%d parameters, %d words", sum(p.numel() for p in network.parameters()), len(tokenizer))
    tower_scores = start.get("tower_scores") or train_tower(network, options)
    held_out = list(islice(talks(RandomState(options.seed + 10_000), pretraining=True), options.held_out))
    drawn, held = keep(network, chosen), keep(network, held_out)
    logger.info("%d conversations kept (%.0f s)", len(chosen), time.time() - started)
    language = [*network.llava.model.language_model.parameters(), *network.llava.lm_head.parameters()]
    projector = list(network.llava.model.multi_modal_projector.parameters())

    def save(step: int, last: bool) -> None:
        limit = 300 if last else 60
        scores = score(network, collate, held, limit)
        logger.info("step %d held-out %s, mean %.2f", step, scores, sum(scores.values()) / len(scores))
        facts = {
            "network": shape,
            "image_size": SIDE,
            "world": "conversations",
            "commands": [*start.get("commands", []), "python " + " ".join(sys.argv)],
            "steps": start.get("steps", 0) + step,
            "seconds": start.get("seconds", 0) + round(time.time() - started),
            "seed": options.seed,
            "tower_scores": tower_scores,
            "scores": scores,
            "questions_a_kind": limit,
        }
        save_base(network, tokenizer, options.out, facts)
        write_card(options.out, facts, sum(p.numel() for p in network.parameters()))

    if not start:
        told = keep(network, [talk for talk in chosen if talk.kind == "told"])
        train_stage(
            network, collate, told, language, options, name="words", steps=options.word_steps, lr=options.lr
        )
        described = keep(network, [talk for talk in chosen if talk.kind == "description"])
        steps = options.projector_steps
        train_stage(
            network, collate, described, projector, options, name="projector", steps=steps, lr=options.lr
        )
    train_stage(
        network,
        collate,
        drawn,
        [*projector, *language],
        options,
        name="both",
        steps=options.steps,
        lr=options.lr,
        save=save,
    )


if __name__ == "__main__":
    main()
