"""Answers of an evaluation written as they come, so that one that was killed goes on where it stopped.

`answers.partial.jsonl` (with several processes `answers.partial-RANK.jsonl`): the first line says what the
answers are of, every other one is an answer,

    {"about": {"config": {...}, "checkpoint": "...", "samples": "..."}}
    {"batch": 0, "of": 2, "text": "net", "example": {"id": "458752000", "prompt": "...", ...}}

`example` is the sample as it was shown. `of` is the number of answers of the batch: what a kill left of a
batch, or of a line, is dropped and answered again. Batches are those of an undisturbed pass, so the answers
are the same to the last bit.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import lightning

from vl_dora.batch import ClipRef, Example, ImageRef, Prediction

log = logging.getLogger(__name__)

_SHOWN = 3


class WrittenAnswers(lightning.Callback):
    """Writes every batch of answers of a test pass, and leaves out what an earlier pass has answered.

    Args:
        folder: of the file; made when missing.
        about: what the answers depend on, by name: anything that JSON can say.
        resume: go on after the answers that are there; False: start anew.

    Raises:
        ValueError: on the start of the pass, answers that are there are of something else.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], *, resume: bool) -> None:
        self.folder = folder
        self.about = json.loads(json.dumps(about))
        self.resume = resume
        self._path: Path | None = None
        self._file: TextIO | None = None
        self._batch = 0

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        """Reads what is there, and tells module and loader of it."""
        rank = f"-{trainer.global_rank}" if trainer.world_size > 1 else ""
        self._path = self.folder / f"answers.partial{rank}.jsonl"
        self.folder.mkdir(parents=True, exist_ok=True)
        head = json.dumps({"about": self.about}) + "\n"
        kept: list[dict[str, Any]] = []
        if self.resume and self._path.is_file():
            kept = self._kept(self._path)
        loader = trainer.test_dataloaders
        # The last batch is answered again where all are there: a pass of no batch is none.
        self._batch = min(kept[-1]["batch"] + 1 if kept else 0, max(len(loader) - 1, 0))
        kept = [line for line in kept if line["batch"] < self._batch]
        if kept:
            loader.load_state_dict({"epoch": loader.sampler.epoch, "batches": self._batch})
            log.info("going on after %d answers of %s", len(kept), self._path)
        pl_module.earlier = [_prediction(line) for line in kept]
        self._file = self._path.open("w", encoding="utf-8")
        self._file.write(head + "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept))
        self._file.flush()

    def on_test_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *args: Any) -> None:
        """Writes the answers of one batch, in one piece."""
        assert self._file is not None
        predictions: list[Prediction] = outputs["predictions"]
        lines = [_line(self._batch, len(predictions), prediction) for prediction in predictions]
        self._file.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        self._file.flush()
        self._batch += 1

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Closes the file when the pass has ended."""
        self._close(pl_module)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Closes the file when the pass has failed; what is in it stays."""
        self._close(pl_module)

    def _close(self, pl_module: Any) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        pl_module.earlier = []

    def remove(self) -> None:
        """Takes the file away, once what it held is written elsewhere, and the folder if it is empty now."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            for folder in (self.folder, self.folder.parent):
                if not folder.is_dir() or any(folder.iterdir()):
                    return
                folder.rmdir()

    def _kept(self, path: Path) -> list[dict[str, Any]]:
        """The lines of the batches that are whole, in order."""
        lines = []
        for text in path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break
        if len(lines) < 2:
            return []
        self._check(path, lines[0].get("about"))
        kept: list[dict[str, Any]] = []
        batch: list[dict[str, Any]] = []
        for line in lines[1:]:
            batch.append(line)
            if len(batch) == line["of"]:
                kept += batch
                batch = []
        return kept

    def _check(self, path: Path, about: Any) -> None:
        """Raises ValueError where the answers are not of this evaluation, naming what differs."""
        if about == self.about:
            return
        there, here = _flat(about), _flat(self.about)
        differing = [name for name in {**there, **here} if there.get(name) != here.get(name)]
        named = ", ".join(differing[:_SHOWN]) + (", ..." if len(differing) > _SHOWN else "")
        raise ValueError(
            f"{path} holds answers of another evaluation, which differs in {named}; set resume=false to "
            "start anew, or output_dir=<another folder>"
        )


def _line(batch: int, size: int, prediction: Prediction) -> dict[str, Any]:
    example = {**asdict(prediction.example), "groups": dict(prediction.example.groups)}
    return {"batch": batch, "of": size, "text": prediction.text, "example": example}


def _prediction(line: Mapping[str, Any]) -> Prediction:
    given = {name: _tuples(value) for name, value in line["example"].items()}
    given["images"] = tuple(ImageRef(**image) for image in given["images"])
    given["frames"] = None if given["frames"] is None else ClipRef(**given["frames"])
    return Prediction(Example(**given), line["text"])


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples, inside mappings too."""
    if isinstance(value, list):
        return tuple(_tuples(one) for one in value)
    return {k: _tuples(one) for k, one in value.items()} if isinstance(value, dict) else value


def _flat(given: Any, path: str = "") -> dict[str, Any]:
    """Dotted name -> value."""
    if not isinstance(given, Mapping):
        return {path: given}
    found: dict[str, Any] = {}
    for name, value in given.items():
        found.update(_flat(value, f"{path}.{name}" if path else str(name)))
    return found
