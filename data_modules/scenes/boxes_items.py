"""Statements about strewn boxes: a text and its truth on many scenes at once."""

from __future__ import annotations

import numpy as np

from data_modules.scenes.boxes_content import condition, weighted
from data_modules.scenes.boxes_meaning import Bank, Truth
from data_modules.scenes.boxes_words import Noun, Speaker, both, overall, per_box, spoken

Statement = tuple[str, Truth]


def counted(speaker: Speaker) -> Statement:
    """There are exactly two yellow circles touching the base."""
    placed = speaker.chance(58)
    noun = speaker.noun(plain=placed)
    if speaker.chance(6):
        other = speaker.noun()
        more = [speaker.amount(int(n.things(Bank([speaker.scene])).sum())) for n in (noun, other)]
        one, two = (overall(n.things, a.test) for n, a in zip((noun, other), more, strict=True))
        be = "are" if more[0].plural else "is"
        return (
            f"there {be} {noun.after(more[0])} and {other.after(more[1])}",
            lambda bank: one(bank) & two(bank),
        )
    if placed:
        where, there = speaker.touching()
        noun = Noun(f"{noun.one} {where}", f"{noun.many} {where}", both(noun.things, there))
    bank = Bank([speaker.scene])
    everywhere = speaker.chance(93)
    if everywhere:
        actual = int(noun.things(bank).sum())
        amount = speaker.amount(actual, none=True)
        truth = overall(noun.things, amount.test)
        tail = ""
    else:
        place = speaker.scene.index(speaker.box)
        amount = speaker.amount(int(noun.things(bank)[0, place].sum()))
        boxes = per_box(noun.things, amount.test)
        truth = lambda bank: boxes(bank).any(-1)  # noqa: E731
        tail = speaker.say("in a box|in one box|in one grey box|in a grey box|in one of the boxes")
    if everywhere and speaker.chance(12):
        be = "are" if amount.plural else "is"
        words = noun.after(amount).replace(" touching", f" {be} touching", 1).replace(" not are", " are not")
        words = (
            words.replace(" not is", " is not")
            .replace(" closely are", " are closely")
            .replace(" closely is", " is closely")
        )
        if f" {be} " in words and "that" not in words:
            return words, truth
    return f"there {'are' if amount.plural else 'is'} {noun.after(amount)} {tail}", truth


def definite(speaker: Speaker) -> Statement:
    """The black square is not touching the edge; none of the triangles are touching any edge."""
    noun = speaker.noun()
    where, there = speaker.touching(negative=False)
    hits = both(noun.things, there)
    misses = both(noun.things, lambda bank: ~there(bank))
    draw = speaker.below(100)
    if draw < 30:
        be = speaker.say("are|is")
        return f"none of the {noun.many} {be} {where}", lambda bank: ~hits(bank).any((1, 2))
    if draw < 45:
        words = speaker.say("all the|all|all of the|every|each")
        plural = words.startswith("all")
        name = noun.many if plural else noun.one
        return f"{words} {name} {'are' if plural else 'is'} {where}", lambda bank: ~misses(bank).any((1, 2))
    if draw < 75:
        return f"{speaker.say('the|the|a')} {noun.one} is {where}", lambda bank: hits(bank).any((1, 2))
    return f"{speaker.say('the|the|a')} {noun.one} is not {where}", lambda bank: misses(bank).any((1, 2))


def shared(speaker: Speaker) -> Statement:
    """Each box has at least one black item; there is a yellow item in each box."""
    noun = speaker.noun(plain=True)
    counts = noun.things(Bank([speaker.scene])).sum(-1)[0]
    amount = speaker.amount(int(counts.min()))
    boxes = per_box(noun.things, amount.test)
    what = noun.after(amount)
    box = speaker.say("box|box|box|grey box|grey square|square")
    text = speaker.say(
        f"each {box} has {what}|each {box} contains {what}|every {box} has {what}|"
        f"all the {box}es have {what}|"
        f"all {box}es have {what}|there {'are' if amount.plural else 'is'} {what} in each {box}|"
        f"there {'are' if amount.plural else 'is'} {what} in every {box}|all the {box}es contain {what}|"
        f"there {'are' if amount.plural else 'is'} {what} in each {box}|each {box} has {what}"
    ).replace("squarees", "squares")
    return text, lambda bank: boxes(bank).all(-1)


def which(speaker: Speaker, text: str, boxes: Truth, *, name: str | None = None) -> Statement:
    """Frames a condition on boxes (or towers): there is a box with it; exactly two boxes have it.

    Args:
        speaker: draws the frame.
        text: the condition, behind "with".
        boxes: (S, 3) truth of the condition.
        name: what a box is called; None draws among the names of boxes.
    """
    grey = name is None and speaker.chance(25)
    one = name or speaker.say("grey box|grey box|grey square|gray box|grey box|square" if grey else "box")
    many = one + ("es" if one.endswith("x") else "s")
    if speaker.chance(3):
        text += " each" if speaker.chance(40) else " in it"
    holds = speaker.say(
        "with|with|with|with|that has|which has|having|containing|that contains|which contains|"
        "where there is|"
        "with|with|with|with|with"
    )
    has = speaker.say("has|has|contains")
    draw = speaker.below(100)
    some = lambda bank: boxes(bank).any(-1)  # noqa: E731
    if draw < 52:
        head = speaker.say(
            "there is a|there is a|there is a|there is a|there is 1|there is one|there is at least one|"
            "there is at least 1|"
            "there is as|there isa|there is"
        )
        if head in ("there is 1", "there is one") and speaker.chance(0):
            return f"{head} {one} {holds} {text}", lambda bank: boxes(bank).sum(-1) == 1
        return f"{head} {one} {holds} {text}", some
    if draw < 68:
        head = speaker.say(
            f"one of the {one}|one of the {one}|one of the {many}|at least one of the {many}|"
            f"at least one {one}|"
            f"one {one}|one of the {one}|a {one}|one {one}|at least one of the {one}|one of the three {many}"
        )
        return f"{head} {has} {text}", some
    if draw < 86:
        number = speaker.pick((1, 1, 2, 2, 2, 3))
        word = speaker.numeral(number)
        exact = speaker.say(
            f"exactly {word}|{word}|only {word}|exactly {word}"
            if number == 1
            else f"{word}|exactly {word}|{word}|only {word}"
        )
        if number == 1 and exact == word:
            exact = f"only {word}"
        noun = one if number == 1 else many
        holds = holds.replace("that has", speaker.say("that have|that has")) if number > 1 else holds
        text_ = f"there {'is' if number == 1 else 'are'} {exact} {noun} {holds} {text}"
        if speaker.chance(12):
            text_ = f"{exact} {noun} {'have' if number > 1 else 'has'} {text}"
        if speaker.chance(8) and number > 1:
            text_ = f"{exact} of the three {many} {speaker.say('have|has')} {text}"
        return text_, lambda bank: boxes(bank).sum(-1) == number
    if draw < 93:
        word = speaker.numeral(2)
        return f"there are at least {word} {many} {holds} {text}", lambda bank: boxes(bank).sum(-1) >= 2
    if draw < 98:
        return (
            f"there {speaker.say(f'is no {one}|is no {one}|are no {many}')} {holds} {text}",
            lambda bank: ~some(bank),
        )
    return f"{speaker.say(f'none of the {many}|no {one}')} {has} {text}", lambda bank: ~some(bank)


def boxed(speaker: Speaker) -> Statement:
    """There is a box with two blue items and a black circle."""
    return which(speaker, *condition(speaker))


def paired(speaker: Speaker) -> Statement:
    """There is a yellow circle touching a black square; there are two blue items touching each other."""
    first, second = speaker.noun(), speaker.noun()
    if speaker.chance(30):
        verb = speaker.say(
            "touching each other|closely touching each other|attached to each other|touching each other"
        )

        def truth(bank: Bank) -> np.ndarray:
            things = first.things(bank)
            return (bank.beside & things[..., :, None] & things[..., None, :]).any((1, 2, 3))

        return f"there are two {first.many} {verb}", truth
    if speaker.chance(60):
        verb, relation = speaker.say("touching|closely touching|near|next to|close to|touching"), "beside"
    else:
        verb, relation = speaker.say("above|over|on top of"), "above"

    def related(bank: Bank) -> np.ndarray:
        one, two = first.things(bank), second.things(bank)
        return (getattr(bank, relation) & one[..., :, None] & two[..., None, :]).any((1, 2, 3))

    return f"there is a {first.one} {verb} a {second.one}", related


def compared(speaker: Speaker) -> Statement:
    """There are two boxes with the same number of items; all boxes have items of the same color."""
    noun = speaker.noun(plain=True)
    many = speaker.say("boxes|boxes|grey boxes|squares")
    things = noun.things if speaker.chance(50) else (lambda bank: bank.there)
    name = noun.many if things is noun.things else speaker.say("items|objects")
    word = speaker.say("that has|which has|with|that have|which have")
    draw = speaker.below(3)
    if draw == 0:
        number = speaker.pick(("two", "2"))

        def two_alike(bank: Bank) -> np.ndarray:
            n = np.sort(things(bank).sum(-1), -1)
            return (n[:, 0] == n[:, 1]) | (n[:, 1] == n[:, 2])

        return (
            f"there are {speaker.say('|at least')} {number} {many} {word} {speaker.say('the|')} same "
            f"number of {name}",
            two_alike,
        )
    if draw == 1:
        text = speaker.say(
            f"all the {many} have the same number of {name}|each box has the same number of {name}|"
            f"all {many} have same number of {name}|the three {many} have the same number of {name}"
        )
        return text, lambda bank: np.ptp(things(bank).sum(-1), axis=-1) == 0
    least = speaker.chance(50)
    one = speaker.noun()
    amount = speaker.amount(1)
    head = (
        f"the {speaker.say('grey box|box')} with {speaker.say('the|')} "
        f"{speaker.say('least|fewest') if least else speaker.say('most|maximum')} number of "
        f"{speaker.say('items|objects|object')}"
    )

    def extreme(bank: Bank) -> np.ndarray:
        height = bank.height
        edge = height.min(-1, keepdims=True) if least else height.max(-1, keepdims=True)
        return ((height == edge) & amount.test(one.things(bank).sum(-1))).any(-1)

    return f"{head} {speaker.say('contains|has')} {one.after(amount)}", extreme


RULES = ((36, counted), (9, definite), (5, shared), (42, boxed), (4, paired), (4, compared))


def statement(speaker: Speaker) -> Statement:
    """Any statement about strewn boxes."""
    text, truth = weighted(speaker, RULES)(speaker)
    return spoken(text), truth
