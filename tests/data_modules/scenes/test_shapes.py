from __future__ import annotations

import hashlib
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from data_modules.scenes import shapes, shapes_drawing, shapes_logic
from data_modules.scenes.shapes_logic import Scenes

# Of val.input.npy at seed 1, four pictures a question; a change of drawing changes it.
PIXELS = "ec3dbe9a6756d9f1d074253b9575a23519fc49b82be8c0b5eb98d4ab78181883"
REAL_SPLITS = {"train.tiny": 64, "train.small": 640, "val": 1024}


@pytest.fixture
def real(shared: Path) -> Path:
    folder = shared / "data" / "shapes"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    return folder


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def seen_in(pictures: np.ndarray) -> Scenes:
    """What pictures (n, 30, 30, 3) in red, green, blue show, judged by eye rules, not by the drawing code.

    A square fills its bounding box, a circle about pi / 4 of it, and only a triangle is lighter above.
    """
    cells = pictures.reshape(-1, 3, 10, 3, 10, 3).swapaxes(2, 3).astype(float)
    strongest = cells.max(axis=(3, 4))
    light = cells.max(axis=-1) / np.maximum(strongest.max(-1), 1)[..., None, None]
    top_heavy = light[..., :5, :].sum((-2, -1)) / np.maximum(light[..., 5:, :].sum((-2, -1)), 1e-9)
    fullness = light.sum((-2, -1)) / np.maximum(light.sum(-1).max(-1) * light.sum(-2).max(-1), 1e-9)
    shape = np.where(top_heavy < 0.8, 2, np.where(fullness > 0.9, 1, 0))
    filled = strongest.max(-1) > 0
    return Scenes(np.where(filled, strongest.argmax(-1), -1), np.where(filled, shape, -1))


@pytest.mark.parametrize(("split", "items"), REAL_SPLITS.items())
def test_executor_gives_every_real_label(real: Path, split: str, items: int) -> None:
    scenes = seen_in(np.load(real / f"{split}.input.npy")[..., ::-1])
    queries, labels = lines(real / f"{split}.query"), lines(real / f"{split}.output")
    assert len(queries) == items
    got = [shapes_logic.answers(query, scenes[i : i + 1])[0] for i, query in enumerate(queries)]
    assert ["true" if g else "false" for g in got] == labels


@pytest.mark.parametrize("split", REAL_SPLITS)
def test_sentences_are_the_real_ones(real: Path, split: str) -> None:
    queries, sentences = lines(real / f"{split}.query"), lines(real / f"{split}.query_str.txt")
    assert [shapes_logic.sentence(query) for query in queries] == sentences


def test_grammar_holds_every_real_question(real: Path) -> None:
    grammar = {query for relations in range(3) for query in shapes_logic.questions(relations)}
    published = set(lines(real / "train.large.queries_unique.txt")) | set(lines(real / "val.query"))
    assert len(grammar) == 36 + 144 + 576
    assert published <= grammar


def test_drawn_pictures_look_like_real_ones(real: Path) -> None:
    pictures = np.concatenate([np.load(real / f"{split}.input.npy") for split in REAL_SPLITS])[..., ::-1]
    scenes = seen_in(pictures)
    cells = pictures.reshape(-1, 3, 10, 3, 10, 3).swapaxes(2, 3)[scenes.shapes >= 0].astype(float)
    light = (cells.max(-1) / cells.max((1, 2, 3))[:, None, None])[:3000]
    templates = shapes_drawing.coverage()[scenes.shapes[scenes.shapes >= 0][:3000]] / 32**2
    nearest = abs(light[:, None] - templates).max((2, 3)).min(1)
    assert nearest.max() < 0.1  # of full brightness: the real pictures smooth edges a little differently
    assert abs((scenes.shapes >= 0).mean() - 0.8) < 0.02
    drawn = shapes_drawing.draw_pictures(scenes, np.random.RandomState(0))
    for channel in range(3):
        assert abs(drawn[..., channel].mean() - pictures[..., channel].mean()) < 1.0


def test_drawn_pictures_show_their_scenes() -> None:
    random = np.random.RandomState(3)
    scenes = shapes_drawing.draw_scenes(500, random)
    seen = seen_in(shapes_drawing.draw_pictures(scenes, random))
    assert (seen.colours == scenes.colours).all() and (seen.shapes == scenes.shapes).all()


def test_relations_step_once_and_drop_what_leaves_the_grid() -> None:
    colours = np.full((1, 3, 3), -1)
    colours[0, 0, 1] = shapes_logic.COLOURS.index("red")
    scenes = Scenes(colours, np.where(colours < 0, -1, 0))
    assert np.argwhere(shapes_logic.where(("below", "red"), scenes)[0]).tolist() == [[1, 1]]
    assert np.argwhere(shapes_logic.where(("left_of", "red"), scenes)[0]).tolist() == [[0, 0]]
    assert np.argwhere(shapes_logic.where(("right_of", ("below", "red")), scenes)[0]).tolist() == [[1, 2]]
    assert not shapes_logic.where(("below", ("above", "red")), scenes).any()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "red",
        "(is red)",
        "(is red (over circle))",
        "(is red circle) x",
        "(is red (above circle)",
        "(is (is red red) red)",
    ],
)
def test_unreadable_logical_form_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="no SHAPES"):
        shapes_logic.parse(text)


def test_world_is_the_same_everywhere(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shapes.write(tmp_path / name, seed=1, train_pictures=4, held_out_pictures=4)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(
        f"{split}.{kind}"
        for split in ("train.large", "train.small", "val", "test")
        for kind in ("input.npy", "query", "query_str.txt", "output")
    )
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    pixels = np.load(tmp_path / "a" / "val.input.npy")
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == PIXELS


def test_world_asks_held_out_questions_of_other_pictures(tmp_path: Path) -> None:
    shapes.write(tmp_path, train_pictures=8, held_out_pictures=8)
    asked = {s: set(lines(tmp_path / f"{s}.query")) for s in ("train.large", "val", "test")}
    assert {s: len(q) for s, q in asked.items()} == {"train.large": 212, "val": 16, "test": 16}
    assert not asked["train.large"] & asked["val"] and not asked["test"] & (
        asked["val"] | asked["train.large"]
    )
    assert set(lines(tmp_path / "train.small.query")) < asked["train.large"]
    asked["train.small"] = set()
    pictures = {s: {p.tobytes() for p in np.load(tmp_path / f"{s}.input.npy")} for s in asked}
    assert all(not pictures[a] & pictures[b] for a, b in combinations(pictures, 2))


def test_written_labels_are_those_of_the_pictures_and_balanced(tmp_path: Path) -> None:
    queries = [
        "(is red circle)",
        "(is red green)",
        "(is blue (above (below red)))",
        "(is red (left_of blue))",
    ]
    shapes.write_split(tmp_path, "some", queries, seed=0, pictures_per_question=20, balanced=True)
    scenes = seen_in(np.load(tmp_path / "some.input.npy")[..., ::-1])
    asked, labels = lines(tmp_path / "some.query"), lines(tmp_path / "some.output")
    truth = [bool(shapes_logic.answers(query, scenes[i : i + 1])[0]) for i, query in enumerate(asked)]
    assert [label == "true" for label in labels] == truth
    assert Counter(q for q, t in zip(asked, truth, strict=True) if t) == {queries[0]: 10, queries[3]: 10}
    assert lines(tmp_path / "some.query_str.txt") == [shapes_logic.sentence(query) for query in asked]


def test_samples_tell_the_truth_and_ask_no_question_of_shapes() -> None:
    every = {query: shapes_logic.sentence(query) for n in range(3) for query in shapes_logic.questions(n)}
    attributes = {shapes_logic.noun(a): a for a in shapes_logic.ATTRIBUTES}
    steps = {shapes_logic.noun((s, a)): (s, a) for s in shapes_logic.STEPS for a in shapes_logic.ATTRIBUTES}
    for sample in shapes.samples(seed=5, count=40):
        scene = seen_in(sample.pixels)
        assert sample.cells.shape == (1, 3, 3, len(shapes.CELL_CHANNELS))
        assert (sample.cells[..., -1] == (scene.shapes < 0)).all()
        for i, attribute in enumerate(shapes_logic.ATTRIBUTES):
            assert (sample.cells[..., i] == shapes_logic.where(attribute, scene)).all()
        for kind, prompt, target in sample.questions:
            assert prompt.removeprefix("shapes: ") not in every.values()
            words = np.array(target.split()).reshape(1, 3, 3)
            if kind in ("colours", "shapes"):
                names = np.array([*getattr(shapes_logic, kind.upper()), "nothing"])
                assert (words == names[getattr(scene, kind)]).all()
            else:
                form = {**attributes, **steps}[prompt.removeprefix("shapes: where is ")]
                assert ((words == "true") == shapes_logic.where(form, scene)).all()


def test_samples_come_in_the_number_asked_for_and_depend_on_the_seed_alone() -> None:
    first, again, other = (list(shapes.samples(seed, 300)) for seed in (0, 0, 1))
    assert len(first) == 300
    assert all(
        (a.pixels == b.pixels).all() and a.questions == b.questions for a, b in zip(first, again, strict=True)
    )
    assert not (first[0].pixels == other[0].pixels).all()
