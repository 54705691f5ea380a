"""Workers in a process of their own: a decoder that crashes takes one picture with it, not a batch.

The process runs `recolor_cli.worker`. Jobs go to its standard input and outcomes come from its
standard output, pickled. If it dies, what was unfinished is tried again one at a time in a new one:
the job with which that dies, too, is the culprit and is told as failed.
"""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from recolor_cli.errors import InputError, RecolorError
from recolor_cli.files import remove_leftovers
from recolor_cli.jobs import Job, OutputOptions
from recolor_cli.outcome import Outcome, Status
from recolor_cli.types import RecolorOptions

# -P: a picture's folder is no place to import from; the parent's own path is handed over.
_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from recolor_cli.worker import main; main()"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker process needs to know before its first job."""

    model: str
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
class Ready:
    """A worker process's first answer."""

    name: str  # of the model
    device: str
    cpu_reason: str  # why not CUDA, if it was to be tried
    count: int


@dataclass(frozen=True, slots=True)
class Stop:
    """The wish that nothing more be begun."""


class ProcessWorkers:
    """A process that does jobs, and another one when it crashes.

    Parameters
    ----------
    setup : Setup

    Raises
    ------
    RecolorError
        If it cannot begin: ModelError, DeviceError, or its kind if it dies at once.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._changed = threading.Condition()
        self._jobs: dict[int, tuple[Job, Future[Outcome]]] = {}  # not ended, by number
        self._number = 0
        self._stopped = False
        self._careful = False  # one job at a time
        self._failure: RecolorError | None = None  # why nothing can be done any more
        self._process, self.ready = self._start()
        self.count = self.ready.count
        self._reader = threading.Thread(target=self._read, name="recolor-outcomes", daemon=True)
        self._reader.start()

    def submit(self, job: Job) -> Future[Outcome]:
        """Have a job done when the process has a thread free."""
        future: Future[Outcome] = Future()
        with self._changed:
            if self._failure:
                future.set_result(Outcome(job, Status.FAILED, self._failure))
            elif self._stopped:
                future.cancel()
            else:
                self._number += 1
                self._jobs[self._number] = job, future
                if not self._careful:
                    self._send((self._number, job))
                self._changed.notify()
        return future

    def stop(self) -> None:
        """Begin nothing more: what is begun is finished, other futures are cancelled."""
        with self._changed:
            if not self._stopped and not self._careful:  # else that has an end first
                self._send(Stop())
            self._stopped = True
            self._changed.notify()

    def close(self) -> None:
        """Wait until what is begun is finished."""
        self.stop()
        self._reader.join()

    def _start(self) -> tuple[subprocess.Popen[bytes], Ready]:
        """Start a process and wait until it has loaded the model."""
        with _uninterrupted() as flags:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _PROGRAM, *sys.path],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    creationflags=flags,
                )
            except OSError as error:
                raise RecolorError(
                    f"the process that recolors cannot be started: {error.strerror}",
                    "there may be too many processes, or too little memory",
                ) from error
        with suppress(OSError):  # it died, which shows when it is read
            _write(process, self._setup)
        answer = _answer(process)
        if isinstance(answer, RecolorError):
            _ended(process)
            raise answer
        if answer is None:
            raise RecolorError(
                f"the process that recolors {_end_of(process)} at its start",
                "see what `recolor doctor` says",
            )
        return process, answer

    def _send(self, message: object) -> None:
        with suppress(OSError):  # it died: the reader sees to that
            _write(self._process, message)

    def _read(self) -> None:
        """Hand on outcomes until the process ends, and see what is left if it crashed."""
        while True:
            while (answer := _answer(self._process)) is not None:
                self._end(*answer)
            with self._changed:
                self._careful = True
                left = sorted(self._jobs)
            _ended(self._process)
            self._remove_leftovers(left)
            with self._changed:  # one that died idle is replaced when there is something to do
                self._changed.wait_for(lambda: self._jobs or self._stopped)
                left = sorted(self._jobs)
            if self._stopped:
                for number in left:
                    self._end(number, None)
                return
            try:
                self._one_by_one(left)
            except RecolorError as error:  # it does not even start any more
                with self._changed:
                    self._stopped, self._failure = True, error
                    left = sorted(self._jobs)
                for number in left:
                    self._end(number, Outcome(self._jobs[number][0], Status.FAILED, error))
                return

    def _one_by_one(self, numbers: list[int]) -> None:
        """Find the job that the process crashes with, and go on with a new process."""
        self._process, _ = self._start()
        for number in numbers:
            if self._stopped:
                self._end(number, None)
                continue
            job = self._jobs[number][0]
            self._send((number, job))
            answer = _answer(self._process)
            if answer is not None:
                self._end(*answer)
                continue
            error = InputError(
                f"the process that worked on it {_end_of(self._process)}",
                "it is probably broken: open it in another program and save it anew",
            )
            self._remove_leftovers([number])
            self._end(number, Outcome(job, Status.FAILED, error))
            self._process, _ = self._start()
        with self._changed:
            self._careful = False
            if self._stopped:
                self._send(Stop())
                return
            for number, (job, _) in sorted(self._jobs.items()):  # came meanwhile
                self._send((number, job))

    def _remove_leftovers(self, numbers: list[int]) -> None:
        """Remove what a process that died had begun to write."""
        for folder in {Path(self._jobs[number][0].destination).parent for number in numbers}:
            remove_leftovers(folder)

    def _end(self, number: int, outcome: Outcome | None) -> None:
        """Give a job's future its outcome; None is for one that was not begun."""
        with self._changed:
            _, future = self._jobs.pop(number)
        if outcome is None:
            future.cancel()
        else:
            future.set_result(outcome)


def _write(process: subprocess.Popen[bytes], message: object) -> None:
    stream = cast(BinaryIO, process.stdin)
    stream.write(pickle.dumps(message))
    stream.flush()


def _answer(process: subprocess.Popen[bytes]) -> Any:
    """Return the next thing that a process says, or None when it has ended."""
    try:
        return pickle.load(cast(BinaryIO, process.stdout))
    except (EOFError, OSError, pickle.UnpicklingError):  # cut off in the middle
        return None


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a process that has said its last, and return its exit code."""
    for stream in (process.stdin, process.stdout):
        with suppress(OSError):  # what was still to be sent is lost with the process
            cast(BinaryIO, stream).close()
    return process.wait()


def _end_of(process: subprocess.Popen[bytes]) -> str:
    """Say how a process ended."""
    code = _ended(process)
    if code >= 0:
        return f"ended with code {code}"
    name = signal.strsignal(-code) or f"signal {-code}"
    if -code == getattr(signal, "SIGKILL", 9):
        return "was killed, perhaps for want of memory"
    return f"crashed ({name.lower()})"


@contextmanager
def _uninterrupted() -> Iterator[int]:
    """Keep signals to stop from a process that is started inside: its parent tells it when.

    Ctrl-C goes to all processes of a terminal, and a service's SIGTERM to all of the service.

    Yields
    ------
    int
        Flags for starting it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        return
    # A mask is inherited, and what comes while it is set is not lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield 0
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
