import errno
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile

from conftest import BrokenNetwork, SpyNetwork, draw, encoded
from recolor_cli.batch import picture
from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.outcome import Outcome, Report, Status
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.plan import plan, plan_lines
from recolor_cli.batch.run import dry_run, run, run_with_workers
from recolor_cli.batch.threads import ThreadWorkers
from recolor_cli.errors import ExitCode, InputError
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.system.memory import MemoryBudget


def test_large_pictures_wait_for_each_other():
    budget = MemoryBudget(100)
    order = []
    with ThreadPoolExecutor(4) as pool:

        def hold(name):
            with budget.reserve(60):
                order.append(name)
                time.sleep(0.01)
                order.append(name)

        list(pool.map(hold, "abcd"))
    assert order[::2] == order[1::2]  # never two at a time
    with pytest.raises(InputError, match="GiB of memory"), budget.reserve(101):
        pass


def outcomes(manifest, inputs, options=None, network=None, workers=2):
    options = options or OutputOptions()
    recolorizer = Recolorizer(network or SpyNetwork(manifest, (9.0, 9.0)))
    threads = ThreadWorkers(recolorizer, options, workers)
    return list(run_with_workers(plan(inputs, True, options), options, threads))


def test_one_bad_file_neither_stops_nor_hides(tree, manifest):
    (tree / "in/aa.jpg").write_bytes(b"once upon a time")
    (tree / "in/ab.jpg").write_bytes(b"")
    found = outcomes(manifest, ["in", "missing.jpg"])
    assert [(Path(o.job.source).name, o.status) for o in found] == [
        ("a.PNG", Status.WRITTEN),
        ("aa.jpg", Status.FAILED),
        ("ab.jpg", Status.FAILED),
        ("b.jpg", Status.WRITTEN),
        ("d.webp", Status.WRITTEN),
        ("missing.jpg", Status.FAILED),
    ]
    report = Report()
    for outcome in found:
        report.add(outcome)
    assert report.exit_code is ExitCode.SOME_FAILED
    assert str(report) == "3 written, 3 failed"
    assert not (tree / "in/aa-recolored.jpg").exists()
    assert found[0].size.height == 90
    assert {"decode", "network", "color", "encode", "write"} <= set(found[0].seconds)


@pytest.mark.skipif(sys.platform == "win32", reason="its select knows no pipes")
def test_a_stop_ends_the_wait_for_a_pipe(tmp_path, manifest, monkeypatch):
    reading, writing = os.pipe()
    with os.fdopen(reading) as pipe, os.fdopen(writing, "wb") as source:
        monkeypatch.setattr(sys, "stdin", pipe)
        for name in (STREAM, f"/dev/fd/{reading}"):
            stop = threading.Event()
            threading.Timer(0.3, stop.set).start()
            workers = ThreadWorkers(Recolorizer(SpyNetwork(manifest)), OutputOptions(), 1)
            job = Job(name, str(tmp_path / "x.png"))
            assert not list(run_with_workers([job], OutputOptions(), workers, stop))
        source.write(encoded(draw()))
        source.close()
        workers = ThreadWorkers(Recolorizer(SpyNetwork(manifest)), OutputOptions(), 1)
        (outcome,) = run_with_workers(
            [Job(STREAM, str(tmp_path / "x.png"))], OutputOptions(), workers
        )
        assert outcome.status is Status.WRITTEN


class HeldWorkers:
    """A worker that finishes the job that it has begun only when it is told to stop."""

    count, window = 1, 4

    def __init__(self):
        self._pool = ThreadPoolExecutor(1)
        self._told = threading.Event()
        self.began = threading.Event()
        self.jobs = []

    def submit(self, job, missing):
        return self._pool.submit(self._do, job)

    def _do(self, job):
        self.jobs.append(job)
        self.began.set()
        assert self._told.wait(30)
        return Outcome(job, Status.WRITTEN)

    def stop(self):
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._told.set()

    def close(self):
        self._pool.shutdown()


def test_an_interruption_is_passed_on_while_a_picture_takes_long(tmp_path):
    workers, stop = HeldWorkers(), threading.Event()
    threading.Thread(target=lambda: workers.began.wait(30) and stop.set()).start()
    jobs = [Job(str(i), str(tmp_path / str(i))) for i in range(5)]
    found = list(run_with_workers(jobs, OutputOptions(), workers, stop))
    assert len(found) == len(workers.jobs) == 1


def no_workers():
    raise AssertionError("nothing needs the network")


def test_a_list_that_does_not_come_is_not_waited_for():
    stop, told = threading.Event(), []
    failed = Job("a.jpg", error=InputError("no"))

    def come():
        yield failed
        threading.Event().wait()  # for ever

    for outcome in run(come(), OutputOptions(), no_workers, stop):
        told.append(outcome.job.source)
        stop.set()
    assert told == ["a.jpg"]

    def broken():
        yield failed
        raise InputError("gone")

    with pytest.raises(InputError, match="gone"):
        list(run(broken(), OutputOptions(), no_workers))


def test_what_is_done_needs_no_network_and_its_place_in_the_list_changes_nothing(tree, manifest):
    outcomes(manifest, ["in"])
    options = OutputOptions()
    ended = run(plan(["in"], True, options), options, no_workers)
    assert {outcome.status for outcome in ended} == {Status.SKIPPED}
    (tree / "in/b.jpg").unlink()
    (tree / "in/new.jpg").write_bytes(encoded(draw()))
    found = {}
    for names in (["in/b.jpg", "in/new.jpg"], ["in/new.jpg", "in/b.jpg"]):
        (tree / "in/new-recolored.jpg").unlink(missing_ok=True)
        threads = ThreadWorkers(Recolorizer(SpyNetwork(manifest)), options, 1)
        ended = run(plan_lines(names, False, options), options, lambda threads=threads: threads)
        found[names[0]] = {outcome.job.source: outcome.status for outcome in ended}
    assert found["in/b.jpg"] == found["in/new.jpg"]
    assert found["in/b.jpg"] == {"in/b.jpg": Status.FAILED, "in/new.jpg": Status.WRITTEN}


def test_leftovers_of_killed_runs_go_although_all_is_done(tree, manifest):
    outcomes(manifest, ["in"])
    left = [tree / "in/.recolor-0123456789abcdef.tmp", tree / "in/sub/.recolor-0f.tmp"]
    for path in left:
        path.write_bytes(b"half")
    options = OutputOptions()
    jobs = plan(["in"], True, options)
    list(dry_run(jobs, options))
    assert all(path.exists() for path in left)
    list(run(jobs, options, no_workers))
    assert not any(path.exists() for path in left)


def test_what_is_there_is_skipped_or_redone(tree, manifest):
    assert {o.status for o in outcomes(manifest, ["in"])} == {Status.WRITTEN}
    assert {o.status for o in outcomes(manifest, ["in"])} == {Status.SKIPPED}
    again = outcomes(manifest, ["in"], OutputOptions(overwrite=True))
    assert [o.status for o in again] == [Status.WRITTEN] * 3


def test_an_empty_result_is_none(tree, manifest):
    (tree / "in/b-recolored.jpg").write_bytes(b"")
    (found,) = outcomes(manifest, ["in/b.jpg"])
    assert found.status is Status.WRITTEN


def test_an_error_of_the_network_is_of_its_picture(tree, manifest):
    (found,) = outcomes(manifest, ["in/b.jpg"], network=BrokenNetwork(manifest))
    assert found.status is Status.FAILED
    assert found.error.hint == "use less"
    assert not list(tree.glob("in/*recolored*b*"))


def test_a_bug_is_told_as_one_and_the_others_go_on(tree, manifest, monkeypatch):
    original = picture.decode_pages

    def decode_pages(data, *args, **kwargs):
        if data == b.read_bytes():
            raise RuntimeError("oh")
        return original(data, *args, **kwargs)

    b = tree / "in/b.jpg"
    b.write_bytes(encoded(draw(seed=7)))
    monkeypatch.setattr(picture, "decode_pages", decode_pages)
    good, bad = outcomes(manifest, ["in/a.PNG", "in/b.jpg"])
    assert good.status is Status.WRITTEN
    assert "bug" in bad.error.message
    assert "RuntimeError" in bad.bug
    report = Report()
    report.add(bad)
    assert report.exit_code is ExitCode.BUG


def test_an_unwritable_target_is_an_error(tree, manifest):
    (tree / "file").write_bytes(b"")
    (found,) = outcomes(manifest, ["in/b.jpg"], OutputOptions(out="file/x/"))
    assert "cannot write" in found.error.message
    assert "-o" in found.error.hint


def test_a_name_that_is_too_long_is_an_error(tree, manifest):
    name = tree / ("x" * 250 + ".jpg")
    name.write_bytes(encoded(draw()))
    (found,) = outcomes(manifest, [str(name)])
    assert "cannot write" in found.error.message


def test_memory_does_not_grow_with_the_number_of_jobs(tree, manifest):
    started = []

    class Counting(SpyNetwork):
        def predict(self, lightness, temperature):
            started.append(1)
            return super().predict(lightness, temperature)

    for i in range(30):
        (tree / f"in/n{i:02}.png").write_bytes(encoded(draw(), "PNG"))
    options = OutputOptions(out="out")
    threads = ThreadWorkers(Recolorizer(Counting(manifest)), options, 2)
    stream = run_with_workers(plan(["in"], True, options), options, threads)
    next(stream)
    assert len(started) <= 7  # two at work, a window of four, the one that was yielded
    stream.close()


def test_a_dry_run_writes_nothing(tree):
    options = OutputOptions()
    (tree / "in/b-recolored.jpg").write_bytes(b"x")
    found = list(dry_run(plan(["in", "gone.jpg"], False, options), options))
    assert [o.status for o in found] == [Status.PLANNED, Status.SKIPPED, Status.FAILED]
    assert not (tree / "in/a-recolored.PNG").exists()


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.ESTALE])
def test_a_disk_that_fails_for_one_result_is_no_trouble_for_the_others(
    tree, manifest, monkeypatch, number
):
    original = Path.open

    def fail(self, mode="r", *args, **kwargs):
        if "x" in mode and self.parent.name == "sub":
            raise OSError(number, os.strerror(number))
        return original(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", fail)
    found = outcomes(manifest, ["in"], OutputOptions(out="out"))
    assert [outcome.status for outcome in found] == ["written", "written", "failed"]
    assert os.strerror(number) in found[-1].error.message


def test_a_disk_that_was_taken_away_gets_no_results_on_its_mount_point(tree, manifest, monkeypatch):
    disk = tree / "disk"
    disk.mkdir()
    mounted = [True]
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == disk and mounted[0])

    class Unplugged(SpyNetwork):
        def predict(self, lightness, temperature):
            mounted[0] = not self.seen
            return super().predict(lightness, temperature)

    network = Unplugged(manifest)
    found = outcomes(manifest, ["in"], OutputOptions(out="disk/out"), network, workers=1)
    assert [outcome.status for outcome in found] == ["written", "failed", "failed"]
    assert "the disk that was mounted on" in found[1].error.message
    assert len(list((disk / "out").rglob("*.*"))) == 1


def test_a_tiff_goes_to_the_disk_page_by_page_and_leaves_nothing_if_that_fails(tree, manifest):
    resource = pytest.importorskip("resource", reason="there are no such limits here")
    noise = np.random.default_rng(0).integers(0, 65536, (200, 100, 3), dtype=np.uint16)
    good, bad, late = (tree / "in" / f"{name}.tif" for name in ("good", "bad", "late"))
    for path in (good, bad, late):
        with tifffile.TiffWriter(path) as writer:
            for _ in range(2):
                writer.write(noise, photometric="rgb", compression="zlib")
    late.write_bytes(late.read_bytes()[:-1000])  # the second page is damaged
    options = OutputOptions(out="out")
    (found,) = outcomes(manifest, ["in/late.tif"], options)
    assert "damaged" in found.error.message
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, limits[1]))
    try:
        (found,) = outcomes(manifest, ["in/bad.tif"], options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert found.error.message == "cannot write out/bad.tif: File too large"
    assert list((tree / "out").iterdir()) == []
    (found,) = outcomes(manifest, ["in/good.tif"], options)
    assert found.status is Status.WRITTEN
    with tifffile.TiffFile(tree / "out" / "good.tif") as file:
        assert [page.shape for page in file.pages] == [(200, 100, 3)] * 2
