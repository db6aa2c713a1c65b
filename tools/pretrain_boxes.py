"""Makes the tiny VL-BART base of the boxes world: first its tower, then the network.

    python tools/pretrain_boxes.py --out vl_dora/bases/tiny_boxes

Stage 1 trains `SummaryTower` to tell what every grid cell holds and facts of whole boxes, such as counts
(binary cross-entropy). Stage 2 freezes it and trains `VLBart` on generated statements, counts and captions.
Pictures and texts are drawn as they are needed and seen `--passes` times; other seeds score both stages.
The base and its scores are written every `--save-every` steps; `--resume` goes on from there.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from muon import make_optimizers
from PIL import Image
from torch import Tensor, nn

from data_modules.scenes.boxes import CELL_CHANNELS, Lesson, fact_names, lessons
from vl_dora.batch import Batch, Example
from vl_dora.models.base import load_base, load_tokenizer, save_base
from vl_dora.models.summary_tower import SummaryTower
from vl_dora.models.tiny_tokenizer import build_tokenizer
from vl_dora.models.vl_bart import VLBart

logger = logging.getLogger("pretrain_boxes")

Item = tuple[int, list[int], list[int]]  # sample, prompt tokens, target tokens


def pictures(lesson: Lesson) -> Tensor:
    """(S, 3, 3, 96, 96) uint8: the boxes as the data module gives them to the tower."""
    size = (SummaryTower.image_size,) * 2
    small = [
        np.asarray(Image.fromarray(p).resize(size, Image.Resampling.BICUBIC))
        for p in lesson.pixels.reshape(-1, *lesson.pixels.shape[2:])
    ]
    return torch.from_numpy(np.stack(small).transpose(0, 3, 1, 2)).unflatten(0, lesson.pixels.shape[:2])


class Teacher(nn.Module):
    """The tower with heads that tell cells and facts; the heads are thrown away after stage 1."""

    def __init__(self) -> None:
        super().__init__()
        self.names = fact_names()
        self.tower = SummaryTower(num_tokens=len(self.names))
        self.cells = nn.Linear(self.tower.num_features, len(CELL_CHANNELS))
        self.facts = nn.ModuleList(nn.Linear(self.tower.num_features, len(n)) for n in self.names.values())

    def forward(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        grid = self.tower.grid(pixels)
        tokens = self.tower.summarise(grid)
        return self.cells(grid), [head(tokens[:, i]) for i, head in enumerate(self.facts)]


def tower_batches(seed: int, size: int) -> Iterator[tuple[Tensor, Tensor, list[Tensor]]]:
    """Endless batches of pictures, cells and facts; strewn boxes twice as often as towers."""
    source = lessons(seed)
    while True:
        drawn = [next(source) for _ in range(4)]
        drawn = [drawn[0], drawn[1], drawn[3]]
        pixels = torch.cat([pictures(lesson) for lesson in drawn]).flatten(0, 1)
        cells = torch.cat([torch.from_numpy(d.cells) for d in drawn]).flatten(0, 1).flatten(1, 2)
        facts = [
            torch.cat([torch.from_numpy(d.facts[g]) for d in drawn]).flatten(0, 1) for g in drawn[0].facts
        ]
        for chosen in torch.randperm(len(pixels)).split(size):
            yield pixels[chosen], cells[chosen], [told[chosen] for told in facts]


def train_tower(options: argparse.Namespace) -> tuple[SummaryTower, dict[str, float]]:
    """Stage 1: AdamW, warm-up, cosine to zero; returns the tower and its held-out scores in percent."""
    teacher = Teacher()
    optimizer = torch.optim.AdamW(teacher.parameters(), lr=options.tower_lr, weight_decay=0.01)
    steps, started, losses = options.tower_steps, time.time(), []
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, steps, 200))
    for step, (pixels, cells, facts) in enumerate(islice(tower_batches(options.seed, 64), steps), 1):
        told_cells, told = teacher(pixels)
        loss = 10 * F.binary_cross_entropy_with_logits(told_cells, cells.float())
        loss = loss + 10 * F.binary_cross_entropy_with_logits(torch.cat(told, 1), torch.cat(facts, 1).float())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(teacher.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 100 == 0:
            logger.info(
                "tower step %d loss %.4f (%.0f s)", step, np.mean(losses[-100:]), time.time() - started
            )
        if step % 1000 == 0 or step == steps:
            scores = tower_scores(teacher, options.seed + 10_000)
            logger.info("tower held-out %s", scores)
    return teacher.tower.eval(), scores


@torch.no_grad()
def tower_scores(teacher: Teacher, seed: int) -> dict[str, float]:
    """Percent of filled cells, and of boxes group by group, with every channel or fact right."""
    teacher.eval()
    hits = defaultdict(list)
    for pixels, cells, facts in islice(tower_batches(seed, 256), 9):
        told_cells, told = teacher(pixels)
        hits["filled_cells"].append(((told_cells > 0) == cells).all(-1)[cells.any(-1)])
        for name, logits, truth in zip(teacher.names, told, facts, strict=True):
            hits[name].append(((logits > 0) == truth).all(-1))
    teacher.train()
    return {name: percent(torch.cat(parts)) for name, parts in hits.items()}


def rate(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


def percent(hits: Tensor) -> float:
    return round(100 * hits.float().mean().item(), 2)


class Course:
    """Lessons as token ids and tower features, `chunk` of them at a time.

    Args:
        tower: frozen.
        tokenizer: of the base.
        seed: of the lessons.
        chunk: lessons (of 64 scenes) held in memory together.
    """

    def __init__(self, tower: SummaryTower, tokenizer, seed: int, chunk: int) -> None:
        self.tower, self.tokenizer, self.chunk = tower, tokenizer, chunk
        self.source = lessons(seed)

    @torch.no_grad()
    def next_chunk(self) -> tuple[Tensor, list[Item], list[tuple[str, str, str]]]:
        """Features (samples, 3, N, F) float16, items, and the questions they were made of."""
        features, questions, owners = [], [], []
        for lesson in islice(self.source, self.chunk):
            told = self.tower(pictures(lesson).flatten(0, 1)).half().unflatten(0, (-1, 3))
            for number, asked in enumerate(lesson.questions, sum(map(len, features))):
                questions += asked
                owners += [number] * len(asked)
            features.append(told)
        prompts = self.tokenizer([q[1] for q in questions])["input_ids"]
        targets = self.tokenizer([q[2] for q in questions])["input_ids"]
        return torch.cat(features), list(zip(owners, prompts, targets, strict=True)), questions


def batch_of(items: list[Item], features: Tensor) -> Batch:
    """Pads prompts with the padding id 1, targets with -100; every sample weighs the same."""

    def padded(rows: list[list[int]], value: int) -> Tensor:
        longest = max(map(len, rows))
        return torch.tensor([row + [value] * (longest - len(row)) for row in rows])

    ids = padded([item[1] for item in items], 1)
    labels = padded([item[2] for item in items], -100)
    weights = (labels != -100).float()
    return Batch(
        examples=tuple(Example(str(item[0]), "", "") for item in items),
        input_ids=ids,
        attention_mask=ids != 1,
        features=features[[item[0] for item in items]].float(),
        labels=labels,
        label_weights=weights / weights.sum(1, keepdim=True) / len(items),
    )


def course_batches(course: Course, passes: int, size: int, seed: int) -> Iterator[Batch]:
    """Endless batches; prompts of one batch have like lengths."""
    random = np.random.RandomState(seed)
    while True:
        features, items, _ = course.next_chunk()
        for _ in range(passes):
            order = sorted(random.permutation(len(items)), key=lambda i: len(items[i][1]) + random.rand())
            batches = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
            for place in random.permutation(len(batches)):
                yield batch_of([items[i] for i in batches[place]], features)


@torch.no_grad()
def network_scores(network: VLBart, held_out: tuple, limit: int) -> dict[str, float]:
    """Percent of held-out targets that greedy decoding gives exactly, by kind of question."""
    network.eval()
    features, items, questions = held_out
    by_kind = defaultdict(list)
    for item, (kind, *_) in zip(items, questions, strict=True):
        by_kind[kind].append(item)
    scores = {}
    for kind, chosen in by_kind.items():
        hits = []
        for start in range(0, min(limit, len(chosen)), 200):
            batch = batch_of(chosen[start : min(limit, start + 200)], features)
            # Every token right given the right ones before it: the same as an exact greedy decoding.
            right = (network.logits(batch).argmax(-1) == batch.labels) | (batch.labels == -100)
            hits.append(right.all(-1))
        scores[kind] = percent(torch.cat(hits))
    network.train()
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="directory of the base")
    parser.add_argument("--tower-steps", type=int, default=4000)
    parser.add_argument("--tower-lr", type=float, default=2e-3)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--first-step", type=int, default=0, help="with --resume: where the schedule goes on")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--optimizer", choices=("adamw", "muon"), default="muon", help="of stage 2")
    parser.add_argument("--warmup", type=int, default=1000, help="steps")
    parser.add_argument("--chunk", type=int, default=32, help="lessons of 64 scenes in memory together")
    parser.add_argument("--passes", type=int, default=2, help="how often a chunk is seen")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--ffn", type=int, default=512)
    parser.add_argument("--layers", type=int, nargs=2, default=(3, 2), help="encoder and decoder layers")
    parser.add_argument("--tower-from", help="take tower and tokenizer from this base, skip stage 1")
    parser.add_argument(
        "--resume", action="store_true", help="go on from --out: tower, tokenizer and network"
    )
    parser.add_argument("--save-every", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    started = time.time()

    source = str(options.out) if options.resume else options.tower_from
    if source:
        tokenizer, tower, scores = load_tokenizer(source), SummaryTower(len(fact_names())), {}
    else:
        texts = (
            q for d in islice(lessons(options.seed + 20_000), 200) for asked in d.questions for q in asked
        )
        tokenizer = build_tokenizer((text for _, *both in texts for text in both), min_count=2)
        tower, scores = train_tower(options)
    text = {
        "vocab_size": len(tokenizer),
        "d_model": options.width,
        "encoder_layers": options.layers[0],
        "decoder_layers": options.layers[1],
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": options.ffn,
        "decoder_ffn_dim": options.ffn,
        "max_position_embeddings": 128,
        "dropout": 0.0,
        "init_std": 0.05,
    }
    shape = {"feature_dim": tower.num_features, "num_visual_tokens": None, "max_images": 3}
    network = VLBart(text, vision=tower, **shape)
    if options.resume:
        load_base(network, source)
    elif source:
        load_base(VLBart(text, vision=tower, **shape), source)
    tower.eval().requires_grad_(False)
    logger.info("%d parameters, %d words", sum(p.numel() for p in network.parameters()), len(tokenizer))

    def save(step: int, told: dict[str, float]) -> None:
        facts = {
            "network": {"text": text, **shape},
            "image_size": SummaryTower.image_size,
            "world": "boxes",
            "commands": ["python " + " ".join(sys.argv)],
            "seed": options.seed,
            "steps": step,
            "seconds": round(time.time() - started),
            "tower_scores": scores,
            "scores": told,
        }
        save_base(network, tokenizer, options.out, facts)

    if not source:
        save(0, {})
    held_out = Course(tower, tokenizer, options.seed + 10_000, 16).next_chunk()
    course = Course(tower, tokenizer, options.seed + 30_000 + options.first_step, options.chunk)
    trained = [p for name, p in network.named_parameters() if not name.startswith("vision.")]
    optimizers = make_optimizers(options.optimizer, network, trained, options.lr)
    losses = []
    network.train()
    tower.eval()
    batches = course_batches(course, options.passes, options.batch_size, options.seed)
    for step in range(options.first_step + 1, options.steps + 1):
        warmup = options.warmup + (options.first_step if options.resume else 0)
        loss = network.loss(next(batches))
        network.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = options.lr * rate(step, options.steps, warmup)
            optimizer.step()
        losses.append(loss.item())
        if step % 100 == 0:
            logger.info("step %d loss %.4f (%.0f s)", step, np.mean(losses[-100:]), time.time() - started)
        if step % options.save_every == 0 or step == options.steps:
            told = network_scores(network, held_out, 4000 if step == options.steps else 1000)
            tower.eval()
            logger.info("step %d held-out %s", step, told)
            save(step, told)


if __name__ == "__main__":
    main()
