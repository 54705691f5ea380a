"""Workers in processes of their own, with decoders that crash or wait as the bytes tell them."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import BrokenNetwork, SpyNetwork, draw, encoded, greedy_profile, names
from recolor_cli.batch import processes, sizing, worker_handle
from recolor_cli.batch.gpu_host import GpuHost
from recolor_cli.batch.job import Job
from recolor_cli.batch.messages import ReadyMessage, WorkerConfig
from recolor_cli.batch.outcome import Outcome, Status
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.plan import plan
from recolor_cli.batch.processes import ProcessWorkers
from recolor_cli.batch.run import run_with_workers
from recolor_cli.batch.skip_rule import MissingOutputs
from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.commands.report import report_device
from recolor_cli.errors import ModelError, RecolorError
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.image.decode import decode
from recolor_cli.image.probe import probe
from recolor_cli.model import onnx_network
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.model.request_batcher import BatchedNetwork
from recolor_cli.terminal.console import Console

# Run by each process first. A picture that holds the word CRASH kills it in its decoder; with HELD
# it waits there for the file "go"; with ALONE it fails if another process is there, too.
DECODER = """
import os, signal, time
from recolor_cli.batch import picture
folder = os.environ.get("PYTEST_FOLDER", "")
original = picture.decode_pages
def decode_pages(data, *args, **kwargs):
    if b"CRASH" in data:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"HELD" in data:
        open(f"{folder}/begun-{os.getpid()}", "w").close()
        while not os.path.exists(f"{folder}/go"):
            time.sleep(0.01)
    if b"ALONE" in data:
        os.close(os.open(f"{folder}/alone", os.O_CREAT | os.O_EXCL))
        time.sleep(0.3)
        os.unlink(f"{folder}/alone")
    return original(data, *args, **kwargs)
picture.decode_pages = decode_pages
"""

# Between two pages the first page of the result lies in a temporary file.
DIES_AT_THE_SECOND_PAGE = """
import glob, os, signal
from recolor_cli.batch import picture
original = picture.decode_pages
def decode_pages(data, *args, **kwargs):
    yield next(original(data, *args, **kwargs))
    folder = os.environ["PYTEST_FOLDER"]
    if glob.glob(folder + "/out/.recolor-*"):
        open(folder + "/begun", "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
picture.decode_pages = decode_pages
"""

# Run by each process first: the one that finds the file, and removes it, dies; or all die.
DIES_ONCE = """
try:
    os.unlink(os.environ["PYTEST_FOLDER"] + "/die-at-start")
    os._exit(1)
except FileNotFoundError:
    pass
"""
DIES_ALWAYS = """
if os.path.exists(os.environ["PYTEST_FOLDER"] + "/die-at-start"):
    os._exit(1)
"""


@dataclass
class Batch:
    """Pictures, and the processes that recolor them."""

    workers: ProcessWorkers
    jobs: list[Job]
    options: OutputOptions

    def outcomes(self, stop: threading.Event | None = None) -> list[Outcome]:
        return list(run_with_workers(self.jobs, self.options, self.workers, stop))

    def statuses(self) -> list[Status]:
        return [outcome.status for outcome in self.outcomes()]


def config(options=None, count=2, model="fruitnet"):
    return WorkerConfig(model, "cpu", count, None, RecolorOptions(), options or OutputOptions())


@pytest.fixture
def batch(tmp_path, monkeypatch):
    """Write pictures, whose words are in their names, and start processes for them."""
    monkeypatch.setenv("PYTEST_FOLDER", str(tmp_path))

    def begin(*pictures, count=2, model="fruitnet", preamble=DECODER, memory=None, **output):
        write(tmp_path / "in", pictures)
        options = OutputOptions(out=str(tmp_path / "out"), **output)
        workers = ProcessWorkers(config(options, count, model), preamble, memory)
        return Batch(workers, plan([str(tmp_path / "in")], False, options), options)

    return begin


@pytest.fixture
def started(monkeypatch):
    """All processes that are started, as subprocess knows them."""
    found = []

    class Remembered(processes.WorkerProcess):
        def __init__(self, *args):
            super().__init__(*args)
            found.append(self._process)

    monkeypatch.setattr(processes, "WorkerProcess", Remembered)
    return found


def write(folder, pictures):
    folder.mkdir(exist_ok=True)
    for name in pictures:
        word = name.split("-")[-1].split(".")[0].upper().encode()
        (folder / name).write_bytes(encoded(draw()) + word)


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.01)


def when_begun(process, folder: Path, action) -> threading.Thread:
    """Act as soon as a process holds a picture, and then let all go."""

    def act():
        wait_for(folder / f"begun-{process.pid}")
        action()
        (folder / "go").touch()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_a_crash_costs_one_picture(tmp_path, batch):
    words = ("good", "crash", "good", "good", "crash", "good")
    pictures = [f"{letter}-{word}.jpg" for letter, word in zip("abcdef", words, strict=True)]
    found = batch(*pictures).outcomes()
    assert [Path(o.job.source).name for o in found] == pictures
    good, bad = Status.WRITTEN, Status.FAILED
    assert [o.status for o in found] == [good, bad, good, good, bad, good]
    assert "crashed (segmentation fault)" in found[1].error.message
    assert found[1].error.hint
    assert names(tmp_path / "out") == [name for name in pictures if "crash" not in name]


@pytest.mark.processes
def test_a_crash_ends_with_1_and_is_told(tmp_path, recolor, monkeypatch):
    write(tmp_path / "in", ["a-good.jpg", "b-crash.jpg"])
    monkeypatch.setattr(processes, "ProcessWorkers", partial(ProcessWorkers, preamble=DECODER))
    _, err = recolor(tmp_path / "in", "-m", "fruitnet", "-o", tmp_path / "out", exit_code=1)
    assert "b-crash.jpg: the process that worked on it crashed" in err
    assert "1 written, 1 failed" in err


def test_a_process_that_is_killed_is_replaced(tmp_path, batch, started):
    work = batch(*(f"{i}-held.jpg" for i in range(4)))
    killing = when_begun(started[0], tmp_path, started[0].kill)
    assert work.statuses() == [Status.WRITTEN] * 4
    killing.join()
    assert started[0].returncode == -signal.SIGKILL
    assert len(started) == 3


def test_a_process_that_dies_while_it_waits_is_replaced(batch, started):
    work = batch("a.jpg", "b.jpg", count=1)
    first, second = work.jobs
    is_done = threading.Event()

    def come():
        yield first
        assert is_done.wait(60)
        started[0].kill()
        started[0].wait()
        yield second

    statuses = []
    for outcome in run_with_workers(come(), work.options, work.workers):
        statuses.append(outcome.status)
        is_done.set()
    assert statuses == [Status.WRITTEN] * 2
    assert len(started) == 2
    idle = ProcessWorkers(config())
    started[-1].kill()
    idle.close()  # ends, though there is nothing to be done and nobody to do it


def test_what_a_process_began_before_it_died_is_removed(tmp_path, batch):
    (tmp_path / "in").mkdir()
    pages = [Image.fromarray(draw()) for _ in range(2)]
    pages[0].save(tmp_path / "in/a.tif", save_all=True, append_images=pages[1:])
    (found,) = batch(count=1, preamble=DIES_AT_THE_SECOND_PAGE).outcomes()
    assert "was killed" in found.error.message
    assert (tmp_path / "begun").exists()
    assert names(tmp_path / "out") == []


def test_a_process_that_cannot_be_started_again_fails_the_rest(tmp_path, batch, monkeypatch):
    work = batch("a-crash.jpg", "b-good.jpg", count=1)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    found = work.outcomes()
    assert [o.status for o in found] == [Status.FAILED] * 2
    assert "cannot be started" in found[0].error.message


def test_an_interruption_finishes_what_is_begun(tmp_path, batch, started):
    work = batch(*(f"{i:02}-held.jpg" for i in range(20)))
    stop, stop_workers = threading.Event(), work.workers.stop

    def stop_and_let_go():
        stop_workers()
        (tmp_path / "go").touch()

    def interrupt():
        for process in started:
            wait_for(tmp_path / f"begun-{process.pid}")
        stop.set()

    work.workers.stop = stop_and_let_go
    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    found = work.outcomes(stop)
    interrupting.join()
    assert [o.status for o in found] == [Status.WRITTEN] * 2  # one of each process
    assert names(tmp_path / "out") == ["00-held.jpg", "01-held.jpg"]
    assert [process.poll() for process in started] == [0, 0]


def test_a_process_that_dies_at_its_start_is_an_error():
    with pytest.raises(RecolorError, match="crashed") as caught:
        ProcessWorkers(config(), preamble="import os; os.abort()")
    assert "doctor" in caught.value.hint


def test_a_process_that_never_starts_again_fails_the_rest(tmp_path, batch):
    work = batch("a-crash.jpg", "b-good.jpg", count=1, preamble=DECODER + DIES_ALWAYS)
    (tmp_path / "die-at-start").touch()
    assert work.statuses() == [Status.FAILED] * 2


def test_a_process_that_dies_at_its_start_anew_is_started_once_more(tmp_path, batch, started):
    work = batch("a.jpg", count=1, preamble=DECODER + DIES_ONCE)
    (tmp_path / "die-at-start").touch()
    started[0].kill()
    started[0].wait()
    assert work.statuses() == [Status.WRITTEN]
    assert [process.returncode for process in started[1:]] == [1, 0]


@pytest.mark.parametrize("count", [1, 2])
def test_a_process_that_is_killed_before_it_is_ready_costs_nothing(
    tmp_path, monkeypatch, started, count
):
    monkeypatch.setenv("PYTEST_FOLDER", str(tmp_path))
    write(tmp_path / "in", ["a.jpg", "b.jpg", "c.jpg"])
    (tmp_path / "die-at-start").touch()
    options = OutputOptions(out=str(tmp_path / "out"))
    workers = ProcessWorkers(config(options, count), "import os\n" + DIES_ONCE)
    jobs = plan([str(tmp_path / "in")], False, options)
    found = list(run_with_workers(jobs, options, workers))
    assert [outcome.status for outcome in found] == [Status.WRITTEN] * 3
    assert len(started) == count + 1


def test_a_model_that_cannot_be_loaded_is_told_and_not_tried_again(started):
    with pytest.raises(ModelError, match="no model is called gone") as caught:
        ProcessWorkers(config(model="gone"))
    assert caught.value.hint == "see `recolor models`"
    assert len(started) == 2  # as many as are wanted


def test_where_one_process_cannot_be_replaced_the_others_go_on(
    tmp_path, batch, started, monkeypatch
):
    work = batch("a-held.jpg", "b-held.jpg", "c-good.jpg", "d-good.jpg")

    def kill():
        monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
        started[0].kill()
        started[0].wait()

    killing = when_begun(started[0], tmp_path, kill)
    assert work.statuses() == [Status.WRITTEN] * 4
    killing.join()
    assert started[0].returncode == -signal.SIGKILL
    assert len(started) == 2


def test_large_pictures_wait_for_each_other_across_processes(tmp_path, batch):
    pictures = [f"{i}-alone.jpg" for i in range(3)]
    write(tmp_path / "in", pictures)
    needed = probe((tmp_path / "in/0-alone.jpg").read_bytes()).memory
    found = batch(*pictures, memory=needed + 1).outcomes()
    assert [o.error for o in found] == [None] * 3
    found = batch(*pictures, count=1, memory=needed - 1, overwrite=True).outcomes()
    assert {o.status for o in found} == {Status.FAILED}
    assert "GiB of memory" in found[0].error.message


def test_a_small_picture_does_not_ask_for_memory(batch, monkeypatch):
    work = batch("a.jpg", count=1)
    asked = []
    acquire = work.workers.budget.acquire
    monkeypatch.setattr(
        work.workers.budget, "acquire", lambda needed: asked.append(needed) or acquire(needed)
    )
    assert work.statuses() == [Status.WRITTEN]
    assert len(asked) == 1  # what each task holds, and no more


def test_a_crash_gives_back_what_it_held(tmp_path, batch):
    write(tmp_path / "in", ["b-good.jpg"])
    needed = probe((tmp_path / "in/b-good.jpg").read_bytes()).memory
    work = batch("a-crash.jpg", "b-good.jpg", count=1, memory=needed + 1)
    assert work.statuses() == [Status.FAILED, Status.WRITTEN]  # else it waits for ever
    assert work.workers.budget._used == 0


def host(network, monkeypatch):
    """Have the processes ask this network, as if it were one on a GPU."""
    hosted = GpuHost(network, BatchedNetwork(network, 4))
    monkeypatch.setattr(processes, "open_gpu_host", lambda config: (hosted, ""))


def test_processes_ask_the_network_that_is_held_here(tmp_path, batch, monkeypatch, manifest):
    network = SpyNetwork(manifest, (40.0, 30.0))
    network.device = "cuda:0"
    host(network, monkeypatch)
    work = batch(*(f"{i}.jpg" for i in range(6)), model="gone")  # loads none
    assert (work.workers.ready.device, work.workers.ready.name) == ("cuda:0", manifest.name)
    assert set(work.statuses()) == {Status.WRITTEN}
    assert sum(len(lightness) for lightness, _ in network.seen) >= 6
    lab = rgb_to_lab_cv2(decode((tmp_path / "out/0.jpg").read_bytes()).rgb)
    assert lab[..., 1].mean() > 5


def test_processes_ask_for_the_distribution_too(batch, monkeypatch, manifest):
    host(SpyNetwork(manifest, (20.0, 30.0)), monkeypatch)
    found = batch("a.jpg", "b.jpg", count=1, confidence=True).outcomes()
    assert [o.status for o in found] == [Status.WRITTEN] * 2
    assert all(o.entropy is not None for o in found)


def test_what_fails_in_the_network_here_is_the_pictures_error(batch, monkeypatch, manifest):
    host(BrokenNetwork(manifest), monkeypatch)
    found = batch("a.jpg", "b.jpg", count=1).outcomes()
    assert [o.status for o in found] == [Status.FAILED] * 2
    assert "out of memory" in found[0].error.message


def test_a_bug_in_the_network_here_is_told_and_the_next_picture_done(batch, monkeypatch, manifest):
    network = SpyNetwork(manifest, (40.0, 30.0))
    predict = network.predict

    def fails_once(*inputs):
        monkeypatch.setattr(network, "predict", predict)
        raise ValueError("nobody foresaw it")

    monkeypatch.setattr(network, "predict", fails_once)
    host(network, monkeypatch)
    bad, good = batch("a.jpg", "b.jpg", count=1).outcomes()
    assert "a bug in recolor: ValueError('nobody foresaw it')" in bad.error.message
    assert "Traceback" in bad.bug
    assert good.status is Status.WRITTEN


@pytest.mark.skipif(not os.path.exists("/dev/stdin"), reason="it is POSIX's")
def test_no_picture_takes_the_jobs_of_a_process(tmp_path):
    job = Job("/dev/stdin", str(tmp_path / "a.jpg"))
    with closing(ProcessWorkers(config(count=1))) as workers:
        outcome = workers.submit(job, MissingOutputs(True)).result(timeout=60)
    assert "empty" in outcome.error.message


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals are POSIX's")
def test_signals_that_reach_the_whole_group_leave_it_to_the_parent(batch, started):
    work = batch("a.jpg", count=1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        started[0].send_signal(number)
    assert work.statuses() == [Status.WRITTEN]
    assert len(started) == 1


def test_where_the_system_starts_fewer_processes_these_do_it_all(batch, started, monkeypatch):
    original = subprocess.Popen

    def popen(*args, **kwargs):
        if len(started) == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return original(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", popen)
    work = batch("a.jpg", "b.jpg", "c.jpg", count=3)
    assert work.workers.count == work.workers.ready.count == 2
    assert set(work.statuses()) == {Status.WRITTEN}


def test_there_are_no_more_processes_than_pictures_cpus_and_memory(monkeypatch):
    def count(**changes):
        return sizing.pictures_at_a_time(replace(config(count=None), **changes), on_gpu=False)

    monkeypatch.setattr(sizing, "cpu_count", lambda: 3)
    assert count() == 3
    assert count(total=2) == 2
    assert count(count=4) == 4  # the user knows
    monkeypatch.setattr(sizing, "cpu_count", lambda: 1)
    assert count(on_store=True) == 3
    monkeypatch.setattr(sizing, "available_memory", lambda: 400 * 2**20)
    assert count(on_store=True) == 1
    assert count(count=4) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="what a process takes is read from /proc")
def test_a_network_that_takes_much_memory_gets_fewer_processes(monkeypatch, tmp_path):
    monkeypatch.setattr(sizing, "cpu_count", lambda: 2)
    monkeypatch.setattr(sizing, "available_memory", lambda: 1200 * 2**20)

    def count(megabytes):
        model = str(greedy_profile(tmp_path, megabytes))
        with closing(ProcessWorkers(config(count=None, model=model))) as workers:
            assert workers.ready.memory > megabytes * 2**20
            return workers.count

    assert count(10) == 2
    assert count(400) == 1


def test_the_memory_of_a_process_is_told_in_detail(capfd):
    report_device(ReadyMessage("theirs", "cpu", "", 2, 508_000_000), Console(verbose=True))
    assert "theirs on cpu, 2 at a time, each with 508.0 MB" in capfd.readouterr().err


class CountedSession:
    """A session that counts the runs at a time."""

    def __init__(self, session):
        self._session = session
        self._lock = threading.Lock()
        self.now = self.most = 0

    def __getattr__(self, name):
        return getattr(self._session, name)

    def run(self, *args):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            return self._session.run(*args)
        finally:
            with self._lock:
                self.now -= 1


@pytest.mark.skipif(sys.platform != "linux", reason="what a process takes is read from /proc")
def test_a_network_that_takes_much_memory_runs_less_often_at_a_time(monkeypatch, tmp_path):
    threads = []
    original = onnx_network.open_cpu_session
    monkeypatch.setattr(
        onnx_network, "open_cpu_session", lambda path, n: threads.append(n) or original(path, n)
    )
    monkeypatch.setattr(onnx_network, "cpu_count", lambda: 6)
    monkeypatch.setattr(onnx_network, "available_memory", lambda: 900 * 2**20)
    profile = greedy_profile(tmp_path, 300)
    network = OnnxColorNetwork.load(profile, "cpu", threads=1)
    assert threads in ([1, 3], [1, 2])  # two or three runs at a time instead of six
    session = network._session = CountedSession(network._session)
    lightness = np.full((1, 1, 64, 64), 50, np.float32)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: network.predict(lightness, 0.38), range(12)))
    assert all(ab[0, :, 0, 0] == pytest.approx([10, -10], abs=1) for ab in found)
    assert session.most <= 3


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Ctrl-C is a signal on POSIX")
def test_ctrl_c_reaches_the_whole_group_and_nothing_is_lost(tmp_path):
    write(tmp_path / "in", [f"{i:03}.jpg" for i in range(150)])
    process = subprocess.Popen(
        [sys.executable, "-m", "recolor_cli", "in", "-m", "fruitnet", "-o", "out"],
        cwd=tmp_path,
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
    write(tmp_path / "in", [f"{i:03}.jpg" for i in range(150)])
    process = subprocess.Popen(
        [sys.executable, "-m", "recolor_cli", "in", "--device", "cpu", "-o", "out"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONDEVMODE": "1"},  # tells what from Python 3.13 on is always told
    )
    process.stdout.readline()  # it is at work
    process.kill()
    _, err = process.communicate(timeout=20)  # its process has the same stderr: until both end
    assert err == b""
    written = names(tmp_path / "out")
    assert 1 <= len(written) < 150
    assert all(name[0] != "." for name in written)  # what was begun is finished


def test_a_bug_in_the_parent_costs_one_picture(batch, monkeypatch):
    real, broken = processes.Supervisor.do, iter([True])

    def do(self, task):
        if next(broken, False):
            raise ValueError("oh")
        return real(self, task)

    monkeypatch.setattr(processes.Supervisor, "do", do)
    pictures = batch("one.jpg", "two.jpg", count=1)
    assert sorted(pictures.statuses()) == [Status.FAILED, Status.WRITTEN]


def test_no_room_for_a_pipe_is_no_bug(monkeypatch):
    def pipe():
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(worker_handle.multiprocessing, "Pipe", pipe)
    with pytest.raises(RecolorError, match="cannot be started: Too many open files"):
        ProcessWorkers(config())


def test_the_program_that_starts_the_processes_loads_no_opencv():
    code = "import sys, recolor_cli.batch.plan, recolor_cli.batch.processes, recolor_cli.batch.run"
    check = f"{code}; sys.exit('cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
