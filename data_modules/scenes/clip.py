"""Clip: a few coloured things on a plain ground, what each of them does, and every frame of it.

Time is counted in beats, eight a clip. At the middle of every beat each thing is in a state that can be
told from one frame, so that eight frames at the middles of equal spans show all that happens; more frames
show it more smoothly. Drawn with numpy's frozen random stream, like `scene`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import RandomState

from data_modules.scenes.scene import COLOURS, SHAPES

SIDE = 144
GRID = 3
CELL = SIDE // GRID
BEATS = 8
HALF = 18  # of a thing's extent, in pixels

DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
SPEEDS = {"slowly": 4, "quickly": 2}  # beats from one edge to the other
ACTIONS = ("moves", "jumps", "blinks", "turns", "appears", "disappears")
# How often each is tried; moves and jumps, which have most to tell, fit least often.
_WEIGHTS = (8, 4, 2, 2, 1, 1)

CELL_CHANNELS = (*COLOURS, *SHAPES, "thing")


class State(NamedTuple):
    """A thing at one moment; x and y in cells, 0 is the middle of the leftmost and of the topmost."""

    visible: bool
    x: float
    y: float
    colour: str


@dataclass(frozen=True)
class Event:
    """What one thing does.

    Args:
        action: one of `ACTIONS`.
        start: the last beat in whose middle nothing is to be seen of it.
        direction: where to, of a move.
        speed: slowly or quickly, of a move.
        times: how often, of jumps and blinks.
        colour: the new one, of a turn.
    """

    action: str
    start: int
    direction: str = ""
    speed: str = ""
    times: int = 1
    colour: str = ""

    @property
    def length(self) -> int:
        """Beats from `start` to the first one in whose middle it is over."""
        if self.action == "moves":
            return SPEEDS[self.speed]
        return 2 * self.times if self.action in ("jumps", "blinks") else 1

    @property
    def end(self) -> int:
        """The first beat in whose middle it is over."""
        return self.start + self.length


@dataclass(frozen=True)
class Actor:
    """One thing: its look and cell at the start, and what it does (None: nothing)."""

    colour: str
    shape: str
    row: int
    column: int
    shade: int
    event: Event | None = None

    @property
    def name(self) -> str:
        """Colour and shape at the start."""
        return f"{self.colour} {self.shape}"

    def does(self, action: str) -> bool:
        """Whether it does this."""
        return self.event is not None and self.event.action == action

    def at(self, time: float) -> State:
        """Its state; `time` in beats from the start of the clip."""
        x, y, event = float(self.column), float(self.row), self.event
        if event is None:
            return State(True, x, y, self.colour)
        since = time - event.start - 0.5  # beats since the middle of the last quiet beat
        if event.action == "moves":
            part = min(1.0, max(0.0, since / event.length))
            across, down = DIRECTIONS[event.direction]
            return State(True, x + across * part * (GRID - 1), y + down * part * (GRID - 1), self.colour)
        cycle = since % 2 if 0 < since < event.length else 0.0
        if event.action == "jumps":
            return State(True, x, y - min(cycle, 2 - cycle), self.colour)
        if event.action == "blinks":
            return State(not 0.5 <= cycle < 1.5, x, y, self.colour)
        if event.action == "turns":
            return State(True, x, y, event.colour if since >= 0.5 else self.colour)
        return State((since >= 0.5) == (event.action == "appears"), x, y, self.colour)


@dataclass(frozen=True)
class Clip:
    """Actors in reading order of their first cells, on a ground of one grey."""

    actors: tuple[Actor, ...]
    ground: int

    def draw(self, frames: int = BEATS) -> np.ndarray:
        """(frames, 144, 144, 3) uint8, at the middles of `frames` equal spans."""
        return np.stack([self._draw_at((number + 0.5) * BEATS / frames) for number in range(frames)])

    def _draw_at(self, time: float) -> np.ndarray:
        canvas = np.full((SIDE, SIDE, 3), self.ground, dtype=np.uint8)
        for actor in self.actors:
            state = actor.at(time)
            if state.visible:
                x, y = (int(CELL * (place + 0.5)) for place in (state.x, state.y))
                window = canvas[y - HALF : y + HALF + 1, x - HALF : x + HALF + 1]
                colour = np.clip(np.array(COLOURS[state.colour]) + actor.shade, 0, 255)
                window[_MASKS[actor.shape]] = colour.astype(np.uint8)
        return canvas

    def cells(self) -> np.ndarray:
        """(8, 3, 3, C) bool: what lies in each cell in the middle of each beat, channels as in
        `CELL_CHANNELS`; a thing half way between two cells is in both."""
        cells = np.zeros((BEATS, GRID, GRID, len(CELL_CHANNELS)), dtype=bool)
        for actor in self.actors:
            for beat in range(BEATS):
                state = actor.at(beat + 0.5)
                if state.visible:
                    words = [CELL_CHANNELS.index(w) for w in (state.colour, actor.shape, "thing")]
                    for row, column in _covered(state):
                        cells[beat, row, column, words] = True
        return cells

    def doing(self, *actions: str) -> list[Actor]:
        """The actors that do one of these, or anything at all when none is named, by their start."""
        busy = [a for a in self.actors if a.event and (not actions or a.event.action in actions)]
        return sorted(busy, key=_start)


def _start(actor: Actor) -> int:
    assert actor.event is not None
    return actor.event.start


def _covered(state: State) -> list[tuple[int, int]]:
    rows, columns = ({int(np.floor(p + 0.5)), int(np.ceil(p - 0.5))} for p in (state.y, state.x))
    return [(row, column) for row in rows for column in columns]


def random_clip(random: RandomState) -> Clip:
    """Two or three things, one to three of which do something, none of them through another.

    No two events start in the same beat, so that one of two is always the first.
    """
    while True:
        clip = _draft(random)
        if clip is not None and not _meet(clip):
            return clip


def _draft(random: RandomState) -> Clip | None:
    count = random.randint(2, 4)
    pairs = [(c, s) for c in COLOURS for s in SHAPES]
    looks = [pairs[i] for i in random.permutation(len(pairs))[:count]]
    cells = sorted(divmod(int(i), GRID) for i in random.permutation(GRID * GRID)[:count])
    # Which of them do something is drawn, lest it follow from the first cell.
    busy = set(random.permutation(count)[: random.randint(1, count + 1)].tolist())
    actors = []
    for number, ((colour, shape), (row, column)) in enumerate(zip(looks, cells, strict=True)):
        event = _random_event(random, colour, row, column) if number in busy else None
        if number in busy and event is None:
            return None
        actors.append(Actor(colour, shape, row, column, int(random.randint(-16, 17)), event))
    starts = [a.event.start for a in actors if a.event]
    names = [a.name for a in actors]
    names += [f"{a.event.colour} {a.shape}" for a in actors if a.event and a.event.colour]
    if len(set(starts)) < len(starts) or len(set(names)) < len(names):
        return None
    return Clip(tuple(actors), int(random.randint(200, 246)))


def _random_event(random: RandomState, colour: str, row: int, column: int) -> Event | None:
    """An event that a thing in this cell can go through within the clip, or None."""
    action = np.repeat(ACTIONS, _WEIGHTS)[random.randint(sum(_WEIGHTS))].item()
    if action == "moves":
        fitting = [
            word
            for word, (across, down) in DIRECTIONS.items()
            if 0 <= column + 2 * across < GRID and 0 <= row + 2 * down < GRID
        ]
        if not fitting:
            return None
        direction = fitting[random.randint(len(fitting))]
        draft = Event(action, 0, direction=direction, speed=tuple(SPEEDS)[random.randint(2)])
    elif action == "jumps" and row == 0:
        return None
    elif action == "turns":
        others = [c for c in COLOURS if c != colour]
        draft = Event(action, 0, colour=others[random.randint(len(others))])
    else:
        draft = Event(action, 0, times=int(random.randint(1, 4)) if action in ("jumps", "blinks") else 1)
    latest = BEATS - 1 - draft.length
    return Event(
        action, int(random.randint(latest + 1)), draft.direction, draft.speed, draft.times, draft.colour
    )


def _meet(clip: Clip) -> bool:
    """Whether two things come closer than a cell, seen or unseen."""
    for time in np.arange(0.25, BEATS, 0.25):
        states = [actor.at(float(time)) for actor in clip.actors]
        for number, a in enumerate(states):
            if any(max(abs(a.x - b.x), abs(a.y - b.y)) < 0.95 for b in states[:number]):
                return True
    return False


def _mask(shape: str) -> np.ndarray:
    """(37, 37) bool silhouette, by integer comparisons only."""
    dy, dx = np.mgrid[-HALF : HALF + 1, -HALF : HALF + 1]
    return {
        "circle": dx * dx + dy * dy <= HALF * HALF,
        "square": (abs(dx) <= 16) & (abs(dy) <= 16),
        "triangle": 2 * abs(dx) <= dy + HALF,
        "diamond": abs(dx) + abs(dy) <= HALF,
        "cross": (abs(dx) <= 6) | (abs(dy) <= 6),
    }[shape]


_MASKS = {shape: _mask(shape) for shape in SHAPES}
