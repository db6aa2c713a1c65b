"""What five people say of a drawn scene, as differently as people do and never falsely.

All look at much the same: large things and lone colours catch the eye first. But each picks what to tell
(two things side by side, a thing and its place, how many there are of each sort, the whole, one sort
beside a lone thing), what to call a thing, and an order of words. So what one says is only in part what
the others say, and none of them says everything. The words are those of the tiny base; it has read none of
the sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from numpy.random import RandomState

from data_modules.scenes.language import DIRECTIONS, plural
from data_modules.scenes.scene import GRID, Scene, Thing

PEOPLE = 5
OPPOSITE = {"above": "below", "below": "above", "left of": "right of", "right of": "left of"}

# How many of a hundred people look first at the thing that stands out most, next most, third.
_LOOKS = (65, 25, 10)
# How many of a hundred tell these of a thing.
_NAMES = {("size", "colour", "shape"): 55, ("colour", "shape"): 30, ("size", "shape"): 15}

T = TypeVar("T")


@dataclass(frozen=True)
class View:
    """One person before one scene.

    Args:
        scene: what there is.
        main: the thing looked at first.
        other: of the others, the one that stands out most.
        told: what this person tells of a thing, in this order.
    """

    scene: Scene
    main: Thing
    other: Thing
    told: tuple[str, ...]

    def name(self, thing: Thing) -> str:
        """`a red circle`, `a large circle` or `a large red circle`, as the person names things."""
        words = [getattr(thing, attribute) for attribute in self.told]
        # "an" is no word of the base: an orange thing is told with its size.
        return f"a {' '.join([thing.size] * (words[0] == 'orange') + words)}"

    def sort(self, things: list[Thing]) -> str:
        """What all of these are: the thing itself, `2 red circles`, `3 red things` or `2 crosses`."""
        if len(things) == 1:
            return self.name(things[0])
        colours, shapes = {t.colour for t in things}, {t.shape for t in things}
        noun = plural(shapes.pop()) if len(shapes) == 1 else "things"
        return f"{len(things)} {colours.pop()} {noun}" if len(colours) == 1 else f"{len(things)} {noun}"


def captions(scene: Scene, random: RandomState) -> list[str]:
    """Five different captions of a scene, each true of it.

    Args:
        scene: of three things or more.
        random: the stream to draw people and their habits from.
    """
    told: list[str] = []
    while len(told) < PEOPLE:
        telling = _drawn(TELLINGS, random)
        text = telling(_view(scene, random), random)
        if text not in told:
            told.append(text)
    return told


def by_salience(scene: Scene) -> list[Thing]:
    """The things as they catch the eye: large ones, then those alone in their colour, in reading order."""
    colours = [thing.colour for thing in scene.things]
    return sorted(scene.things, key=lambda t: -(2 * (t.size == "large") + (colours.count(t.colour) == 1)))


def _view(scene: Scene, random: RandomState) -> View:
    ranked = by_salience(scene)
    main = _drawn(dict(zip(ranked, _LOOKS, strict=False)), random)
    other = next(thing for thing in ranked if thing is not main)
    return View(scene, main, other, _drawn(_NAMES, random))


# --- what a person tells ---------------------------------------------------------------------


def two_things(view: View, random: RandomState) -> str:
    """The thing looked at and the one that stands out most beside it."""
    a, b, side = view.name(view.main), view.name(view.other), _side(view.main, view.other)
    forms = {
        f"{a} {side} {b}": 45,
        f"there is {a} {side} {b}": 20,
        f"{b} {OPPOSITE[side]} {a}": 20,
        f"{a} which is {side} {b}": 15,
    }
    return _drawn(forms, random)


def place(view: View, random: RandomState) -> str:
    """Where the thing looked at lies in the picture, perhaps with a second one."""
    a, b = view.name(view.main), view.name(view.other)
    here, there = _quarter(view.main), _quarter(view.other)
    forms = {
        f"{a} on the {here}": 35,
        f"there is {a} on the {here}": 30,
        f"on the {here} there is {a}": 20,
        f"{a} on the {here} and {b} on the {there}": 15,
    }
    return _drawn(forms, random)


def sorts(view: View, random: RandomState) -> str:
    """How many there are of the two largest sorts, by colour or by shape."""
    attribute = _drawn({"colour": 50, "shape": 50}, random)
    first, *others = sorted(_alike(view.scene, attribute), key=lambda things: -len(things))
    if not others:
        return f"there are {view.sort(first)}"
    told = f"{view.sort(first)} and {view.sort(others[0])}"
    verb = "are" if len(first) > 1 else "is"
    return _drawn({told: 50, f"there {verb} {told}": 50}, random)


def whole(view: View, random: RandomState) -> str:
    """How many things there are, and how many of them share the commonest colour or the large size."""
    things = view.scene.things
    common = max(_alike(view.scene, "colour"), key=len)
    large = sum(thing.size == "large" for thing in things)
    told = {common[0].colour: len(common), "large": large} if large else {common[0].colour: len(common)}
    word = _drawn({word: 50 for word in told}, random)
    n, k, verb = len(things), told[word], "is" if told[word] == 1 else "are"
    forms = {
        f"{n} things and {k} {verb} {word}": 35,
        f"there are {n} things, {k} of the things {verb} {word}": 35,
        f"{n} things, {k} {verb} {word}": 30,
    }
    return _drawn(forms, random)


def sort_beside(view: View, random: RandomState) -> str:
    """All things of one sort on one side of the thing looked at; two things where there is no such sort."""
    for attribute in ("colour", "shape"):
        for things in _alike(view.scene, attribute):
            sides = [s for s, holds in DIRECTIONS.items() if all(holds(t, view.main) for t in things)]
            if len(things) > 1 and sides:
                told = f"{view.sort(things)} {sides[-1]} {view.name(view.main)}"
                return _drawn({told: 60, f"there are {told}": 40}, random)
    return two_things(view, random)


Telling = Callable[[View, RandomState], str]
TELLINGS: Mapping[Telling, int] = {two_things: 38, place: 22, sorts: 18, whole: 10, sort_beside: 12}


# --- what is so ------------------------------------------------------------------------------


def _side(a: Thing, b: Thing) -> str:
    """On which side of `b` the thing `a` lies, along the longer way."""
    rows, columns = a.row - b.row, a.column - b.column
    if abs(rows) >= abs(columns):
        return "above" if rows < 0 else "below"
    return "left of" if columns < 0 else "right of"


def _quarter(thing: Thing) -> str:
    half = GRID // 2
    return f"{'top' if thing.row < half else 'bottom'} {'left' if thing.column < half else 'right'}"


def _alike(scene: Scene, attribute: str) -> list[list[Thing]]:
    """All things by what they share, in reading order of the first of each sort."""
    found: dict[str, list[Thing]] = {}
    for thing in scene.things:
        found.setdefault(getattr(thing, attribute), []).append(thing)
    return list(found.values())


def _drawn(shares: Mapping[T, int], random: RandomState) -> T:
    """One of the keys, each as often as its share of all."""
    place = random.randint(sum(shares.values()))
    for key, share in shares.items():
        place -= share
        if place < 0:
            return key
    raise AssertionError("the shares add up to more than was drawn")
