"""What is wrong with a data set stops `train` before its first step; `preview` finds it, by file and row."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image

from data_modules.scenes import asked_folder, conversations
from vl_dora.preview import preview
from vl_dora.train import train

from .conftest import composed

FILE = "llava_v1_5_mix665k.json"
BASE = ["model.base=null", "model.tokenizer=tiny_scenes", "model.network.text.vocab_size=396"]
RUN = ["experiment=llava_instruct", "debug=fast", "evaluate_before=false", *BASE]
SHOWN = ["preview.out=null", "output=json"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A small folder of conversations, sound."""
    folder = tmp_path_factory.mktemp("bad_input") / "world"
    conversations.write(folder, seed=0, train=12, val=2, test=2)
    return folder


@pytest.fixture
def broken(world, tmp_path):
    """broken(change) -> (folder, row): a row with turns and a picture, changed by change(row, folder)."""

    def make(change):
        folder = tmp_path / "world"
        shutil.copytree(world, folder)
        rows = json.loads((folder / FILE).read_text())
        number = next(n for n, row in enumerate(rows) if "image" in row and len(row["conversations"]) >= 4)
        change(rows[number], folder)
        (folder / FILE).write_text(json.dumps(rows))
        return folder, number + 1

    return make


def said(row, number: int) -> dict:
    return row["conversations"][number]


def without_token(row, folder):
    said(row, 0)["value"] = said(row, 0)["value"].replace("<image>", "")


BAD = {
    "the assistant begins": (
        lambda row, folder: row["conversations"].pop(0),
        "message 1 is from 'gpt'; a conversation starts with human",
    ),
    "an unknown role": (
        lambda row, folder: said(row, 1).update({"from": "bot"}),
        "message 2 is from 'bot'; allowed: assistant, gpt, human, user",
    ),
    "a place without a picture": (lambda row, folder: row.pop("image"), "1 <image> in its questions, but 0"),
    "a picture without a place": (without_token, "0 <image> in its questions, but 1 pictures"),
    "an empty answer": (
        lambda row, folder: said(row, 1).update(value=" "),
        "message 2, from 'gpt', is empty",
    ),
    "an answer of 100,000 tokens": (
        lambda row, folder: said(row, 1).update(value="red " * 100_000),
        "tokens, model.data.collate.max_tokens=512 allows 512",
    ),
    "a special token": (lambda row, folder: said(row, 1).update(value="red </s>"), "a special token"),
    "a damaged picture": (
        lambda row, folder: (folder / row["image"]).write_bytes((folder / row["image"]).read_bytes()[:200]),
        "is damaged or truncated",
    ),
    "a giant picture": (
        lambda row, folder: Image.new("1", (9000, 9000)).save(folder / row["image"]),
        "is too large: 9000 x 9000 pixels",
    ),
    "a missing picture": (lambda row, folder: (folder / row["image"]).unlink(), "is missing"),
    "a missing field": (lambda row, folder: row.pop("conversations"), "field 'conversations' is missing"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_conversation_stops_before_the_first_step_and_preview_finds_it(name, broken, tmp_path, capsys):
    change, words = BAD[name]
    folder, row = broken(change)
    run_dir = tmp_path / "run"
    with pytest.raises(ValueError) as caught:
        train(composed("train", [*RUN, f"data.root={folder}", f"paths.run_dir={run_dir}"]))
    assert f"{FILE}, row {row}: " in str(caught.value) and words in str(caught.value)
    assert not list(run_dir.rglob("*.ckpt"))

    report = preview(composed("preview", [*RUN, *SHOWN, f"data.root={folder}"]))
    (split,) = [s for s in report["tasks"][0]["splits"] if s["role"] == "train"]
    (error,) = [finding for finding in split["findings"] if finding["level"] == "error"]
    (line,) = error["examples"]
    assert f"{FILE}, row {row}: " in line and words in line
    assert report["errors"] == 1 and split["samples"] >= 11, "the rows behind it were read, too"
    capsys.readouterr()


def test_a_damaged_picture_that_is_met_in_training_is_named_by_file_and_row(broken, tmp_path):
    folder, row = broken(BAD["a damaged picture"][0])
    options = [*RUN, "encode_once=false", f"data.root={folder}", f"paths.run_dir={tmp_path / 'run'}"]
    with pytest.raises(ValueError, match=rf"sample .*{FILE}, row {row}: picture .* is damaged or truncated"):
        train(composed("train", options))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[1].pop("text"), "row 2: the field 'text' is missing"),
        (lambda rows: rows[1].pop("question_id"), "row 2: the field 'question_id' is missing"),
        (lambda rows: rows[2].update(question_id=rows[0]["question_id"]), "was used before"),
    ],
)
def test_a_question_file_is_checked_before_anything_is_answered(
    change, words, finished, evaluate, tmp_path, capsys
):
    folder = tmp_path / "asked"
    asked_folder.write(folder, seed=0, pictures=3)
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    change(rows)
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=rf"questions\.jsonl, row \d: .*{words.partition(': ')[2] or words}"):
        evaluate(finished, "benchmark=ask_folder", f"data.root={folder}")
    assert not list(finished.rglob("evaluations/ask_folder/*"))
    report = preview(
        composed("preview", ["experiment=ask_folder", *SHOWN, f"data.root={folder}", "paths.run_dir=x"])
    )
    found = [f for f in report["tasks"][0]["splits"][0]["findings"] if f["level"] == "error"]
    assert words in " ".join(found[0]["examples"])
    capsys.readouterr()


def test_a_model_that_the_experiments_adapter_does_not_fit_is_told_what_it_has(tmp_path):
    options = ["experiment=vl_bart_image", "model=tiny_llava", *BASE, f"paths.run_dir={tmp_path / 'run'}"]
    with pytest.raises(ValueError, match="matches no nn.Linear.* available: .*q_proj, up_proj, v_proj"):
        train(composed("train", options))
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_network_is_refused(finished, asked, llava):
    with pytest.raises(ValueError, match="is of another network or adapter selection"):
        asked(finished, "image=null", "question=red", f"ckpt_path={llava / 'checkpoints' / 'best.ckpt'}")
