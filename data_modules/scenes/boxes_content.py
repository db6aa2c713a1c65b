"""What a box holds, in words: one condition on a box, drawn with its meaning.

A condition is a text that follows "a box with" and a function from a `Bank` to the boxes that fulfil it,
(S, 3) bool.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data_modules.scenes.boxes_meaning import Bank, Things, kind
from data_modules.scenes.boxes_words import Noun, Speaker, both, everything, per_box, spoken

Condition = tuple[str, Things]


def count_in(noun: Noun, speaker: Speaker) -> int:
    """How many of these things the speaker's own box holds."""
    bank = Bank([(speaker.box, (), ())])
    return int(noun.things(bank)[0, 0].sum())


def some(speaker: Speaker, *, plain: bool = True) -> Condition:
    """Three yellow items; a black circle touching the wall."""
    noun = speaker.noun(plain=plain)
    if plain and speaker.chance(22):
        where, there = speaker.touching()
        noun = Noun(f"{noun.one} {where}", f"{noun.many} {where}", both(noun.things, there))
    amount = speaker.amount(count_in(noun, speaker), none=speaker.chance(30))
    return noun.after(amount), per_box(noun.things, amount.test)


def several(speaker: Speaker) -> Condition:
    """A black circle, two blue items and at least one square."""
    parts = [some(speaker, plain=False) for _ in range(2 if speaker.chance(75) else 3)]
    texts = [text for text, _ in parts]
    last = speaker.say("and|and|and|and|and|, and|but")
    text = f"{speaker.say(',|,|and').join(f' {t} ' for t in texts[:-1])} {last} {texts[-1]}"
    return text, lambda bank: np.logical_and.reduce([part(bank) for _, part in parts])


def total(speaker: Speaker) -> tuple[str, Things, int]:
    """Four items: the number of all things of a box, words, meaning and the actual number."""
    if speaker.chance(8):
        word, least = speaker.pick((("many", 4), ("multiple", 2), ("a lot of", 4), ("several", 3)))
        return (
            f"{word} {speaker.say('items|items|objects')}",
            lambda bank: bank.height >= least,
            len(speaker.box),
        )
    amount = speaker.amount(len(speaker.box), article=False)
    item = speaker.say("item|item|item|object|object|shape|thing")
    noun = Noun(item, item + "s", everything)
    if speaker.chance(3):
        return f"{speaker.say('single|a single')} {item}", lambda bank: bank.height == 1, len(speaker.box)
    if speaker.chance(4):
        most = max(1, len(speaker.box))
        text = f"{speaker.numeral(most)} {item}{'s' * (most > 1)} at most"
        return text, lambda bank: bank.height <= most, len(speaker.box)
    return noun.after(amount), per_box(everything, amount.test), len(speaker.box)


def colours_of(speaker: Speaker) -> Condition:
    """Three items of two different colors; items of all three colors; items of the same color."""
    if speaker.chance(55):
        text, size, _ = total(speaker)
    else:
        text, size = speaker.say("items|items|objects"), lambda bank: bank.height >= 0
    things = speaker.box or (None,)
    number = (
        len({t.colour for t in speaker.box}) if things[0] and speaker.chance(70) else 1 + speaker.below(3)
    )
    if number == 1:
        words = speaker.say("of the same %|of same %|of one %|of only one %|of a single %|in the same %")
    elif number == 2:
        words = speaker.say(
            "of 2 different %s|of two different %s|of only 2 different %s|of two %s|of 2 different %|"
            "of two %|"
            "with 2 different %s|in two different %s|of exactly two %s|of 2 %s"
        )
    else:
        words = speaker.say(
            "of all 3 different %s|of all three %s|of 3 different %s|of three different %s|of all 3 %s|"
            "of all %s|"
            "of all the %s|of different %|with 3 different %s|of three %s|of all three different %s"
        )
    words = words.replace("%s", speaker.colors()).replace("%", speaker.color())
    return (
        f"{text} {words}",
        lambda bank: size(bank) & (bank.colours(bank.there) == number) & (bank.height > number // 2),
    )


def only_colours(speaker: Speaker) -> Condition:
    """Only blue and black items; only yellow squares; only items of blue and black color."""
    first = speaker.colour()
    second = (first + 1 + speaker.below(2)) % 3
    one, two = speaker.hue(first), speaker.hue(second)
    items = speaker.say("items|items|items|objects|shapes")
    draw = speaker.below(100)
    if draw < 60:
        text = speaker.say(
            f"only {one} and {two} {items}|only {one} and {two} {items}|only {one} and {two} {items} in it|"
            f"{items} of only {one} and {two} {speaker.color()}|"
            f"only {items} of {one} and {two} {speaker.color()}|"
            f"{items} of {one} and {two} {speaker.color()} only|{one} and {two} {items} only"
        )
        meaning = _exactly_colours(first, second)
        if speaker.chance(20):
            words, size, _ = total(speaker)
            text = f"{words} {speaker.say('of only|of|of|with only')} {one} and {two} {speaker.color()}"
            return text, lambda bank: size(bank) & meaning(bank)
        return text, meaning
    if draw < 78:
        return (
            f"only {one} {items}",
            lambda bank: (bank.colours(bank.there) == 1) & (bank.colour == first).any(-1),
        )
    if draw < 90:
        noun = speaker.noun()
        return f"only {noun.many}", lambda bank: (noun.things(bank) == bank.there).all(-1)
    return f"no {one} {items}", lambda bank: ~(bank.colour == first).any(-1)


def _exactly_colours(first: int, second: int) -> Things:
    def boxes(bank: Bank) -> np.ndarray:
        has = [(bank.colour == c).any(-1) for c in range(3)]
        has[first], has[second] = ~has[first], ~has[second]
        return ~(has[0] | has[1] | has[2])

    return boxes


def on_top(speaker: Speaker) -> Condition:
    """Three items and a blue item on top."""
    text, size, _ = total(speaker)
    colour = speaker.colour()
    what = f"{speaker.hue(colour)} {speaker.say('item|item|one|object')}"
    tail = speaker.say("on top|on top|on top|at the top|on the top")
    text = (
        speaker.say(f"{text} and a {what} {tail}|a {what} {tail}")
        if speaker.chance(25)
        else f"{text} and a {what} {tail}"
    )
    sized = "and" in text
    return text, lambda bank: ((bank.colour == colour) & bank.top).any(-1) & (size(bank) if sized else True)


def of_which(speaker: Speaker) -> Condition:
    """Four items of which two are black; four objects one of which is a circle."""
    text, size, _ = total(speaker)
    noun = speaker.noun(plain=False)
    amount = speaker.amount(count_in(noun, speaker), article=False)
    adjective = (
        noun.one.rsplit(" ", 1)[0]
        if noun.one.endswith(("item", "object", "thing", "shape", "figure"))
        else ""
    )
    what = (adjective or noun.many) if amount.plural else (adjective or f"a {noun.one}")
    be = "are" if amount.plural else "is"
    form = speaker.say(
        "{t} of which {n} {b} {w}|{t} of which {n} {b} {w}|{t} and the {n} {b} {w}|{t} and {n} {b} {w}|"
        "{t} {n} of which {b} {w}|{t} of which {n} {b} {w}|{t} and {n} of them {b} {w}|{t} where {n} {b} {w}|"
        "{t} , {n} of them {b} {w}|{t} out of which {n} {b} {w}|{t} including {n} {k}"
    )
    text = form.format(t=text, n=amount.text, b=be, w=what, k=noun.many if amount.plural else noun.one)
    inside = per_box(noun.things, amount.test)
    return text, lambda bank: size(bank) & inside(bank)


def single(speaker: Speaker) -> Condition:
    """Only one item that is not blue; one object which is a yellow circle."""
    number = 1 if speaker.chance(65) else 2
    noun = speaker.noun()
    plain = noun.one.endswith(("item", "object", "thing", "shape", "figure"))
    what = noun.one.rsplit(" ", 1)[0] if plain else (f"a {noun.one}" if number == 1 else noun.many)
    count = (
        f"{speaker.say('only|only|exactly||just')} {speaker.numeral(number)} "
        f"{speaker.say('item|object') + 's' * (number > 1)}"
    )
    negative = speaker.chance(30)
    no = "not " if negative else ""
    be, they, all_ = ("is", "it", "") if number == 1 else ("are", "they", speaker.say("|both|all"))
    text = speaker.say(
        f"{count} that {be} {no}{what}|{count} which {be} {no}{what}|"
        f"{count} and {they} {be} {no}{all_} {what}|"
        f"{count} that {be} {no}{what}|{count} and the color {be} {no}{what}"
        if plain
        else (
            f"{count} that {be} {no}{what}|{count} which {be} {no}{what}|"
            f"{count} and {they} {be} {no}{all_} {what}"
        )
    )

    def boxes(bank: Bank) -> np.ndarray:
        fits = bank.there & ~noun.things(bank) if negative else noun.things(bank)
        return (bank.height == number) & (fits.sum(-1) == number)

    return text, boxes


def two_hues(speaker: Speaker) -> Condition:
    """Two yellow and two blue items; a black and a yellow square."""
    first = speaker.colour()
    second = (first + 1 + speaker.below(2)) % 3
    noun = speaker.noun(plain=True)
    form = speaker.below(3) if speaker.chance(30) else None
    stem = speaker.say("item|item|object") if form is None else ("circle", "square", "triangle")[form]
    del noun
    counts = [sum(t.colour == c and form in (None, t.shape) for t in speaker.box) for c in (first, second)]
    one, two = (speaker.amount(n) for n in counts)
    text = f"{one.text} {speaker.hue(first)} and {two.text} {speaker.hue(second)} {stem}{'s' * two.plural}"
    a, b = per_box(kind(first, form), one.test), per_box(kind(second, form), two.test)
    return text, lambda bank: a(bank) & b(bank)


def alike(speaker: Speaker) -> Condition:
    """Two black items of the same shape; three items of the same shape; two items of different size."""
    noun = speaker.noun(plain=True, shape=False)
    number = speaker.pick((2, 2, 3))
    what = speaker.pick(("shape", "size"))
    same = speaker.chance(60)
    text = f"{speaker.say('|exactly|at least')} {speaker.numeral(number)} {noun.many} of "
    text += (
        speaker.say(f"the same {what}|same {what}")
        if same
        else speaker.say(f"different {what}|different {what}s")
    )

    def boxes(bank: Bank) -> np.ndarray:
        things = noun.things(bank)
        trait = bank.shape if what == "shape" else bank.size
        values = (0, 1, 2) if what == "shape" else (10, 20, 30)
        groups = np.stack([((trait == v) & things).sum(-1) for v in values])
        total = groups.sum(0)
        fits = (groups == number).any(0) if same else ((groups > 0).sum(0) >= 2)
        return fits & (total == number) if "exactly" in text else fits & (total >= number)

    return text, boxes


def pair(speaker: Speaker) -> Condition:
    """A blue item touching the wall and a black item on top of it; a circle touching a square."""
    first, second = speaker.noun(), speaker.noun()
    draw = speaker.below(100)
    if draw < 40:
        where, there = speaker.touching(negative=False)
        text = (
            f"a {first.one} {where} and a {second.one} "
            f"{speaker.say('on top of it|above it|on top|right on top of it')}"
        )
        lower = both(first.things, there)
        return text, lambda bank: _related(bank.above, second.things(bank), lower(bank))
    if draw < 75:
        verb = speaker.say("touching|closely touching|near|close to|next to|touching")
        return f"a {first.one} {verb} a {second.one}", lambda bank: _related(
            bank.beside, first.things(bank), second.things(bank)
        )
    if draw < 88:
        verb = speaker.say("above|over|on top of|on")
        return f"a {first.one} {verb} a {second.one}", lambda bank: _related(
            bank.above, first.things(bank), second.things(bank)
        )
    verb = speaker.say("below|under|beneath|bellow|underneath")
    return f"a {first.one} {verb} a {second.one}", lambda bank: _related(
        bank.above, second.things(bank), first.things(bank)
    )


def _related(relation: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(S, 3): whether some thing of the first set stands in the relation to one of the second."""
    return (relation & first[..., :, None] & second[..., None, :]).any((-1, -2))


def bare(speaker: Speaker) -> Condition:
    """Blue triangles; black square and blue circle; a yellow circle and square: articles left out."""
    first, second = speaker.noun(), speaker.noun()
    draw = speaker.below(100)
    if draw < 40:
        return first.many, lambda bank: first.things(bank).any(-1)
    if draw < 70:
        text = f"{first.one} and {second.one}"
        text = speaker.say(
            f"{text}|{first.many} and {second.many}|a {text}|only {text}|only {first.many} and {second.many}"
        )
        if text.startswith("only"):
            return (
                text,
                lambda bank: (
                    ((first.things(bank) | second.things(bank)) == bank.there).all(-1)
                    & first.things(bank).any(-1)
                    & second.things(bank).any(-1)
                ),
            )
        return text, lambda bank: first.things(bank).any(-1) & second.things(bank).any(-1)
    lots = speaker.say("a lot of|many|multiple")
    least = 2 if lots == "multiple" else 3
    return (
        f"a {first.one} and {lots} {second.many}",
        lambda bank: first.things(bank).any(-1) & (second.things(bank).sum(-1) >= least),
    )


def mixed(speaker: Speaker) -> Condition:
    """Items of three different colors and only one blue circle; only black items and a triangle."""
    first = speaker.pick((colours_of, colours_of, only_colours, lambda s: total(s)[:2]))(speaker)
    second = some(speaker)
    return f"{first[0]} and {second[0]}", lambda bank: first[1](bank) & second[1](bank)


def relative(speaker: Speaker) -> Condition:
    """Exactly two objects which are black; two objects touching the base which are not yellow."""
    noun = speaker.noun(shape=speaker.chance(30))
    negative = speaker.chance(20)
    item = speaker.say("object|item|object")
    where, there = speaker.touching(negative=False) if speaker.chance(35) else ("", everything)

    def things(bank: Bank) -> np.ndarray:
        fits = noun.things(bank)
        return there(bank) & ((bank.there & ~fits) if negative else fits)

    amount = speaker.amount(int(things(Bank([(speaker.box, (), ())]))[0, 0].sum()))
    plain = noun.one.endswith(("item", "object", "thing", "shape", "figure"))
    what = noun.one.rsplit(" ", 1)[0] if plain else noun.many if amount.plural else f"a {noun.one}"
    be = "are" if amount.plural else "is"
    text = f"{amount.text} {item}{'s' * amount.plural} {where} {speaker.say('which|that')} {be}"
    return f"{text} {'not' if negative else ''} {what}", per_box(things, amount.test)


CONDITIONS: tuple[tuple[int, Callable[[Speaker], Condition]], ...] = (
    (30, some),
    (22, several),
    (10, lambda speaker: total(speaker)[:2]),
    (9, colours_of),
    (10, only_colours),
    (4, on_top),
    (6, of_which),
    (5, single),
    (4, two_hues),
    (2, alike),
    (4, pair),
    (4, bare),
    (5, mixed),
    (4, relative),
)


def weighted(speaker: Speaker, rules: tuple[tuple[int, Callable], ...]) -> Callable:
    """One of the rules, as often as its weight says."""
    draw = speaker.below(sum(weight for weight, _ in rules))
    for weight, rule in rules:
        draw -= weight
        if draw < 0:
            return rule
    raise AssertionError("weights are positive")


def condition(speaker: Speaker) -> Condition:
    """Any condition on a box of strewn things."""
    text, boxes = weighted(speaker, CONDITIONS)(speaker)
    return spoken(text), boxes
