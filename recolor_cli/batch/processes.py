"""A pool of worker processes, each with one picture at a time.

A decoder that crashes takes its picture with it, not the run, and no process waits for another
one's locks. The pool is our own because a task must be able to ask for memory and for the network
on a GPU while it runs, and because a crash must not touch other tasks: in loky it fails all that
are in flight, and pebble would need a second channel for the questions. Messages go through
`multiprocessing.connection`.
"""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import replace

from recolor_cli.batch.gpu_host import open_gpu_host
from recolor_cli.batch.job import Job
from recolor_cli.batch.messages import InitMessage, Request, TaskMessage, WorkerConfig
from recolor_cli.batch.outcome import Outcome, Status, failed_unexpectedly
from recolor_cli.batch.sizing import memory_for_processes, needs_trial, pictures_at_a_time
from recolor_cli.batch.skip_rule import MissingOutputs
from recolor_cli.batch.supervisor import Supervisor
from recolor_cli.batch.worker_handle import WorkerDied, WorkerProcess
from recolor_cli.errors import RecolorError
from recolor_cli.system.device import Device, cpu_count
from recolor_cli.system.memory import MemoryBudget

# A picture needs to ask for memory only if it takes more than this part of a process's share; the
# rest is for large ones.
_ALLOWANCE = 1 / 4

_Item = tuple[TaskMessage, Future[Outcome]]


def _try_network(config: WorkerConfig, preamble: str) -> int:
    """Return the bytes that a process takes with the network, 0 if it does not tell.

    Raises
    ------
    ModelError, DeviceError
        If it cannot load the network.
    """
    init = InitMessage(replace(config, count=1), cpu_count(), None, 0)
    process = WorkerProcess(init, preamble)
    try:
        return process.ready().memory
    except WorkerDied:
        return 0  # the next ones report the reason, and are replaced
    finally:
        process.end()


class ProcessWorkers:
    """Processes that do jobs, each replaced when it dies.

    Parameters
    ----------
    config : WorkerConfig
    preamble : str
        Python code that the processes run first.
    memory : int or None
        Bytes that all pictures at a time may take; None is what is free.
    cpus : int or None
        CPUs that the processes share; None is all that there are.

    Raises
    ------
    RecolorError
        If they cannot begin: ModelError, DeviceError, or its kind if the first one dies at once.
    """

    def __init__(
        self,
        config: WorkerConfig,
        preamble: str = "",
        memory: int | None = None,
        cpus: int | None = None,
    ) -> None:
        host, cpu_reason = open_gpu_host(config)
        device = Device.CPU if cpu_reason else config.device
        config = replace(config, device=device)
        seen = 0
        if host is None and pictures_at_a_time(config, False) > 1 and needs_trial(config):
            seen = _try_network(config, preamble)
        count = pictures_at_a_time(config, host is not None, seen)
        if memory is None:
            memory = memory_for_processes(count, seen)
        allowance = int(_ALLOWANCE * memory / count)
        config = replace(config, count=count)
        threads = max(1, (cpus or cpu_count()) // count)
        init = InitMessage(config, threads, host.model if host else None, allowance)

        def start() -> WorkerProcess:
            if self._closed:
                raise RecolorError("the work was ended", "start it again")
            process = WorkerProcess(init, preamble)
            self._started.add(process)
            return process

        self._started: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()
        self._closed = False
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._stopped = False
        self.failure: RecolorError | None = None  # why no process is left
        with ExitStack() as started:
            processes: list[WorkerProcess] = []
            try:
                for _ in range(count):
                    processes.append(start())
                    started.callback(processes[-1].end)
            except RecolorError:  # the system has no room for so many
                if not processes:
                    raise
            self.budget = MemoryBudget(memory)
            supervisors = [
                Supervisor(process, start, self.budget, allowance, host) for process in processes
            ]
            ready = supervisors[0].ready()
            started.pop_all()
        self.count = self.processes = len(processes)  # at the start, and those that are left
        self.ready = replace(ready, cpu_reason=cpu_reason or ready.cpu_reason, count=self.count)
        self._threads = []
        for supervisor in supervisors:
            # A daemon, because a process that hangs must not keep the program from its end.
            thread = threading.Thread(
                target=self._serve, args=[supervisor], name="recolor-process", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def submit(
        self, job: Job, missing: MissingOutputs, request: Request | None = None
    ) -> Future[Outcome]:
        """Make the missing outputs of a job, with options of its own if it has any, in its turn."""
        future: Future[Outcome] = Future()
        with self._lock:
            if self.failure:
                future.set_result(Outcome(job, Status.FAILED, self.failure))
            elif self._stopped:
                future.cancel()
            else:
                self._queue.put((TaskMessage(job, missing, request), future))
        return future

    @property
    def window(self) -> int:
        """As `Workers.window`."""
        return 2 * self.count + 2

    def stop(self) -> None:
        """Begin no further job and cancel its future; jobs that have begun are finished."""
        with self._lock:
            if not self._stopped:
                self._stopped = True
                for _, future in self._take_waiting():
                    future.cancel()
                for _ in self._threads:
                    self._queue.put(None)

    def close(self, seconds: float | None = None) -> None:
        """Stop, and wait for the jobs that have begun; end those that take longer."""
        self.stop()
        end = None if seconds is None else time.monotonic() + seconds
        for thread in self._threads:
            thread.join(None if end is None else max(0.0, end - time.monotonic()))
        self._closed = True
        for process in list(self._started):
            process.kill()

    def _take_waiting(self) -> Iterator[_Item]:
        """Take all tasks that no process has begun out of the queue."""
        with suppress(queue.Empty):
            while True:
                if item := self._queue.get_nowait():
                    yield item

    def _serve(self, supervisor: Supervisor) -> None:
        """Let one process do tasks until there are no more."""
        supervisor.wait_until_ready()
        while item := self._queue.get():
            task, future = item
            try:
                outcome = supervisor.do(task)
            except RecolorError as error:
                self._give_up(item, error)
                return
            except Exception as bug:  # the caller must not wait for ever
                outcome = failed_unexpectedly(task.job, bug)
            future.set_result(outcome)
        supervisor.end()

    def _give_up(self, item: _Item, error: RecolorError) -> None:
        """Leave a task to the other processes; if this was the last one, fail all of them."""
        with self._lock:
            self.processes -= 1
            if self.processes and not self._stopped:
                self._queue.put(item)
                return
            failed = [item]
            if not self.processes:
                self.failure = error
                failed += self._take_waiting()
            for task, future in failed:
                future.set_result(Outcome(task.job, Status.FAILED, error))
