"""Statements about towers of blocks: a text and its truth on many scenes at once."""

from __future__ import annotations

import numpy as np

from data_modules.scenes.boxes_content import weighted
from data_modules.scenes.boxes_items import Statement, which
from data_modules.scenes.boxes_meaning import Bank, kind
from data_modules.scenes.boxes_tower_content import (
    at,
    block,
    condition,
    end,
    highest,
    hued,
    lowest,
    number,
    only_hues,
    placed,
    stacked,
    together,
    varied,
)
from data_modules.scenes.boxes_words import Speaker, overall, spoken


def towered(speaker: Speaker) -> Statement:
    """There are two towers with a black block at the base."""
    text, towers = condition(speaker)
    return which(speaker, text, towers, name=speaker.say("tower|" * 30 + "stack"))


def part_of(speaker: Speaker) -> Statement:
    """There is a blue block as the base of a tower with at least two blocks."""
    colour = speaker.colour()
    base = speaker.chance(50)
    word, part = ("base", lowest) if base else ("top", highest)
    if base and speaker.chance(5):
        word = "bottom"
    fits = at(colour, part)
    actual = int(fits(Bank([speaker.scene])).sum())
    hue = speaker.hue(colour)
    count, size = number(speaker)
    tail = f"with {count}" if speaker.chance(45) else ""
    keep = size if tail else (lambda bank: bank.height > 0)
    draw = speaker.below(100)
    if draw < 75:
        amount = speaker.amount(1 if tail and speaker.chance(60) else actual, none=True)
        words = f"there {'are' if amount.plural else 'is'} {amount.text} {hue} block{'s' * amount.plural}"
        return (
            f"{words} {speaker.say('as|as|as|at')} the {word} of a tower {tail}",
            lambda bank: amount.test((fits(bank) & keep(bank)).sum(-1)),
        )
    amount = speaker.amount(actual, article=False)
    return (
        f"there is a {hue} block as the {word} of {amount.text} tower{'s' * amount.plural}",
        lambda bank: amount.test(fits(bank).sum(-1)),
    )


def over(speaker: Speaker) -> Statement:
    """There is a yellow block on a black block."""
    text, towers = stacked(speaker) if speaker.chance(85) else together(speaker)
    if text.startswith("a ") and speaker.chance(6):
        word = speaker.say("exactly one|only one|exactly 1|only 1")
        return f"there is {word} {text[2:]}", lambda bank: towers(bank).sum(-1) == 1
    no = text.startswith("a ") and speaker.chance(10)
    if no:
        return f"there is no {text[2:]}", lambda bank: ~towers(bank).any(-1)
    head = (
        speaker.say("there is|there is|there is|there is at least one")
        if text.startswith("a ")
        else "there are"
    )
    return f"{head} {text[2:] if 'one' in head else text}", lambda bank: towers(bank).any(-1)


def blocks(speaker: Speaker) -> Statement:
    """There are four blue blocks; there is at least one black block in each tower."""
    colour = speaker.colour() if speaker.chance(92) else None
    hue = "" if colour is None else speaker.hue(colour)
    things = kind(colour)
    what = block(speaker)
    if speaker.chance(75):
        amount = speaker.amount(int(things(Bank([speaker.scene])).sum()), none=True)
        return (
            f"there {'are' if amount.plural else 'is'} {amount.text} {hue} {what}{'s' * amount.plural}",
            overall(things, amount.test),
        )
    text, towers = hued(speaker) if speaker.chance(40) else condition(speaker)
    words = speaker.say(
        "each tower has %|all the towers have %|all towers have %|all the towers has %|every tower has %|"
        "each tower contains %|each of the towers has %"
    )
    if speaker.chance(30):
        amount = speaker.amount(1)
        test, each = amount.test, speaker.say("each|every|each")
        return (
            f"there {'are' if amount.plural else 'is'} {amount.text} {hue} {what}{'s' * amount.plural} in "
            f"{each} tower",
            lambda bank: test(things(bank).sum(-1)).all(-1),
        )
    return words.replace("%", text), lambda bank: towers(bank).all(-1)


def plain_tower(speaker: Speaker) -> Statement:
    """There is a blue tower with only one block; there is a four blocks tower."""
    colour = speaker.colour()
    count, size = number(speaker)
    head = speaker.say("there is a|there is a|there is at least one|there is one")
    if speaker.chance(60):
        whole = lambda bank: ((bank.colour == colour) == bank.there).all(-1)  # noqa: E731
        if speaker.chance(12):
            words = speaker.say("one of the three towers is|one of the towers is|one tower is|a tower is")
            return f"{words} {speaker.hue(colour)}", lambda bank: whole(bank).any(-1)
        if speaker.chance(40):
            return f"{head} {speaker.hue(colour)} tower", lambda bank: whole(bank).any(-1)
        link = speaker.say("with|with|that has|which has")
        return f"{head} {speaker.hue(colour)} tower {link} {count}", lambda bank: (
            whole(bank) & size(bank)
        ).any(-1)
    n = len(speaker.box)
    head = f"{head} {speaker.numeral(n)} {speaker.say('blocks|block')} tower"
    if speaker.chance(40):
        return head, lambda bank: (bank.height == n).any(-1)
    text, towers = condition(speaker)
    link = speaker.say("that has|with|which has|that has")
    if speaker.chance(50):
        base = speaker.chance(50)
        text, towers = (
            f"the {'base' if base else 'top'} is {speaker.hue(colour)}",
            at(colour, lowest if base else highest),
        )
        link = speaker.say("that|where|and|and")
    return f"{head} {link} {text}", lambda bank: ((bank.height == n) & towers(bank)).any(-1)


def the_tower(speaker: Speaker) -> Statement:
    """The tower with four blocks has a yellow block at the base; the second block of a tower is black."""
    n = len(speaker.box)
    draw = speaker.below(100)
    if draw < 60:
        text, towers = speaker.pick((end, end, end, stacked, hued, placed, only_hues, varied))(speaker)
        head = speaker.say("the tower|the tower|one of the tower|one of the towers|one tower|the tower")
        count = f"{speaker.say('|exactly|')} {speaker.numeral(n)} block{'s' * (n > 1)}"
        has = speaker.say("has|has|has|contains")
        return f"{head} with {count} {has} {text}", lambda bank: ((bank.height == n) & towers(bank)).any(-1)
    colour = speaker.pick(speaker.box).colour
    level = speaker.below(3)
    order = speaker.say(("first|base|bottom", "second|2nd", "third|3rd")[level])
    source = speaker.say("from the base|from the bottom||from the base")
    fits = at(colour, lambda bank: bank.level(level))
    hue = speaker.hue(colour)
    if draw < 85:
        text = speaker.say(
            f"the {order} block {source} of a tower is {hue}|the {order} block of a tower {source} is {hue}|"
            f"the {order} block {source} of one tower is {hue}|"
            f"there is a tower where the {order} block {source} is {hue}|"
            f"there is a tower which the {order} block {source} is {hue}"
        )
        return text, lambda bank: fits(bank).any(-1)
    word, part = speaker.pick((("base", lowest), ("top", highest)))
    count = f"{speaker.numeral(n)} {speaker.say('blocks|block')}"
    is_at = at(colour, part)
    return f"the {word} of a {count} tower is {hue}", lambda bank: ((bank.height == n) & is_at(bank)).any(-1)


def _traits(bank: Bank, what: str) -> np.ndarray:
    """(S, 3) int: base colour, top colour, height or number of colours of each tower."""
    if what == "height":
        return bank.height
    part = bank.base if what == "base" else bank.top
    return (np.where(part, bank.colour, 0)).sum(-1)


def compared(speaker: Speaker) -> Statement:
    """Two towers have the same base color; the bases of the towers are yellow and black only."""
    what = speaker.pick(("base", "top", "height"))
    draw = speaker.below(100)
    name = {
        "base": f"base {speaker.color()}",
        "top": f"top {speaker.color()}",
        "height": speaker.say("height|number of blocks"),
    }[what]
    if draw < 45:
        head = speaker.say(
            "there are two towers with the same|there are only two towers that has the same|"
            "there are at least two towers with the same|"
            "there are exactly two towers with the same|two of the three towers has the same|"
            "two towers have the same|there are 2 towers with the same"
        )
        exact = "only" in head or "exactly" in head

        def alike(bank: Bank) -> np.ndarray:
            t = np.sort(_traits(bank, what), -1)
            low, high = t[:, 0] == t[:, 1], t[:, 1] == t[:, 2]
            return (low ^ high) if exact else (low | high)

        return f"{head} {name}", alike
    if draw < 70:
        same = speaker.chance(70)
        text = (
            speaker.say(
                f"all the towers have the same {name}|all towers have the same {name}|"
                f"the three towers have the same {name}"
            )
            if same
            else (
                speaker.say(
                    f"all the towers have different {name}|the three towers have different {name}|"
                    f"all towers have different {name}"
                )
            )
        )

        def uniform(bank: Bank) -> np.ndarray:
            t = np.sort(_traits(bank, what), -1)
            return t[:, 0] == t[:, 2] if same else (t[:, 0] != t[:, 1]) & (t[:, 1] != t[:, 2])

        return text, uniform
    what = "base" if what == "height" else what
    part = lowest if what == "base" else highest
    seen = [int(c) for c in _traits(Bank([speaker.scene]), what)[0]]
    first = seen[0] if speaker.chance(80) else speaker.below(3)
    others = [c for c in seen if c != first] or [(first + 1 + speaker.below(2)) % 3]
    second = others[0]
    one, two = speaker.hue(first), speaker.hue(second)
    if draw < 80:
        n = min(2, max(1, seen.count(first) if speaker.chance(70) else 1 + speaker.below(2)))
        head = speaker.say(
            f"the {what} of the three towers are|the {what} blocks of the towers are|"
            f"the {what}s of the three towers are"
        )
        counts = (speaker.numeral(n), speaker.numeral(3 - n))
        tail = speaker.say("|blocks|")
        a, b = at(first, part), at(second, part)
        return (
            f"{head} {counts[0]} {one} and {counts[1]} {two} {tail}",
            lambda bank: (a(bank).sum(-1) == n) & (b(bank).sum(-1) == 3 - n),
        )
    if draw < 88:
        third = 3 - first - second
        a, b, c = at(first, part), at(second, part), at(third, part)
        return (
            f"the {what}s of the towers are {speaker.say('|only')} {one} and {two} {speaker.say('only|')}",
            lambda bank: a(bank).any(-1) & b(bank).any(-1) & ~c(bank).any(-1),
        )
    n = speaker.pick((1, 2, 2, 3))
    a = at(first, part)
    head = ("one of the three towers has", "two of the three towers has", "all the three towers have")[n - 1]
    head = (
        head
        if speaker.chance(70)
        else ("only one tower has", "only two towers have", "all three towers have")[n - 1]
    )
    return f"{head} {speaker.say('a|a|')} {one} {what}", lambda bank: a(bank).sum(-1) == n


RULES = (
    (45, towered),
    (16, part_of),
    (12, over),
    (10, blocks),
    (6, plain_tower),
    (7, the_tower),
    (4, compared),
)


def statement(speaker: Speaker) -> Statement:
    """Any statement about towers."""
    text, truth = weighted(speaker, RULES)(speaker)
    return spoken(text), truth
