import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recolor_cli import files, memory
from recolor_cli.errors import InputError, OutputError
from recolor_cli.files import read, remove_leftovers, write_atomic


def test_a_file_larger_than_the_memory_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "x.jpg").write_bytes(b"x" * 100)
    monkeypatch.setattr(files, "available_memory", lambda: 99)
    with pytest.raises(InputError, match="larger than the free memory"):
        read(tmp_path / "x.jpg")


def test_available_memory_is_plausible():
    assert 2**24 < memory.available_memory() < 2**50


def test_a_written_file_is_whole_and_alone(tmp_path):
    path = tmp_path / "deep" / "er" / "x.jpg"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["x.jpg"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failure):
    path = tmp_path / "x.jpg"
    path.write_bytes(b"old")

    def fail(self, target):
        raise failure

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OutputError if isinstance(failure, OSError) else KeyboardInterrupt):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.jpg"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    original = Path.open

    def on_a_full_disk(self, mode="r", *args, **kwargs):
        original(self, mode).close()  # the name appears, as it would
        return original(Path("/dev/full"), "wb", *args, **kwargs)

    monkeypatch.setattr("pathlib.Path.open", on_a_full_disk)
    with pytest.raises(OutputError, match="No space left"):
        write_atomic(tmp_path / "x.jpg", b"x" * 100_000)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    left = tmp_path / f".recolor-{files._host()}-{process.pid}-0123456789ab.tmp"
    running = tmp_path / f".recolor-{files._host()}-{os.getpid()}-0123456789ab.tmp"
    elsewhere = tmp_path / f".recolor-ffffff-{process.pid}-0123456789ab.tmp"
    others = [running, elsewhere, tmp_path / "x.jpg", tmp_path / ".recolor-notes.tmp"]
    for path in (left, *others):
        path.write_bytes(b"half")
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(others)
    remove_leftovers(tmp_path / "missing")


def test_two_runs_that_write_the_same_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "x.jpg"
    contents = [bytes([i]) * 200_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda data: write_atomic(path, data), contents * 5))
    assert path.read_bytes() in contents
    assert [p.name for p in tmp_path.iterdir()] == ["x.jpg"]


def test_reading_says_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "missing.jpg")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path)
