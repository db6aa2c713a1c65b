"""The token classes of the Penn Treebank tokenizer that caption scores are defined with, as patterns.

Source of the behaviour: `PTBTokenizer` of Stanford CoreNLP 3.4.1 with -preserveLines -lowerCase, as it
answers when asked. Of the characters of the basic plane, 98 % are cut alike; the others are letters newer
than 2014 and signs and marks of scripts far from English captions.
At each place the longest class wins, then the earliest. A class may ask for what follows it: the group `tail`
counts when lengths are compared, and is read again afterwards.
"""

from __future__ import annotations

import re

# Marks that combine with a letter count as letters in the scripts that the tokenizer knows; so does the soft
# hyphen, which later goes.
_MARKS = (
    "\u00ad\u02c2-\u02c5\u02d2-\u02df\u02e5-\u02eb\u02ed\u02ef-\u036f\u0483-\u0487\u0591-\u05bd"
    "\u064b-\u065e\u0900-\u0903\u093c-\u094e\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
)
# Python's \w also holds numbers that are no decimal digits; they are no letters here.
_NO_LETTERS = (
    "\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209f\u2150-\u218b\u2460-\u249b\u24ea-\u24ff\u2776-\u2793"
    "\U00010000-\U0010ffff"
)
_ENTITY = r"&[aeiouAEIOU](?:acute|grave|uml);"
LETTER = rf"(?:(?![{_NO_LETTERS}])[^\W\d_]|[{_MARKS}]|{_ENTITY})"
_LETTER_OR_DIGIT = rf"(?:{LETTER}|\d)"
_APOS = r"(?:['\u0092\u2019]|&apos;)"
_QUOTE = r"(?:['\u0092\u2019`\u0091\u2018\u201b]|&apos;)"
_HYPHEN = r"[-_\u058a\u2010\u2011]"
_SPACE = r"[ \t\u00a0\u2000-\u200a\u3000]"
SPACES = r"(?:[ \t\n\u00a0\u2000-\u200a\u3000]|&nbsp;)"

_WORD = rf"{LETTER}{_LETTER_OR_DIGIT}*(?:[.!?]{LETTER}{_LETTER_OR_DIGIT}*)*"
_ELISION = rf"(?:[dDoOlL]{_QUOTE}{LETTER}(?={_LETTER_OR_DIGIT}))?"
_THING = rf"{_ELISION}{_LETTER_OR_DIGIT}+(?:{_HYPHEN}{_ELISION}{_LETTER_OR_DIGIT}+)*"
_SLASHED = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"
_ACRONYM = r"(?:(?:Canada|Sino|Korean|EU|Japan|non)-U\.S|U\.S\.-(?:U\.K|U\.S\.S\.R)|[A-Za-z](?:\.[A-Za-z])+)"
_NUMBER = r"(?:\d*(?:[.:,\u00ad\u066b\u066c]\d+)+|\d+)"
_TAG_NAME = r"[A-Za-z][A-Za-z0-9:.-]*"
_TAG_QUOTED = r"""(?:"[^"\n]*"|'[^'\n]*')"""

# Words that keep their full stop: in small letters, with a capital, or all capitals; and each letter alone.
_ABBREVIATIONS = (
    "adj adm adv al ala alex apr ariz assn asst atty attys aug ave bancorp bhd bldg blvd brig bros "
    "calif capt cf cie cmdr co col colo comdr conn corp cos cpl ct dak dec dept det dr drs elec ens esq "
    "est etc ext feb fla fri ft ga gen gov govs hon inc ind insp intl invt jan jos jr jul jun kan kans "
    "ky lieut lt ltd maj mar md messrs mfg mich minn mlle mme mo mon mont mr mrs ms msgr mt mtg natl "
    "neb nev nov oct okla penn pfc ph plc ppte pptes ppty pptys pres prof profs pte ptes pty ptys pvt "
    "rd rep reps rev rt sen sens sep sept seq sfc sgt spc sq sr st ste supt supts sys tel tenn thu "
    "thurs treas tue tues univ va vs vt wed wis wisc wm wyo"
)
# Those that are words in small letters as well, and so keep it only with a capital.
_CAPITAL_ABBREVIATIONS = "ark az del ill la mass miss ore pa tex wash"
# Those that keep it only before a number.
_NUMBERED = "art ca fig figs no nos op pp prop"
_SMALL_OR_CAPITAL_ONLY = "mfg mtg ppte pptes ppty pptys pte ptes pty ptys"


def _spellings(small: str, capital: str = "") -> str:
    words = small.split()
    every = {form for word in words for form in (word, word.capitalize(), word.upper())}
    every |= {form for word in capital.split() for form in (word.capitalize(), word.upper())}
    every -= {word.upper() for word in _SMALL_OR_CAPITAL_ONLY.split()}
    return "|".join(sorted(every, key=lambda word: (-len(word), word)))


# Characters that are a token of their own; any other that no class begins with is left out.
_SINGLES = (
    r"!-/:-@\[-`{-~\u0091-\u0094\u2018-\u201d\u2039\u203a\u00ab\u00bb\u00a1\u00a5-\u00a9\u00ac\u00ae-\u00b4"
    r"\u00b6-\u00b9\u00bf\u00d7\u00f7\u2016\u2017\u201e-\u2023\u2030-\u2038\u203b\u203e-\u2042\u2044\u2070"
    r"\u2074-\u207e\u2080-\u208e\u2100-\u214f\u2155-\u215e\u2190-\u2bff\u3001\u3002\u3012\u30fb\uff01-\uff0f"
    r"\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
_FILE_ENDINGS = (
    "bat|bmp|bz2|c|class|cgi|cpp|dll|docx|doc|exe|gif|gz|html|htm|h|jar|java|jpeg|jpg|mov|mp3|pdf|php|pl|png|"
    "ppt|ps|py|sql|tar|txt|wav|xml|x|zip|wmv|wma"
)

_TAG_INSIDE = rf"{_TAG_NAME}(?: +(?:{_TAG_NAME}(?: *= *{_TAG_QUOTED})?|{_TAG_QUOTED}))* */?"
TAG = rf"<(?:[!?][A-Za-z-][^>\n]*|{_TAG_INSIDE}|/{_TAG_NAME}) *>"
_URL_END = r"[^ \t\n\f\r\"<>|.!?(){},-]"
_URL_PATH = rf"(?:/[^ \t\n\f\r\"<>|()]+{_URL_END})?"
_TAIL_OF_SHORT_VERB = rf"(?:{_APOS}(?:[msdMSD]|[rR][eE]|[vV][eE]|[lL][lL]))"
_NOT = rf"[nN]{_QUOTE}[tT]"

_SENTENCE_STARTS = (
    "A|About|According|Additionally|After|An|As|At|But|Earlier|He|Her|Here|However|If|In|It|Last|Many|More|"
    r"Mr\.|Ms\.|Now|Once|One|Other|Our|She|Since|So|Some|Such|That|The|Their|Then|There|These|They|This|We|"
    "What|When|While|Yet|You"
)
LEAD = rf"(?:{_SENTENCE_STARTS}|{TAG})(?:{_SPACE}|\n)"

# (a class, what must follow it).
_RULES: list[tuple[str, str]] = [
    (TAG, ""),
    # Two words written as one.
    (r"(?i:can)", r"(?i:not)"),
    (r"(?i:gon|wan)", r"(?i:na)"),
    (r"(?i:got)", r"(?i:ta)"),
    (r"(?i:lem|gim)", r"(?i:me)"),
    (rf"{_APOS}[tT]", r"(?i:is|was)"),
    # Dashes, and entities of old newswire.
    (r"&(?:MD|mdash|ndash);|[\u0096\u0097\u2013-\u2015]", ""),
    (r"&(?:HT|TL|UR|LR|QC|QL|QR|odq|cdq|#[0-9]+);", ""),
    # it | 's, ca | n't; words that hold an apostrophe.
    (_WORD, _TAIL_OF_SHORT_VERB),
    (r"[A-Za-z]*[A-MO-Za-mo-z]", _NOT),
    (
        rf"{_APOS}[nN]{_QUOTE}?|[lLdDjJ]{_APOS}|Dunkin{_QUOTE}|[sS]omethin{_APOS}|[oO]l{_APOS}|{_APOS}[eE][mM]"
        rf"|[cC]'mon|{_QUOTE}[2-9]0s|{_QUOTE}[tT][iI][lL][lL]?|{_APOS}cause|cont'd\.?|nor'easter|[eo]'er|s'mores"
        rf"|{LETTER}+[aeiouyAEIOUY]{_QUOTE}[aeiouA-Z]{LETTER}*|ev'ry|[lL]i'l|nat'l|O{_QUOTE}o",
        "",
    ),
    (rf"[yY]{_APOS}", LETTER),
    # Addresses of the web and of mail, names and tags.
    (rf"https?://[^ \t\n\f\r\"<>|()]+{_URL_END}", ""),
    (
        rf"(?:www\.(?:[^ \t\n\f\r\"<>|.!?(){{}},]+\.)+[a-zA-Z]{{2,4}}"
        rf"|(?:[^ \t\n\f\r\"`'<>|.!?(){{}},\-_$]+\.)+(?:com|net|org|edu)){_URL_PATH}",
        "",
    ),
    (
        r"(?:&lt;|<)?[a-zA-Z0-9][^ \t\n\f\r\"<>|()\u00a0{}]*@(?:[^ \t\n\f\r\"<>|(){}.\u00a0]+\.)*"
        r"[^ \t\n\f\r\"<>|(){}.\u00a0]+(?:&gt;|>)?",
        "",
    ),
    (r"[@\uff20][a-zA-Z_][a-zA-Z_0-9]*|[#\uff03]" + LETTER + "+", ""),
    # Tails of words; an apostrophe before a word opens a quotation.
    (_TAIL_OF_SHORT_VERB, "[^A-Za-z]"),
    ("'", r"[A-Za-z][^ \t\n\u00a0]"),
    (_TAIL_OF_SHORT_VERB, ""),
    (rf"{_NOT}{LETTER}*", ""),
    # Numbers, fractions, money.
    (rf"[-+]?{_NUMBER}", ""),
    (r"(?:\d{1,4}[- \u00a0])?\d{1,4}(?:\\?/|\u2044)\d{1,4}", ""),
    (r"[\u00bc-\u00be\u2153-\u215e]", ""),
    (r"[\u207a\u207b\u208a\u208b]?(?:[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+|[\u2080-\u2089]+)", ""),
    (rf"{_SLASHED}(?:\\?/{_SLASHED}){{1,2}}", ""),
    (r"[A-Z]*\$|#|[\u00a2-\u00a5\u0080\u20a0\u20ac\u060b\u0e3f\u20a4\uffe0\uffe1\uffe5\uffe6]", ""),
    # Words with their full stop.
    (rf"(?:{_ACRONYM}|(?:Ed|Ph)\.[dD]|{_spellings(_ABBREVIATIONS, _CAPITAL_ABBREVIATIONS)}|[A-Za-z])\.", ""),
    (rf"(?:{_spellings(_NUMBERED)})\.", rf"{SPACES}?\d"),
    (rf"(?:{_WORD}|{_THING})\.", "[,;:\u3001]"),
    # A letter with a full stop is no initial where a sentence begins behind it.
    (r"[A-Za-z]", rf"\.{SPACES}+{LEAD}"),
    # Telephone numbers, faces, runs of one mark.
    (
        r"(?:\([0-9]{2,3}\)[ \u00a0]?|(?:\+\+?)?(?:[0-9]{2,4}[- \u00a0])?[0-9]{2,4}[- \u00a0])"
        r"[0-9]{3,4}[- \u00a0]?[0-9]{3,5}|(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}",
        "",
    ),
    (r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]]", "[^A-Za-z0-9]"),
    (r"[-\^x=~<>']_[-\^x=~<>']|\([-\^x=~<>'][_.]?[-\^x=~<>']\)", ""),
    (r"\.{3,5}|(?:\.[ \u00a0]){2,4}\.|[\u0085\u2026]", ""),
    (r"[?!]+|\*+|(?:\\\*)+|_+|-+|##+|@@+", ""),
    # Words with hyphens and what else holds together; single characters last.
    (rf"[A-Za-z0-9][A-Za-z0-9.,\u00ad]*(?:-(?:[A-Za-z0-9\u00ad]+|{_ACRONYM}\.))+", r"[^A-Za-z0-9.+]|\.\s"),
    (_THING, ""),
    (r"(?i:anti|pro)-", ""),
    (rf"[A-HJ-XZn]{_QUOTE}{LETTER}{{2,}}", ""),
    (rf"{_APOS}\d\d", r"\s"),
    (r"[A-Z]+(?:(?:[+&]|&amp;)[A-Z]+)+|[cC]\+\+", ""),
    (rf"(?:{_LETTER_OR_DIGIT}+(?:[-.]{_LETTER_OR_DIGIT}+)*\.(?i:{_FILE_ENDINGS}))", rf"{SPACES}|[.?!,]"),
    (_WORD, ""),
    (r"&(?:amp|lt|gt|quot|apos);", ""),
    (r"''|[`\u0091-\u0094\u2018-\u201f\u2039\u203a\u00ab\u00bb]{1,2}|<<|>>", ""),
    (rf"[{_SINGLES}]", ""),
]
RULES = [re.compile(rf"(?:{head})(?P<tail>{tail})") for head, tail in _RULES]
