"""The embedded TextVQA: signs with words and numbers, in the files of `playground/data/eval/textvqa`.

    <folder>/llava_textvqa_val_v051_ocr.jsonl
    <folder>/TextVQA_0.5.1_val.json                   ten answers to each question
    <folder>/TextVQA_Rosetta_OCR_v0.2_val.json        what was read in each picture
    <folder>/train_images/0000000000000001.png

A picture has three signs of different colours, one below the other: words, and one number. The characters are
Pillow's built-in bitmap font, whose pixels are the same on every machine. In one picture of four the reader
of characters has misread one sign, as real ones do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import RandomState
from PIL import Image, ImageDraw, ImageFont

from data_modules.scenes.benchmark_files import NUM_HUMANS, SHORT_ANSWER, write_json, write_lines
from data_modules.scenes.scene import COLOURS, SIDE

WORDS = tuple(
    "bread milk north south stop exit open shop taxi hotel river stone light green paper tower".split()
)
PLACES = ("top", "middle", "bottom")
_HEIGHT = SIDE // 3
_LIKE = str.maketrans("oilsgt", "011597")  # what is taken for what


@dataclass(frozen=True)
class Sign:
    """A text on a ground of one colour."""

    text: str
    colour: str


def write(folder: Path, *, seed: int = 0, pictures: int = 80, questions_per_picture: int = 3) -> None:
    """Draws the world into `folder`.

    Args:
        folder: created if missing.
        seed: of the frozen random stream.
        pictures: how many.
        questions_per_picture: at most seven.
    """
    random = RandomState(seed + 33_000)  # no other world draws from these seeds
    (folder / "train_images").mkdir(parents=True, exist_ok=True)
    data: list[dict[str, Any]] = []
    read: list[dict[str, Any]] = []
    asked: list[dict[str, Any]] = []
    for number in range(1, pictures + 1):
        signs, image_id = _signs(random), f"{number:016x}"
        draw_signs(signs).save(folder / "train_images" / f"{image_id}.png")
        tokens = [sign.text.upper() for sign in signs]
        if number % 4 == 0:
            place = random.randint(len(tokens))
            tokens[place] = tokens[place].lower().translate(_LIKE)
        read.append({"image_id": image_id, "ocr_tokens": tokens})
        pairs = _questions(signs)
        for place in random.permutation(len(pairs))[:questions_per_picture]:
            question, answer = pairs[place]
            answers = [answer] * NUM_HUMANS
            data.append(
                {
                    "question_id": 34_602 + len(data),
                    "image_id": image_id,
                    "question": question,
                    "answers": answers,
                    "set_name": "val",
                }
            )
            asked.append(
                {
                    "question_id": image_id,
                    "image": f"{image_id}.png",
                    "text": f"{question}\nReference OCR token: {', '.join(tokens)}\n{SHORT_ANSWER}",
                    "category": "default",
                }
            )
    write_json(folder / "TextVQA_0.5.1_val.json", {"dataset_type": "val", "data": data})
    write_json(folder / "TextVQA_Rosetta_OCR_v0.2_val.json", {"data": read})
    write_lines(folder / "llava_textvqa_val_v051_ocr.jsonl", asked)


def _signs(random: RandomState) -> tuple[Sign, ...]:
    words = [WORDS[i] for i in random.permutation(len(WORDS))[: len(PLACES)]]
    words[random.randint(len(words))] = str(random.randint(10, 10_000))
    colours = [tuple(COLOURS)[i] for i in random.permutation(len(COLOURS))]
    return tuple(Sign(word, colour) for word, colour in zip(words, colours, strict=False))


def _questions(signs: tuple[Sign, ...]) -> list[tuple[str, str]]:
    by_place = [
        (f"what is written at the {place}?", sign.text) for place, sign in zip(PLACES, signs, strict=True)
    ]
    by_colour = [(f"what is written on the {sign.colour} sign?", sign.text) for sign in signs]
    return [*by_place, *by_colour, ("what is the number?", next(s.text for s in signs if s.text.isdigit()))]


def draw_signs(signs: tuple[Sign, ...]) -> Image.Image:
    """The signs below each other, 96 x 96 pixels, white characters twice the size of the font's."""
    picture = Image.new("RGB", (SIDE, SIDE), (225, 225, 225))
    for place, sign in enumerate(signs):
        top = place * _HEIGHT
        ImageDraw.Draw(picture).rectangle((2, top + 2, SIDE - 3, top + _HEIGHT - 3), COLOURS[sign.colour])
        letters = _letters(sign.text.upper())
        left = (SIDE - letters.width) // 2
        white = Image.new("RGB", letters.size, (255, 255, 255))
        picture.paste(white, (left, top + (_HEIGHT - letters.height) // 2), letters)
    return picture


def _letters(text: str) -> Image.Image:
    """A mask of the text, cut to its characters."""
    font = ImageFont.load_default_imagefont()
    mask = Image.new("L", (12 * len(text) + 12, 24), 0)
    # The space keeps room for what a first letter has left of its origin.
    ImageDraw.Draw(mask).text((2, 2), f" {text}", font=font, fill=255)
    pixels = np.asarray(mask)
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    cut = mask.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return cut.resize((2 * cut.width, 2 * cut.height), Image.Resampling.NEAREST)
