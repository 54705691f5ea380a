"""Temporary files: those in use stay, leftovers go, whoever made them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recolor_cli.system import file_lock, temporary_files
from recolor_cli.system.files import write_atomic, writing
from recolor_cli.system.temporary_files import remove_leftovers, temporary_file

posix = pytest.mark.skipif(sys.platform == "win32", reason="it has no such locks")

HOLDS_A_FILE = """
import sys, time
from pathlib import Path
from recolor_cli.system.temporary_files import temporary_file
with temporary_file(Path(sys.argv[1])) as (path, file):
    print(path.name, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process with a temporary file in the folder, and the path of that."""
    command = [sys.executable, "-c", HOLDS_A_FILE, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    yield process, tmp_path / process.stdout.readline().decode().strip()
    process.kill()
    process.communicate()


@posix
def test_a_file_in_use_stays_and_goes_when_its_process_is_a_zombie(tmp_path, holder):
    process, path = holder
    remove_leftovers(tmp_path)
    assert path.exists()
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    remove_leftovers(tmp_path)
    assert not path.exists()


@posix
def test_leftovers_of_any_machine_and_process_go_and_nothing_else(tmp_path):
    left = [
        f".recolor-ffffff-{os.getpid()}-0123456789ab.tmp",  # another machine, a running process
        ".recolor-0123456789abcdef.tmp",
    ]
    others = ["x.jpg", ".recolor-notes.tmp", "recolor-0123.tmp", ".recolor-0123.tmp.jpg"]
    for name in (*left, *others):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / ".recolor-aa.tmp").mkdir()
    os.mkfifo(tmp_path / ".recolor-bb.tmp")
    (tmp_path / ".recolor-cc.tmp").symlink_to(tmp_path / "x.jpg")
    remove_leftovers(tmp_path)
    assert all((tmp_path / name).read_bytes() == b"half" for name in others)
    assert not any((tmp_path / name).exists() for name in left)
    assert (tmp_path / ".recolor-aa.tmp").is_dir()
    remove_leftovers(tmp_path / "missing")


@posix
def test_without_locks_a_leftover_is_known_by_its_age(tmp_path, monkeypatch):
    monkeypatch.setattr(temporary_files, "try_lock", lambda file: None)
    old, new = tmp_path / ".recolor-0a.tmp", tmp_path / ".recolor-0b.tmp"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, time.time() - 48 * 3600))
    remove_leftovers(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)
    write_atomic(tmp_path / "x.jpg", b"x")
    assert (tmp_path / "x.jpg").read_bytes() == b"x"


@posix
def test_a_file_that_was_taken_for_a_leftover_before_it_was_locked_is_made_anew(
    tmp_path, monkeypatch
):
    lock, seen = file_lock.try_lock, []

    def after_another_run(file):
        monkeypatch.setattr(temporary_files, "try_lock", lock)
        seen.append(Path(file.name))
        remove_leftovers(tmp_path)
        return lock(file)

    monkeypatch.setattr(temporary_files, "try_lock", after_another_run)
    with temporary_file(tmp_path) as (path, file):
        assert not seen[0].exists()
        assert path.exists()
        file.write(b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_writer_removes_the_leftovers_of_its_folder(tmp_path):
    (tmp_path / ".recolor-0123456789abcdef.tmp").write_bytes(b"half")
    write_atomic(tmp_path / "x.jpg", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["x.jpg"]


@posix
def test_a_file_is_locked_until_it_has_its_name(tmp_path, monkeypatch):
    replace = Path.replace

    def meet_another_run(self, target):
        remove_leftovers(tmp_path)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", meet_another_run)
    write_atomic(tmp_path / "x.jpg", b"x")
    assert (tmp_path / "x.jpg").read_bytes() == b"x"


@posix
def test_a_file_that_a_library_writes_by_its_name_is_not_locked(tmp_path, monkeypatch):
    """On a share of Windows the lock would keep its own process away, too."""
    monkeypatch.setattr(temporary_files, "try_lock", None)
    own = tmp_path / "own"
    own.mkdir()
    with writing(tmp_path / "x.mkv", own_folder=own) as file:
        assert Path(file.name).parent == own
        Path(file.name).write_bytes(b"film")
    assert (tmp_path / "x.mkv").read_bytes() == b"film"
    assert list(own.iterdir()) == []
