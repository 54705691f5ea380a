"""Jobs that wait for an actor of a cluster. All of it runs in one loop of asyncio."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from recolor_cli.batch.job import Job
from recolor_cli.batch.outcome import Outcome
from recolor_cli.batch.skip_rule import MissingOutputs


@dataclass(order=True, slots=True)
class QueuedJob:
    """A job in the queue. One that was lost keeps its number, so that it comes first.

    Parameters
    ----------
    number : float
        Its place in the order.
    job : Job
    missing : MissingOutputs
    future : Future of Outcome
    losses : int
        Actors that were lost while they had it.
    """

    number: float
    job: Job = field(compare=False)
    missing: MissingOutputs = field(compare=False)
    future: Future[Outcome] = field(compare=False)
    losses: int = field(compare=False, default=0)


_END = QueuedJob(math.inf, Job(""), MissingOutputs(False), Future())


class JobQueue:
    """A queue from which several jobs are taken at a time."""

    def __init__(self) -> None:
        self._queue: asyncio.PriorityQueue[QueuedJob] = asyncio.PriorityQueue()

    def put(self, job: QueuedJob) -> None:
        """Add a job."""
        self._queue.put_nowait(job)

    def end(self) -> None:
        """Let nobody wait for jobs any more."""
        self._queue.put_nowait(_END)

    async def take(self, most: int, takers: int) -> list[QueuedJob]:
        """Wait for jobs, and take those that come first; none after the end.

        A job that was lost before comes alone, so that others are not lost with it.

        Parameters
        ----------
        most : int
        takers : int
            Number of those who take jobs. When few are left, each gets a part of them.
        """
        taken = [await self._queue.get()]
        if taken[0] is _END:
            self.end()  # for the others
            return []
        most = min(most, math.ceil(self._queue.qsize() / (2 * takers)))
        while len(taken) < most and not taken[0].losses:
            job = self._queue.get_nowait()
            if job is _END or job.losses:
                self._queue.put_nowait(job)
                break
            taken.append(job)
        return taken

    def take_all(self) -> Iterator[QueuedJob]:
        """Take all jobs, without waiting."""
        while not self._queue.empty():
            job = self._queue.get_nowait()
            if job is not _END:
                yield job
