"""The model card of a tiny LLaVA base, from the facts in its `network.json`; used by `pretrain_llava`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

CARD = """# {name}

A tiny LLaVA (`vl_dora.models.llava.Llava`) made by this project for its drawn scenes: {million:.2f} M
parameters, a CLIP-shaped tower with {tokens} visual tokens for a picture of {size} x {size} pixels, a
two-layer projector, and a LLaMA of width {width} with {layers} layers and {words} words. It knows its drawn
world and nothing else; it is a base to adapt on a laptop, not a model of the real world.

## How it was made

{commands}

{steps} steps of the last stage, {minutes:.0f} minutes in all on one CPU thread. The tower was trained to
tell of every patch what lies there and where it is (held-out, percent: {tower})
and frozen; then the language part on scenes told in words, the projector alone on descriptions, and both on
conversations. Fine-tuning asks short questions that none of these stages asked.

## Scores on held-out conversations of its own pretraining world

Exact answers in percent, greedy decoding, earlier answers given, up to {limit} questions of each kind.

| kind | exact |
|---|---|
{rows}
| **mean** | **{mean:.2f}** |

Weights: Apache-2.0, trained on drawn pictures and generated text only.
"""


def write_card(directory: Path, facts: dict[str, Any], count: int) -> None:
    """Writes `README.md` beside a base's weights, as a whole or not at all.

    Args:
        directory: of the base.
        facts: what its `network.json` tells.
        count: its parameters.
    """
    text, scores = facts["network"]["text"], facts["scores"]
    card = CARD.format(
        name=directory.name,
        million=count / 1e6,
        tokens=(facts["image_size"] // facts["network"]["vision"]["patch_size"]) ** 2,
        size=facts["image_size"],
        width=text["hidden_size"],
        layers=text["num_hidden_layers"],
        words=text["vocab_size"],
        commands="\n".join(f"    {command}" for command in facts["commands"]),
        steps=facts["steps"],
        minutes=facts["seconds"] / 60,
        tower=", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts["tower_scores"].items()),
        limit=facts["questions_a_kind"],
        rows="\n".join(f"| {kind} | {value:.2f} |" for kind, value in scores.items()),
        mean=sum(scores.values()) / len(scores),
    )
    temporary = directory / "README.md.tmp"
    temporary.write_text(card)
    os.replace(temporary, directory / "README.md")
