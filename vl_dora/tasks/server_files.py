"""Files of answers in the exact layouts that benchmark servers take, written whole or not at all.

Sources: EvalAI's VQA and GQA challenges, VizWiz, the NLVR2 leaderboard, and VALUE as VL-Adapter submits to
it; of benchmarks without a server, what their scripts read. `vl_dora.benchmarks` reads the same layouts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.tasks.submission import write_whole

_CHOICE = re.compile(r"\s*a(\d)")


def write_vqa(path: Path, answers: Mapping[str, str]) -> Path:
    """EvalAI VQAv2: a list of {"question_id": int, "answer": str}; `answers` by question id."""
    return _write_rows(path, [{"question_id": int(name), "answer": text} for name, text in answers.items()])


def write_vizwiz(path: Path, answers: Mapping[str, str]) -> Path:
    """VizWiz: a list of {"image": str, "answer": str}; `answers` by the name of the picture."""
    return _write_rows(path, [{"image": name, "answer": text} for name, text in answers.items()])


def write_gqa(path: Path, answers: Mapping[str, str]) -> Path:
    """EvalAI GQA: a list of {"questionId": str, "prediction": str}; `answers` by question id."""
    return _write_rows(path, [{"questionId": name, "prediction": text} for name, text in answers.items()])


def write_nlvr2(path: Path, answers: Mapping[str, bool]) -> Path:
    """NLVR2: a line `identifier,True` or `identifier,False`, no header; `answers` by identifier."""
    return write_whole(path, "".join(f"{name},{answer}\n" for name, answer in answers.items()))


def choice_index(text: str) -> int:
    """The number in a generated `aN`; 0 for any other text, as VL-Adapter submits it."""
    found = _CHOICE.match(text)
    return int(found[1]) if found else 0


def write_value_choices(path: Path, choices: Mapping[str, int]) -> Path:
    """VALUE TVQA and How2QA: one object {qid: index}; `choices` by question id."""
    return write_whole(path, json.dumps({str(name): int(index) for name, index in choices.items()}) + "\n")


@dataclass(frozen=True)
class ClipCaption:
    """A caption of one clip.

    Args:
        clip_id: number of the clip.
        vid_name: name of its video.
        caption: the text.
        ts: start and end in seconds, which TVC asks for; None: YouCook2, whose clips are whole files.
    """

    clip_id: int
    vid_name: str
    caption: str
    ts: tuple[float, float] | None = None


def write_value_captions(path: Path, captions: Iterable[ClipCaption]) -> Path:
    """VALUE TVC and YC2C: {"vid_name", "clip_id", "ts", "descs": [{"desc"}]} a line; YC2C without ts."""
    lines = []
    for one in captions:
        row: dict[str, Any] = {"vid_name": one.vid_name, "clip_id": one.clip_id}
        if one.ts is not None:
            row["ts"] = list(one.ts)
        lines.append(json.dumps({**row, "descs": [{"desc": one.caption}]}, ensure_ascii=False) + "\n")
    return write_whole(path, "".join(lines))


def write_answers(path: Path, answers: Mapping[str, str]) -> Path:
    """MSVD-QA, MSRVTT-QA, ActivityNet-QA: one object {id: answer}, which `vl_dora.score` reads."""
    return write_whole(path, json.dumps(dict(answers), ensure_ascii=False, indent=0) + "\n")


def write_nextqa(path: Path, said: Mapping[str, int], right: Mapping[str, int]) -> Path:
    """NExT-QA's `eval_mc.py`: {"video_qid": {"prediction": int, "answer": int}}; answers where known."""
    rows = {
        name: {"prediction": index, **({"answer": right[name]} if name in right else {})}
        for name, index in said.items()
    }
    return write_whole(path, json.dumps(rows, indent=0) + "\n")


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    return write_whole(path, json.dumps(rows, ensure_ascii=False, indent=0) + "\n")
