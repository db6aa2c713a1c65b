"""Asks a finished run: python -m vl_dora.ask run=<run directory> image=<picture or video> question="..."

The answer goes to standard output; `demo=true` serves a page instead, where the base and the tuned network
answer side by side.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vl_dora.entry_point import launch

_CHANGES = ("threads", "model", "data", "generation", "trainer")
_AS_WRITTEN = ("question", "image", "run", "subtitles", "prompt")


def ask(changes: DictConfig) -> dict[str, Any] | None:
    """Writes the answer to one question, and returns it; None where a page was served instead.

    Raises:
        FileNotFoundError, ValueError: no such run, an option outside what is allowed, a file that is missing.
    """
    from vl_dora.answering import Answerer, Question
    from vl_dora.building import made, plain
    from vl_dora.evaluate import changed, checkpoint_of
    from vl_dora.run_directory import settle_paths
    from vl_dora.run_source import find_run, run_config

    if changes.output not in ("text", "json"):
        raise ValueError(f"output={changes.output} must be text or json")
    extras = {name: plain(changes[name]) for name in ("prompt", "choices", "subtitles", "moment")}
    files = () if changes.demo else _files(changes)
    run_dir = find_run(str(changes.run))
    given = OmegaConf.masked_copy(changes, [key for key in _CHANGES if key in changes])
    config = changed(run_config(run_dir), OmegaConf.create(_set_values(given)))
    config.paths.run_dir = str(run_dir)
    settle_paths(config)
    checkpoint = checkpoint_of(run_dir, changes.ckpt_path)
    make = made(changes.make)
    if changes.demo:
        from vl_dora.demo import serve

        page = {"task": changes.as_task, "extras": extras, "host": changes.host, "port": changes.port}
        serve(config, checkpoint, make, **page)
        return None
    answerer = Answerer(config, checkpoint, make, task=changes.as_task)
    text = None if changes.question is None else str(changes.question)
    answer = answerer.ask(Question(text, files, extras=extras, frames=changes.frames))
    found = {**answer.as_dict(), "run": str(run_dir)}
    if answer.clip is not None:
        seconds = ", ".join(f"{time:.2f}" for time in answer.clip.times or ())
        sys.stderr.write(f"{answer.clip.path}: frames at {seconds} s\n")
    line = json.dumps(found, indent=2, ensure_ascii=False) if changes.output == "json" else answer.text
    sys.stdout.write(f"{line}\n")
    return found


def _files(changes: DictConfig) -> tuple[str, ...]:
    from vl_dora.answering import files_of
    from vl_dora.building import plain

    if OmegaConf.is_missing(changes, "image"):
        raise ValueError("image is not set; give image=<picture or video>, or image=null to ask without one")
    files = files_of(plain(changes.image))
    for file in files:
        if not Path(file).expanduser().is_file():
            raise FileNotFoundError(f"image={file} is not a file; give the path of a picture or a video")
    return files


def _set_values(config: DictConfig) -> Any:
    """What is not ???, as plain values."""
    return {
        key: _set_values(config[key]) if OmegaConf.is_dict(config[key]) else config[key]
        for key in config
        if not OmegaConf.is_missing(config, key)
    }


def as_written(arguments: list[str]) -> list[str]:
    """The command line with free texts in quotes: in Hydra's grammar commas and apostrophes have a meaning.

    What is quoted already, a list and null stay as they are.
    """
    return [_quoted(word) for word in arguments]


def _quoted(word: str) -> str:
    name, sign, value = word.partition("=")
    in_quotes = len(value) > 1 and value[0] == value[-1] and value[0] in ("'", '"')
    is_list = name == "image" and value.startswith("[")
    if not sign or name not in _AS_WRITTEN or in_quotes or is_list or value in ("null", "???"):
        return word
    # Backslashes before a quote count double in that grammar; one before ${ keeps it from being resolved.
    escaped = re.sub(r"(\\*)(')", r"\1\1\\'", value).replace("${", "\\${")
    last = len(escaped) - len(escaped.rstrip("\\"))
    return f"{name}='{escaped}{escaped[len(escaped) - last :]}'"


def main() -> None:
    """The command line."""
    sys.argv[1:] = as_written(sys.argv[1:])
    launch("ask", ask)


if __name__ == "__main__":
    main()
