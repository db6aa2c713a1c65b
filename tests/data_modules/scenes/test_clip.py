"""The drawn clips: what is said of them is what their frames show."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.random import RandomState

from data_modules.scenes.clip import BEATS, CELL, CELL_CHANNELS, Actor, Clip, Event, random_clip
from data_modules.scenes.clip_files import PACES, write_clip
from data_modules.scenes.clip_language import TIMES, choice_question, phrase, subtitled_question
from data_modules.scenes.clip_open_questions import FIRST_WORDS, TYPES
from data_modules.scenes.clip_questions import Asked, by_look, questions, with_choices
from data_modules.scenes.clip_world import samples
from data_modules.video import sample_frames


def clips(count: int, seed: int = 0) -> list[Clip]:
    random = RandomState(seed)
    return [random_clip(random) for _ in range(count)]


def seen(clip: Clip, shape: str, *colours: str) -> list[set[tuple[int, int]]]:
    """Beat by beat, the cells in which the labels have a thing of this shape and one of these colours."""
    cells = clip.cells()
    which = cells[..., CELL_CHANNELS.index(shape)]
    which = which & np.any([cells[..., CELL_CHANNELS.index(c)] for c in colours], axis=0)
    return [{(int(r), int(c)) for r, c in np.argwhere(which[beat])} for beat in range(BEATS)]


def watched(clip: Clip, actor: Actor) -> str:
    """What a thing does, told from the labels of the eight frames and from nothing else."""
    turned = [
        colour
        for colour in CELL_CHANNELS[:6]
        if colour != actor.colour and any(seen(clip, actor.shape, colour)) and _turns(clip, actor, colour)
    ]
    places = seen(clip, actor.shape, actor.colour)
    if turned:
        return f"turns {turned[0]}"
    hidden = [not place for place in places]
    if any(hidden):
        if hidden[0] and not hidden[-1] and sum(a != b for a, b in pairwise(hidden)) == 1:
            return "appears"
        if hidden[-1] and not hidden[0]:
            return "disappears"
        return f"blinks {TIMES[sum(not a and b for a, b in pairwise(hidden))]}"
    first, last = min(places[0]), min(places[-1])
    if first != last:
        steps = sum(place not in ({first}, {last}) for place in places)
        word = {(0, -1): "left", (0, 1): "right", (-1, 0): "up", (1, 0): "down"}[
            (int(np.sign(last[0] - first[0])), int(np.sign(last[1] - first[1])))
        ]
        return f"moves {word} {'quickly' if steps == 1 else 'slowly'}"
    away = sum(place != {first} for place in places)
    return f"jumps {TIMES[away]}" if away else "stays still"


def _turns(clip: Clip, actor: Actor, colour: str) -> bool:
    """Whether the thing of the other colour stands where this one stood until it was gone."""
    before, after = seen(clip, actor.shape, actor.colour), seen(clip, actor.shape, colour)
    change = next((beat for beat in range(BEATS) if not before[beat]), BEATS)
    return 0 < change < BEATS and not any(after[:change]) and after[change:] == [before[0]] * (BEATS - change)


def test_what_is_told_of_a_thing_is_what_the_frames_show() -> None:
    for clip in clips(400):
        for actor in clip.actors:
            others = [a for a in clip.actors if a is not actor and a.shape == actor.shape]
            if not others:
                assert watched(clip, actor) == phrase(actor.event), clip


def test_pixels_show_what_the_labels_say() -> None:
    for clip in clips(50, seed=1):
        frames, cells = clip.draw(), clip.cells()
        for beat, row, column in np.ndindex(*cells.shape[:3]):
            window = frames[beat, row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
            filled = bool((window != clip.ground).any())
            assert filled == bool(cells[beat, row, column, -1])


def test_things_never_touch_and_one_starts_first() -> None:
    for clip in clips(200, seed=2):
        starts = [actor.event.start for actor in clip.doing() if actor.event]
        assert starts == sorted(set(starts))
        assert all(actor.event.end < BEATS for actor in clip.doing() if actor.event)
        things = clip.cells()[..., -1].sum(axis=(1, 2))
        assert (things <= 2 * len(clip.actors)).all()


@pytest.mark.parametrize("pace", PACES)
def test_a_written_clip_decodes_to_what_was_drawn(tmp_path, pace) -> None:
    clip = clips(3, seed=3)[2]
    write_clip(tmp_path / "a.mp4", clip, pace)
    found = sample_frames(tmp_path / "a.mp4", count=BEATS)
    middles = [(beat + 0.5) * float(pace) for beat in range(BEATS)]
    assert np.abs(found.times - middles).max() <= 0.11 * float(pace)
    assert np.abs(found.frames.astype(float) - clip.draw()).mean() < 3


def test_every_answer_of_the_video_questions_can_be_watched() -> None:
    asked_kinds = set()
    for clip in clips(300, seed=4):
        shapes = [actor.shape for actor in clip.actors]
        if len(set(shapes)) < len(shapes):
            continue
        told = {f"the {actor.name}": watched(clip, actor) for actor in clip.actors}
        for asked in questions(clip, by_look(clip)):
            asked_kinds.add(asked.kind)
            if asked.kind in ("after", "before"):
                who = next(name for name in told if asked.question.startswith(f"what does {name} do"))
                assert told[who] == asked.answer
            if asked.kind == "next":
                who = next(name for name in told if asked.answer.startswith(name))
                assert asked.answer == f"{who} {told[who]}"
                assert not asked.question.startswith(f"what happens after {who}")
            if asked.kind == "how":
                assert f"moves {asked.answer}" in told.values()
            if asked.kind == "how often":
                who = next(name for name in told if name in asked.question)
                verb = asked.question.rsplit(" ", 1)[-1].removesuffix("?")
                does = told[who].startswith(verb)
                assert asked.answer == (told[who].split(" ", 1)[1] if does else "not once")
    assert asked_kinds == {"after", "before", "next", "who", "how", "how often", "where", "color", "how many"}


def test_choices_hold_the_answer_once_and_no_other_right_one() -> None:
    random, places = RandomState(0), []
    for clip in clips(100, seed=5):
        for asked in questions(clip, by_look(clip)):
            choices, right = with_choices(asked, 4, random)
            assert choices[right] == asked.answer
            assert len(set(choices)) == 4
            assert set(choices) - {asked.answer} <= {*asked.others, *asked.always}
            places.append(right)
    assert set(places) == {0, 1, 2, 3}


def test_too_few_answers_are_named() -> None:
    with pytest.raises(ValueError, match="too few wrong answers"):
        with_choices(Asked("how", "how?", "so", ("so", "not so")), 3, RandomState(0))


def test_open_questions_have_one_answer_each() -> None:
    for clip in clips(200, seed=6):
        for kinds in (FIRST_WORDS, TYPES):
            for kind, listed in kinds.items():
                pairs = listed(clip)
                answers = {question: answer for question, answer in pairs}
                assert all(answers[question] == answer for question, answer in pairs), kind
                if kinds is FIRST_WORDS:
                    assert all(question.startswith(kind.split()[0]) for question, _ in pairs)


def test_what_it_is_stands_in_the_subtitles_alone() -> None:
    random = RandomState(0)
    for clip in clips(100, seed=7):
        prompt, answer = subtitled_question(clip, random)
        lines, question = prompt.split(" [q] ")
        (spoken_of,) = [actor for actor in clip.actors if actor.name in lines]
        assert "it" in question.removesuffix("?").split()
        assert spoken_of.name not in question
        if question == "what does it do?":
            assert answer == f"it {phrase(spoken_of.event)}"


def test_a_chosen_letter_points_to_one_choice() -> None:
    random = RandomState(0)
    for clip in clips(100, seed=8):
        prompt, answer = choice_question(clip, random)
        assert prompt.count(f"{answer}: ") == 1


def test_the_pretraining_world_is_the_same_from_the_same_seed() -> None:
    one, two = next(samples(3, 1)), next(samples(3, 1))
    assert one.questions == two.questions
    assert (one.pixels == two.pixels).all()
    assert one.pixels.shape == (BEATS, 144, 144, 3)
    assert one.cells.shape == (BEATS, 3, 3, len(CELL_CHANNELS))


def test_a_jump_is_up_in_the_middle_of_a_beat() -> None:
    actor = Actor("red", "circle", 2, 1, 0, Event("jumps", 1, times=2))
    heights = [actor.at(beat + 0.5).y for beat in range(BEATS)]
    assert heights == [2, 2, 1, 2, 1, 2, 2, 2]
