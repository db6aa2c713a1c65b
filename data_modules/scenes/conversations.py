"""The embedded conversations: drawn scenes in the file of LLaVA-1.5's instruction tuning.

    <folder>/llava_v1_5_mix665k.json, llava_val.json, llava_test.json
    <folder>/scenes/train/000007000000.png ...

Four kinds of conversations, as in the official mixture: several questions with short answers, multiple
choice, descriptions with a question after, and text alone, where the scene is told in words. No picture
occurs in two splits; what is asked with short answers is what pretraining never asks, in the words of several
data sets (`conversation_wording`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.random import RandomState
from PIL import Image

from data_modules.scenes.balance import BalancedChoice
from data_modules.scenes.conversation_wording import Turns, Wording
from data_modules.scenes.language import CAPTIONS, FINE_TUNING, PRETRAINING, Kinds, caption
from data_modules.scenes.scene import COLOURS, SHAPES, SIZES, Scene, random_scene

SHORT = "Answer the question using a single word or phrase."
CHOICE = "Answer with the option's letter from the given choices directly."
DESCRIBE = ("Describe the picture.", "What does the picture show?", "Tell me all that you see.")
FAMILIES = (tuple(COLOURS), SHAPES, tuple(SIZES), ("yes", "no"), tuple("0123456"))

# What can be asked of a scene that is only told: no places.
_TOLD = {
    "fine_tuning": ("how many shapes", "how many sizes", "is there a", "are there more"),
    "pretraining": ("total", "count_colour", "count_pair", "exists_pair", "size_of", "colour_of", "shape_of"),
}
_RELATIONS = {kind: CAPTIONS[kind] for kind in ("caption_relation", "caption_comparison")}
SHARES = {"short": 0.6, "choice": 0.15, "description": 0.1, "told": 0.15}


@dataclass(frozen=True)
class Talk:
    """One conversation about one scene.

    Args:
        scene: what it is about.
        kind: short, choice, description or told.
        turns: (question, answer) pairs, `<image>` in the first question where the picture is shown.
    """

    scene: Scene
    kind: str
    turns: Turns

    @property
    def shown(self) -> bool:
        """Whether the picture belongs to the conversation."""
        return self.kind != "told"


def talks(random: RandomState, *, pretraining: bool) -> Iterator[Talk]:
    """Conversations without end.

    Args:
        random: the stream to draw from.
        pretraining: ask what the base practises, or what fine-tuning asks.
    """
    kinds = PRETRAINING if pretraining else FINE_TUNING
    told = {kind: kinds[kind] for kind in _TOLD["pretraining" if pretraining else "fine_tuning"]}
    picked = {
        "short": BalancedChoice(kinds, random),
        "choice": BalancedChoice(kinds, random),
        "told": BalancedChoice(told, random),
        "relations": BalancedChoice(_RELATIONS, random),
    }
    while True:
        scene = random_scene(random)
        kind = str(random.choice(list(SHARES), p=list(SHARES.values())))
        turns = _TALKS[kind](scene, picked, random)
        if turns:
            front = "<image>\n" if kind != "told" else ""
            yield Talk(scene, kind, [(front + turns[0][0], turns[0][1]), *turns[1:]])


def _asked(scene: Scene, choice: BalancedChoice, kinds: Kinds, most: int, random: RandomState) -> Turns:
    """At most so many questions of different kinds, in any order."""
    pairs = (choice.choose(scene, kind) for kind in random.permutation(list(kinds)))
    found = []
    for pair in pairs:
        if pair is not None:
            found.append(pair)
        if len(found) == most:
            break
    return found


def _short(scene: Scene, picked: dict[str, BalancedChoice], random: RandomState) -> Turns:
    turns = _asked(scene, picked["short"], picked["short"].kinds, random.randint(2, 6), random)
    return _with_ending(turns, SHORT)


def _choices(scene: Scene, picked: dict[str, BalancedChoice], random: RandomState) -> Turns:
    turns = []
    for question, answer in _asked(scene, picked["choice"], picked["choice"].kinds, 6, random):
        options = _options(answer, random)
        if options:
            turns.append((_listed(question, options), "ABCD"[options.index(answer)]))
    return turns[:2]


def _description(scene: Scene, picked: dict[str, BalancedChoice], random: RandomState) -> Turns:
    turns = [(DESCRIBE[random.randint(len(DESCRIBE))], caption(scene)[0][1])]
    kind = ("caption_relation", "caption_comparison")[random.randint(2)]
    pair = picked["relations"].choose(scene, kind)
    words = {"caption_relation": "How do {} lie?", "caption_comparison": "Which are there more of, {}?"}[kind]
    return [*turns, (words.format(pair[0]), pair[1])] if pair else turns


def _told(scene: Scene, picked: dict[str, BalancedChoice], random: RandomState) -> Turns:
    turns = _asked(scene, picked["told"], picked["told"].kinds, random.randint(1, 4), random)
    if not turns:
        return []
    story = f"A picture shows {caption(scene)[0][1]}."
    return _with_ending([(f"{story} {turns[0][0]}", turns[0][1]), *turns[1:]], SHORT)


_TALKS = {"short": _short, "choice": _choices, "description": _description, "told": _told}


def _with_ending(turns: Turns, ending: str) -> Turns:
    """The first question with the words that say how to answer, once a conversation."""
    return [(f"{turns[0][0]}\n{ending}", turns[0][1]), *turns[1:]] if turns else []


def _listed(question: str, options: list[str]) -> str:
    """A question with its options under it."""
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", options, strict=False))
    return f"{question}\n{listed}\n{CHOICE}"


def _options(answer: str, random: RandomState) -> list[str]:
    """Two to four answers of the right one's family in any order, it among them; none without a family."""
    family = next((family for family in FAMILIES if answer in family), ())
    others = [word for word in family if word != answer]
    chosen = [others[i] for i in random.permutation(len(others))[:3]]
    return [[answer, *chosen][i] for i in random.permutation(len(chosen) + 1)] if family else []


def write(folder: Path, *, seed: int = 0, train: int = 6000, val: int = 100, test: int = 400) -> None:
    """Draws the three splits into `folder`.

    Args:
        folder: created if missing.
        seed: of the frozen random stream; the same seed gives the same files everywhere.
        train: conversations of the instruction file.
        val: conversations of llava_val.json.
        test: conversations of llava_test.json.
    """
    seen: set[Scene] = set()
    names = {
        "train": ("llava_v1_5_mix665k.json", train),
        "val": ("llava_val.json", val),
        "test": ("llava_test.json", test),
    }
    for number, (split, (name, size)) in enumerate(names.items()):
        (folder / "scenes" / split).mkdir(parents=True, exist_ok=True)
        # + 7,000 and + 8,000: no other world draws from these seeds.
        drawn = talks(RandomState((seed + 7000) * 10 + number), pretraining=False)
        wording = Wording(RandomState((seed + 8000) * 10 + number))
        rows: list[dict[str, Any]] = []
        while len(rows) < size:
            talk = next(drawn)
            if talk.scene not in seen:
                seen.add(talk.scene)
                talk = _in_other_words(talk, wording)
                rows.append(_row(talk, f"{7_000_000 + number * 1_000_000 + len(rows):012d}", folder, split))
        (folder / name).write_text(json.dumps(rows))


def _in_other_words(talk: Talk, wording: Wording) -> Talk:
    """The talk, or one of its kind about the same picture with questions in the words of other data sets."""
    if talk.kind == "short":
        turns = _with_ending(wording.short(talk.scene), SHORT)
    else:
        turns = wording.choice(talk.scene, _listed) if talk.kind == "choice" else []
    return replace(talk, turns=[(f"<image>\n{turns[0][0]}", turns[0][1]), *turns[1:]]) if turns else talk


def _row(talk: Talk, name: str, folder: Path, split: str) -> dict[str, Any]:
    messages = [
        {"from": role, "value": text}
        for pair in talk.turns
        for role, text in zip(("human", "gpt"), pair, strict=True)
    ]
    if not talk.shown:
        return {"id": name, "conversations": messages}
    path = f"scenes/{split}/{name}.png"
    Image.fromarray(talk.scene.draw()).save(folder / path)
    return {"id": name, "image": path, "conversations": messages}
