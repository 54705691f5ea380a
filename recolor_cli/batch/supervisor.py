"""Give tasks to one worker process, answer its questions, and replace it when it dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recolor_cli.batch.gpu_host import GpuHost
from recolor_cli.batch.messages import ReadyMessage, Reserve, TaskMessage
from recolor_cli.batch.outcome import Outcome, Status, failed_unexpectedly
from recolor_cli.batch.worker_handle import WorkerDied, WorkerProcess
from recolor_cli.errors import InputError, RecolorError
from recolor_cli.system.memory import MemoryBudget
from recolor_cli.system.places import is_address
from recolor_cli.system.temporary_files import remove_leftovers

_TRIES = 2  # attempts at a task. A process may die because another program needed memory
_STARTS = 3  # of a process in place of a dead one, for the same reason


class Supervisor:
    """One worker process and its replacements.

    Parameters
    ----------
    process : WorkerProcess
    start : callable
        Starts another one.
    budget : MemoryBudget
        Shared by all processes.
    allowance : int
        Bytes that a process holds for each task, and that a picture may take without asking.
    host : GpuHost or None
        The network on a GPU, which answers the requests of the process.
    """

    def __init__(
        self,
        process: WorkerProcess,
        start: Callable[[], WorkerProcess],
        budget: MemoryBudget,
        allowance: int,
        host: GpuHost | None,
    ) -> None:
        self._process = process
        self._start = start
        self._budget = budget
        self._allowance = allowance
        self._host = host

    def ready(self) -> ReadyMessage:
        """Wait until the first process has loaded the model, and replace it if it dies before.

        Raises
        ------
        RecolorError
            As `WorkerProcess.ready`, if a replacement fails, too.
        """
        try:
            return self._process.ready()
        except WorkerDied:
            self._process = self._replacement()
            return self._process.ready()

    def wait_until_ready(self) -> None:
        """Wait for the first process. One that fails is replaced when there is something to do."""
        with suppress(RecolorError):
            self._process.ready()

    def do(self, task: TaskMessage) -> Outcome:
        """Send a task to the process and return its outcome.

        Raises
        ------
        RecolorError
            If the process has died and no other one can be started.
        """
        for _ in range(_TRIES):
            if not self._process.is_alive:
                self._process.end()
                self._process = self._replacement()
            try:
                outcome = self._talk(task)
            except TimeoutError:
                self._process.kill()
                self._process.end()
                assert task.request
                return Outcome(task.job, Status.FAILED, took_too_long(task.request.seconds))
            except Exception as bug:  # the caller must not wait for ever
                self._process.end()
                return failed_unexpectedly(task.job, bug)
            if outcome:
                return outcome
            ended = self._process.end()
            if not is_address(task.job.destination):
                remove_leftovers(Path(task.job.destination).parent)
        error = InputError(
            f"the process that worked on it {ended}",
            "try it alone; if that fails, too, it is broken: save it anew elsewhere",
        )
        return Outcome(task.job, Status.FAILED, error)

    def end(self) -> None:
        """Let the process end."""
        self._process.end()

    def _replacement(self) -> WorkerProcess:
        for tried in range(1, _STARTS + 1):
            process = self._start()
            try:
                process.ready()
                break
            except WorkerDied:
                if tried == _STARTS:
                    raise
        return process

    def _talk(self, task: TaskMessage) -> Outcome | None:
        """Send a task and answer questions until the outcome comes; None if the process dies."""
        held = self._allowance  # bytes
        self._budget.acquire(held)
        clock = _Clock(task.request.seconds if task.request else None)
        try:
            self._process.send(task)
            while True:
                message = self._process.receive(clock.left)
                if message is None or isinstance(message, Outcome):
                    return message
                answer: object = message
                try:
                    if isinstance(message, Reserve):
                        # Two that hold memory while they wait for more would wait for ever.
                        self._budget.release(held)
                        held = 0
                        with clock.stopped():  # others are slow, not this picture
                            self._budget.acquire(message.needed)
                        held = message.needed
                    elif self._host:
                        answer = self._host.answer(message)
                except RecolorError as error:  # raised again in the process that asked
                    answer = error
                self._process.send(answer)
        finally:
            self._budget.release(held)


class _Clock:
    """Counts down the time of a task; None is without a limit."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Seconds that are left, at least 0."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Do not count the time of a block."""
        left = self.left
        yield
        if left is not None:
            self._end = time.monotonic() + left


def took_too_long(seconds: float) -> InputError:
    """Return the error of a picture whose work the server ended."""
    return InputError(
        f"the work on it took longer than {seconds:g} s, and was ended",
        "make the picture smaller, or raise the server's --max-seconds",
    )
