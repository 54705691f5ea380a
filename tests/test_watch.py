import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import SpyNetwork, draw, encoded
from recolor_cli import batch, watch
from recolor_cli.errors import UsageError
from recolor_cli.formats import ImageFormat
from recolor_cli.jobs import Job, OutputOptions
from recolor_cli.recolorizer import Recolorizer

SETTLED = 0.15  # seconds
PICTURE = encoded(draw())


class Watched:
    """An inbox and what arrived in it so far."""

    def __init__(self, inbox: Path, recursive: bool = True, **options) -> None:
        inbox.mkdir(parents=True, exist_ok=True)
        self.inbox = inbox
        self.stop = threading.Event()
        self.options = OutputOptions(**{"out": str(inbox.parent / "out"), **options})
        self.jobs: Iterator[Job | None] = watch.arrivals(
            [str(inbox)], recursive, self.options, self.stop, 0.01, SETTLED
        )

    def after(self, seconds: float) -> list[Job]:
        """Return the jobs that come in so many seconds."""
        until = time.monotonic() + seconds
        found = []
        while time.monotonic() < until:
            job = next(self.jobs)
            if job:
                found.append(job)
        return found

    def names(self, seconds: float) -> list[str]:
        return [Path(job.source).relative_to(self.inbox).as_posix() for job in self.after(seconds)]


@pytest.fixture
def inbox(tmp_path) -> Watched:
    return Watched(tmp_path / "inbox")


def eventually(true: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_file_that_grows_comes_when_it_has_settled(inbox):
    path = inbox.inbox / "slow.jpg"
    for at in range(0, len(PICTURE), len(PICTURE) // 5 + 1):
        with path.open("ab") as file:
            file.write(PICTURE[at : at + len(PICTURE) // 5 + 1])
        assert inbox.after(SETTLED / 2) == []
    (job,) = inbox.after(3 * SETTLED)
    assert job == Job(str(path), str(inbox.inbox.parent / "out/slow.jpg"))
    assert inbox.after(3 * SETTLED) == []


def test_a_file_that_is_moved_in_comes_at_once(inbox, tmp_path):
    inbox.after(0.05)
    outside = tmp_path / "x.jpg"
    outside.write_bytes(PICTURE)
    os.utime(outside, (1e9, 1e9))
    outside.rename(inbox.inbox / "old.jpg")
    assert inbox.names(SETTLED / 2) == ["old.jpg"]
    # Written a moment ago under another name: the inode was seen before.
    for name in ("a.jpg.part", ".b.jpg.Xy12", "~c.jpg", "d.crdownload"):
        (inbox.inbox / name).write_bytes(PICTURE)
    assert inbox.names(SETTLED / 3) == []
    for name in ("a.jpg.part", ".b.jpg.Xy12", "~c.jpg", "d.crdownload"):
        (inbox.inbox / name).rename(inbox.inbox / f"{name.strip('.~')[0]}.jpg")
    assert sorted(inbox.names(SETTLED / 2)) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]


@pytest.mark.parametrize(
    "name", ["x.jpg.part", "x.jpg.crdownload", ".x.jpg", "~x.jpg", "x.jpg~", "notes.txt", "x"]
)
def test_what_has_a_temporary_name_or_is_no_picture_never_comes(inbox, name):
    (inbox.inbox / name).write_bytes(PICTURE)
    assert inbox.after(3 * SETTLED) == []


def test_pipes_and_links_to_folders_are_left_alone(inbox, tmp_path):
    os.mkfifo(inbox.inbox / "pipe.jpg")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.jpg").write_bytes(PICTURE)
    (inbox.inbox / "link").symlink_to(tmp_path / "elsewhere")
    (inbox.inbox / "loop").symlink_to(inbox.inbox)
    (inbox.inbox / "file.jpg").symlink_to(tmp_path / "elsewhere" / "x.jpg")
    assert inbox.names(3 * SETTLED) == ["file.jpg"]


def test_an_empty_file_is_waited_for(inbox, monkeypatch):
    path = inbox.inbox / "x.jpg"
    path.touch()
    assert inbox.after(3 * SETTLED) == []
    path.write_bytes(PICTURE)
    assert inbox.names(3 * SETTLED) == ["x.jpg"]
    (inbox.inbox / "y.jpg").touch()
    monkeypatch.setattr(watch, "_EMPTY_PATIENCE", 2 * SETTLED)  # but not for ever
    assert inbox.names(4 * SETTLED) == ["y.jpg"]


def test_a_file_that_changes_is_done_anew_and_others_are_not(inbox):
    for name in ("a.jpg", "b.jpg"):
        (inbox.inbox / name).write_bytes(PICTURE)
    assert inbox.names(3 * SETTLED) == ["a.jpg", "b.jpg"]
    (inbox.inbox / "b.jpg").write_bytes(PICTURE + b"x")
    (job,) = inbox.after(4 * SETTLED)
    assert job.redo
    assert Path(job.source).name == "b.jpg"


def test_folders_are_looked_into_on_demand(tmp_path):
    shallow, deep = Watched(tmp_path / "inbox", recursive=False), Watched(tmp_path / "inbox")
    (tmp_path / "inbox/sub/er").mkdir(parents=True)
    for name in ("a.jpg", "sub/b.jpg", "sub/er/c.jpg"):
        (tmp_path / "inbox" / name).write_bytes(PICTURE)
    assert shallow.names(3 * SETTLED) == ["a.jpg"]
    jobs = deep.after(3 * SETTLED)
    assert [Path(job.destination).relative_to(tmp_path).as_posix() for job in jobs] == [
        "out/a.jpg",
        "out/sub/b.jpg",
        "out/sub/er/c.jpg",
    ]


def test_an_output_folder_in_the_inbox_is_not_looked_into(tmp_path):
    watched = Watched(tmp_path / "inbox", out=str(tmp_path / "inbox" / "done"))
    (tmp_path / "inbox" / "done").mkdir()
    (tmp_path / "inbox" / "done" / "x.jpg").write_bytes(PICTURE)
    (tmp_path / "inbox" / "y.jpg").write_bytes(PICTURE)
    assert watched.names(3 * SETTLED) == ["y.jpg"]


@pytest.mark.parametrize(
    ("out", "backup", "told"),
    [
        (None, None, "a folder for the results"),
        ("-", None, "a folder for the results"),
        ("x.jpg", None, "name of a picture"),
        ("in", None, "arrive in"),
        ("in/../in", None, "arrive in"),
        ("link", None, "arrive in"),
        (".", None, "lies in"),
        ("out", ".orig", "a folder for the results"),
    ],
)
def test_results_must_go_to_a_folder_apart(tree, out, backup, told):
    (tree / "link").symlink_to(tree / "in")
    options = OutputOptions(out=out, backup=backup)
    with pytest.raises(UsageError, match=told):
        watch.arrivals(["in"], True, options, threading.Event())


def test_an_inbox_must_be_there(tree):
    for name in ("missing", "in/b.jpg"):
        with pytest.raises(UsageError, match="no such folder"):
            watch.arrivals([name], True, OutputOptions(out="out"), threading.Event())


def test_an_inbox_that_goes_away_is_told_once_and_comes_back(inbox, tmp_path):
    (inbox.inbox / "a.jpg").write_bytes(PICTURE)
    assert inbox.names(3 * SETTLED) == ["a.jpg"]
    inbox.inbox.rename(tmp_path / "unplugged")
    (job,) = inbox.after(3 * SETTLED)
    assert "cannot be read: No such file" in job.error.message
    (tmp_path / "unplugged").rename(inbox.inbox)
    (inbox.inbox / "b.jpg").write_bytes(PICTURE)
    assert inbox.names(3 * SETTLED) == ["b.jpg"]


def test_two_pictures_do_not_take_each_others_place(tmp_path):
    watched = Watched(tmp_path / "inbox", format=ImageFormat.PNG)
    for name in ("a.jpg", "a.tif"):
        (watched.inbox / name).write_bytes(PICTURE)
    first, second = watched.after(3 * SETTLED)
    assert first.error is None
    assert "already the result of another picture" in second.error.message
    (watched.inbox / "a.jpg").unlink()
    assert watched.after(2 * SETTLED) == []
    (watched.inbox / "a.tif").write_bytes(PICTURE + b"x")  # now the place is free
    (job,) = watched.after(3 * SETTLED)
    assert job.error is None


def test_a_stray_is_told_when_it_is_complete(inbox):
    (inbox.inbox / "phone.heic").write_bytes(b"x")
    (job,) = inbox.after(3 * SETTLED)
    assert job.is_stray
    assert "HEIC" in job.error.message


def test_memory_is_of_what_is_there_not_of_what_was(tmp_path, monkeypatch):
    memories = []
    original = watch._Memory.__init__
    monkeypatch.setattr(
        watch._Memory, "__init__", lambda self, *a: memories.append(self) or original(self, *a)
    )
    watched = Watched(tmp_path / "inbox")
    for turn in range(3):
        for number in range(50):
            path = watched.inbox / f"{turn}-{number}.jpg"
            path.write_bytes(b"x")
            os.utime(path, (1e9, 1e9))
        assert len(watched.after(0.3)) == 50
        assert len(memories[0]) == 100  # the prints and the destinations
        for path in watched.inbox.iterdir():
            path.unlink()
        watched.after(0.1)
        assert len(memories[0]) == 0


def test_what_arrives_is_told_while_nothing_else_does(inbox, manifest):
    (inbox.inbox / "a.jpg").write_bytes(PICTURE)
    recolorizer = Recolorizer(SpyNetwork(manifest))
    outcomes = batch.run(inbox.jobs, recolorizer, inbox.options, 2, inbox.stop)
    outcome = next(outcomes)  # would wait for ever if it had to be pushed out by others
    assert outcome.status is batch.Status.WRITTEN
    inbox.stop.set()
    assert list(outcomes) == []


@pytest.mark.slow
def test_200_pictures_that_are_dropped_while_it_runs_all_get_their_colors(inbox, manifest):
    expected = {f"{number}.jpg" for number in range(200)}

    def drop() -> None:
        for number in range(200):
            name = f"{number}.jpg"
            if number % 3 == 0:  # in slow motion
                with (inbox.inbox / name).open("wb") as file:
                    for part in range(4):
                        file.write(PICTURE[part * 1000 : (part + 1) * 1000 if part < 3 else None])
                        file.flush()
                        time.sleep(0.005)
            elif number % 3 == 1:
                (inbox.inbox / f"{name}.part").write_bytes(PICTURE)
                (inbox.inbox / f"{name}.part").rename(inbox.inbox / name)
            else:
                (inbox.inbox / name).write_bytes(PICTURE)
        (inbox.inbox / "bad.jpg").write_bytes(PICTURE[:300])

    dropping = threading.Thread(target=drop)
    dropping.start()
    recolorizer = Recolorizer(SpyNetwork(manifest))
    written: set[str] = set()
    failed = []
    for outcome in batch.run(inbox.jobs, recolorizer, inbox.options, 4, inbox.stop):
        name = Path(outcome.job.source).name
        if outcome.status is batch.Status.FAILED:
            failed.append(name)
        else:
            assert outcome.status is batch.Status.WRITTEN
            assert name not in written
            written.add(name)
        if written == expected and "bad.jpg" in failed:
            inbox.stop.set()
    dropping.join()
    assert failed == ["bad.jpg"]  # once, and no other
    out = Path(inbox.options.out)
    assert {path.name for path in out.iterdir()} == expected


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
def test_a_signal_ends_it_when_what_is_begun_is_done(tmp_path, number, code):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    command = [sys.executable, "-m", "recolor_cli", "--watch", "inbox", "-o", "out", "--json"]
    with subprocess.Popen(
        [*command, "-m", "fruitnet", "--device", "cpu"], cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            source = tmp_path / "a.jpg"
            source.write_bytes(PICTURE)
            os.utime(source, (1e9, 1e9))
            shutil.move(source, inbox / "a.jpg")
            line = json.loads(process.stdout.readline())
            assert line["status"] == "written"
            assert line["destination"] == "out/a.jpg"
            (inbox / "bad.jpg").write_bytes(b"no picture")
            assert json.loads(process.stdout.readline())["status"] == "failed"
            assert process.poll() is None
            process.send_signal(number)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code, err
    assert out == ""
    assert "1 written, 1 failed" in err
    assert "Traceback" not in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("options", [["-n"], ["--files-from", "list.txt"], ["--in-place", ".o"]])
def test_what_does_not_go_with_watching(tree, recolor, options):
    (tree / "list.txt").write_text("in/b.jpg")
    _, err = recolor("--watch", "in", *([] if "--in-place" in options else ["-o", "out"]),
                     *options, exit_code=2)  # fmt: skip
    assert "--watch" in err
    assert "hint" in err
