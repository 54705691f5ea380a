import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import SpyNetwork, draw, encoded
from recolor_cli.batch import known_files, watch
from recolor_cli.batch.job import Job
from recolor_cli.batch.outcome import Outcome, Status
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.run import run_with_workers
from recolor_cli.batch.threads import ThreadWorkers
from recolor_cli.commands.run import run as run_command
from recolor_cli.commands.workers import WorkerOpener
from recolor_cli.errors import InputError, UsageError
from recolor_cli.image.formats import ImageFormat
from recolor_cli.recolorizer import Recolorizer

SETTLED = watch.SETTLED  # seconds, of a clock that goes as fast as it is looked at
PICTURE = encoded(draw())


class Clock(threading.Event):
    """A clock that goes on only while somebody waits for the event."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout
        return self.is_set()


class Watched:
    """An inbox and what arrived in it so far."""

    def __init__(self, inbox: Path, recursive: bool = True, **options) -> None:
        inbox.mkdir(parents=True, exist_ok=True)
        self.inbox = inbox
        self.clock = watch.time
        self.options = OutputOptions(**{"out": str(inbox.parent / "out"), **options})
        self.inboxes = watch.Inboxes([str(inbox)], recursive, self.options, SETTLED)

    def after(self, seconds: float) -> list[Job]:
        """Return the jobs that come in so many seconds."""
        until = self.clock.now + seconds
        found = []
        while self.clock.now < until:
            found += self.inboxes.poll(self.clock)
            self.clock.now += min(watch.INTERVAL, until - self.clock.now)
        return found

    def names(self, seconds: float) -> list[str]:
        return [Path(job.source).relative_to(self.inbox).as_posix() for job in self.after(seconds)]


@pytest.fixture
def inbox(tmp_path, monkeypatch) -> Watched:
    clock = Clock()
    for module in (watch, known_files):
        monkeypatch.setattr(module, "time", clock)
    return Watched(tmp_path / "inbox")


def test_a_file_that_grows_comes_when_it_has_settled(inbox):
    path = inbox.inbox / "slow.jpg"
    for at in range(0, len(PICTURE), 100):
        with path.open("ab") as file:
            file.write(PICTURE[at : at + 100])
        assert inbox.after(SETTLED * 0.9) == []
    (job,) = inbox.after(2 * SETTLED)
    assert job == Job(str(path), str(inbox.inbox.parent / "out/slow.jpg"))
    assert inbox.after(3 * SETTLED) == []


def test_a_file_that_is_moved_in_comes_at_once(inbox, tmp_path):
    inbox.after(1)
    outside = tmp_path / "x.jpg"
    outside.write_bytes(PICTURE)
    os.utime(outside, (1e9, 1e9))
    outside.rename(inbox.inbox / "old.jpg")
    assert inbox.names(1.1) == ["old.jpg"]
    # Written a moment ago under another name: the inode was seen before.
    for name in ("a.jpg.part", ".b.jpg.Xy12", "~c.jpg", "d.crdownload"):
        (inbox.inbox / name).write_bytes(PICTURE)
    assert inbox.names(1.1) == []
    time.sleep(0.02)  # times of files go by the ticks of the system
    for name in ("a.jpg.part", ".b.jpg.Xy12", "~c.jpg", "d.crdownload"):
        (inbox.inbox / name).rename(inbox.inbox / f"{name.strip('.~')[0]}.jpg")
    assert sorted(inbox.names(1.1)) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]


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


def test_an_empty_file_is_waited_for(inbox):
    path = inbox.inbox / "x.jpg"
    path.touch()
    assert inbox.after(3 * SETTLED) == []
    path.write_bytes(PICTURE)
    assert inbox.names(3 * SETTLED) == ["x.jpg"]
    (inbox.inbox / "y.jpg").touch()
    assert inbox.names(known_files.EMPTY_PATIENCE + 3) == ["y.jpg"]  # but not for ever


def test_a_file_that_changes_is_done_anew_and_others_are_not(inbox):
    for name in ("a.jpg", "b.jpg"):
        (inbox.inbox / name).write_bytes(PICTURE)
    assert inbox.names(3 * SETTLED) == ["a.jpg", "b.jpg"]
    (inbox.inbox / "b.jpg").write_bytes(PICTURE + b"x")
    assert inbox.names(4 * SETTLED) == ["b.jpg"]


def redone(inbox: Watched, status: Status) -> bool:
    """Tell whether the result of a picture is redone when it changes after an outcome."""
    path = inbox.inbox / "a.jpg"
    path.write_bytes(PICTURE)
    (job,) = inbox.after(3 * SETTLED)
    assert not job.redo
    inbox.inboxes.known.note(Outcome(job, status))
    path.write_bytes(PICTURE + b"x")
    (job,) = inbox.after(4 * SETTLED)
    return job.redo


def test_results_of_this_run_alone_are_redone(inbox):
    assert redone(inbox, Status.WRITTEN)
    # Also if the picture was broken meanwhile.
    inbox.inboxes.known.note(Outcome(Job(str(inbox.inbox / "a.jpg")), Status.FAILED))
    (inbox.inbox / "a.jpg").write_bytes(PICTURE)
    (job,) = inbox.after(4 * SETTLED)
    assert job.redo


@pytest.mark.parametrize("status", [Status.FAILED, Status.MADE_OTHERWISE, Status.SKIPPED])
def test_results_of_others_are_never_redone(inbox, tmp_path, status):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.jpg").write_bytes(PICTURE)
    assert not redone(inbox, status)


def test_a_result_that_says_that_it_is_of_the_picture_is_redone(inbox, recolor, tmp_path):
    (inbox.inbox / "a.jpg").write_bytes(PICTURE)
    recolor(inbox.inbox / "a.jpg", "-o", tmp_path / "out/")
    assert redone(inbox, Status.SKIPPED)


def test_a_picture_that_failed_is_tried_again_when_its_permissions_change(inbox):
    path = inbox.inbox / "a.jpg"
    path.write_bytes(PICTURE)
    (job,) = inbox.after(3 * SETTLED)
    inbox.inboxes.known.note(Outcome(job, Status.FAILED))
    assert inbox.after(3 * SETTLED) == []
    time.sleep(0.02)  # times of files go by the ticks of the system
    path.chmod(0o600)
    assert inbox.names(3 * SETTLED) == ["a.jpg"]
    assert inbox.after(3 * SETTLED) == []


def test_folders_are_looked_into_on_demand(inbox, tmp_path):
    shallow, deep = Watched(tmp_path / "inbox", recursive=False), inbox
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


def test_excluded_names_and_folders_of_thumbnails_never_come(tmp_path, inbox):
    watched = Watched(tmp_path / "in", exclude=("*-small.jpg",))
    for name in ("a.jpg", "a-small.jpg", "@eaDir/a.jpg"):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(PICTURE)
    assert [Path(job.source).name for job in watched.after(2 * SETTLED)] == ["a.jpg"]


def test_an_output_folder_in_the_inbox_is_not_looked_into(inbox, tmp_path):
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
        ("", None, "-o is empty"),
        ("out", ".orig", "a folder for the results"),
    ],
)
def test_results_must_go_to_a_folder_apart(tree, out, backup, told):
    (tree / "link").symlink_to(tree / "in")
    options = OutputOptions(out=out, backup=backup)
    with pytest.raises(UsageError, match=told):
        watch.Arrivals(["in"], True, options, threading.Event())


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize(
    ("inboxes", "out", "base"),
    [(["in", "in2"], ".", None), (["in"], ".", "."), (["in", "in2"], "link", None)],
)
def test_results_must_not_arrive_in_an_inbox(tree, inboxes, out, base, recursive):
    (tree / "in2").mkdir()
    (tree / "link").symlink_to(tree)
    with pytest.raises(UsageError, match=r"arrive in in|lies in"):
        watch.Arrivals(inboxes, recursive, OutputOptions(out=out, base=base), threading.Event())


def test_a_result_that_would_arrive_as_a_picture_is_refused(inbox, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/sub").symlink_to(inbox.inbox)
    (inbox.inbox / "sub").mkdir()
    (inbox.inbox / "sub/a.jpg").write_bytes(PICTURE)
    (job,) = inbox.after(3 * SETTLED)
    assert f"would arrive in {inbox.inbox} as a picture" in job.error.message


def test_an_inbox_must_be_there(tree):
    for name in ("missing", "in/b.jpg"):
        with pytest.raises(UsageError, match="no such folder"):
            watch.Arrivals([name], True, OutputOptions(out="out"), threading.Event())


def test_an_inbox_that_goes_away_is_told_once_and_comes_back(inbox, tmp_path):
    (inbox.inbox / "a.jpg").write_bytes(PICTURE)
    assert inbox.names(3 * SETTLED) == ["a.jpg"]
    inbox.inbox.rename(tmp_path / "unplugged")
    (job,) = inbox.after(3 * SETTLED)
    assert "cannot be read: No such file" in job.error.message
    (tmp_path / "unplugged").rename(inbox.inbox)
    (inbox.inbox / "b.jpg").write_bytes(PICTURE)
    assert inbox.names(3 * SETTLED) == ["b.jpg"]


def test_a_disk_that_is_unmounted_is_told_once(inbox, monkeypatch):
    (inbox.inbox / "a.jpg").write_bytes(PICTURE)
    is_mount, mounts = os.path.ismount, {str(inbox.inbox)}
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) in mounts or is_mount(path))
    watched = Watched(inbox.inbox)
    assert watched.names(3 * SETTLED) == ["a.jpg"]
    mounts.clear()
    (inbox.inbox / "a.jpg").rename(inbox.inbox.parent / "a.jpg")
    (job,) = watched.after(3 * SETTLED)
    assert f"the disk that was mounted on {inbox.inbox} is gone" in job.error.message
    mounts.add(str(inbox.inbox))
    (inbox.inbox.parent / "a.jpg").rename(inbox.inbox / "a.jpg")
    assert watched.after(3 * SETTLED) == []


def test_an_unreadable_folder_keeps_its_own_names_alone(inbox, monkeypatch):
    for name in ("lost/x.jpg", "lost/deep/y.jpg", "lost+found/z.jpg"):
        (inbox.inbox / name).parent.mkdir(parents=True, exist_ok=True)
        (inbox.inbox / name).write_bytes(PICTURE)
    assert len(inbox.after(3 * SETTLED)) == 3
    scan, closed = os.scandir, str(inbox.inbox / "lost")

    def refuse(folder):
        if folder == closed:
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(known_files.os, "scandir", refuse)
    (job,) = inbox.after(3 * SETTLED)
    assert job.source == closed
    (inbox.inbox / "lost+found/z.jpg").unlink()
    assert inbox.after(3 * SETTLED) == []
    assert len(inbox.inboxes.known) == 4  # two files and their results
    monkeypatch.undo()


def test_two_pictures_do_not_take_each_others_place(inbox, tmp_path):
    watched = Watched(tmp_path / "inbox", format=ImageFormat.PNG)
    for name in ("a.jpg", "a.tif"):
        (watched.inbox / name).write_bytes(PICTURE)
    first, second = watched.after(3 * SETTLED)
    assert first.error is None
    assert f"already the result of {first.source}" in second.error.message
    assert "--suffix" in second.error.hint
    (watched.inbox / "a.jpg").unlink()
    assert watched.after(2 * SETTLED) == []
    (watched.inbox / "a.tif").write_bytes(PICTURE + b"x")  # now the place is free
    (job,) = watched.after(3 * SETTLED)
    assert job.error is None


def test_a_stray_is_told_when_it_is_complete(inbox):
    (inbox.inbox / "phone.heic").write_bytes(b"x")
    (job,) = inbox.after(3 * SETTLED)
    assert job.is_unsupported
    assert "HEIC" in job.error.message


def test_memory_is_of_what_is_there_not_of_what_was(inbox):
    for turn in range(3):
        for number in range(50):
            path = inbox.inbox / f"{turn}-{number}.jpg"
            path.write_bytes(b"x")
            os.utime(path, (1e9, 1e9))
        assert len(inbox.after(1.1)) == 50
        assert len(inbox.inboxes.known) == 100  # the fingerprints and the destinations
        for path in inbox.inbox.iterdir():
            path.unlink()
        inbox.after(1.1)
        assert len(inbox.inboxes.known) == 0


def test_the_work_on_pictures_does_not_count_as_polling(inbox):
    clock = inbox.clock
    jobs = watch.Arrivals([str(inbox.inbox)], True, inbox.options, clock)
    (inbox.inbox / "a.jpg").write_bytes(PICTURE)
    assert Path(next(jobs).source).name == "a.jpg"
    clock.now += 1000  # the picture was large
    before = clock.now
    (inbox.inbox / "b.jpg").write_bytes(PICTURE)
    assert Path(next(jobs).source).name == "b.jpg"
    assert clock.now - before < 2 * SETTLED
    clock.set()
    assert list(jobs) == []


def running(inbox: Path, manifest) -> tuple[Iterator[Outcome], threading.Event]:
    """Return the outcomes of a watch by the true clock."""
    inbox.mkdir()
    stop = threading.Event()
    options = OutputOptions(out=str(inbox.parent / "out"))
    jobs = watch.Arrivals([str(inbox)], True, options, stop, 0.01, 0.2)
    workers = ThreadWorkers(Recolorizer(SpyNetwork(manifest)), options, 4)
    return run_with_workers(jobs, options, workers, stop, note=jobs.note), stop


def test_what_arrives_is_told_while_nothing_else_does(tmp_path, manifest):
    outcomes, stop = running(tmp_path / "inbox", manifest)
    (tmp_path / "inbox" / "a.jpg").write_bytes(PICTURE)
    outcome = next(outcomes)  # would wait for ever if it had to be pushed out by others
    assert outcome.status is Status.WRITTEN
    result = tmp_path / "out" / "a.jpg"
    before = result.read_bytes()
    (tmp_path / "inbox" / "a.jpg").write_bytes(encoded(draw(seed=1)))
    assert next(outcomes).status is Status.WRITTEN  # not skipped: it is another picture
    assert result.read_bytes() != before
    stop.set()
    assert list(outcomes) == []


def test_200_pictures_that_are_dropped_while_it_runs_all_get_their_colors(tmp_path, manifest):
    inbox = tmp_path / "inbox"
    outcomes, stop = running(inbox, manifest)
    expected = {f"{number}.jpg" for number in range(200)}

    def drop() -> None:
        for number in range(200):
            name = f"{number}.jpg"
            if number % 3 == 0:  # in slow motion
                with (inbox / name).open("wb") as file:
                    for part in range(4):
                        file.write(PICTURE[part * 1000 : (part + 1) * 1000 if part < 3 else None])
                        file.flush()
                        time.sleep(0.005)
            elif number % 3 == 1:
                (inbox / f"{name}.part").write_bytes(PICTURE)
                (inbox / f"{name}.part").rename(inbox / name)
            else:
                (inbox / name).write_bytes(PICTURE)
        (inbox / "bad.jpg").write_bytes(PICTURE[:300])

    dropping = threading.Thread(target=drop)
    dropping.start()
    written: set[str] = set()
    failed = []
    for outcome in outcomes:
        name = Path(outcome.job.source).name
        if outcome.status is Status.FAILED:
            failed.append(name)
        else:
            assert outcome.status is Status.WRITTEN
            assert name not in written
            written.add(name)
        if written == expected and "bad.jpg" in failed:
            stop.set()
    dropping.join()
    assert failed == ["bad.jpg"]  # once, and no other
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
def test_a_signal_ends_it_when_what_is_begun_is_done(tmp_path, number, code):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    command = [sys.executable, "-m", "recolor_cli", "--watch", "inbox", "-o", "out", "--json"]
    command.append("--gallery")
    with subprocess.Popen(
        [*command, "-m", "fruitnet", "--device", "cpu"], cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
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
            for _ in range(2):
                os.killpg(process.pid, number)  # all of its processes, as systemd and terminals do
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code, err
    assert out == ""
    assert "1 written, 1 failed" in err
    assert "Traceback" not in err
    assert {path.name for path in (tmp_path / "out").glob("*.*")} == {"a.jpg", "gallery.html"}
    # SIGTERM is how it ends, so that the page does not call that an interruption.
    page = (tmp_path / "out/gallery.html").read_text()
    assert ('"interrupted": true' in page) is (number == signal.SIGINT)


@pytest.mark.parametrize("options", [["-n"], ["--files-from", "list.txt"], ["--in-place", ".o"]])
def test_what_does_not_go_with_watching(tree, recolor, options):
    (tree / "list.txt").write_text("in/b.jpg")
    _, err = recolor("--watch", "in", *([] if "--in-place" in options else ["-o", "out"]),
                     *options, exit_code=2)  # fmt: skip
    assert "--watch" in err
    assert "hint" in err


class Arrived(list):
    """Jobs that have arrived already."""

    def note(self, outcome: Outcome) -> None:
        """Remember nothing."""


def test_a_watch_without_a_process_fails_so_that_a_service_starts_it_again(
    tree, recolor, manifest, monkeypatch
):
    options = OutputOptions(out="out")
    workers = ThreadWorkers(Recolorizer(SpyNetwork(manifest)), options, 1)
    workers.failure = InputError("the model is gone")
    monkeypatch.setattr(WorkerOpener, "__call__", lambda opener: workers)
    jobs = Arrived([Job("in/b.jpg", "out/b.jpg"), Job("in/b.jpg", "out/c.jpg")])
    monkeypatch.setattr(watch, "Arrivals", lambda *arguments: jobs)
    out, err = recolor("--watch", "in", "-o", "out/", exit_code=1)
    assert out == b"out/b.jpg\n"
    assert "no process is left" in err


@pytest.mark.parametrize("verbose", [(), ("-v",)])
def test_an_unsupported_file_is_named_once(tree, recolor, manifest, monkeypatch, verbose):
    workers = ThreadWorkers(Recolorizer(SpyNetwork(manifest)), OutputOptions(out="out"), 1)
    workers.failure = InputError("the model is gone")
    monkeypatch.setattr(WorkerOpener, "__call__", lambda opener: workers)
    job = Job("in/x.heic", error=InputError("it is HEIC", "convert it"), is_unsupported=True)
    monkeypatch.setattr(watch, "Arrivals", lambda *arguments: Arrived([job]))
    _, err = recolor("--watch", "in", "-o", "out/", *verbose, exit_code=1)
    assert err.count("it is HEIC") == 1
    assert "in/x.heic is left out: it is HEIC" in err


def test_a_result_of_another_picture_is_not_redone_by_an_option(
    tree, recolor, manifest, monkeypatch
):
    recolor("in/b.jpg", "-o", "out/")
    (tree / "in/b.jpg").write_bytes(encoded(draw(seed=9)))
    workers = ThreadWorkers(Recolorizer(SpyNetwork(manifest)), OutputOptions(out="out"), 1)
    workers.failure = InputError("the model is gone")
    monkeypatch.setattr(WorkerOpener, "__call__", lambda opener: workers)
    jobs = Arrived([Job("in/b.jpg", "out/b.jpg")])
    monkeypatch.setattr(watch, "Arrivals", lambda *arguments: jobs)
    _, err = recolor("--watch", "in", "-o", "out/", exit_code=1)
    assert "was made of another b.jpg" in err
    assert "move it away" in err
    assert "--overwrite" not in err


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
def test_the_unit_in_the_docs_is_sound(tmp_path):
    page = Path(__file__).parents[1] / "docs" / "watch.md"
    unit = page.read_text().split("```ini\n")[1].split("```")[0]
    path = tmp_path / "recolor-watch.service"
    path.write_text(unit.replace("/usr/local/bin/recolor", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", path], capture_output=True, text=True, check=True
    )
    assert str(path) not in done.stderr
    command = unit.split("ExecStart=")[1].splitlines()[0].split()
    context = run_command.make_context("run", command[1:])
    assert context.params["watch"]


@pytest.mark.parametrize("base", [None, "."])
def test_several_inboxes_keep_their_names_below_their_common_folder(tmp_path, monkeypatch, base):
    monkeypatch.chdir(tmp_path)
    for name in ("box1", "box2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "001.jpg").write_bytes(PICTURE)
    stop = threading.Event()
    options = OutputOptions(out="out", base=base)
    jobs = watch.Arrivals(["box1", "box2"], False, options, stop, 0.01, 0.01)
    found = [next(jobs), next(jobs)]
    assert [(job.destination, job.error) for job in found] == [
        ("out/box1/001.jpg", None), ("out/box2/001.jpg", None),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="does not lie in --base"):
        watch.Arrivals(["box1"], False, OutputOptions(out="out", base="box2"), stop)


def test_an_inbox_of_several_names_is_watched_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    (tmp_path / "in/a.jpg").write_bytes(PICTURE)
    stop = threading.Event()
    names = ["in", "./in", "link"]
    jobs = watch.Arrivals(names, True, OutputOptions(out="out"), stop, 0.01, 0.01)
    assert next(jobs) == Job("in/a.jpg", "out/a.jpg")
    (tmp_path / "in/b.jpg").write_bytes(PICTURE)
    assert next(jobs) == Job("in/b.jpg", "out/b.jpg")


def test_an_inbox_that_is_its_own_base_adds_nothing_to_an_address(tmp_path):
    (tmp_path / "001.jpg").write_bytes(PICTURE)
    options = OutputOptions(out="s3://bucket/new", base=str(tmp_path))
    jobs = watch.Arrivals([str(tmp_path)], False, options, threading.Event(), 0.01, 0.01)
    assert next(jobs).destination == "s3://bucket/new/001.jpg"
