"""A small data set on disk, a task and a reader for it, and tokenizers of three kinds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from vl_dora.batch import Example, ImageRef

TEXTS = [
    "how many red dogs are left of the tree",
    "two dogs",
    "yes",
    "no",
    "a small cat, sitting on 12 boxes!",
    "is it raining",
]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def _fast(tokenizer: Tokenizer, *, closes: bool = True) -> PreTrainedTokenizerFast:
    if closes:
        ids = [(t, tokenizer.token_to_id(t)) for t in ("<s>", "</s>")]
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


def _word_level(*, closes: bool) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator(TEXTS, trainers.WordLevelTrainer(special_tokens=SPECIAL))
    return _fast(tokenizer, closes=closes)


def _byte_bpe() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return _fast(tokenizer)


def _word_piece() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    tokenizer.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=60, special_tokens=SPECIAL))
    return _fast(tokenizer)


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "words": lambda: _word_level(closes=True),
    "words without special tokens": lambda: _word_level(closes=False),
    "byte pairs": _byte_bpe,
    "word pieces": _word_piece,
}


@pytest.fixture(params=list(TOKENIZERS))
def any_tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    """Each kind of tokenizer in turn."""
    return TOKENIZERS[request.param]()


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    """One word, one token, between `<s>` and `</s>`."""
    return TOKENIZERS["words"]()


@dataclass(frozen=True)
class AskTask:
    """Rows {"id", "question", "answer", "images", "targets"?}."""

    name: str = "ask"
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def example(self, row: Mapping[str, Any]) -> Example:
        if not isinstance(row["answer"], str):
            raise ValueError(f"answer is {row['answer']!r}, a text is needed")
        return Example(
            id=row["id"],
            prompt=row["question"],
            target=row["answer"],
            images=row["images"],
            answers=(row["answer"],),
            targets=tuple(map(tuple, row.get("targets", []))),
        )

    def score(self, predictions: Any) -> Any:
        raise NotImplementedError

    def write_submission(self, predictions: Any, directory: Path) -> list[Path]:
        raise NotImplementedError


@dataclass(frozen=True)
class JsonFiles:
    """`<split>.json`: a list of rows, whose "images" are paths."""

    def splits(self, root: Path) -> tuple[str, ...]:
        return tuple(sorted(p.stem for p in root.glob("*.json")))

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        for number, row in enumerate(json.loads((root / f"{split}.json").read_text()), start=1):
            row = {**row, "images": tuple(ImageRef(p) for p in row.get("images", []))}
            yield row, f"{split}.json, row {number}"


def write_world(folder: Path, *, seed: int = 0, num_samples: int = 12) -> None:
    """Three splits of coloured squares with the colour's sign as the answer."""
    draw = np.random.RandomState(seed)
    for split in ("train", "val", "test"):
        rows = []
        for number in range(num_samples):
            name = f"{split}-{number}.png"
            pixels = draw.randint(0, 256, size=(8, 10, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name)
            answer = "yes" if pixels[0, 0, 0] > 127 else "no"
            rows.append({"id": name, "question": "is it raining", "answer": answer, "images": [name]})
        (folder / f"{split}.json").write_text(json.dumps(rows))


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A data folder with splits train, val and test of 12 samples."""
    folder = tmp_path / "world"
    folder.mkdir()
    write_world(folder)
    return folder


@pytest.fixture
def change(world: Path) -> Callable[..., None]:
    """`change(split, number, field=value)` edits a row; the value ... removes the field."""

    def edit(split: str, number: int, **fields: Any) -> None:
        path = world / f"{split}.json"
        rows = json.loads(path.read_text())
        rows[number].update(fields)
        rows[number] = {k: v for k, v in rows[number].items() if v is not ...}
        path.write_text(json.dumps(rows, default=str))

    return edit


@pytest.fixture
def task() -> AskTask:
    """The task of these tests."""
    return AskTask()


@pytest.fixture
def files() -> JsonFiles:
    """The reader of these tests."""
    return JsonFiles()


@pytest.fixture
def draw_world() -> Callable[..., None]:
    """`write_world`, an embedded world."""
    return write_world


@pytest.fixture
def module(world: Path, tokenizer: PreTrainedTokenizerFast, task: AskTask, files: JsonFiles) -> Callable:
    """Builds a data module on `world`; keyword arguments override."""
    from data_modules import VisionLanguageDataModule

    def build(**overrides: Any) -> VisionLanguageDataModule:
        given = {
            "task": task,
            "tokenizer": tokenizer,
            "image_size": 8,
            "files": files,
            "root": world,
            "batch_size": 5,
        }
        return VisionLanguageDataModule(**{**given, **overrides})

    return build
