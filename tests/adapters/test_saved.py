"""An adapter directory is replaced all or nothing: errors at every step, a killed process, a full disk."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vl_dora.adapters import apply_adapters, load_adapter, save_adapter, saved
from vl_dora.adapters.exchange import exchange

SELECTION = {"language": {"method": "dora", "layers": ["q_proj"], "rank": 2}}


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def earlier(network, shaken, tmp_path):
    """A saved adapter with rows and a file of somebody else, and a network that has moved on."""
    network.adapter_extras = {"text.embed.weight": 10}
    apply_adapters(network, SELECTION)
    save_adapter(network, tmp_path / "a")
    (tmp_path / "a" / "notes.txt").write_text("mine")
    shaken(network)
    return tmp_path / "a"


def failing(real, count, error):
    """`real`, but with an error in place of its call number `count`."""
    calls = iter(range(1000))

    def call(*arguments, **options):
        if next(calls) == count:
            raise error
        return real(*arguments, **options)

    return call


FAULTS = [
    ("swapped", saved, "save_file", 0),
    ("swapped", saved, "save_file", 1),
    ("swapped", Path, "mkdir", 1),
    ("swapped", Path, "write_text", 0),
    ("swapped", Path, "write_text", 1),
    ("swapped", saved.os, "link", 0),
    ("swapped", saved.shutil, "copymode", 0),
    ("swapped", saved.shutil, "copymode", 2),
    ("swapped", saved, "exchange", 0),
    *(("file by file", saved.os, "link", count) for count in range(1, 5)),
    *(("file by file", saved.os, "replace", count) for count in range(4)),
]


ERRORS = (KeyboardInterrupt(), OSError(28, "No space left on device"))
# A file system without hard links is copied on, so an error of `link` itself is none.
CASES = [(*fault, error) for fault in FAULTS for error in ERRORS[: 1 if fault[2] == "link" else 2]]


@pytest.mark.parametrize(("way", "owner", "name", "count", "error"), CASES)
def test_an_error_at_any_step_leaves_the_previous_save_whole(
    way, owner, name, count, error, earlier, network, monkeypatch
):
    before = files_of(earlier)
    if way == "file by file":
        monkeypatch.setattr(saved, "exchange", lambda first, second: False)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing(getattr(owner, name), count, error))
        with pytest.raises(type(error)):
            save_adapter(network, earlier)
    assert files_of(earlier) == before
    assert list(earlier.parent.iterdir()) == [earlier]
    save_adapter(network, earlier)
    after = files_of(earlier)
    assert after["notes.txt"] == b"mine" and set(after) == set(before)
    assert after["adapter_model.safetensors"] != before["adapter_model.safetensors"]


@pytest.mark.parametrize("way", ["swapped", "file by file"])
def test_both_ways_give_the_same_directory(way, earlier, network, fresh, data, monkeypatch):
    if way == "file by file":
        monkeypatch.setattr(saved, "exchange", lambda first, second: False)
    earlier.chmod(0o750)
    save_adapter(network, earlier)
    assert stat.S_IMODE(earlier.stat().st_mode) == 0o750
    other = fresh()
    load_adapter(other, earlier)
    assert torch.equal(other(*data), network(*data))
    assert (earlier / "notes.txt").read_text() == "mine"
    assert list(earlier.parent.iterdir()) == [earlier]


def test_whoever_may_read_the_config_may_read_the_weights(earlier):
    modes = {file.stat().st_mode for file in earlier.iterdir() if file.name != "notes.txt"}
    assert modes == {(earlier / "adapter_config.json").stat().st_mode}


def test_a_folder_inside_of_it_stays(earlier, network):
    (earlier / "below").mkdir()
    (earlier / "below" / "x").write_text("kept")
    before = files_of_weights(earlier)
    save_adapter(network, earlier)
    assert (earlier / "below" / "x").read_text() == "kept"
    assert files_of_weights(earlier) != before


def files_of_weights(folder: Path) -> bytes:
    return (folder / "adapter_model.safetensors").read_bytes()


KILLED = """
import os, signal, sys
import torch
from torch import nn
from vl_dora.adapters import apply_adapters, save_adapter, saved

def network(value):
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    apply_adapters(made, {"network": {"method": "dora", "rank": 2}})
    with torch.no_grad():
        for layer in made:
            layer.magnitude.fill_(value)
    return made

torch.set_num_threads(1)
changes = {"open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "ctypes.dlsym"}
step, status = 0, 1
while status != 0:
    folder = os.path.join(sys.argv[1], str(step))
    save_adapter(network(1.0), folder)
    events = iter(range(10_000))

    def watch(event, arguments):
        if event in changes and next(events) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        sys.addaudithook(watch)
        save_adapter(network(2.0), folder)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    step += 1
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_process_killed_at_any_step_leaves_one_save_or_the_other(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    if not exchange(tmp_path / "x", tmp_path / "y"):
        pytest.skip("this file system cannot swap two directories in one step")
    saves = tmp_path / "saves"
    subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED, saves], check=True)
    folders = sorted(
        (path for path in saves.iterdir() if path.name.isdigit()), key=lambda path: int(path.name)
    )
    found = []
    for folder in folders:
        torch.manual_seed(0)  # the base that the saves were made on
        network = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8))
        load_adapter(network, folder)
        values = {float(value) for layer in network for value in layer.magnitude.detach()}
        assert len(values) == 1, folder
        found += values
    assert found[0] == 1.0 and found[-1] == 2.0 and len(found) > 10
    assert found == sorted(found)


def test_a_read_only_place_is_said_and_left_alone(network, tmp_path):
    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        place = Path("/proc")  # nobody may write there, root neither
        if not place.is_dir():
            pytest.skip("as root nothing is read-only here")
    else:
        place = tmp_path / "locked"
        place.mkdir(mode=0o500)
    apply_adapters(network, SELECTION)
    with pytest.raises(OSError, match="adapter"):
        save_adapter(network, place / "adapter")
    assert not (place / "adapter").exists()
