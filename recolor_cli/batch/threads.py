"""Workers in threads of this process, each with a picture of its own."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import cv2

from recolor_cli.batch.job import Job
from recolor_cli.batch.outcome import Outcome
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.picture import PictureWork
from recolor_cli.batch.skip_rule import MissingOutputs
from recolor_cli.errors import RecolorError
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.system.device import cpu_count
from recolor_cli.system.memory import MemoryBudget, memory_for_pictures


class ThreadWorkers:
    """Threads of this process, each with a picture of its own.

    Parameters
    ----------
    recolorizer : Recolorizer
    options : OutputOptions
    count : int
        Number of pictures that are worked on at a time.
    """

    failure: RecolorError | None = None  # threads do not end before the run

    def __init__(self, recolorizer: Recolorizer, options: OutputOptions, count: int) -> None:
        self.count = count
        self._work = PictureWork(recolorizer, options, MemoryBudget(memory_for_pictures()))
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="recolor")

    @property
    def window(self) -> int:
        """As `Workers.window`."""
        return 2 * self.count + 2

    def submit(self, job: Job, missing: MissingOutputs) -> Future[Outcome]:
        """Make the missing outputs of a job as soon as a thread is free."""
        return self._pool.submit(self._work, job, missing)

    def stop(self) -> None:
        """Begin no further job and cancel its future; jobs that have begun are finished."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Stop, and wait until the jobs that have begun are finished."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def share_cpus(count: int) -> int:
    """Divide the CPUs among a number of workers; return the threads for the network of each.

    OpenCV's number of threads is a setting of the process, which is made here, too.
    """
    threads = max(1, cpu_count() // count)
    cv2.setNumThreads(threads)
    return threads
