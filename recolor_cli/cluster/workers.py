"""Workers on a Ray cluster: pictures in, outcomes out, whatever becomes of the machines.

Ray starts the actors, carries the jobs to them and tells which of them are lost. What is done about
a loss is decided here, because it depends on the picture: it goes to another actor, and after a few
losses it fails by name.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from recolor_cli.batch.job import Job
from recolor_cli.batch.messages import ReadyMessage
from recolor_cli.batch.outcome import Outcome, Status, failed_unexpectedly
from recolor_cli.batch.skip_rule import MissingOutputs
from recolor_cli.cluster.connection import connected
from recolor_cli.cluster.job_queue import JobQueue, QueuedJob
from recolor_cli.cluster.nodes import Node, Software, alive_nodes, own_software, survey
from recolor_cli.cluster.shared_places import SharedPlacesFinder
from recolor_cli.cluster.shares import Share, deal
from recolor_cli.cluster.work import ClusterWork
from recolor_cli.errors import InputError, RecolorError
from recolor_cli.system.prefetch import POLL_SECONDS

_T = TypeVar("_T")

_LOOK_SECONDS = 5.0  # between two looks for machines that have joined
_PATIENCE_SECONDS = 60.0  # without any machine, before the run is given up
_MAX_LOSSES = 4  # of processes that had a picture, before it fails
_STARTS = 3  # of an actor in a row that do not succeed
# Jobs in advance for each that is at work: Ray needs half a minute to notice a machine without
# power, during which the others do not wait for the pictures that it had.
_AHEAD = 64
# A call costs the driver some 2 ms, ten times as much as a job, so it takes several quick ones.
_CALL_SECONDS = 1.0
_MOST_IN_CALL = 32
_CALLS = 2  # at a time, so that some of several processes do not wait for the last one of a call


@dataclass(slots=True)
class _RunningActor:
    """An actor that has begun, and how it is called."""

    node: Node
    share: Share
    handle: Any
    jobs_in_call: int = 1
    is_over: asyncio.Event = field(default_factory=asyncio.Event)  # it gets no further job
    is_lost: bool = False


class ClusterWorkers:
    """Actors on all machines of a cluster.

    Parameters
    ----------
    address : str
        As for `connected`.
    work : ClusterWork
    limit : int
        Most jobs at a time.
    warn : callable
        Gets a message for each machine that is not used. Called from a thread.
    stop : threading.Event or None
        Once it is set, the machines are no longer waited for.

    Raises
    ------
    RecolorError
        If there is no such cluster, or no machine can do the work.
    """

    def __init__(
        self,
        address: str,
        work: ClusterWork,
        limit: int,
        warn: Callable[[str], None],
        stop: threading.Event | None = None,
    ) -> None:
        self._work = work
        self._limit = limit
        self._warn = warn
        self._queue = JobQueue()
        self._numbers = itertools.count()
        # One for each actor, with the jobs that are worked on at a time there.
        self._serving: dict[asyncio.Task[None], int] = {}
        self._handles: set[Any] = set()  # of the actors that have begun
        self._refused: dict[str, str] = {}  # reasons, by the ids of nodes
        self._checks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # by these ids
        self._stopping = asyncio.Event()
        self.failure: RecolorError | None = None
        self._opened: Future[ReadyMessage] = Future()
        self._connection = ExitStack()
        self._connection.enter_context(connected(address))
        self._places = SharedPlacesFinder(self._connection)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve_all, name="recolor-cluster", daemon=True)
        self._thread.start()
        self.ready = self._wait_until_ready(stop or threading.Event())

    @property
    def count(self) -> int:
        """Number of jobs that are worked on at a time. It changes with the machines."""
        return max(1, sum(self._serving.values()))

    @property
    def window(self) -> int:
        """Number of jobs that may be submitted before the outcome of the first one is known."""
        return _AHEAD * self.count

    def submit(self, job: Job, missing: MissingOutputs) -> Future[Outcome]:
        """Make the missing outputs of a job on some machine; errors are in the outcome."""
        task = QueuedJob(next(self._numbers), job, missing, Future())
        try:
            self._loop.call_soon_threadsafe(self._put, task)
        except RuntimeError:  # it is closed
            task.future.cancel()
        return task.future

    def stop(self) -> None:
        """Begin no further job and cancel its future; jobs that have begun are finished."""
        with suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(self._begin_to_stop)

    def close(self) -> None:
        """Stop, and wait until the jobs that have begun are finished."""
        self.stop()
        self._thread.join()
        self._connection.close()

    def _wait_until_ready(self, stop: threading.Event) -> ReadyMessage | None:
        while not stop.is_set():
            try:
                return self._opened.result(POLL_SECONDS)
            except TimeoutError:
                continue
            except RecolorError:
                self.close()
                raise
        return None

    # The methods below run in the thread of the loop.

    def _serve_all(self) -> None:
        try:
            self._loop.run_until_complete(self._look_after_nodes())
        except Exception as bug:  # the caller must not wait for ever
            self._give_up(RecolorError(f"a bug in recolor: {bug!r}", "please report it"))
        finally:
            self._loop.close()

    def _put(self, task: QueuedJob) -> None:
        if self.failure:
            task.future.set_result(Outcome(task.job, Status.FAILED, self.failure))
        elif self._stopping.is_set():
            task.future.cancel()
        else:
            self._queue.put(task)

    def _begin_to_stop(self) -> None:
        self._stopping.set()
        for task in self._queue.take_all():
            task.future.cancel()
        self._queue.end()
        for handle in self._handles:
            handle.stop.remote()

    async def _look_after_nodes(self) -> None:
        """Start actors on all machines, those that join later too, until the workers stop."""
        own, known = own_software(), set[str]()
        seen = time.monotonic()  # when there was an actor
        while not self._stopping.is_set():
            alive = alive_nodes()
            new = [node for node in alive if node.id not in known]
            known.update(node.id for node in new)
            for node, installed in (await survey(new)).items():
                if reason := self._unfitness(node, installed, own):
                    self._refuse(node, reason)
            self._start_actors([node for node in new if node.id not in self._refused])
            if self._serving:
                seen = time.monotonic()
            elif self._are_unfit(alive) or time.monotonic() - seen > _PATIENCE_SECONDS:
                self._give_up(self._nobody_left())
            await _unless(self._stopping, asyncio.sleep(_LOOK_SECONDS))
        while self._serving:
            await asyncio.wait(self._serving)

    def _unfitness(self, node: Node, installed: Software | None, own: Software) -> str:
        """Tell why a machine cannot do the work; empty if it can, as far as that is known."""
        name = "recolor-cli"
        if installed is None:
            return "it does not answer"
        if (version := installed.packages[name]) != own.packages[name]:
            return (
                f"it has recolor {version}, not {own.packages[name]}"
                if version
                else ("recolor is not installed there")
            )
        return "" if self._room(node) else "it has no CPU or card for this"

    def _are_unfit(self, nodes: list[Node]) -> bool:
        """Tell whether no machine that offers itself can do the work, as others like it.

        A head often offers nothing, and waits for those that do.
        """
        offering = [node for node in nodes if self._room(node)]
        return bool(offering) and all(node.id in self._refused for node in offering)

    def _refuse(self, node: Node, reason: str) -> None:
        if node.id not in self._refused:
            self._refused[node.id] = f"{node.name}: {reason}"
            if self._room(node) or node.cpus:  # a head often gives none
                self._warn(f"the machine {node.name} is not used: {reason}")

    def _start_actors(self, nodes: list[Node]) -> None:
        shares = [self._work.share_of(node) for node in nodes]
        rooms = [share.siblings * share.processes for share in shares]
        numbers = deal(self._limit - sum(self._serving.values()), rooms)
        for node, share, number in zip(nodes, shares, numbers, strict=True):
            siblings = math.ceil(number / share.processes) if number else 0
            for place in range(siblings):
                processes = min(share.processes, number - place * share.processes)
                part = replace(share, siblings=siblings, processes=processes)
                task = self._loop.create_task(self._serve(node, part))
                self._serving[task] = processes
                task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        del self._serving[task]
        if error := task.exception():
            self._give_up(RecolorError(f"a bug in recolor: {error!r}", "please report it"))

    async def _serve(self, node: Node, share: Share) -> None:
        """Hold one actor on a machine, and one in its place when it dies."""
        failures = 0
        while failures < _STARTS and node.id not in self._refused:
            handle = self._new_actor(node, share)
            try:
                begin = handle.start.remote(self._work.config_of(share))
                ready = await _unless(self._stopping, begin)
            except RayTaskError as error:
                self._refuse(node, _message(error))
                return
            except RayError:  # it was killed while it began, or its machine was
                failures += 1
                continue
            if ready is None:
                return
            if not self._opened.done():
                self._opened.set_result(replace(ready, count=self.count))
            failures = 0
            self._handles.add(handle)
            is_lost = await self._let_work(_RunningActor(node, share, handle))
            self._handles.discard(handle)
            if not is_lost:
                return
        self._refuse(node, f"its worker ended {_STARTS} times at its start")

    async def _let_work(self, actor: _RunningActor) -> bool:
        """Let an actor do jobs; returns whether another one is needed in its place."""
        calls = _CALLS if actor.share.processes > 1 else 1
        await asyncio.gather(*(self._call(actor) for _ in range(calls)))
        return actor.is_lost

    async def _call(self, actor: _RunningActor) -> None:
        """Call an actor again and again, each time with some jobs, until it is over with it."""
        while tasks := await _unless(actor.is_over, self._take(actor)):
            started = time.monotonic()
            outcomes: list[Outcome | None] = []
            try:
                if folder := await self._unseen(actor, tasks):
                    self._refuse(actor.node, f"it does not see {folder}; share it, or use a store")
                    actor.is_over.set()
                if not actor.is_over.is_set():
                    jobs = [(task.job, task.missing) for task in tasks]
                    outcomes = await actor.handle.do.remote(jobs)
            except RayTaskError as error:
                outcomes = [failed_unexpectedly(task.job, error) for task in tasks]
            except RayError:
                actor.is_lost = True
                actor.is_over.set()
                for task in tasks:
                    self._lost(task, actor.node)
                return
            pace = len(tasks) / (time.monotonic() - started)
            actor.jobs_in_call = min(_MOST_IN_CALL, max(1, int(_CALL_SECONDS * pace)))
            for task, outcome in itertools.zip_longest(tasks, outcomes):
                if outcome is None:  # the actor was told to stop, or was not asked
                    self._put(task)
                else:
                    task.future.set_result(outcome)

    async def _take(self, actor: _RunningActor) -> list[QueuedJob]:
        return await self._queue.take(actor.jobs_in_call, len(self._serving))

    async def _unseen(self, actor: _RunningActor, tasks: list[QueuedJob]) -> str:
        """Return the folder of a job that a machine does not see; empty if it sees all."""
        async with self._checks[actor.node.id]:
            to_check = (self._places.to_check(actor.node, task.job) for task in tasks)
            places = next(filter(None, to_check), None)
            folder: str = await actor.handle.lacks.remote(places) if places else ""
            if places and not folder:
                self._places.note_seen(actor.node)
            return folder

    def _lost(self, task: QueuedJob, node: Node) -> None:
        """Let another actor do a job whose actor has died."""
        task.losses += 1
        if task.losses < _MAX_LOSSES:
            self._put(task)
            return
        error = InputError(
            f"the worker that had it was lost {task.losses} times, at last on {node.name}",
            "try it alone, without --cluster",
        )
        task.future.set_result(Outcome(task.job, Status.FAILED, error))

    def _nobody_left(self) -> RecolorError:
        reasons = "; ".join(dict.fromkeys(self._refused.values()))
        message = "no machine of the cluster can do the work"
        return RecolorError(
            f"{message} ({reasons})" if reasons else message,
            "see what `recolor doctor --cluster` says; the same command goes on from here",
            message,
        )

    def _give_up(self, error: RecolorError) -> None:
        self.failure = error
        if not self._opened.done():
            self._opened.set_exception(error)
        for task in self._queue.take_all():
            self._put(task)

    def _new_actor(self, node: Node, share: Share) -> Any:
        """Ask Ray for an actor on a machine; it begins when its CPUs or its card are free."""
        remote: Any = ray.remote(self._work.actor)
        return remote.options(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            max_restarts=0,
            max_concurrency=_CALLS + 1,  # it can be told to stop while it works
            scheduling_strategy=node.strategy,
        ).remote()

    def _room(self, node: Node) -> int:
        return self._work.share_of(node).siblings


def _message(error: RayTaskError) -> str:
    cause = error.cause
    return cause.message if isinstance(cause, RecolorError) else repr(cause)


async def _unless(event: asyncio.Event, work: Awaitable[_T] | Coroutine[Any, Any, _T]) -> _T | None:
    """Await something; None if an event comes before."""
    doing = asyncio.ensure_future(work)
    coming = asyncio.ensure_future(event.wait())
    await asyncio.wait((doing, coming), return_when=asyncio.FIRST_COMPLETED)
    coming.cancel()
    if doing.done():
        return doing.result()
    doing.cancel()
    return None
