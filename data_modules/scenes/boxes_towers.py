"""Statements about towers of blocks: a text and its truth on many scenes at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data_modules.scenes.boxes_content import Condition, weighted
from data_modules.scenes.boxes_items import Statement, which
from data_modules.scenes.boxes_meaning import Bank, Things, kind
from data_modules.scenes.boxes_words import Speaker, overall, spoken


def _top(bank: Bank) -> np.ndarray:
    return bank.top


def _base(bank: Bank) -> np.ndarray:
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
    part = _base if base else _top
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
            f"a {speaker.hue(colour)} {short}|{speaker.hue(colour)} {short}|a {short} that is {speaker.hue(colour)}"
        )
    fits = at(colour, part)
    return text, (lambda bank: ~fits(bank)) if no else fits


def ends(speaker: Speaker) -> Condition:
    """A black base and a yellow top."""
    below, above = speaker.colour(), speaker.colour()
    b, t = speaker.hue(below), speaker.hue(above)
    what = block(speaker)
    text = speaker.say(
        f"a {b} base and a {t} top|a {b} base and {t} top|a {t} {what} at the top and a {b} {what} at the base|"
        f"a {b} {what} at the base and a {t} {what} at the top|a {b} {what} at the bottom and a {t} {what} on top"
    )
    low, high = at(below, _base), at(above, _top)
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
        "stacked together|stacked together|attached with each other|touching each other|stacked|on top of each other"
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
            f"only {one} and {two} {what}|only {one} and {two} {what}|{one} and {two} {what} only|only {one} and {two} {what} in it"
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
        "of two different %s|of two different %|of 2 different %s|of exactly two %s|of two %s|of only two different %s",
        "of three different %s|of all three %s|of all 3 %s|of 3 different %s|of all three different %s|of all %s",
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
            f"a {hue} {what} below the top {what}|a {hue} {what} right below the top {what}|a {hue} {what} under the top {what}|"
            f"a {hue} {what} as the second {what} from the top"
        )
        return text, at(colour, lambda bank: bank.level(-2))
    if draw < 60:
        text = speaker.say(
            f"a {hue} second block|{hue} second block|a {hue} block above the base|a {hue} block as the second level|"
            f"a {hue} block in the second level|the second block {hue}|{hue} block at the second level|a {hue} block at the second position|"
            f"a {hue} block above the base block|a {hue} block as the second block from the base"
        )
        return text, at(colour, lambda bank: bank.level(1))
    if draw < 70:
        text = speaker.say(
            f"a {hue} third block|the third block {hue}|a {hue} block as the third level|a {hue} block as the third block from the base"
        )
        return text, at(colour, lambda bank: bank.level(2))
    if draw < 88:
        text = speaker.say(
            f"a {hue} block in the middle|a {hue} block as a middle block|a {hue} middle block|a {hue} block in middle"
        )

        def middle(bank: Bank) -> np.ndarray:
            return bank.there & ~bank.base & ~bank.top

        return text, at(colour, middle)
    text = speaker.say(
        f"a {hue} block between two blocks of the same color|a {hue} block in between two blocks of same color|"
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
        b, t = at(low, _base), at(high, _top)
        text = f"{count} {speaker.say('where|and')} the base is {speaker.hue(low)} and the top is {speaker.hue(high)}"
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
            f"{count} and the {word} block is {hue}|{count} and the {word} is {hue}|{count} where the {word} is {hue}|{count} and {hue} {word}"
        )
        fits = at(colour, _base if base else _top)
        return text, lambda bank: size(bank) & fits(bank)
    n = len(speaker.box) if speaker.chance(70) else 1
    bare = f"{speaker.say('only|exactly||only')} {speaker.numeral(n)} block{'s' * (n > 1)}"
    be = "is" if n == 1 else "are"
    negative = n == 1 and speaker.chance(20)
    text = (
        speaker.say(
            f"{bare} and the {speaker.color()} is {hue}|{bare} which {be} of {hue} {speaker.color()}|{bare} which {be} {hue}|{bare} that {be} {hue}|"
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
        f"{count} of which {amount.text} {be} {speaker.hue(colour)} {tail}|{count} and {amount.text} {be} {speaker.hue(colour)} {tail}"
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


def towered(speaker: Speaker) -> Statement:
    """There are two towers with a black block at the base."""
    text, towers = condition(speaker)
    return which(speaker, text, towers, name=speaker.say("tower|" * 30 + "stack"))


def part_of(speaker: Speaker) -> Statement:
    """There is a blue block as the base of a tower with at least two blocks."""
    colour = speaker.colour()
    base = speaker.chance(50)
    word, part = ("base", _base) if base else ("top", _top)
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
        "each tower has %|all the towers have %|all towers have %|all the towers has %|every tower has %|each tower contains %|each of the towers has %"
    )
    if speaker.chance(30):
        amount = speaker.amount(1)
        test, each = amount.test, speaker.say("each|every|each")
        return (
            f"there {'are' if amount.plural else 'is'} {amount.text} {hue} {what}{'s' * amount.plural} in {each} tower",
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
            at(colour, _base if base else _top),
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
            f"the {order} block {source} of one tower is {hue}|there is a tower where the {order} block {source} is {hue}|"
            f"there is a tower which the {order} block {source} is {hue}"
        )
        return text, lambda bank: fits(bank).any(-1)
    word, part = speaker.pick((("base", _base), ("top", _top)))
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
            "there are two towers with the same|there are only two towers that has the same|there are at least two towers with the same|"
            "there are exactly two towers with the same|two of the three towers has the same|two towers have the same|there are 2 towers with the same"
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
                f"all the towers have the same {name}|all towers have the same {name}|the three towers have the same {name}"
            )
            if same
            else (
                speaker.say(
                    f"all the towers have different {name}|the three towers have different {name}|all towers have different {name}"
                )
            )
        )

        def uniform(bank: Bank) -> np.ndarray:
            t = np.sort(_traits(bank, what), -1)
            return t[:, 0] == t[:, 2] if same else (t[:, 0] != t[:, 1]) & (t[:, 1] != t[:, 2])

        return text, uniform
    what = "base" if what == "height" else what
    part = _base if what == "base" else _top
    seen = [int(c) for c in _traits(Bank([speaker.scene]), what)[0]]
    first = seen[0] if speaker.chance(80) else speaker.below(3)
    others = [c for c in seen if c != first] or [(first + 1 + speaker.below(2)) % 3]
    second = others[0]
    one, two = speaker.hue(first), speaker.hue(second)
    if draw < 80:
        n = min(2, max(1, seen.count(first) if speaker.chance(70) else 1 + speaker.below(2)))
        head = speaker.say(
            f"the {what} of the three towers are|the {what} blocks of the towers are|the {what}s of the three towers are"
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
