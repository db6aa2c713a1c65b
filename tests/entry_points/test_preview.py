"""`preview` sees what `train` would be given, and its exit status tells whether that is sound."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import hydra
import pytest

from data_modules.scenes import conversations
from vl_dora.preview import limits_of, preview

BASE = ["model.base=null", "model.tokenizer=tiny_scenes", "model.network.text.vocab_size=396"]


def composed(overrides):
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        return hydra.compose("preview", overrides)


@pytest.fixture(scope="module")
def world(small, tmp_path_factory):
    """The small drawn world, as a folder of its own."""
    from vl_dora.building import made, make_data, make_tokenizer

    config = composed(small.overrides)
    data = make_data(config, made(config.task), make_tokenizer(config))
    folder = tmp_path_factory.mktemp("preview") / "world"
    shutil.copytree(data.folder, folder)
    return folder


@pytest.fixture
def checked(small, world, tmp_path, capsys):
    """checked(*overrides) -> the report, and what was printed."""

    def run(*more, root=world):
        page = tmp_path / "page.html"
        options = [*small.overrides, f"data.root={root}", f"preview.out={page}", "preview.samples=6"]
        report = preview(composed([*options, "data.limit={train:null,val:null,test:null}", *more]))
        return report, capsys.readouterr().out

    return run


def test_a_drawn_world_is_found_sound_and_shown(checked, tmp_path):
    report, printed = checked()
    assert report["errors"] == 0 and "no errors" in printed
    assert [s["split"] for s in report["tasks"][0]["splits"]] == ["train", "val", "test"]
    text = (tmp_path / "page.html").read_text()
    # The tower's 36 tokens, counted on the meta device.
    assert text.count("36 visual tokens of picture 1") == text.count("<article") == 6


def test_json_output_is_one_object(checked):
    report, printed = checked("output=json", "preview.out=null", "preview.check_files=none")
    assert json.loads(printed) == report and "page" not in report


def test_what_the_network_cannot_read_is_an_error(checked):
    report, printed = checked("model.network.vision=null", "preview.check_files=none")
    assert report["errors"] == 1
    assert "the network cannot read 6 of the samples shown" in printed and "no vision tower" in printed


def test_limits_are_those_of_network_and_generation(small):
    limits = limits_of(composed([*small.overrides, "generation.max_new_tokens=7"]))
    assert limits == {"positions": 64, "max_images": 2, "max_new_tokens": {"": 7}}
    mixed = limits_of(composed(["experiment=vl_bart_image"]))
    assert mixed["max_new_tokens"]["caption"] == 40 and mixed["max_new_tokens"][""] == 20


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("output=xml", "output=xml must be table or json"),
        ("preview.check_files=most", "preview.check_files=most must be one of all, sample, none"),
        ("preview.samples=few", "preview.samples=few must be a whole number of at least 0"),
        ("data.root=nowhere", "data.root=nowhere does not exist"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_no_page(checked, override, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        checked(override)
    assert list(tmp_path.iterdir()) == []


def test_conversations_are_shown_as_the_network_reads_them(tmp_path, capsys):
    folder, page = tmp_path / "world", tmp_path / "page.html"
    conversations.write(folder, seed=0, train=8, val=2, test=2)
    report = preview(
        composed(["experiment=llava_instruct", f"data.root={folder}", f"preview.out={page}", *BASE])
    )
    assert report["errors"] == report["warnings"] == 0 and "no errors" in capsys.readouterr().out
    text = page.read_text()
    cards = text.split("<article")[1:]
    rows = json.loads((folder / "llava_v1_5_mix665k.json").read_text())
    for number, row in enumerate(rows, start=1):
        (card,) = [card for card in cards if f"llava_v1_5_mix665k.json, row {number}</p>" in card]
        assert card.count("36 visual tokens of picture 1") == ("image" in row)
        learned = re.findall(r'class="t learned"[^>]*>([^<]*)<', card)
        answers = [message["value"] for message in row["conversations"] if message["from"] == "gpt"]
        assert "".join("".join(learned).split()) == "".join("".join(answers).lower().split())
        assert card.count("special learned") == len(answers), "every answer ends with the end token"


@pytest.mark.slow
def test_the_verb_ends_with_status_one_and_names_what_is_wrong(small, world, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(world, broken)
    pictures = sorted((broken / "train2014").iterdir())
    pictures[0].unlink()
    pictures[1].write_bytes(b"no picture")
    done = subprocess.run(
        [sys.executable, "-m", "vl_dora.preview", *small.overrides, "data.root=broken"],
        cwd=tmp_path,
        env=os.environ.copy(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert "error:" not in done.stderr and "Traceback" not in done.stderr
    assert re.search(r"ERROR +files +2 of", done.stdout)
    assert {path.name for path in tmp_path.iterdir()} == {"broken", "preview.html"}
