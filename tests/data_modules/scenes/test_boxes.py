"""The world of boxes: deterministic pictures, balanced statements, labels that meanings agree with."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from PIL import Image

from data_modules.scenes import boxes, boxes_items, boxes_towers
from data_modules.scenes.boxes_facts import CELL_CHANNELS, cells, facts
from data_modules.scenes.boxes_files import ORDERS, write
from data_modules.scenes.boxes_meaning import Bank
from data_modules.scenes.boxes_pictures import (
    COLOURS,
    SHAPES,
    Thing,
    apart,
    change,
    is_towers,
    paint,
    scattered,
    side_by_side,
    towers,
)
from data_modules.scenes.boxes_words import Speaker

HUES = {"Black": 0, "#0099ff": 1, "Yellow": 2}


def scene_of(boxes_described):
    return tuple(
        tuple(
            Thing(SHAPES.index(o["type"]), HUES[o["color"]], o["size"], o["x_loc"], o["y_loc"]) for o in box
        )
        for box in boxes_described
    )


def test_drawn_pictures_equal_the_published_ones_of_the_same_scene(shared):
    folder = shared / "data/nlvr/dev"
    with (folder / "dev.json").open() as lines:
        rows = [json.loads(next(lines)) for _ in range(60)]
    for row in rows:
        pixels = paint(scene_of(row["structured_rep"]))
        for k, order in enumerate(ORDERS):
            name = folder / "images" / row["directory"] / f"dev-{row['identifier']}-{k}.png"
            published = np.asarray(Image.open(name).convert("RGB")).astype(int)
            drawn = side_by_side(pixels[list(order)]).astype(int)
            error = np.abs(drawn - published).max(-1)
            assert error.max() <= 16, name  # of 255, at smoothed edges
            assert (error > 0).mean() < 0.01, name


def test_things_lie_inside_their_box_and_apart():
    rng = np.random.RandomState(3)
    for _ in range(100):
        for box in change(rng, scattered(rng)):
            for i, thing in enumerate(box):
                assert 0 <= thing.x <= 100 - thing.size and 0 <= thing.y <= 100 - thing.size
                assert apart(thing, box[:i])


def test_a_change_of_towers_is_towers():
    rng = np.random.RandomState(4)
    for _ in range(200):
        changed = change(rng, towers(rng))
        assert is_towers(changed) and all(1 <= len(box) <= 4 for box in changed)


def test_samples_are_the_same_for_the_same_seed_and_differ_for_another():
    first, again, other = (list(boxes.samples(seed, 20)) for seed in (1, 1, 2))
    assert all(
        (a.pixels == b.pixels).all() and a.questions == b.questions for a, b in zip(first, again, strict=True)
    )
    assert any(a.questions != b.questions for a, b in zip(first, other, strict=True))


def test_a_sample_has_three_boxes_and_cells_by_channel():
    for sample in boxes.samples(5, 8):
        assert sample.pixels.shape == (3, 100, 100, 3) and sample.pixels.dtype == np.uint8
        assert sample.cells.shape == (3, 6, 6, len(CELL_CHANNELS)) and sample.cells.dtype == bool


def test_every_statement_is_asked_as_often_with_the_answer_true_as_false():
    answers = defaultdict(Counter)
    for sample in boxes.samples(6, 256):  # whole families: two banks of 64, twice
        for kind, prompt, target in sample.questions:
            if kind in ("towers", "items"):
                answers[prompt][target] += 1
    assert len(answers) > 300
    assert all(count["true"] == count["false"] for count in answers.values())


@pytest.mark.parametrize("drawing, language", [(towers, boxes_towers), (scattered, boxes_items)])
def test_the_truth_of_a_statement_does_not_depend_on_the_order_of_the_boxes(drawing, language):
    rng = np.random.RandomState(7)
    scenes = [drawing(rng) for _ in range(40)]
    speaker = Speaker(rng, scenes[0])
    for number in range(300):
        speaker.look(scenes[number % 40])
        text, truth = language.statement(speaker)
        told = [truth(Bank([tuple(scene[i] for i in order) for scene in scenes])) for order in ORDERS]
        assert all((t == told[0]).all() for t in told), text


PLAIN = {
    "there are two yellow blocks": lambda s: sum(t.colour == 2 for b in s for t in b) == 2,
    "there is a yellow tower": lambda s: any(all(t.colour == 2 for t in b) for b in s),
    "there is a black block as the top of a tower": lambda s: any(b[-1].colour == 0 for b in s),
    "there is a yellow block as the base of a tower": lambda s: any(b[0].colour == 2 for b in s),
    "there is a blue block over a blue block": lambda s: any(
        b[i].colour == 1 and b[i + 1].colour == 1 for b in s for i in range(len(b) - 1)
    ),
    "there is a black triangle": lambda s: any(t.colour == 0 and t.shape == 2 for b in s for t in b),
    "there are two black squares": lambda s: sum(t.colour == 0 and t.shape == 1 for b in s for t in b) == 2,
    "each box has the same number of items": lambda s: len({len(b) for b in s}) == 1,
    "there is exactly one blue triangle": lambda s: (
        sum(t.colour == 1 and t.shape == 2 for b in s for t in b) == 1
    ),
}


@pytest.mark.slow
def test_statements_mean_what_plain_counting_says():
    found = set()
    for drawing, language in ((towers, boxes_towers), (scattered, boxes_items)):
        rng = np.random.RandomState(8)
        scenes = [drawing(rng) for _ in range(64)]
        bank, speaker = Bank(scenes), Speaker(rng, scenes[0])
        for number in range(40_000):
            speaker.look(scenes[number % 64])
            text, truth = language.statement(speaker)
            if text in PLAIN and text not in found:
                found.add(text)
                assert truth(bank).tolist() == [PLAIN[text](scene) for scene in scenes], text
    assert found == set(PLAIN)


def test_facts_count_what_is_there():
    rng = np.random.RandomState(9)
    scenes = [scattered(rng) for _ in range(30)]
    told = facts(Bank(scenes))
    names, values = told["kinds"]
    place = names.index("blue square >= 2")
    for s, scene in enumerate(scenes):
        for b, box in enumerate(scene):
            assert values[s, b, place] == (sum((t.colour, t.shape) == (1, 1) for t in box) >= 2)
    names, values = told["wall"]
    for s, scene in enumerate(scenes):
        for b, box in enumerate(scene):
            assert values[s, b, names.index("thing >= 1")] == any(any(t.walls) for t in box)


def test_cells_name_the_thing_centred_in_them():
    scene = ((Thing(2, 2, 10, 90, 90),), (Thing(0, 0, 30, 0, 0),), (Thing(1, 1, 20, 40, 80),))
    told = cells(Bank([scene]))[0]
    named = [
        {(r, c, CELL_CHANNELS[k]) for r, c, k in zip(*np.nonzero(box), strict=True) if k < 27} for box in told
    ]
    assert named == [{(5, 5, "yellow triangle 10")}, {(0, 0, "black circle 30")}, {(5, 3, "blue square 20")}]


def test_write_gives_the_official_files_with_true_labels_and_disjoint_presentations(tmp_path):
    write(tmp_path, seed=3, train_statements=12, dev_statements=6, test_statements=4)
    seen = set()
    for split, name, count in (("train", "train_gold", 12), ("dev", "dev", 6), ("test", "test", 4)):
        rows = [json.loads(line) for line in (tmp_path / split / f"{name}.json").read_text().splitlines()]
        assert len(rows) == count
        presentations = {row["identifier"].split("-")[0] for row in rows}
        assert not presentations & seen
        seen |= presentations
        for row in rows:
            pixels = paint(scene_of(row["structured_rep"]))
            for k, order in enumerate(ORDERS):
                path = tmp_path / split / "images" / row["directory"] / f"{split}-{row['identifier']}-{k}.png"
                assert (np.asarray(Image.open(path)) == side_by_side(pixels[list(order)])).all()


def test_colour_and_shape_names_are_those_of_the_corpus():
    assert (COLOURS, SHAPES) == (("black", "blue", "yellow"), ("circle", "square", "triangle"))
