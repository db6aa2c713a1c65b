"""The tool's features are those of the tower, after a kill too."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_modules.clips import ClipSettings
from data_modules.stored_features import StoredFeatures
from data_modules.visuals import load_picture
from vl_dora.batch import ClipRef, ImageRef
from vl_dora.models.vision import TimmTower, TinyTower

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "extract_features.py"


@pytest.fixture(scope="module")
def tool():
    specification = importlib.util.spec_from_file_location("extract_features", TOOL)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Twelve pictures in two folders, one of them damaged, and what is no picture."""
    draw = np.random.RandomState(0)
    for number in range(12):
        folder = tmp_path / "data" / ("train" if number % 2 else "val")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = draw.randint(0, 256, (40, 50, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "data" / "notes.txt").write_text("no picture")
    (tmp_path / "data" / ".hidden.png").write_bytes(b"")
    return tmp_path / "data"


def shipped_tower() -> TinyTower:
    """The tower of the base tiny_scenes, read without the tool."""
    from safetensors.torch import load_file

    import vl_dora

    stored = load_file(Path(vl_dora.__file__).parent / "bases" / "tiny_scenes" / "model.safetensors")
    tower = TinyTower(128).eval()
    tower.load_state_dict(
        {k.removeprefix("vision."): v for k, v in stored.items() if k.startswith("vision.")}, strict=False
    )
    return tower


def test_features_are_those_of_the_tower_and_bad_files_are_named(tool, pictures, tmp_path, capfd):
    (pictures / "train" / "99.png").write_bytes(b"no picture at all")
    arguments = [str(pictures), str(tmp_path / "f"), "--model", "tiny_vl_bart", "--dtype", "float32"]
    assert tool.main([*arguments, "--batch-size", "5"]) == 1
    said = capfd.readouterr().err
    assert "left out train/99.png: picture" in said and "12 pictures and 0 clips" in said
    stored, tower = StoredFeatures(tmp_path / "f"), shipped_tower()
    assert stored.shape == (36, 128)
    for number in range(12):
        ref = ImageRef(f"{'train' if number % 2 else 'val'}/{number}.png")
        pixels = torch.from_numpy(load_picture(pictures, ref, 96))[None]
        with torch.inference_mode():
            expected = tower(pixels)[0].numpy()
        np.testing.assert_allclose(stored.load(ref), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="it was left out because picture"):
        stored.check(ImageRef("train/99.png"))


def test_any_timm_tower_serves_clips_too(tool, tmp_path):
    from fractions import Fraction

    import av

    (tmp_path / "data").mkdir()
    with av.open(str(tmp_path / "data" / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * number, np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    arguments = [str(tmp_path / "data"), str(tmp_path / "f"), "--tower", "resnet10t.c3_in1k"]
    assert tool.main([*arguments, "--weights", "random", "--frames", "5", "--dtype", "float32"]) == 0
    stored = StoredFeatures(tmp_path / "f", ClipSettings(frames=5))
    shown, features = stored.load_clip(ClipRef("clip.mp4"))
    assert shown.indices == (1, 3, 5, 7, 9)
    from data_modules.video import sample_frames

    torch.manual_seed(0)
    tower = TimmTower("resnet10t.c3_in1k").eval()
    frames = sample_frames(tmp_path / "data" / "clip.mp4", count=5, size=tower.image_size).frames
    with torch.inference_mode():
        expected = tower(torch.from_numpy(frames.transpose(0, 3, 1, 2).copy())).numpy()
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
def test_a_killed_run_goes_on_and_ends_the_same(tool, tmp_path):
    draw = np.random.RandomState(0)
    (tmp_path / "data").mkdir()
    for number in range(400):
        Image.fromarray(draw.randint(0, 256, (96, 96, 3)).astype(np.uint8)).save(
            tmp_path / "data" / f"{number}.png"
        )
    arguments = [str(tmp_path / "data"), "--model", "tiny_vl_bart", "--batch-size", "1"]
    process = subprocess.Popen(
        [sys.executable, str(TOOL), arguments[0], str(tmp_path / "f"), *arguments[1:]],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    journal = tmp_path / ".f.unfinished" / "journal.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.is_file() and journal.read_bytes().count(b"\n") > 20):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = journal.read_bytes().count(b"picture")
    assert 10 <= done < 400 and not (tmp_path / "f").exists()
    assert tool.main([arguments[0], str(tmp_path / "f"), *arguments[1:]]) == 0
    assert tool.main([arguments[0], str(tmp_path / "g"), *arguments[1:]]) == 0
    killed, whole = ((tmp_path / name / "features.npy").read_bytes() for name in "fg")
    assert killed == whole
    rows = [json.loads((tmp_path / name / "index.json").read_text())["rows"] for name in "fg"]
    assert rows[0] == rows[1] and len(rows[0]) == 400


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing", "f", "--model", "tiny_vl_bart"], "missing is not a folder"),
        (["data", "f", "--tower", "no_such_tower"], "no_such_tower is not a timm model"),
        (["data", "f", "--tower", "resnet10t.c3_in1k", "--weights", "w.pt"], "w.pt is not a file"),
        (["data", "f", "--model", "vl_bart_image"], "model=vl_bart_image has no tower"),
        (["data", "data", "--model", "tiny_vl_bart"], "not an empty folder"),
        (["data", "f", "--model", "tiny_vl_bart", "--frames", "0"], "data.video.frames=0"),
        (["data", "f", "--model", "tiny_vl_bart", "--decoder", "x"], "data.video.decoder='x'"),
    ],
)
def test_a_mistake_is_one_sentence(tool, pictures, tmp_path, monkeypatch, capfd, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert tool.main(arguments) == 2
    said = capfd.readouterr().err
    assert said.startswith("error: ") and message in said and said.count("\n") == 1


def test_a_folder_of_nothing_readable_makes_no_features(tool, tmp_path, capfd):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").write_bytes(b"no picture")
    assert tool.main([str(tmp_path / "data"), str(tmp_path / "f"), "--model", "tiny_vl_bart"]) == 2
    assert "none of the 1 files" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
