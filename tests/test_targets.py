"""Folders and disks that take no result: noticed before the work, and said once."""

import errno
import json
import os
import shutil
import subprocess
from collections import namedtuple
from pathlib import Path

import pytest

from conftest import SpyNetwork, draw, encoded, names
from recolor_cli.batch import targets
from recolor_cli.batch.job import Job
from recolor_cli.batch.outcome import Outcome, Status
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.plan import plan
from recolor_cli.batch.run import dry_run, run_with_workers
from recolor_cli.batch.targets import Targets
from recolor_cli.batch.threads import ThreadWorkers
from recolor_cli.errors import DiskFullError, FolderError
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.system.files import write_error

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def many(tmp_path, monkeypatch):
    """Change into a folder with twenty pictures in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for i in range(20):
        (tmp_path / f"in/{i:02}.png").write_bytes(encoded(draw(seed=i), "PNG"))
    return tmp_path


def do(manifest, options, jobs=None):
    """Return the outcomes, and what the network was asked."""
    network = SpyNetwork(manifest)
    workers = ThreadWorkers(Recolorizer(network), options, 1)
    jobs = plan(["in"], True, options) if jobs is None else jobs
    return list(run_with_workers(jobs, options, workers)), network.seen


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_costs_no_work(many, manifest, monkeypatch, number):
    (many / "out").mkdir()
    monkeypatch.setattr(
        targets.os, "access", lambda path, mode: not Path(path).is_relative_to("out")
    )
    is_read_only = number == errno.EROFS
    status = namedtuple("Status", "f_flag")(os.ST_RDONLY if is_read_only else 0)
    monkeypatch.setattr(targets.os, "statvfs", lambda path: status)
    jobs = list(plan(["in"], True, OutputOptions(out="out/sub/")))
    found, asked = do(manifest, OutputOptions(out="out/sub/"), jobs)
    assert {outcome.status for outcome in found} == {Status.FAILED}
    assert found[0].error.message == f"cannot write out/sub/00.png: {os.strerror(number)}"
    assert len({outcome.error.cause for outcome in found}) == 1
    assert not asked
    planned = dry_run(jobs, OutputOptions(out="out/sub/"))
    assert [str(outcome.error) for outcome in planned] == [str(o.error) for o in found]
    (many / "elsewhere").mkdir()
    jobs[3:5] = [Job(job.source, f"elsewhere/{i}.png") for i, job in enumerate(jobs[3:5])]
    found, asked = do(manifest, OutputOptions(), jobs)
    assert [outcome.status for outcome in found].count(Status.WRITTEN) == len(asked) == 2


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.EROFS, errno.EIO])
def test_what_the_system_does_not_foretell_costs_the_pictures_that_were_begun(
    many, manifest, monkeypatch, number
):
    original = Path.open
    is_closed = True

    def fail(self, mode="r", *args, **kwargs):
        if "x" in mode and is_closed:
            raise OSError(number, os.strerror(number))
        return original(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", fail)
    options = OutputOptions(out="out")
    found, asked = do(manifest, options)
    assert {outcome.status for outcome in found} == {Status.FAILED}
    assert len({outcome.error.cause for outcome in found}) == 1
    assert len(asked) <= 10
    known = Targets("out")
    job = Job("in/00.png", "out/00.png")
    known.note(Outcome(job, Status.FAILED, found[0].error))
    assert isinstance(known.refusal(job), FolderError)
    is_closed = False
    assert known.refusal(job) is None  # is looked at again


def test_a_disk_without_room_takes_smaller_pictures_and_more_when_there_is_room(many, monkeypatch):
    free = 1000
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, free))
    for name, size in (("small", 50), ("middle", 100), ("large", 200)):
        (many / name).write_bytes(b"x" * size)
    known = Targets("out")
    small, middle, large = (Job(name, f"out/{name}.png") for name in ("small", "middle", "large"))
    error = write_error(Path("out/middle.png"), OSError(errno.ENOSPC, "No space left on device"))
    assert isinstance(error, DiskFullError)
    assert known.refusal(middle) is None
    known.note(Outcome(middle, Status.FAILED, error))
    assert known.refusal(small) is None
    for job in (middle, large):
        refusal = known.refusal(job)
        assert refusal.message == f"cannot write {job.destination}: No space left on device"
        assert refusal.cause == error.cause
    known.note(Outcome(small, Status.FAILED, error))
    assert known.refusal(small).cause == error.cause
    free = 1001
    assert known.refusal(large) is None


def test_a_full_disk_is_said_once_and_what_it_needs_is_not_done_for_all(
    many, manifest, monkeypatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 0))

    def fail(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    found, asked = do(manifest, OutputOptions(out="out"))
    assert {outcome.status for outcome in found} == {Status.FAILED}
    assert len(asked) < 20  # those that were in hand when the first one failed
    assert names(many / "out") == []


@pytest.fixture
def small_disk(many):
    """A disk of 64 kB."""
    disk = many / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_real_disk_that_fills_up(recolor, small_disk):
    recolor_all = ("in", "-m", "fruitnet", "--device", "cpu", "--json", "-o")
    out, err = recolor(*recolor_all, "disk/", exit_code=1)
    told = [json.loads(line) for line in out.splitlines()]
    written = [line for line in told if line["status"] == "written"]
    assert 0 < len(written) < 20
    assert len(written) == len(names(small_disk))
    assert err.count("error: ") == 2
    assert err.count("No space left on device") == 1
    assert f"{19 - len(written)} more failed because the disk of {small_disk} is full" in err
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    out, err = recolor(*recolor_all, "disk/", exit_code=1)
    assert [json.loads(line)["status"] for line in out.splitlines()].count("skipped") == len(
        written
    )
    assert err.count("Read-only file system") == 1
    assert f"more failed because the disk of {small_disk} is read-only" in err


def test_results_that_would_be_their_own_inputs_are_said_once(recolor, many):
    (many / "in/x.jpg").write_bytes(encoded(draw()))
    out, err = recolor("in", "-o", "in/", "--device", "cpu", "--json", exit_code=1)
    assert len(out.splitlines()) == 21
    assert err.count("would overwrite an input") == 1
    assert "20 more failed because their results would overwrite inputs" in err
    _, err = recolor("in", "-o", "in/", "-v", "--device", "cpu", exit_code=1)
    assert err.count("would overwrite an input") == 21
    out, err = recolor(
        "in", "-o", "in/", "--format", "png", "-m", "fruitnet", "--device", "cpu", exit_code=1
    )
    assert out == b"in/x.png\n"
