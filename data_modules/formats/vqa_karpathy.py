"""VQAv2 in VL-Adapter's files: Karpathy's splits of its train and val (Cho et al. 2021, arXiv:2102.02779).

    karpathy_train.json, karpathy_val.json, karpathy_test.json, test_4.json    lists of {"question_id":
        262148000, "img_id": "COCO_val2014_000000262148", "sent": "Where is he looking?", "label": {"down":
        1, "at table": 0.3}, "question_type": "where is", "answer_type": "other", "answers": [...]?}
    v2_mscoco_train2014_annotations.json, v2_mscoco_val2014_annotations.json    the official answers, for
        rows without `answers`

Read by `vqav2.VQAv2` where a folder holds these and no OpenEnded file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import as_object, first_seen, split_file, take
from data_modules.formats.vl_adapter import Pictures, json_list, label_of, question_of

NAMES = {"train": "karpathy_train", "val": "karpathy_val", "test": "karpathy_test", "submit": "test_4"}

# (question_id's annotation, where it stands), as `VQAv2` reads them.
Annotations = Mapping[int, tuple[Mapping[str, Any], str]]


def splits(root: Path) -> tuple[str, ...]:
    """The split words whose file is in the folder."""
    return tuple(word for word, name in NAMES.items() if (root / f"{name}.json").is_file())


def rows(
    root: Path, split: str, annotations: Annotations, *, folders: tuple[str, ...], unanswered: bool
) -> Iterator[tuple[dict[str, Any], str]]:
    """The split's questions in file order.

    A row holds question_id, question, images (one `ImageRef`), question_type and answer_type where known,
    `label` (answer -> soft score) and `answers` (a list of {"answer": str, ...}) where known.

    Args:
        root: the data folder.
        split: a key of `NAMES`.
        annotations: of all questions of train2014 and val2014; may be empty.
        folders: where pictures are looked for; {folder} is train2014, val2014 or test2015.
        unanswered: accept questions without label and answers.

    Raises:
        FileNotFoundError: the split's file is missing.
        ValueError: a file or row is not as expected.
    """
    path = split_file(root, f"{NAMES.get(split, split)}.json", split, splits(root))
    pictures = Pictures(root)
    seen: dict[int, str] = {}
    for row, where in json_list(path):
        number = take(row, "question_id", int, where)
        first_seen(seen, number, "question_id", where)
        image = take(row, "img_id", str, where)
        parts = image.split("_")
        if len(parts) != 3 or not parts[2].isdigit():
            raise ValueError(f"{where}: 'img_id' must read COCO_train2014_000000458752, got {image!r}")
        annotation, _ = annotations.get(number, ({}, ""))
        label, answers = label_of(row, where), _answers(row, annotation, where)
        # The training split is learned from labels alone; a split to score needs what people answered.
        enough = answers or (label and split == "train")
        if not enough and not unanswered:
            raise ValueError(
                f"{where}: question_id {number} has neither 'answers' nor a row in "
                "v2_mscoco_train2014_annotations.json or v2_mscoco_val2014_annotations.json; put these files "
                "beside it, or set data.files.unanswered=true to read questions without answers"
            )
        fields = {"question_id": number, "question": question_of(row, where)}
        for name in ("question_type", "answer_type"):
            if name in row or name in annotation:
                fields[name] = take(row if name in row else annotation, name, str, where)
        if label:
            fields["label"] = label
        if answers:
            fields["answers"] = answers
        found = pictures.find(tuple(folder.format(folder=parts[1]) for folder in folders), image)
        yield {**fields, "images": (found,)}, where


def _answers(row: Mapping[str, Any], annotation: Mapping[str, Any], where: str) -> list[Any]:
    if "answers" not in row:
        return annotation.get("answers", [])
    answers = take(row, "answers", list, where)
    for place, answer in enumerate(answers, start=1):
        inside = f"{where}, answer {place}"
        take(as_object(answer, inside), "answer", str, inside)
    return answers
