"""Workers in processes of their own: as many as there are CPUs, each with one picture at a time.

A decoder that crashes takes its picture with it, not the batch, and no process waits for another
one's lock. Each runs `recolor_cli.batch.child`: a job goes to its standard input and its outcome
comes from its standard output, pickled. Meanwhile it may ask for what the processes share: memory,
and a network on a GPU, which this process holds.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from recolor_cli.batch.outcome import Outcome, Status, failed_by_bug
from recolor_cli.batch.plan import Job, OutputOptions
from recolor_cli.errors import InputError, RecolorError
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.system.device import Device, cpu_count, parse_device, why_no_driver
from recolor_cli.system.files import remove_leftovers
from recolor_cli.system.memory import MemoryBudget, available_memory, memory_for_pictures
from recolor_cli.types import FloatArray

if TYPE_CHECKING:
    from recolor_cli.model.manifest import Manifest
    from recolor_cli.model.onnx_network import OnnxColorNetwork
    from recolor_cli.model.request_batcher import BatchedNetwork

# -P: a picture's folder is no place to import from; the parent's own path is handed over.
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[1:]; from recolor_cli.batch.child import main; main()"
)
# glibc gives memory back to the system after each picture, and gets it anew page by page, which is
# a twelfth of the time for 1.5 megapixels. It is to keep this many bytes; large arrays go back.
_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
MAX_PROCESSES = 256  # processes at most
_PROCESS_MEMORY = 200 * 2**20  # bytes that a process takes beside its picture, about
_TRIES = 2  # of a job with which a process dies: it may have been killed for another's sake
_STARTS = 3  # of a process in a dead one's place, likewise
_BATCH = 16  # pictures in a run of a GPU


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What is to be known before the first job."""

    model: str | None  # None recolors nothing: what `recolor bench` compares with
    device: str
    count: int | None  # pictures at a time; None is as many as keep the machine busy
    total: int | None  # of pictures, if it is known
    recolor: RecolorOptions
    output: OutputOptions

    @property
    def needs_distribution(self) -> bool:
        """Whether the model must give a choice of colors."""
        return self.recolor.steering is not None or self.output.needs_distribution


@dataclass(frozen=True, slots=True)
class Hosted:
    """A network that another process holds."""

    manifest: Manifest
    device: str


@dataclass(frozen=True, slots=True)
class InitMessage:
    """The first message to a process."""

    setup: WorkerConfig  # its count is that of all processes
    hosted: Hosted | None


@dataclass(frozen=True, slots=True)
class ReadyMessage:
    """A process's first answer."""

    name: str  # of the model
    device: str
    cpu_reason: str  # why not CUDA, if it was to be tried
    count: int  # pictures at a time, of all processes


@dataclass(frozen=True, slots=True)
class Reserve:
    """A process's wish for so many bytes, which is answered when they are free."""

    needed: int


@dataclass(frozen=True, slots=True)
class Release:
    """What was reserved last is free again; not answered."""


@dataclass(frozen=True, slots=True)
class Predict:
    """A question to the hosted network, for ab."""

    lightness: FloatArray
    temperature: float


@dataclass(frozen=True, slots=True)
class Distribute:
    """A question to the hosted network, for the distribution."""

    lightness: FloatArray


def pictures_at_a_time(setup: WorkerConfig, on_gpu: bool) -> int:
    """Return how many pictures are to be worked on at a time: what is asked for, or what fits."""
    wanted = setup.count or min(
        # While some wait for the card, others are to decode and encode.
        cpu_count() * (2 if on_gpu else 1),
        max(1, available_memory() // (2 * _PROCESS_MEMORY)),
    )
    return min(wanted, setup.total or MAX_PROCESSES, MAX_PROCESSES)


class Channel:
    """Messages to another process and from it, pickled.

    Parameters
    ----------
    source, sink : binary streams
    """

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink

    def send(self, message: object) -> None:
        """Send something; if the other has ended, that shows when it is heard."""
        with suppress(OSError):
            self._sink.write(pickle.dumps(message))
            self._sink.flush()

    def recv(self) -> Any:
        """Return the next thing that the other says, or None when it has ended."""
        try:
            return pickle.load(self._source)
        except (EOFError, OSError, pickle.UnpicklingError):  # cut off in the middle
            return None

    def close(self) -> None:
        """Say and hear nothing more; what could not be sent is forgotten."""
        for stream in (self._sink, self._source):
            with suppress(OSError):
                stream.close()


class ProcessWorkers:
    """Processes that do jobs, each replaced when it crashes.

    Parameters
    ----------
    setup : Setup

    Raises
    ------
    RecolorError
        If they cannot begin: ModelError, DeviceError, or its kind if one dies at once.
    """

    def __init__(self, setup: WorkerConfig) -> None:
        host, cpu_reason = _host(setup)
        count = pictures_at_a_time(setup, on_gpu=host is not None)
        self._host = host
        device = Device.CPU if cpu_reason else setup.device
        hosted = Hosted(host.network.manifest, host.network.device) if host else None
        self._start = InitMessage(replace(setup, count=count, device=device), hosted)
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Outcome]] | None] = queue.SimpleQueue()
        self._stopped = False
        self._failure: RecolorError | None = None  # why nothing can be done any more
        with ExitStack() as started:
            processes: list[_Process] = []
            try:
                for _ in range(count):
                    processes.append(_Process(self._start))
                    started.callback(processes[-1].end)
            except RecolorError:  # the system has no room for so many
                if not processes:
                    raise
            ready = processes[0].ready()
            started.pop_all()
        self.count = self._left = len(processes)
        self.ready = replace(ready, cpu_reason=cpu_reason or ready.cpu_reason, count=self.count)
        free = memory_for_pictures()
        # The others may still be loading.
        self._budget = MemoryBudget(max(free - (self.count - 1) * _PROCESS_MEMORY, free // 2))
        self._threads = [
            threading.Thread(target=self._serve, args=[process], name="recolor-process")
            for process in processes
        ]
        for thread in self._threads:
            thread.daemon = True  # a process that hangs must not keep the program from its end
            thread.start()

    def submit(self, job: Job) -> Future[Outcome]:
        """Have a job done when a process is free."""
        future: Future[Outcome] = Future()
        with self._lock:
            if self._failure:
                future.set_result(Outcome(job, Status.FAILED, self._failure))
            elif self._stopped:
                future.cancel()
            else:
                self._jobs.put((job, future))
        return future

    def stop(self) -> None:
        """Begin nothing more: what is begun is finished, other futures are cancelled."""
        with self._lock:
            if not self._stopped:
                self._stopped = True
                for _, future in self._waiting():
                    future.cancel()
                for _ in self._threads:
                    self._jobs.put(None)

    def close(self) -> None:
        """Wait until what is begun is finished."""
        self.stop()
        for thread in self._threads:
            thread.join()

    def _waiting(self) -> Iterator[tuple[Job, Future[Outcome]]]:
        """Take all jobs that no process has begun."""
        with suppress(queue.Empty):
            while True:
                if item := self._jobs.get_nowait():
                    yield item

    def _serve(self, process: _Process) -> None:
        """Have jobs done by a process, and by another one when it has died."""
        with suppress(RecolorError):  # it is replaced when there is something to do
            process.ready()
        while item := self._jobs.get():
            job, future = item
            try:
                process, outcome = self._do(process, job)
            except RecolorError as error:
                self._give_up(job, future, error)
                return
            future.set_result(outcome)
        process.end()

    def _do(self, process: _Process, job: Job) -> tuple[_Process, Outcome]:
        """Return the outcome, and the process that is to go on; raises if none can be started."""
        tried = 0
        while True:
            if not process.is_alive:
                process.end()
                process = self._another()
            tried += 1
            try:
                outcome = self._talk(process, job)
            except Exception as bug:  # whoever waits for the picture is not to wait for ever
                process.end()
                return process, failed_by_bug(job, bug)
            if outcome:
                return process, outcome
            ended = process.end()
            remove_leftovers(Path(job.destination).parent)
            if tried == _TRIES:
                error = InputError(
                    f"the process that worked on it {ended}",
                    "try it alone; if that fails, too, it is broken: save it anew elsewhere",
                )
                return process, Outcome(job, Status.FAILED, error)

    def _another(self) -> _Process:
        """Return a process that is ready; raises if none can be started, or if it never gets so."""
        for tried in range(1, _STARTS + 1):
            process = _Process(self._start)
            try:
                process.ready()
                break
            except RecolorError:
                if tried == _STARTS:
                    raise
        return process

    def _talk(self, process: _Process, job: Job) -> Outcome | None:
        """Give a process a job, and what it asks for; None if it dies meanwhile."""
        process.send(job)
        held: list[int] = []  # bytes
        try:
            while True:
                message = process.recv()
                if message is None or isinstance(message, Outcome):
                    return message
                if isinstance(message, Release):
                    self._budget.release(held.pop())
                    continue
                try:
                    answer = self._answer(message, held)
                except RecolorError as error:  # it is the asker's
                    answer = error
                process.send(answer)
        finally:
            for needed in held:
                self._budget.release(needed)

    def _answer(self, message: Reserve | Predict | Distribute, held: list[int]) -> object:
        """Give a process what it asks for."""
        if isinstance(message, Reserve):
            self._budget.acquire(message.needed)
            held.append(message.needed)
            return message  # granted; None would be the end
        host = cast(_Host, self._host)
        if isinstance(message, Predict):
            return host.batched.predict(message.lightness, message.temperature)
        return host.network.distribution(message.lightness)

    def _give_up(self, job: Job, future: Future[Outcome], error: RecolorError) -> None:
        """Leave the jobs to the other processes; where this was the last one, fail them."""
        with self._lock:
            self._left -= 1
            if self._left and not self._stopped:
                self._jobs.put((job, future))
                return
            future.set_result(Outcome(job, Status.FAILED, error))
            if not self._left:
                self._failure = error
                for other, waiting in self._waiting():
                    waiting.set_result(Outcome(other, Status.FAILED, error))


@dataclass(frozen=True, slots=True)
class _Host:
    """The network that this process holds for the others."""

    network: OnnxColorNetwork
    batched: BatchedNetwork


def _host(setup: WorkerConfig) -> tuple[_Host | None, str]:
    """Load the network here if it works on a GPU; else return why not, if that is known."""
    if setup.model is None or parse_device(setup.device)[0] is Device.CPU or why_no_driver():
        return None, ""
    # Only where there may be a card: it brings onnxruntime into this process.
    from recolor_cli.model.onnx_network import OnnxColorNetwork
    from recolor_cli.model.request_batcher import BatchedNetwork

    network = OnnxColorNetwork.load(setup.model, setup.device)
    if network.device == Device.CPU:
        return None, network.cpu_reason
    if setup.needs_distribution:
        network.require_distribution()
    return _Host(network, BatchedNetwork(network, _BATCH)), ""


class _Process(Channel):
    """One process, from its start on.

    Parameters
    ----------
    start : Start

    Raises
    ------
    RecolorError
        If the system does not start it.
    """

    def __init__(self, start: InitMessage) -> None:
        with _uninterrupted() as flags:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _PROGRAM, *sys.path],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=_KEEP_MEMORY | os.environ,
                    creationflags=flags,
                )
            except OSError as error:
                raise RecolorError(
                    f"the process that recolors cannot be started: {error.strerror}",
                    "there may be too many processes, or too little memory",
                ) from error
        super().__init__(cast(BinaryIO, self._process.stdout), cast(BinaryIO, self._process.stdin))
        self._ready: ReadyMessage | None = None
        self.send(start)

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ready(self) -> ReadyMessage:
        """Wait until it has loaded the model, once; raises RecolorError if it cannot."""
        if self._ready:
            return self._ready
        answer = self.recv()
        if isinstance(answer, ReadyMessage):
            self._ready = answer
            return answer
        ended = self.end()
        if isinstance(answer, RecolorError):
            raise answer
        raise RecolorError(
            f"the process that recolors {ended} at its start", "see what `recolor doctor` says"
        )

    def end(self) -> str:
        """Let it end, and return how it did."""
        self.close()
        code = self._process.wait()
        if code >= 0:
            return f"ended with code {code}"
        name = signal.strsignal(-code) or f"signal {-code}"
        if -code == getattr(signal, "SIGKILL", 9):
            return "was killed, perhaps for want of memory"
        return f"crashed ({name.lower()})"


@contextmanager
def _uninterrupted() -> Iterator[int]:
    """Keep signals to stop from a process that is started inside: its parent tells it when.

    Ctrl-C goes to all processes of a terminal, as does SIGHUP when it is closed, and a service's
    SIGTERM to all of the service.

    Yields
    ------
    int
        Flags for starting it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        return
    # A mask is inherited, and what comes while it is set is not lost.
    stops = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    try:
        yield 0
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
