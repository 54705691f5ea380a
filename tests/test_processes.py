"""Workers in a process of their own, with decoders that crash as told by the pictures' bytes."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest
from PIL import Image

from conftest import BrokenNetwork, SpyNetwork, draw, encoded
from recolor_cli.batch import processes, run
from recolor_cli.batch.outcome import Status
from recolor_cli.batch.plan import Job, OutputOptions, plan
from recolor_cli.batch.processes import ProcessWorkers, WorkerConfig
from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.errors import ModelError, RecolorError
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.image.decode import decode
from recolor_cli.image.probe import probe
from recolor_cli.model.request_batcher import BatchedNetwork
from recolor_cli.system.memory import MemoryBudget

# Put before the worker's own start: a picture that holds the word dies in its decoder.
CRASHES = """
import os, signal, time
from recolor_cli.batch import picture
original = picture.pictures
def pictures(data, target):
    if b"CRASH" in data:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"SLOW" in data:
        time.sleep(0.4)
    return original(data, target)
picture.pictures = pictures
"""


# Between two pages the result's first one lies in a temporary file.
DIES_AT_THE_SECOND = """
    import glob
    found = original(data, target)
    yield next(found)
    folder = os.environ["PYTEST_FOLDER"]
    if glob.glob(folder + "/out/.recolor-*"):
        open(folder + "/begun", "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def setup(count=2, model="fruitnet", **output):
    return WorkerConfig(model, "cpu", count, None, RecolorOptions(), OutputOptions(**output))


@pytest.fixture
def crashing(monkeypatch):
    program = processes._PROGRAM.replace("from recolor", f"exec({CRASHES!r}); from recolor", 1)
    monkeypatch.setattr(processes, "_PROGRAM", program)


@pytest.fixture
def started(monkeypatch):
    """All processes that are started, as subprocess knows them."""
    found = []

    class Remembered(processes._Process):
        def __init__(self, start):
            super().__init__(start)
            found.append(self._process)

    monkeypatch.setattr(processes, "_Process", Remembered)
    return found


def write(folder, names):
    for name in names:
        word = name.split("-")[-1].split(".")[0].upper().encode()
        (folder / name).write_bytes(encoded(draw()) + word)


def test_a_crash_costs_one_picture(tmp_path, crashing):
    names = ["a-good.jpg", "b-crash.jpg", "c-good.jpg", "d-slow.jpg", "e-crash.jpg", "f-good.jpg"]
    write(tmp_path, names)
    workers = ProcessWorkers(setup(out=str(tmp_path / "out")))
    jobs = plan([str(tmp_path)], False, OutputOptions(out=str(tmp_path / "out")))
    found = list(run.run(jobs, workers))
    assert [o.job.source.rsplit("/", 1)[1] for o in found] == names
    good, bad = Status.WRITTEN, Status.FAILED
    assert [o.status for o in found] == [good, bad, good, good, bad, good]
    assert "crashed (segmentation fault)" in found[1].error.message
    assert found[1].error.hint
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        name for name in names if "crash" not in name
    ]


def test_a_crash_ends_with_1_and_is_told(tmp_path, recolor, crashing):
    write(tmp_path, ["a-good.jpg", "b-crash.jpg"])
    _, err = recolor(tmp_path, "-m", "fruitnet", "-o", tmp_path / "out", exit_code=1)
    assert "b-crash.jpg: the process that worked on it crashed" in err
    assert "1 written, 1 failed" in err


def test_a_process_that_is_killed_is_replaced(tmp_path, crashing, started):
    write(tmp_path, [f"{i}-slow.jpg" for i in range(4)])
    workers = ProcessWorkers(setup(out=str(tmp_path / "out")))
    jobs = plan([str(tmp_path)], False, OutputOptions(out=str(tmp_path / "out")))
    threading.Timer(0.2, started[0].kill).start()
    assert [o.status for o in run.run(jobs, workers)] == [Status.WRITTEN] * 4
    assert len(started) == 3


def test_a_process_that_dies_while_it_waits_is_replaced(tmp_path, started):
    write(tmp_path, ["a.jpg", "b.jpg"])
    options = OutputOptions(out=str(tmp_path / "out"))
    first, second = plan([str(tmp_path)], False, options)
    workers = ProcessWorkers(setup(count=1, out=options.out))

    def come():
        yield first
        while not (tmp_path / "out/a.jpg").exists():
            time.sleep(0.01)
        time.sleep(0.2)  # until it has told
        started[0].kill()
        started[0].wait()
        yield second

    assert [o.status for o in run.run(come(), workers)] == [Status.WRITTEN] * 2
    assert len(started) == 2
    idle = ProcessWorkers(setup(out=options.out))
    started[-1].kill()
    idle.close()  # ends, though there is nothing to be done and nobody to do it


def test_what_a_process_began_before_it_died_is_removed(tmp_path, crashing, monkeypatch):
    pages = [Image.fromarray(draw()) for _ in range(2)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    crash = CRASHES.replace("return original(data, target)", DIES_AT_THE_SECOND)
    assert crash != CRASHES
    program = processes._PROGRAM.replace(repr(CRASHES), repr(crash))
    monkeypatch.setattr(processes, "_PROGRAM", program)
    monkeypatch.setenv("PYTEST_FOLDER", str(tmp_path))
    options = OutputOptions(out=str(tmp_path / "out"))
    workers = ProcessWorkers(setup(out=options.out))
    (found,) = run.run(plan([str(tmp_path)], False, options), workers)
    assert "was killed" in found.error.message
    assert (tmp_path / "begun").exists()
    assert list((tmp_path / "out").iterdir()) == []


def test_a_process_that_cannot_be_started_again_fails_the_rest(tmp_path, crashing, monkeypatch):
    write(tmp_path, ["a-crash.jpg", "b-good.jpg"])
    options = OutputOptions(out=str(tmp_path / "out"))
    workers = ProcessWorkers(setup(count=1, out=options.out))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    found = list(run.run(plan([str(tmp_path)], False, options), workers))
    assert [o.status for o in found] == [Status.FAILED] * 2
    assert "cannot be started" in found[0].error.message


def test_an_interruption_finishes_what_is_begun(tmp_path, crashing, started):
    write(tmp_path, [f"{i:02}-slow.jpg" for i in range(20)])
    options = OutputOptions(out=str(tmp_path / "out"))
    workers = ProcessWorkers(setup(out=options.out))
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    found = list(run.run(plan([str(tmp_path)], False, options), workers, stop))
    assert {o.status for o in found} == {Status.WRITTEN}
    assert 1 <= len(found) < 10  # two at a time, each at least 0.4 s
    assert len(list((tmp_path / "out").iterdir())) == len(found)
    assert [process.poll() for process in started] == [0, 0]


def test_errors_at_the_start_are_told():
    with pytest.raises(ModelError, match="no model is called gone") as caught:
        ProcessWorkers(setup(model="gone"))
    assert caught.value.hint == "see `recolor models`"


def test_a_process_that_dies_at_its_start_is_an_error(monkeypatch):
    monkeypatch.setattr(processes, "_PROGRAM", "import os; os.abort()")
    with pytest.raises(RecolorError, match="crashed") as caught:
        ProcessWorkers(setup())
    assert "doctor" in caught.value.hint


def test_a_process_that_never_starts_again_fails_the_rest(tmp_path, crashing, monkeypatch):
    write(tmp_path, ["a-crash.jpg", "b-good.jpg"])
    options = OutputOptions(out=str(tmp_path / "out"))
    workers = ProcessWorkers(setup(count=1, out=options.out))
    monkeypatch.setattr(processes, "_PROGRAM", "import os; os.abort()")
    found = list(run.run(plan([str(tmp_path)], False, options), workers))
    assert [o.status for o in found] == [Status.FAILED] * 2


def test_a_process_that_dies_at_its_start_anew_is_started_once_more(tmp_path, started, monkeypatch):
    write(tmp_path, ["a.jpg"])
    (job,) = plan([str(tmp_path)], False, OutputOptions(out=str(tmp_path / "out")))
    with closing(ProcessWorkers(setup(count=1, out=str(tmp_path / "out")))) as workers:
        once = f"import os; os.close(os.open({str(tmp_path / 'died')!r}, os.O_CREAT | os.O_EXCL))"
        dies = f"try:\n    {once}\n    os._exit(1)\nexcept FileExistsError:\n    pass\n"
        program = f"exec({dies!r}); {processes._PROGRAM}"
        monkeypatch.setattr(processes, "_PROGRAM", program)
        started[0].kill()
        started[0].wait()
        assert workers.submit(job).result(timeout=30).status is Status.WRITTEN
    assert [process.returncode for process in started[1:]] == [1, 0]


def test_where_one_process_cannot_be_replaced_the_others_go_on(
    tmp_path, crashing, started, monkeypatch
):
    names = ["a-slow.jpg", "b-slow.jpg", "c-good.jpg", "d-good.jpg"]
    write(tmp_path, names)
    options = OutputOptions(out=str(tmp_path / "out"))
    workers = ProcessWorkers(setup(out=options.out))

    def kill():
        monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
        started[0].kill()

    threading.Timer(0.2, kill).start()
    found = list(run.run(plan([str(tmp_path)], False, options), workers))
    assert [o.status for o in found] == [Status.WRITTEN] * 4


def test_large_pictures_wait_for_each_other_across_processes(tmp_path, crashing, monkeypatch):
    write(tmp_path, [f"{i}-slow.jpg" for i in range(3)])
    options = OutputOptions(out=str(tmp_path / "out"))
    needed = probe((tmp_path / "0-slow.jpg").read_bytes()).memory

    def seconds(budget):
        monkeypatch.setattr(processes, "memory_for_pictures", lambda: 10 * budget)
        monkeypatch.setattr(processes, "MemoryBudget", lambda _: MemoryBudget(budget))
        workers = ProcessWorkers(setup(count=3, out=options.out, overwrite=True))
        time.sleep(1.5)  # until all three are ready
        since = time.monotonic()
        found = list(run.run(plan([str(tmp_path)], False, options), workers))
        return time.monotonic() - since, found

    took, found = seconds(needed + 1)
    assert {o.status for o in found} == {Status.WRITTEN}
    assert took > 3 * 0.4  # one after the other, each at least 0.4 s
    _, found = seconds(needed - 1)
    assert {o.status for o in found} == {Status.FAILED}
    assert "GiB of memory" in found[0].error.message


def test_a_crash_gives_back_what_it_held(tmp_path, crashing, monkeypatch):
    write(tmp_path, ["a-crash.jpg", "b-good.jpg"])
    options = OutputOptions(out=str(tmp_path / "out"))
    budget = MemoryBudget(probe((tmp_path / "b-good.jpg").read_bytes()).memory + 1)
    monkeypatch.setattr(processes, "MemoryBudget", lambda _: budget)
    workers = ProcessWorkers(setup(count=1, out=options.out))
    found = list(run.run(plan([str(tmp_path)], False, options), workers))
    assert [o.status for o in found] == [Status.FAILED, Status.WRITTEN]  # else it waits for ever
    assert budget._used == 0


def host(network, monkeypatch):
    """Have the processes ask this network, as if it were one on a GPU."""
    hosted = processes._Host(network, BatchedNetwork(network, 4))
    monkeypatch.setattr(processes, "_host", lambda setup: (hosted, ""))


def test_processes_ask_the_network_that_is_held_here(tmp_path, monkeypatch, manifest):
    network = SpyNetwork(manifest, (40.0, 30.0))
    network.device = "cuda:0"
    host(network, monkeypatch)
    write(tmp_path, [f"{i}.jpg" for i in range(6)])
    options = OutputOptions(out=str(tmp_path / "out"))
    workers = ProcessWorkers(setup(count=3, model="gone", out=options.out))  # loads none
    assert (workers.ready.device, workers.ready.name) == ("cuda:0", manifest.name)
    found = list(run.run(plan([str(tmp_path)], False, options), workers))
    assert {o.status for o in found} == {Status.WRITTEN}
    assert sum(len(lightness) for lightness, _ in network.seen) >= 6
    lab = rgb_to_lab_cv2(decode((tmp_path / "out/0.jpg").read_bytes()).rgb)
    assert lab[..., 1].mean() > 5


def test_processes_ask_for_the_distribution_too(tmp_path, monkeypatch, manifest):
    network = SpyNetwork(manifest, (20.0, 30.0))
    host(network, monkeypatch)
    write(tmp_path, ["a.jpg", "b.jpg"])
    options = OutputOptions(out=str(tmp_path / "out"), confidence=True)
    workers = ProcessWorkers(setup(out=options.out, confidence=True))
    found = list(run.run(plan([str(tmp_path)], False, options), workers))
    assert {o.status for o in found} == {Status.WRITTEN}
    assert all(o.entropy is not None for o in found)


def test_what_fails_in_the_network_here_is_the_pictures_error(tmp_path, monkeypatch, manifest):
    host(BrokenNetwork(manifest), monkeypatch)
    write(tmp_path, ["a.jpg", "b.jpg"])
    options = OutputOptions(out=str(tmp_path / "out"))
    found = list(run.run(plan([str(tmp_path)], False, options), ProcessWorkers(setup())))
    assert [o.status for o in found] == [Status.FAILED] * 2
    assert "out of memory" in found[0].error.message


def test_a_bug_in_the_network_here_is_told_and_the_next_picture_done(
    tmp_path, monkeypatch, manifest
):
    network = SpyNetwork(manifest, (40.0, 30.0))
    predict = network.predict

    def fails_once(*inputs):
        monkeypatch.setattr(network, "predict", predict)
        raise ValueError("nobody foresaw it")

    monkeypatch.setattr(network, "predict", fails_once)
    host(network, monkeypatch)
    write(tmp_path, ["a.jpg", "b.jpg"])
    options = OutputOptions(out=str(tmp_path / "out"))
    with closing(ProcessWorkers(setup(count=1, out=options.out))) as workers:
        futures = [workers.submit(job) for job in plan([str(tmp_path)], False, options)]
        bad, good = (future.result(timeout=30) for future in futures)
    assert "a bug in recolor: ValueError('nobody foresaw it')" in bad.error.message
    assert "Traceback" in bad.bug
    assert good.status is Status.WRITTEN


@pytest.mark.skipif(not os.path.exists("/dev/stdin"), reason="it is POSIX's")
def test_no_picture_takes_the_jobs_of_a_process(tmp_path):
    job = Job("/dev/stdin", str(tmp_path / "a.jpg"))
    workers = ProcessWorkers(setup(count=1))
    assert "empty" in workers.submit(job).result(timeout=30).error.message
    workers.close()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals are POSIX's")
def test_signals_that_reach_the_whole_group_leave_it_to_the_parent(tmp_path, started):
    write(tmp_path, ["a.jpg"])
    (job,) = plan([str(tmp_path)], False, OutputOptions(out=str(tmp_path / "out")))
    with closing(ProcessWorkers(setup(count=1))) as workers:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            started[0].send_signal(number)
        assert workers.submit(job).result(timeout=30).status is Status.WRITTEN
    assert len(started) == 1


def test_where_the_system_starts_fewer_processes_these_do_it_all(tmp_path, started, monkeypatch):
    original = subprocess.Popen

    def popen(*args, **kwargs):
        if len(started) == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return original(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", popen)
    write(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    options = OutputOptions(out=str(tmp_path / "out"))
    workers = ProcessWorkers(setup(count=3, out=options.out))
    assert workers.count == workers.ready.count == 2
    found = list(run.run(plan([str(tmp_path)], False, options), workers))
    assert {o.status for o in found} == {Status.WRITTEN}


def test_there_are_no_more_processes_than_pictures_cpus_and_memory(monkeypatch):
    def count(**changes):
        with closing(ProcessWorkers(replace(setup(count=None), **changes))) as workers:
            return workers.count

    monkeypatch.setattr(processes, "cpu_count", lambda: 3)
    assert count() == 3
    assert count(total=2) == 2
    assert count(count=4) == 4
    monkeypatch.setattr(processes, "available_memory", lambda: 400 * 2**20)
    assert count() == 1


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Ctrl-C is a signal on POSIX")
def test_ctrl_c_reaches_the_whole_group_and_nothing_is_lost(tmp_path):
    write(tmp_path, [f"{i:03}.jpg" for i in range(150)])
    process = subprocess.Popen(
        [sys.executable, "-m", "recolor_cli", tmp_path, "-m", "fruitnet", "-o", tmp_path / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # else a second line may be read with the first, and be lost
        start_new_session=True,
    )
    process.stdout.readline()  # it is at work
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert b"interrupted" in err
    assert b"Traceback" not in err
    written = [p for p in (tmp_path / "out").iterdir() if p.suffix == ".jpg"]
    assert len(written) == len(out.splitlines()) + 1
    assert len(written) < 150
    assert len(written) == len(list((tmp_path / "out").iterdir()))


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="SIGKILL is POSIX's")
def test_a_program_that_is_killed_takes_its_process_along(tmp_path):
    write(tmp_path, [f"{i:03}.jpg" for i in range(150)])
    process = subprocess.Popen(
        [sys.executable, "-m", "recolor_cli", tmp_path, "--device", "cpu", "-o", tmp_path / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONDEVMODE": "1"},  # tells what from Python 3.13 on is always told
    )
    process.stdout.readline()  # it is at work
    process.kill()
    _, err = process.communicate(timeout=20)  # its process has the same stderr: until both end
    assert err == b""
    names = [path.name for path in (tmp_path / "out").iterdir()]
    assert 1 <= len(names) < 150
    assert all(name[0] != "." for name in names)  # what was begun is finished
