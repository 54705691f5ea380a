"""What became of one job, and of all of them."""

from __future__ import annotations

import traceback
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from recolor_cli.batch.plan import Job
from recolor_cli.errors import ExitCode, RecolorError
from recolor_cli.types import ImageSize

if TYPE_CHECKING:
    from recolor_cli.image.compare import Thumbnails


MAX_LISTED = 10  # of the pictures that were least certain


class Status(StrEnum):
    """How a job ended."""

    WRITTEN = "written"
    SKIPPED = "skipped"
    FAILED = "failed"
    PLANNED = "planned"  # a dry run: it would be written
    LEFT_OUT = "left out"  # found in a folder, and of a kind that is not read


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one job.

    Parameters
    ----------
    job : Job
    status : Status
    error : RecolorError or None
        Why it failed.
    bug : str
        The traceback, if it failed for a reason that no one foresaw.
    size : ImageSize or None
    seconds : dict of str to float
        By stage.
    warnings : tuple of str
        What of the file could not be kept.
    reason : str
        Why it was skipped, if not because it was done before.
    companions : tuple of str
        What was written beside the result.
    thumbnails : Thumbnails or None
        If they were asked for, and there is a result.
    entropy : float or None
        How unsure the network was, nats: the mean over the picture, and over its pages. None if
        that was not asked for.
    """

    job: Job
    status: Status
    error: RecolorError | None = None
    bug: str = ""
    size: ImageSize | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    reason: str = ""
    sidecars: tuple[str, ...] = ()
    thumbnails: Thumbnails | None = None
    entropy: float | None = None


def not_tried(job: Job, error: RecolorError) -> Outcome:
    """Return the outcome of a job that has an error from the start."""
    return Outcome(job, Status.LEFT_OUT if job.is_unsupported else Status.FAILED, error)


def failed_by_bug(job: Job, error: Exception) -> Outcome:
    """Return the outcome of a job that failed for a reason that no one foresaw."""
    failure = RecolorError(f"a bug in recolor: {error!r}", "please report it with -v's output")
    trace = "".join(traceback.format_exception(error))
    return Outcome(job, Status.FAILED, failure, bug=trace)


@dataclass
class Report:
    """How a whole batch ended."""

    counts: Counter[Status] = field(default_factory=Counter)
    bugs: int = 0
    least_certain: list[tuple[float, str]] = field(default_factory=list)  # nats, source; the first
    unsupported_files: Counter[str] = field(default_factory=Counter)  # by what they are

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self.counts[outcome.status] += 1
        self.bugs += bool(outcome.bug)
        if outcome.entropy is not None:
            self.least_certain.append((outcome.entropy, outcome.job.source))
            self.least_certain.sort(key=lambda known: -known[0])
            del self.least_certain[MAX_LISTED:]
        if outcome.status is Status.LEFT_OUT and outcome.error:
            self.unsupported_files[f"{outcome.error.message}; {outcome.error.hint}"] += 1

    @property
    def exit_code(self) -> ExitCode:
        """What the process is to return."""
        if self.bugs:
            return ExitCode.BUG
        return ExitCode.SOME_FAILED if self.counts[Status.FAILED] else ExitCode.OK

    def __str__(self) -> str:
        words = [f"{count} {status}" for status in Status if (count := self.counts[status])]
        return ", ".join(words) or "nothing to do"
