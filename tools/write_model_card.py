"""Writes the model card of a tiny base from the facts in its `network.json`.

python tools/write_model_card.py vl_dora/bases/tiny_scenes
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

CARD = """# {name}

A tiny VL-BART (`vl_dora.models.vl_bart.VLBart`) made by this project for its embedded
worlds: {million:.2f} M parameters, width {width}, {encoder} encoder and {decoder} decoder layers, a
convolutional tower with {tokens} visual tokens per picture of {size} x {size} pixels.
It knows its drawn world and nothing else; it is a base to adapt on a laptop, not a model of the real world.

## How it was made

{commands}

{step} steps, {minutes:.0f} minutes in all on one CPU thread. Stage 1 trained the tower to tell what every
grid cell holds (held-out: {tower});
stage 2 trained the rest on captions and questions of the world `{world}` with the tower frozen.
{fine_tuning}{note}

## Scores on held-out scenes of its own pretraining world

Exact answers in percent, greedy decoding, up to {limit} questions of each kind.

| kind | exact |
|---|---|
{rows}
| **mean** | **{mean:.2f}** |

Weights: Apache-2.0, trained on drawn pictures and generated text only.
"""


def write_card(directory: Path) -> None:
    """Writes `README.md` beside the base's weights, as a whole or not at all."""
    from safetensors import safe_open

    facts = json.loads((directory / "network.json").read_text())
    with safe_open(directory / "model.safetensors", "pt") as weights:
        sizes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118
    count = 0
    for shape in sizes:
        product = 1
        for extent in shape:
            product *= extent
        count += product
    text, scores = facts["network"]["text"], facts["scores"]
    card = CARD.format(
        name=directory.name,
        million=count / 1e6,
        width=text["d_model"],
        encoder=text["encoder_layers"],
        decoder=text["decoder_layers"],
        tokens=facts["network"]["num_visual_tokens"] or "ten summary",
        size=facts["image_size"],
        commands="\n".join(f"    {command}" for command in facts["commands"]),
        step=facts["steps"],
        minutes=facts["seconds"] / 60,
        tower=", ".join(
            f"{name.replace('_', ' ')} {value} %" for name, value in facts["tower_scores"].items()
        ),
        world=facts["world"],
        fine_tuning=facts.get("fine_tuning", "Fine-tuning asks questions that stage 2 never asked."),
        note=f"\n\n{facts['note']}" if facts.get("note") else "",
        limit=facts["questions_a_kind"],
        rows="\n".join(f"| {kind.replace('_', ' ')} | {value:.2f} |" for kind, value in scores.items()),
        mean=sum(scores.values()) / len(scores),
    )
    temporary = directory / "README.md.tmp"
    temporary.write_text(card)
    os.replace(temporary, directory / "README.md")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "network.json").is_file():
        sys.exit("usage: python tools/write_model_card.py <directory of a base>")
    write_card(Path(sys.argv[1]))
