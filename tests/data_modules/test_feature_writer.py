"""A draft survives whatever end of its process, and becomes the folder that StoredFeatures reads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from data_modules.clips import ClipSettings
from data_modules.feature_writer import JOURNAL, FeatureWriter
from data_modules.stored_features import FEATURES, StoredFeatures
from vl_dora.batch import ClipRef, ImageRef

ARRAYS = np.random.RandomState(0).randn(20, 4, 5).astype(np.float32)
REFS = [ImageRef(f"{number}.png") for number in range(20)]
CLIP = ClipRef("a.mp4", count=8, indices=(1, 5, 9), times=(0.04, 0.2, 0.36))


def writer(tmp_path, **options) -> FeatureWriter:
    return FeatureWriter(tmp_path / "f", **{"tower": "tiny", "dtype": "float32", **options})


def test_pictures_and_clips_are_read_back(tmp_path):
    made = writer(tmp_path)
    made.add(REFS[0], ARRAYS[0])
    made.add_clip(CLIP, ARRAYS[1:4])
    made.add(REFS[4], ARRAYS[4])
    made.leave_out("bad.png", "picture bad.png is empty")
    stored = StoredFeatures(made.finish(), ClipSettings(frames=8))
    np.testing.assert_array_equal(stored.load(REFS[4]), ARRAYS[4])
    shown, array = stored.load_clip(ClipRef("a.mp4"))
    assert shown == CLIP
    np.testing.assert_array_equal(array, ARRAYS[1:4])
    np.testing.assert_array_equal(np.load(tmp_path / "f" / FEATURES), ARRAYS[:5])
    with pytest.raises(ValueError, match="left out because picture bad.png is empty"):
        stored.check(ImageRef("bad.png"))
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_clip_stored_with_other_frames_is_not_taken_for_it(tmp_path):
    made = writer(tmp_path)
    made.add_clip(CLIP, ARRAYS[1:4])
    folder = made.finish()
    with pytest.raises(ValueError, match=r"has no features of a.mp4#frames=4 "):
        StoredFeatures(folder, ClipSettings(frames=4)).check(ClipRef("a.mp4"))
    with pytest.raises(ValueError, match=r"has no features of a.mp4#part=1-#frames=8 "):
        StoredFeatures(folder, ClipSettings(frames=8)).load_clip(ClipRef("a.mp4", start=1.0))


@pytest.mark.parametrize("torn", [False, True])
def test_what_was_not_saved_is_made_again(tmp_path, torn):
    first = writer(tmp_path)
    for number in range(7):
        first.add(REFS[number], ARRAYS[number])
    first.leave_out("bad.png", "empty")
    first.save()
    first.add(REFS[7], ARRAYS[7])
    first.close()
    if torn:  # killed in the middle of a line, and of a row
        for name, rest in ((JOURNAL, b'{"picture": "7.p'), (FEATURES, b"\1\2\3")):
            with (first.draft / name).open("ab") as file:
                file.write(rest)
    second = writer(tmp_path)
    assert second.done == {*(ref.path for ref in REFS[:7]), "bad.png"}
    for number in range(7, 20):
        second.add(REFS[number], ARRAYS[number])
    second.finish()
    np.testing.assert_array_equal(np.load(tmp_path / "f" / FEATURES), ARRAYS)


def test_a_draft_of_other_settings_is_not_gone_on_with(tmp_path):
    first = writer(tmp_path)
    first.add(REFS[0], ARRAYS[0])
    first.save()
    first.close()
    for change in ({"tower": "other"}, {"dtype": "float16"}, {"settings": {"size": 4}}):
        with pytest.raises(ValueError, match="was begun with .*; go on with the same, or remove it"):
            writer(tmp_path, **change)


def test_two_processes_do_not_write_one_draft(tmp_path):
    pytest.importorskip("fcntl")
    first = writer(tmp_path)
    with pytest.raises(ValueError, match="another process is writing"):
        writer(tmp_path)
    first.close()
    writer(tmp_path).close()


def test_a_draft_that_lost_rows_is_refused(tmp_path):
    first = writer(tmp_path)
    first.add(REFS[0], ARRAYS[0])
    first.save()
    first.close()
    with (first.draft / FEATURES).open("r+b") as file:
        file.truncate(140)
    with pytest.raises(ValueError, match="shorter than its journal says"):
        writer(tmp_path)


def test_a_draft_with_a_strange_journal_is_refused(tmp_path):
    first = writer(tmp_path)
    first.save()
    first.close()
    (first.draft / JOURNAL).write_text(json.dumps(first.head) + '\n{"row": 3}\n')
    with pytest.raises(ValueError, match="is damaged .*; remove it to begin anew"):
        writer(tmp_path)


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ([(REFS[0], np.zeros((4, 5))), (REFS[1], np.zeros((4, 6)))], r"\(4, 6\)"),
        ([(REFS[0], np.zeros((4, 5))), (REFS[0], np.zeros((4, 5)))], "given twice"),
        ([(REFS[0], np.zeros(5))], r"\(N, F\) is needed"),
        ([(REFS[0], np.full((4, 5), 1e6))], "not finite in float16"),
    ],
)
def test_unfit_features_are_refused(tmp_path, calls, message):
    made = writer(tmp_path, dtype="float16")
    with pytest.raises(ValueError, match=message):
        for ref, array in calls:
            made.add(ref, array)
    made.close()


def test_nothing_to_write_and_a_folder_in_use_are_errors(tmp_path):
    made = writer(tmp_path)
    with pytest.raises(ValueError, match="no features to write"):
        made.finish()
    made.discard()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "mine").touch()
    with pytest.raises(FileExistsError, match="not an empty folder"):
        writer(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
def test_a_killed_process_leaves_a_draft_that_goes_on(tmp_path):
    script = (
        "import os, signal, sys, numpy as np\n"
        "from data_modules.feature_writer import FeatureWriter\n"
        "from vl_dora.batch import ImageRef\n"
        "made = FeatureWriter(sys.argv[1], tower='tiny', dtype='float32')\n"
        "for number in range(20):\n"
        "    if str(number) + '.png' not in made.done:\n"
        "        made.add(ImageRef(f'{number}.png'), np.full((2, 3), number))\n"
        "    if number % 3 == 2:\n"
        "        made.save()\n"
        "    if number == int(sys.argv[2]):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "made.finish()\n"
    )
    for stop in ("4", "10", "99"):
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "f"), stop], env={**os.environ})
        assert done.returncode == (0 if stop == "99" else -signal.SIGKILL)
    stored = np.load(tmp_path / "f" / FEATURES)
    np.testing.assert_array_equal(stored[:, 0, 0], np.arange(20))
