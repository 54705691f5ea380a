"""Give pictures to the worker processes: so many at a time, so many that wait."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from http import HTTPStatus

from recolor_cli.batch.job import Job
from recolor_cli.batch.messages import Request
from recolor_cli.batch.outcome import Outcome
from recolor_cli.batch.processes import ProcessWorkers
from recolor_cli.batch.skip_rule import MissingOutputs
from recolor_cli.errors import RecolorError
from recolor_cli.serve.problems import RefusedError, server_stops
from recolor_cli.system.texts import counted

_RESULT_ALONE = MissingOutputs(True)
_SHARE_OF_LAST = 0.1  # in the mean time of a picture


class Work:
    """The pictures in hand: at work, or waiting for their turn.

    Parameters
    ----------
    workers : ProcessWorkers
    waiting : int
        Pictures that may wait.
    observe : callable
        Gets each outcome, and the seconds from its turn to its end.
    """

    def __init__(
        self, workers: ProcessWorkers, waiting: int, observe: Callable[[Outcome, float], None]
    ) -> None:
        self._workers = workers
        self._most = workers.count + waiting
        # One more for each process, so that none is idle until the next one comes.
        self._turns = asyncio.Semaphore(2 * workers.count)
        self._observe = observe
        self._mean = 1.0  # seconds of a picture
        self.in_hand = 0

    @property
    def failure(self) -> RecolorError | None:
        """Why nothing can be worked on; None if all is well."""
        return self._workers.failure

    def check_room(self) -> None:
        """Raise RefusedError if too many pictures wait."""
        if self.in_hand >= self._most:
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"the server has {counted(self.in_hand, 'picture')} in hand, and no more may wait",
                "try again later; --max-waiting sets how many may wait",
                {"Retry-After": str(self._seconds_to_wait())},
            )

    def stop(self) -> None:
        """Refuse all pictures that no process has begun."""
        self._workers.stop()

    async def do(self, job: Job, request: Request) -> Outcome:
        """Make the result of a job in its turn.

        A caller that is cancelled while it waits loses its turn. Work that has begun is finished.

        Raises
        ------
        RefusedError
            If too many pictures wait, or the server stops before a process has begun this one.
        RecolorError
            If it fails.
        """
        self.check_room()
        self.in_hand += 1
        try:
            await self._turns.acquire()
        except BaseException:
            self.in_hand -= 1
            raise
        started = time.monotonic()
        loop = asyncio.get_running_loop()
        try:
            future = self._workers.submit(job, _RESULT_ALONE, request)
        except BaseException:
            self._end_turn()
            raise

        def end_turn(_: Future[Outcome]) -> None:
            with suppress(RuntimeError):  # the server has ended, and nothing waits for a turn
                loop.call_soon_threadsafe(self._end_turn)

        future.add_done_callback(end_turn)
        try:
            outcome = await asyncio.shield(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            if future.cancelled():
                raise server_stops() from None
            raise
        seconds = time.monotonic() - started
        self._mean += _SHARE_OF_LAST * (seconds - self._mean)
        self._observe(outcome, seconds)
        if outcome.error:
            raise outcome.error
        return outcome

    def _end_turn(self) -> None:
        self.in_hand -= 1
        self._turns.release()

    def _seconds_to_wait(self) -> int:
        return max(1, math.ceil(self._mean * self.in_hand / self._workers.count / 2))
