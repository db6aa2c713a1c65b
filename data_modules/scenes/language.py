"""What can be asked about a scene: each kind lists every fitting (question, answer) pair.

Pretraining and fine-tuning ask different kinds in the same words: counting by colour and by pairs
of attributes against counting by shape or size alone; telling or choosing relations between named
things against judging them with yes or no.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from data_modules.scenes.scene import COLOURS, GRID, SHAPES, SIZES, Scene, Thing

Pairs = list[tuple[str, str]]
Kinds = Mapping[str, Callable[[Scene], Pairs]]

DIRECTIONS: dict[str, Callable[[Thing, Thing], bool]] = {
    "left of": lambda a, b: a.column < b.column,
    "right of": lambda a, b: a.column > b.column,
    "above": lambda a, b: a.row < b.row,
    "below": lambda a, b: a.row > b.row,
}
FURTHEST = {"left": "left of", "right": "right of", "up": "above", "down": "below"}


def plural(shape: str) -> str:
    return shape + ("es" if shape.endswith("s") else "s")


def _count(things: tuple[Thing, ...], **attributes: str) -> int:
    return sum(all(getattr(t, k) == v for k, v in attributes.items()) for t in things)


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def _zone(thing: Thing) -> str:
    rows, columns = ("top", "middle", "bottom"), ("left", "center", "right")
    return f"{rows[thing.row * 3 // GRID]} {columns[thing.column * 3 // GRID]}"


# --- what pretraining asks -------------------------------------------------------------------


def total(scene: Scene) -> Pairs:
    return [("how many things are there?", str(len(scene.things)))]


def count_colour(scene: Scene) -> Pairs:
    return [(f"how many {c} things are there?", str(_count(scene.things, colour=c))) for c in COLOURS]


def count_pair(scene: Scene) -> Pairs:
    by_shape = [
        (f"how many {c} {plural(s)} are there?", str(_count(scene.things, colour=c, shape=s)))
        for c in COLOURS
        for s in SHAPES
    ]
    by_size = [
        (f"how many {z} {c} things are there?", str(_count(scene.things, colour=c, size=z)))
        for c in COLOURS
        for z in SIZES
    ]
    return by_shape + by_size


def exists_pair(scene: Scene) -> Pairs:
    return [
        (f"is there a {c} {s}?", _yes(_count(scene.things, colour=c, shape=s) > 0))
        for c in COLOURS
        for s in SHAPES
    ]


def size_check(scene: Scene) -> Pairs:
    return [(f"is the {t.name} {z}?", _yes(t.size == z)) for t in scene.unique_things() for z in SIZES]


def half_check(scene: Scene) -> Pairs:
    """Is a named thing on the left, right, top or bottom half."""
    half = GRID // 2
    return [
        (f"is the {t.name} on the {side}?", _yes(fact))
        for t in scene.unique_things()
        for side, fact in (
            ("left", t.column < half),
            ("right", t.column >= half),
            ("top", t.row < half),
            ("bottom", t.row >= half),
        )
    ]


def colour_of(scene: Scene) -> Pairs:
    shapes = [t.shape for t in scene.things]
    return [(f"what color is the {t.shape}?", t.colour) for t in scene.things if shapes.count(t.shape) == 1]


def shape_of(scene: Scene) -> Pairs:
    colours = [t.colour for t in scene.things]
    return [
        (f"what shape is the {t.colour} thing?", t.shape)
        for t in scene.things
        if colours.count(t.colour) == 1
    ]


def size_of(scene: Scene) -> Pairs:
    return [(f"what size is the {t.name}?", t.size) for t in scene.unique_things()]


def position(scene: Scene) -> Pairs:
    return [(f"where is the {t.name}?", _zone(t)) for t in scene.unique_things()]


def which_relation(scene: Scene) -> Pairs:
    """Which thing lies on one side of a named one; asked when exactly one does."""
    return _by_relation(scene, "which thing is {} the {}?", lambda thing: thing.name)


def which_further(scene: Scene) -> Pairs:
    """Which of two named things is further to one side."""
    things = scene.unique_things()
    return [
        (
            f"which is further {side}, the {a.name} or the {b.name}?",
            f"the {a.name if holds(a, b) else b.name}",
        )
        for a in things
        for b in things
        if a is not b
        for side, holds in ((side, DIRECTIONS[words]) for side, words in FURTHEST.items())
        if holds(a, b) or holds(b, a)
    ]


def more_of_two(scene: Scene) -> Pairs:
    found = []
    for a in COLOURS:
        for b in COLOURS:
            first, second = _count(scene.things, colour=a), _count(scene.things, colour=b)
            if a != b and first + second:
                answer = a if first > second else b if second > first else "equal"
                found.append((f"are there more {a} or {b} things?", answer))
    return found


def caption(scene: Scene) -> Pairs:
    """Everything in reading order."""
    return [("", ", ".join(f"{t.size} {t.name}" for t in scene.things))]


def caption_relation(scene: Scene) -> Pairs:
    """How two named things lie to each other."""
    found = []
    for a in scene.unique_things():
        for b in scene.unique_things():
            words = [w for w, holds in DIRECTIONS.items() if holds(a, b)]
            if a is not b and words:
                target = f"the {a.name} is {' and '.join(words)} the {b.name}"
                found.append((f"the {a.name} and the {b.name}", target))
    return found


def caption_comparison(scene: Scene) -> Pairs:
    found = []
    for a in COLOURS:
        for b in COLOURS:
            first, second = _count(scene.things, colour=a), _count(scene.things, colour=b)
            if a != b and first + second:
                more = {True: f"more {a} things than {b} things", False: f"more {b} things than {a} things"}
                same = f"as many {a} things as {b} things"
                found.append((f"{a} and {b}", same if first == second else more[first > second]))
    return found


PRETRAINING: Kinds = {
    "total": total,
    "count_colour": count_colour,
    "count_pair": count_pair,
    "exists_pair": exists_pair,
    "size_check": size_check,
    "half_check": half_check,
    "colour_of": colour_of,
    "shape_of": shape_of,
    "size_of": size_of,
    "position": position,
    "which_relation": which_relation,
    "which_further": which_further,
    "more_of_two": more_of_two,
}
CAPTIONS: Kinds = {
    "caption": caption,
    "caption_relation": caption_relation,
    "caption_comparison": caption_comparison,
}


# --- what fine-tuning asks; names are VQAv2 question types (the leading words) ----------------


def count_shape(scene: Scene) -> Pairs:
    return [(f"how many {plural(s)} are there?", str(_count(scene.things, shape=s))) for s in SHAPES]


def count_size(scene: Scene) -> Pairs:
    return [(f"how many {z} things are there?", str(_count(scene.things, size=z))) for z in SIZES]


def exists_sized(scene: Scene) -> Pairs:
    return [
        (f"is there a {z} {s}?", _yes(_count(scene.things, size=z, shape=s) > 0))
        for z in SIZES
        for s in SHAPES
    ]


def judge_relation(scene: Scene) -> Pairs:
    """Is one named thing on one side of another; things level with each other are not asked about."""
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    things = scene.unique_things()
    return [
        (f"is the {a.name} {words} the {b.name}?", _yes(holds(a, b)))
        for a in things
        for b in things
        if a is not b
        for words, holds in DIRECTIONS.items()
        if holds(a, b) or DIRECTIONS[opposite[words]](a, b)
    ]


def judge_more(scene: Scene) -> Pairs:
    return [
        (
            f"are there more {a} things than {b} things?",
            _yes(_count(scene.things, colour=a) > _count(scene.things, colour=b)),
        )
        for a in COLOURS
        for b in COLOURS
        if a != b and _count(scene.things, colour=a) + _count(scene.things, colour=b)
    ]


def colour_by_relation(scene: Scene) -> Pairs:
    return _by_relation(scene, "what color is the thing {} the {}?", lambda thing: thing.colour)


def shape_by_relation(scene: Scene) -> Pairs:
    return _by_relation(scene, "what shape is the thing {} the {}?", lambda thing: thing.shape)


def _by_relation(scene: Scene, question: str, answer: Callable[[Thing], str]) -> Pairs:
    """Asks, with the side and the named thing filled in, about the only thing on that side."""
    found = []
    for named in scene.unique_things():
        for words, holds in DIRECTIONS.items():
            others = [t for t in scene.things if holds(t, named)]
            if len(others) == 1:
                found.append((question.format(words, named.name), answer(others[0])))
    return found


FINE_TUNING: Kinds = {
    "how many shapes": count_shape,
    "how many sizes": count_size,
    "is there a": exists_sized,
    "is the": judge_relation,
    "are there more": judge_more,
    "what color is the": colour_by_relation,
    "what shape is the": shape_by_relation,
}
