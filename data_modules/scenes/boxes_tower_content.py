"""What a tower is like, in words: one condition on a tower of blocks, drawn with its meaning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data_modules.scenes.boxes_content import Condition, weighted
from data_modules.scenes.boxes_meaning import Bank, Things, kind
from data_modules.scenes.boxes_words import Speaker


def highest(bank: Bank) -> np.ndarray:
    return bank.top


def lowest(bank: Bank) -> np.ndarray:
    return bank.base


def at(colour: int, part: Things) -> Things:
    """(S, 3): towers whose part has a colour."""
    return lambda bank: (part(bank) & (bank.colour == colour)).any(-1)


def block(speaker: Speaker) -> str:
    return speaker.say(
        "block|block|block|block|block|block|block|block|item|square|box|object|block|block|bloxk|cube"
    )


def end(speaker: Speaker) -> Condition:
    """A black block at the base."""
    colour = speaker.colour()
    base = speaker.chance(50)
    part = lowest if base else highest
    where = speaker.say(
        "at the base|at the base|at base|at the bottom|as the base|in the base|on the bottom|at the base"
        if base
        else "at the top|at the top|on the top|at top|on top|as the top|at the top|at the top"
    )
    what = f"{speaker.hue(colour)} {block(speaker)}"
    no = speaker.chance(5)
    text = f"{speaker.say('no') if no else speaker.say('a|a|a|a|1|')} {what} {where}"
    short = "base" if base else "top"
    if not no and speaker.chance(15):
        text = speaker.say(
            f"a {speaker.hue(colour)} {short}|{speaker.hue(colour)} {short}|"
            f"a {short} that is {speaker.hue(colour)}"
        )
    fits = at(colour, part)
    return text, (lambda bank: ~fits(bank)) if no else fits


def ends(speaker: Speaker) -> Condition:
    """A black base and a yellow top."""
    below, above = speaker.colour(), speaker.colour()
    b, t = speaker.hue(below), speaker.hue(above)
    what = block(speaker)
    text = speaker.say(
        f"a {b} base and a {t} top|a {b} base and {t} top|"
        f"a {t} {what} at the top and a {b} {what} at the base|"
        f"a {b} {what} at the base and a {t} {what} at the top|"
        f"a {b} {what} at the bottom and a {t} {what} on top"
    )
    low, high = at(below, lowest), at(above, highest)
    return text, lambda bank: low(bank) & high(bank)


def number(speaker: Speaker) -> tuple[str, Things]:
    """Exactly three blocks."""
    amount = speaker.amount(len(speaker.box), article=False)
    test = amount.test
    what = block(speaker) if speaker.chance(40) else "block"
    if speaker.chance(4):
        return f"a single {what}", lambda bank: bank.height == 1
    return f"{amount.text} {what}{'s' * amount.plural}", lambda bank: test(bank.height)


def hued(speaker: Speaker) -> Condition:
    """At least two yellow blocks; one blue block and two black blocks."""
    colours = [speaker.colour()]
    if speaker.chance(30):
        colours.append((colours[0] + 1 + speaker.below(2)) % 3)
        if speaker.chance(12):
            colours.append(3 - sum(colours))
    what = block(speaker)
    texts, tests = [], []
    for c in colours:
        amount = speaker.amount(sum(t.colour == c for t in speaker.box), none=True)
        texts.append(f"{amount.text} {speaker.hue(c)} {what}{'s' * amount.plural}")
        tests.append((kind(c), amount.test))
    if len(colours) == 1 and speaker.chance(12):
        hue = speaker.hue(colours[0])
        return speaker.say(f"{hue} {what}s|{hue} {what}|{hue} {what}s"), lambda bank: (
            bank.colour == colours[0]
        ).any(-1)
    text = " , ".join(texts[:-1]) + (" and " if len(texts) > 1 else "") + texts[-1]
    return text, lambda bank: np.logical_and.reduce([test(k(bank).sum(-1)) for k, test in tests])


def stacked(speaker: Speaker) -> Condition:
    """A black block over a yellow block."""
    box = speaker.box
    place = speaker.below(max(1, len(box) - 1))
    seen = len(box) > 1 and speaker.chance(60)
    upper = box[place + 1].colour if seen else speaker.below(3)
    lower = box[place].colour if seen else speaker.below(3)
    u, v = speaker.hue(upper), speaker.hue(lower)
    what = block(speaker)
    a = speaker.say("a|a|a|the|as")
    if a == "as":
        a = "a"
    down = speaker.chance(15)
    if down:
        verb = speaker.say("below|below|under|bellow|beneath|underneath|directly below")
        text = f"a {v} {what} {verb} {a} {u} {what}"
    else:
        verb = speaker.say("above|above|over|over|on|on|on top of|directly above|over")
        text = f"a {u} {what} {verb} {a} {v} {what}"
    return text, lambda bank: (
        bank.above & (bank.colour == upper)[..., :, None] & (bank.colour == lower)[..., None, :]
    ).any((-1, -2))


def together(speaker: Speaker) -> Condition:
    """Two blue blocks stacked together; two blocks attached to each other of the same colour."""
    colour = speaker.colour() if speaker.chance(75) else None
    hue = "" if colour is None else speaker.hue(colour)
    verb = speaker.say(
        "stacked together|stacked together|attached with each other|touching each other|stacked|"
        "on top of each other"
    )
    tail = "" if colour is not None else speaker.say("of the same colour|of the same color|of same color")
    text = f"{speaker.say('|at least')} {speaker.numeral(2)} {hue} blocks {verb} {tail}"

    def towers(bank: Bank) -> np.ndarray:
        same = bank.colour[..., :, None] == bank.colour[..., None, :]
        chosen = bank.there if colour is None else bank.colour == colour
        return (bank.above & same & chosen[..., None]).any((-1, -2))

    return text, towers


def only_hues(speaker: Speaker) -> Condition:
    """Only black and yellow blocks; only one color."""
    first = speaker.colour()
    second = (first + 1 + speaker.below(2)) % 3
    one, two = speaker.hue(first), speaker.hue(second)
    what = speaker.say("blocks|blocks|blocks|blocks|items|boxes")
    draw = speaker.below(100)
    if draw < 45:
        text = speaker.say(
            f"only {one} and {two} {what}|only {one} and {two} {what}|{one} and {two} {what} only|"
            f"only {one} and {two} {what} in it"
        )
        third = 3 - first - second
        return (
            text,
            lambda bank: (
                (bank.colour == first).any(-1)
                & (bank.colour == second).any(-1)
                & ~(bank.colour == third).any(-1)
            ),
        )
    if draw < 80:
        text = speaker.say(
            f"only {one} {what}|only {one} {what}|all {one} {what}|only {one} color {what}|all {what} {one}"
        )
        return text, lambda bank: ((bank.colour == first) == bank.there).all(-1)
    if draw < 90:
        return f"no {one} {what}", lambda bank: ~(bank.colour == first).any(-1)
    text = speaker.say(
        f"only one {speaker.color()}|a single {speaker.color()}|{what} of the same {speaker.color()}|"
        f"all {what} of the same {speaker.color()}|{what} of same {speaker.color()}"
    )
    return text, lambda bank: bank.colours(bank.there) == 1


def varied(speaker: Speaker) -> Condition:
    """Three blocks of two different colors."""
    k = len({t.colour for t in speaker.box}) if speaker.chance(75) else 1 + speaker.below(3)
    text, size = number(speaker) if speaker.chance(60) else ("blocks", lambda bank: bank.height >= 0)
    words = (
        "of the same %|of same %|of the same %|of one %",
        "of two different %s|of two different %|of 2 different %s|of exactly two %s|of two %s|"
        "of only two different %s",
        "of three different %s|of all three %s|of all 3 %s|of 3 different %s|of all three different %s|"
        "of all %s",
    )[k - 1]
    words = speaker.say(words).replace("%s", speaker.colors()).replace("%", speaker.color())
    return f"{text} {words}", lambda bank: size(bank) & (bank.colours(bank.there) == k)


def placed(speaker: Speaker) -> Condition:
    """A black second block from the base; a blue block below the top block; a black middle block."""
    draw = speaker.below(100)
    colour = speaker.pick(speaker.box).colour
    hue = speaker.hue(colour)
    if draw < 30:
        what = block(speaker)
        text = speaker.say(
            f"a {hue} {what} below the top {what}|a {hue} {what} right below the top {what}|"
            f"a {hue} {what} under the top {what}|"
            f"a {hue} {what} as the second {what} from the top"
        )
        return text, at(colour, lambda bank: bank.level(-2))
    if draw < 60:
        text = speaker.say(
            f"a {hue} second block|{hue} second block|a {hue} block above the base|"
            f"a {hue} block as the second level|"
            f"a {hue} block in the second level|the second block {hue}|{hue} block at the second level|"
            f"a {hue} block at the second position|"
            f"a {hue} block above the base block|a {hue} block as the second block from the base"
        )
        return text, at(colour, lambda bank: bank.level(1))
    if draw < 70:
        text = speaker.say(
            f"a {hue} third block|the third block {hue}|a {hue} block as the third level|"
            f"a {hue} block as the third block from the base"
        )
        return text, at(colour, lambda bank: bank.level(2))
    if draw < 88:
        text = speaker.say(
            f"a {hue} block in the middle|a {hue} block as a middle block|a {hue} middle block|"
            f"a {hue} block in middle"
        )

        def middle(bank: Bank) -> np.ndarray:
            return bank.there & ~bank.base & ~bank.top

        return text, at(colour, middle)
    text = speaker.say(
        f"a {hue} block between two blocks of the same color|"
        f"a {hue} block in between two blocks of same color|"
        f"a {hue} block between two blocks of the same colour"
    )

    def between(bank: Bank) -> np.ndarray:
        same = np.zeros(bank.there.shape, bool)
        same[..., 1:-1] = (bank.colour[..., :-2] == bank.colour[..., 2:]) & bank.there[..., 2:]
        return same

    return text, at(colour, between)


def sized(speaker: Speaker) -> Condition:
    """Four blocks having a yellow block at the base; only one block and the color is yellow."""
    count, size = number(speaker)
    draw = speaker.below(100)
    if draw < 4:
        text, boxes = end(speaker)
        return (
            f"{count} {speaker.say('not having|but not|without')} {text}",
            lambda bank: size(bank) & ~boxes(bank),
        )
    if draw < 10:
        low, high = speaker.colour(), speaker.colour()
        b, t = at(low, lowest), at(high, highest)
        text = (
            f"{count} {speaker.say('where|and')} the base is {speaker.hue(low)} and the top is "
            f"{speaker.hue(high)}"
        )
        return text, lambda bank: size(bank) & b(bank) & t(bank)
    if draw < 60:
        text, boxes = speaker.pick((end, end, stacked, hued, placed, only_hues, varied, ends))(speaker)
        link = speaker.say("having|with|and|having|with|that has|which has|including")
        return f"{count} {link} {text}", lambda bank: size(bank) & boxes(bank)
    colour = speaker.colour()
    hue = speaker.hue(colour)
    if draw < 80:
        base = speaker.chance(50)
        word = "base" if base else "top"
        text = speaker.say(
            f"{count} and the {word} block is {hue}|{count} and the {word} is {hue}|"
            f"{count} where the {word} is {hue}|{count} and {hue} {word}"
        )
        fits = at(colour, lowest if base else highest)
        return text, lambda bank: size(bank) & fits(bank)
    n = len(speaker.box) if speaker.chance(70) else 1
    bare = f"{speaker.say('only|exactly||only')} {speaker.numeral(n)} block{'s' * (n > 1)}"
    be = "is" if n == 1 else "are"
    negative = n == 1 and speaker.chance(20)
    text = (
        speaker.say(
            f"{bare} and the {speaker.color()} is {hue}|{bare} which {be} of {hue} {speaker.color()}|"
            f"{bare} which {be} {hue}|{bare} that {be} {hue}|"
            f"{bare} of {hue} {speaker.color()}"
        )
        if not negative
        else f"{bare} that is not {hue}"
    )

    def towers(bank: Bank) -> np.ndarray:
        chosen = bank.there & ((bank.colour != colour) if negative else (bank.colour == colour))
        return (bank.height == n) & (chosen == bank.there).all(-1)

    return text, towers


def which_are(speaker: Speaker) -> Condition:
    """Four blocks of which two are yellow blocks; exactly one blue block which is at the top."""
    count, size = number(speaker)
    colour = speaker.colour()
    amount = speaker.amount(sum(t.colour == colour for t in speaker.box), article=False)
    be = "are" if amount.plural else "is"
    tail = speaker.say(f"|| block{'s' * amount.plural}")
    text = speaker.say(
        f"{count} of which {amount.text} {be} {speaker.hue(colour)} {tail}|"
        f"{count} and {amount.text} {be} {speaker.hue(colour)} {tail}"
    )
    return text, lambda bank: size(bank) & amount.test((bank.colour == colour).sum(-1))


def doubled(speaker: Speaker) -> Condition:
    """A black block above a black block and a blue block at the base."""
    one, two = speaker.pick((stacked, end, hued))(speaker), speaker.pick((end, placed, stacked))(speaker)
    return f"{one[0]} {speaker.say('and|and|but|with')} {two[0]}", lambda bank: one[1](bank) & two[1](bank)


CONDITIONS: tuple[tuple[int, Callable[[Speaker], Condition]], ...] = (
    (30, end),
    (3, ends),
    (16, number),
    (16, hued),
    (14, stacked),
    (5, together),
    (8, only_hues),
    (5, varied),
    (5, placed),
    (10, sized),
    (3, which_are),
    (5, doubled),
)


def condition(speaker: Speaker) -> Condition:
    """Any condition on a tower."""
    return weighted(speaker, CONDITIONS)(speaker)
