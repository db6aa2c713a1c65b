"""Questions in the words of other data sets are true of their scene, and come up."""

from __future__ import annotations

import re

from numpy.random import RandomState

from data_modules.scenes.conversation_wording import Wording
from data_modules.scenes.scene import HELD_OUT, random_scene

GQA = re.compile(r"is there a (\w+) (and|or) a (\w+)\?")


def drawn(count: int = 400):
    random = RandomState(5)
    wording = Wording(RandomState(6))
    return [(scene, wording.short(scene)) for scene in (random_scene(random) for _ in range(count))]


def test_half_of_the_short_conversations_are_left_and_none_is_long():
    turns = [asked for _, asked in drawn()]
    assert 0.4 < sum(not asked for asked in turns) / len(turns) < 0.6
    assert max(map(len, turns)) <= 5


def test_what_pope_asks_is_true_and_no_held_out_thing_is_asked_for_in_vain():
    found = {"yes": 0, "no": 0}
    for scene, turns in drawn():
        there = {(thing.colour, thing.shape) for thing in scene.things}
        for question, answer in turns:
            match = re.fullmatch(r"Is there an? (\w+) (\w+) in the image\?", question)
            if match:
                assert (match.groups() in there) == (answer == "yes")
                assert answer == "yes" or match.groups() not in HELD_OUT
                found[answer] += 1
    assert min(found.values()) > 0.3 * sum(found.values()) > 10


def test_what_gqa_asks_of_two_shapes_is_true():
    checked = 0
    for scene, turns in drawn():
        shapes = {thing.shape for thing in scene.things}
        for question, answer in turns:
            match = GQA.fullmatch(question)
            if match:
                both = [match[1] in shapes, match[3] in shapes]
                assert answer == ("yes" if (all if match[2] == "and" else any)(both) else "no")
                checked += 1
    assert checked > 10


def test_choices_of_mmbench_have_one_right_option_at_any_place():
    random, wording = RandomState(7), Wording(RandomState(8))
    asked, letters = 0, set()
    for scene in (random_scene(random) for _ in range(300)):
        there = {f"{thing.colour} {thing.shape}" for thing in scene.things}
        for text, letter in wording.choice(scene, lambda question, options: "\n".join([question, *options])):
            question, *options = text.removeprefix("Up is north.\n").split("\n")
            right = options["ABCD".index(letter)]
            asked += 1
            letters.add(letter)
            if question == "Which thing is there?":
                assert [option for option in options if option in there] == [right]
            if question == "How many things are there?":
                assert right == str(len(scene.things))
    assert asked > 100 and letters == set("ABCD")
