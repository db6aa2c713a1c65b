"""Speaker: the words that people use of boxes, each drawn together with what it means.

The phrases follow what the training sentences of Cornell NLVR say and how they say it, slips included; no
sentence of its development or test files was read for them. Meanings were checked against official labels
of training pictures: a bare number means exactly that many, "a" means at least one, touching the base means
the floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from data_modules.scenes.boxes_meaning import Bank, Number, Things, kind
from data_modules.scenes.boxes_pictures import COLOURS, SHAPES, SIZES, Box, Scene

T = TypeVar("T")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Amount(NamedTuple):
    """How many: the words, whether a plural follows, and the numbers that satisfy it."""

    text: str
    plural: bool
    test: Number


class Noun(NamedTuple):
    """What: words for one and for several, and the things meant."""

    one: str
    many: str
    things: Things

    def after(self, amount: Amount) -> str:
        """The noun in the number that the amount asks for, behind it."""
        return spoken(f"{amount.text} {self.many if amount.plural else self.one}")


def spoken(text: str) -> str:
    """`a` before a vowel becomes `an`; double spaces go."""
    words = text.split()
    for i, word in enumerate(words[:-1]):
        if word == "a" and words[i + 1][0] in "aeio" and words[i + 1] != "one":
            words[i] = "an"
    return " ".join(words)


class Speaker:
    """Draws phrases, mostly such that fit one box of a scene, so that they are often true or nearly true.

    Args:
        rng: source of every draw.
        scene: what the speaker looks at.
    """

    def __init__(self, rng: np.random.RandomState, scene: Scene) -> None:
        self._rng = rng
        self._draws: list[int] = []
        self.look(scene)

    def look(self, scene: Scene) -> None:
        """Looks at another scene, and at one box of it."""
        self.scene = scene
        self.box: Box = scene[self.below(3)]

    def below(self, limit: int) -> int:
        """An integer in 0..limit - 1."""
        if not self._draws:
            self._draws = self._rng.randint(0, 1 << 30, 4096).tolist()
        return self._draws.pop() % limit

    def chance(self, percent: int) -> bool:
        return self.below(100) < percent

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def say(self, options: str) -> str:
        """One of several phrases separated by a bar; write a phrase twice to hear it more often."""
        return self.pick(options.split("|")).strip()

    def numeral(self, number: int) -> str:
        return str(number) if self.chance(40) else WORDS[number]

    def amount(self, actual: int, *, article: bool = True, none: bool = False) -> Amount:
        """A number near the actual one.

        Args:
            actual: the number to stay near.
            article: whether "a" may say at least one.
            none: whether "no" may be said.
        """
        near = (actual, actual, actual, actual + 1, actual - 1, 1 + self.below(3))
        n = max(1, min(7, self.pick(near)))
        draw = self.below(100)
        if none and draw < 5:
            return Amount("no", self.chance(20), lambda k: k == 0)
        if article and (n == 1 or self.chance(15)) and draw < 33:
            return Amount("a", False, lambda k: k >= 1)
        if draw < 45:
            return Amount(self.numeral(n), n > 1, lambda k: k == n)
        if draw < 65:
            return Amount(f"exactly {self.numeral(n)}", n > 1, lambda k: k == n)
        if draw < 72:
            return Amount(f"{self.say('only|only|only|just')} {self.numeral(n)}", n > 1, lambda k: k == n)
        if draw < 90:
            words = self.say("at least|" * 16 + "atleast|atleast|t least|at lest|at leats|minimum")
            return Amount(f"{words} {self.numeral(n)}", n > 1, lambda k: k >= n)
        if draw < 94:
            words = self.say("at most|at most|maximum|not more than")
            return Amount(f"{words} {self.numeral(n)}", n > 1, lambda k: k <= n)
        if draw < 97:
            return Amount(f"more than {self.numeral(n)}", True, lambda k: k > n)
        words = self.say("less than|fewer than")
        return Amount(f"{words} {self.numeral(n + 1)}", True, lambda k: k <= n)

    def colour(self) -> int:
        return self.pick(self.box).colour if self.box and self.chance(75) else self.below(3)

    def noun(self, *, plain: bool = False, shape: bool = True) -> Noun:
        """Things of some colour, shape and size.

        Args:
            plain: whether no colour and no shape may be said, just items.
            shape: whether shapes and sizes may be said.
        """
        seen = self.pick(self.box) if self.box and self.chance(80) else None
        colour = seen.colour if seen else self.below(3)
        form = seen.shape if seen else self.below(3)
        side = SIZES.index(seen.size) if seen else self.below(3)
        use_colour, use_shape = self.pick(
            ((True, True), (True, False), (True, False), (True, True), (False, True))
        )
        if not shape:
            use_colour, use_shape = True, False
        if plain and self.chance(35):
            use_colour, use_shape = False, False
        use_size = shape and self.chance(6)
        adjectives = []
        if use_size:
            adjectives.append(
                (
                    self.say("small|small|tiny"),
                    self.say("medium|medium size|medium sized"),
                    self.say("big|large"),
                )[side]
            )
        if use_colour:
            adjectives.append(self.hue(colour))
        if use_shape:
            stem = f"{SHAPES[form]} {self.say('item|object|shape')}" if self.chance(3) else SHAPES[form]
        else:
            stem = self.say(
                "item|item|item|object|object|thing|shape|figure" if self.chance(30) else "item|object"
            )
        head = " ".join(adjectives)
        things = kind(
            colour if use_colour else None, form if use_shape else None, SIZES[side] if use_size else None
        )
        return Noun(f"{head} {stem}".strip(), f"{head} {stem}s".strip(), things)

    def hue(self, colour: int) -> str:
        """The word for a colour, now and then with "coloured" behind it."""
        word = COLOURS[colour]
        return f"{word} {self.say('color|colour|colored|coloured')}" if self.chance(2) else word

    def color(self) -> str:
        return self.say("color|color|color|colour")

    def colors(self) -> str:
        return self.say("colors|colors|color|colours|colors")

    def touching(self, *, negative: bool = True) -> tuple[str, Things]:
        """Touching something of the box, or not, and the things that do."""
        place = self.below(100)
        if place < 55:
            where, things = (
                self.say(
                    "the wall|the wall|the edge|the edge|the edge|any edge|an edge|the side|a wall|"
                    "any wall|the edges|"
                    "a side|any side|the walls|the wall of the box|the edge of the box|the side of the box|"
                    "a wall of a box|the edge of a box|the edge of the square|the border|"
                    "the sides of the box|"
                    "at least one wall|the wall with its side"
                ),
                lambda bank: bank.wall,
            )
        elif place < 75:
            where, things = (
                self.say(
                    "the base|the base|the bottom|the bottom of a box|the bottom of a box|"
                    "the bottom of the box|"
                    "the bottom base|the floor|the bottom wall|the bottom edge|bottom of a box|"
                    "the base of the box"
                ),
                lambda bank: bank.floor,
            )
        elif place < 86:
            where, things = (
                self.say(
                    "a corner|a corner|the corner|a corner of a box|the corner of the box|any corner|"
                    "a corner of the box"
                ),
                lambda bank: bank.corner,
            )
        elif place < 92:
            where, things = (
                self.say(
                    "right wall of a box|the right wall|right wall of a box|the right side|"
                    "the right edge|right side"
                ),
                lambda bank: bank.right,
            )
        elif place < 95:
            where, things = (
                self.say("the left wall|left wall of a box|the left side|the left edge"),
                lambda bank: bank.left,
            )
        elif place < 98:
            where, things = (
                self.say(
                    "the roof of a box|the top of a box|the roof|the top wall|the top edge|the ceiling|"
                    "the top of the box"
                ),
                lambda bank: bank.roof,
            )
        else:
            side = self.below(2)
            where = (
                self.say(
                    "the bottom right corner|bottom-right corner of a box|the right bottom corner|"
                    "the bottom right corner of a box"
                )
                if side
                else self.say("the left corner|the bottom left corner|bottom left corner of a box")
            )
            things = (
                (lambda bank: bank.floor & bank.right) if side else (lambda bank: bank.corner & bank.left)
            )
        verb = self.say(
            "touching|touching|touching|touching|closely touching|closely touching|attached to|"
            "in contact with"
        )
        if negative and self.chance(25):
            return f"{self.say('not|not|not|not|that is not')} {verb} {where}", lambda bank: ~things(bank)
        return f"{verb} {where}", things


def both(first: Things, second: Things) -> Things:
    """The things in two sets."""
    return lambda bank: first(bank) & second(bank)


def per_box(things: Things, test: Number) -> Things:
    """(S, 3) bool: the boxes whose number of these things passes the test."""
    return lambda bank: test(things(bank).sum(-1))


def overall(things: Things, test: Number) -> Things:
    """(S,) bool: the scenes whose number of these things passes the test."""
    return lambda bank: test(things(bank).sum((1, 2)))


def everything(bank: Bank) -> np.ndarray:
    """All things."""
    return bank.there
