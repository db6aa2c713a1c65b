"""Open video questions answered by one text: ActivityNet-QA, MSVD-QA and MSRVTT-QA.

Sources of the behaviour: `eval.py` of MILVLAB/activitynet-qa and the evaluation of
xudejing/video-question-answering. Both compare whole strings and normalise nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from vl_dora.metrics.statistic import Scored, at_once, groups, means

ACTIVITYNET_TYPES = (
    "motion",
    "spatial relationship",
    "temporal relationship",
    "yes/no",
    "color",
    "object",
    "location",
    "number",
    "other",
)
_FREE = range(3, 9)
_FREE_NOTE = (
    "free is the accuracy over types 3 to 8; the official script divides by counts in the order in which "
    "types first occur in the file, so its line Free differs from file to file"
)


def score_activitynet(
    predictions: Sequence[str], answers: Sequence[str], types: Sequence[int], clusters: Sequence[Hashable]
) -> Scored:
    """Accuracy, 0 to 1: of all, of the free questions (types 3 to 8), and by type.

    Raises:
        ValueError: a type lies outside 0 to 8.
    """
    strange = sorted({kind for kind in types if not 0 <= kind < len(ACTIVITYNET_TYPES)})
    if strange:
        raise ValueError(f"ActivityNet-QA types are 0 to {len(ACTIVITYNET_TYPES) - 1}, got {strange}")
    right = [float(said == answer) for said, answer in zip(predictions, answers, strict=True)]
    free = [hit if kind in _FREE else None for hit, kind in zip(right, types, strict=True)]
    statistic = means({"accuracy": right, "free": free})
    found = groups([f"{kind} {ACTIVITYNET_TYPES[kind]}" for kind in types], right)
    return Scored(
        scores={name: value for name, value in at_once(statistic, len(right)).items() if value == value},
        scale="0 to 1",
        statistic=statistic,
        clusters=clusters,
        by_type={"type": dict(sorted(found.items()))},
        notes=(_FREE_NOTE,),
    )


def frequent_answers(answers: Iterable[str], size: int = 1000) -> frozenset[str]:
    """The `size` most frequent answers; of equally frequent ones those that come first."""
    return frozenset(answer for answer, _ in Counter(answers).most_common(size))


def score_most_frequent(
    predictions: Sequence[str],
    answers: Sequence[str],
    questions: Sequence[str],
    clusters: Sequence[Hashable],
    vocabulary: frozenset[str] | None = None,
) -> Scored:
    """Accuracy of MSVD-QA or MSRVTT-QA, 0 to 1, over all questions, and by the first word of the question.

    Args:
        predictions: N answers.
        answers: N right answers.
        questions: N questions.
        clusters: N videos.
        vocabulary: answers that a network of the benchmark can give; a prediction outside it is wrong, and a
            question whose answer lies outside it still counts. None: any answer can be given.
    """
    right = [
        float(said == answer and (vocabulary is None or said in vocabulary))
        for said, answer in zip(predictions, answers, strict=True)
    ]
    statistic = means({"accuracy": right})
    notes = []
    if vocabulary is not None:
        outside = sum(answer not in vocabulary for answer in answers)
        notes.append(
            f"{outside} of {len(answers)} right answers lie outside the vocabulary and cannot be reached"
        )
    words = [(question.split() or [""])[0].lower() for question in questions]
    found = sorted(groups(words, right).items())
    return Scored(
        at_once(statistic, len(right)),
        "0 to 1",
        statistic,
        clusters,
        {"question_word": dict(found)},
        tuple(notes),
    )
