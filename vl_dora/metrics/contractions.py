"""Misspelt English contractions and their right spelling, as the VQA evaluator corrects them.

Source of the behaviour: GT-Vision-Lab/VQA @ a013f0043c1e, `PythonEvaluationTools/vqaEvaluation/vqaEval.py`.
Its corrections follow one rule: a right spelling is restored when exactly one of its apostrophes is
missing. Left out by the evaluator, and so here: spellings that are words without the apostrophe (its, hell,
shed, well, were, lets, id, ill), and those with a capital I, which never meet lower-cased text.
"""

from __future__ import annotations

_NEGATIONS = (
    "ain't aren't can't couldn't didn't doesn't don't hadn't hasn't haven't isn't mightn't mustn't needn't "
    "oughtn't shan't shouldn't wasn't weren't won't wouldn't"
)
_HAVE = "could've might've must've should've they've we've what've where've who've would've you've not've"
_HAD_OR_WOULD = "he'd how'd it'd someone'd something'd there'd they'd where'd who'd you'd"
_WILL = "how'll it'll somebody'll someone'll something'll they'll what'll who'll why'll you'll"
_ARE = "there're they're what're why're you're"
_IS = "he's how's somebody's someone's that's there's what's when's where's who's why's"
_TWO_MISSING = (
    "couldn't've hadn't've mightn't've shouldn't've wouldn't've he'd've it'd've she'd've somebody'd've "
    "someone'd've something'd've there'd've they'd've we'd've who'd've you'd've"
)
_OTHER = "ma'am o'clock 'ow's'at 'twas y'all y'all'll y'all'd've"


def _slips(right: str) -> list[str]:
    """`right` with each of its apostrophes left out in turn."""
    return [right[:place] + right[place + 1 :] for place, letter in enumerate(right) if letter == "'"]


_RIGHT = " ".join((_NEGATIONS, _HAVE, _HAD_OR_WOULD, _WILL, _ARE, _IS, _TWO_MISSING, _OTHER)).split()

CONTRACTIONS: dict[str, str] = {slip: right for right in _RIGHT for slip in _slips(right)}
"""Misspelt word -> right spelling, lower case."""

# The evaluator has this one the wrong way round: it takes the apostrophe out.
CONTRACTIONS["somebody'd"] = "somebodyd"
