"""Penn Treebank tokens of a caption, as the official caption scores cut it, without Java.

Source of the behaviour: `PTBTokenizer` of pycocoevalcap 1.2 (Stanford CoreNLP 3.4.1, lower-cased, then 17
punctuation tokens dropped). Its list of dropped tokens spells brackets in capitals while the text is
lower-cased, so brackets stay, as -lrb- and the like. A space inside a token (a phone number, 3 1/2) is a
no-break space there, and so here. One difference: a form feed or other line separator inside a caption would
break the official file of lines and shift every later caption; here it is a space.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from vl_dora.metrics.ptb_grammar import LEAD, RULES, SPACES

_DROPPED = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
_BREAKS = re.compile(r"[\n\r\x0b\x0c\u2028\u2029]")
_SPACES = re.compile(f"{SPACES}+")
# Most of a caption: a word of plain letters with a space or the end behind it.
_LEAD = re.compile(rf"[0-9]|{LEAD}")
_DOTS = re.compile("[. \u00a0]+")
_PLAIN = re.compile(r"[A-Za-z]+(?= |$)")
_SPLIT_WORDS = frozenset("cannot gonna wanna gotta lemme gimme".split())

# Single quotes and dashes in all their forms become one of the dropped tokens, so they are left out directly.
_WRITTEN = {
    "[": "-lsb-",
    "]": "-rsb-",
    "{": "-lcb-",
    "}": "-rcb-",
    "\u00a2": "cents",
    "\u00a3": "#",
    "\u00a4": "$",
    "\u0080": "$",
    "\u20a0": "$",
    "\u20ac": "$",
    "\u00bc": "1/4",
    "\u00bd": "1/2",
    "\u00be": "3/4",
    "\u2153": "1/3",
    "\u2154": "2/3",
}
_SHORTENED = re.compile(r"(?i:(?:'|\u2019|\u0092|&apos;)(?:[msd]|re|ve|ll)|n['\u2019\u0092]t)")
_QUOTE_WRITTEN = (
    dict.fromkeys("\u2018\u201b\u2039\u0091`", "`")
    | dict.fromkeys("\u2019\u203a\u0092", "'")
    | dict.fromkeys("\u201c\u00ab\u0093", "``")
    | dict.fromkeys("\u201d\u00bb\u0094", "''")
)
_QUOTES = re.compile(f"[{''.join(_QUOTE_WRITTEN)}]+")
_REPLACED = (
    (" ", "\u00a0"),
    ("&amp;", "&"),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("(", "-lrb-"),
    (")", "-rrb-"),
)
_QUOTES_AND_DASHES = frozenset(
    '"\u0085\u0091\u0092\u0093\u0094\u0096\u0097\u2013\u2014\u2015\u2018\u2019\u201b\u201c\u201d\u2026\u2039\u203a\u00ab\u00bb'
) | {"&mdash;", "&ndash;", "&MD;", "&quot;", "&apos;", "---", "----"}


def tokenize(captions: Sequence[str]) -> list[str]:
    """The tokens of each caption, lower-cased and without punctuation, joined by single spaces.

    The tokenizer reads all captions as the lines of one file and at a line's end looks at the start of the
    next, so a caption that ends in a single letter or a short form is cut by what stands behind it.
    """
    nexts = [*("\n" + _lead(text) for text in captions[1:]), ""]
    return [_tokens_of_line(text, behind) for text, behind in zip(captions, nexts, strict=True)]


def _lead(line: str) -> str:
    """As much of a line as can matter to the line before it."""
    match = _LEAD.match(line + "\n")
    return match[0] if match else ""


@lru_cache(maxsize=1 << 16)
def _tokens_of_line(line: str, behind: str) -> str:
    text = _BREAKS.sub(" ", line) + behind
    found, place, end = [], 0, len(line)
    while place < end:
        plain = _PLAIN.match(text, place)
        if plain and plain[0].lower() not in _SPLIT_WORDS:
            found.append(plain[0].lower())
            place = plain.end()
            continue
        gap = _SPACES.match(text, place)
        if gap:
            place = gap.end()
            continue
        token = _longest(text, place)
        if token:
            found.append(_written(token))
        # A character that begins no token is left out, as the tokenizer does after a warning.
        place += len(token) or 1
    return " ".join(token for token in found if token not in _DROPPED)


def _longest(text: str, place: int) -> str:
    token, reach = "", place
    for rule in RULES:
        match = rule.match(text, place)
        if match and match.end() > reach:
            token, reach = text[place : match.start("tail")], match.end()
    return token


def _written(token: str) -> str:
    """What the tokenizer writes for a token; every quote and dash that is dropped is written as one dash."""
    if token in _QUOTES_AND_DASHES or _DOTS.fullmatch(token):
        return "-"
    token = token.replace("\u00ad", "")
    if _SHORTENED.fullmatch(token):
        token = token.replace("\u2019", "'").replace("\u0092", "'").replace("&apos;", "'")
    elif _QUOTES.fullmatch(token):
        return "".join(_QUOTE_WRITTEN[mark] for mark in token)
    for given, written in _REPLACED:
        token = token.replace(given, written)
    return _WRITTEN.get(token, token).lower()
