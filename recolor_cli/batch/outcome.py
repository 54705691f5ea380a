"""The outcome of a job, and the report of a run."""

from __future__ import annotations

import traceback
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from recolor_cli.batch.job import Job
from recolor_cli.errors import ExitCode, InputError, OutputError, RecolorError
from recolor_cli.system.memory import MEMORY_ADVICE, NO_MEMORY, is_out_of_memory
from recolor_cli.types import ImageSize

if TYPE_CHECKING:
    from recolor_cli.image.compare import Thumbnails


MAX_LISTED = 10  # least certain pictures, and results that were made otherwise, in a report


class Status(StrEnum):
    """The state in which a job ended."""

    WRITTEN = "written"
    SKIPPED = "skipped"
    MADE_OTHERWISE = "made otherwise"  # the result exists, of another source or other options
    FAILED = "failed"
    PLANNED = "planned"  # in a dry run: would be written
    LEFT_OUT = "left out"  # an unsupported file in a folder


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one job.

    Parameters
    ----------
    job : Job
    status : Status
    error : RecolorError or None
        Why it failed, or how an existing result was made otherwise.
    bug : str
        The traceback, if it failed because of a bug.
    size : ImageSize or None
    seconds : dict of str to float
        Time of each stage.
    warnings : tuple of str
        Properties of the file that the result has lost.
    is_damaged : bool
        Whether the picture was damaged and what is left of it was recolored.
    reason : str
        Why it was skipped, if not because it was done before.
    written : tuple of str
        Paths of the files that were written, the result and sidecar files, also of a failed job;
        `STREAM` is standard output.
    thumbnails : Thumbnails or None
        If `OutputOptions.thumbnails` is set and there is a result.
    entropy : float or None
        Mean entropy of the network's predictions over the picture and its pages, nats; None
        without a confidence map.
    counts : dict of str to int
        Of a film: its frames, those that an earlier run made, and its cuts.
    result : bytes
        The encoded result of a picture that came as bytes; empty if it is in a file.
    """

    job: Job
    status: Status
    error: RecolorError | None = None
    bug: str = ""
    size: ImageSize | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    is_damaged: bool = False
    reason: str = ""
    written: tuple[str, ...] = ()
    thumbnails: Thumbnails | None = None
    entropy: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    result: bytes = field(default=b"", repr=False)


def not_tried(job: Job, error: RecolorError) -> Outcome:
    """Return the outcome of a job that has an error from the start."""
    return Outcome(job, Status.LEFT_OUT if job.is_unsupported else Status.FAILED, error)


def made_otherwise(job: Job, difference: str) -> Outcome:
    """Return the outcome of a job whose result exists, but was not made as it would be now.

    Parameters
    ----------
    job : Job
    difference : str
        Which output exists, and how it was made.
    """
    advice = "--overwrite redoes it; another -o or --suffix keeps it"
    if job.backup:
        advice = f"move {job.backup} back to redo it"
    return Outcome(job, Status.MADE_OTHERWISE, OutputError(difference, advice))


def failed_unexpectedly(job: Job, error: Exception) -> Outcome:
    """Return the outcome of a job that failed by another error than ours: no memory, or a bug."""
    if is_out_of_memory(error):
        return Outcome(job, Status.FAILED, InputError(NO_MEMORY, MEMORY_ADVICE))
    failure = RecolorError(f"a bug in recolor: {error!r}", "please report it with -v's output")
    trace = "".join(traceback.format_exception(error))
    return Outcome(job, Status.FAILED, failure, bug=trace)


@dataclass
class Report:
    """The counts of a run, from which its exit code follows."""

    counts: Counter[Status] = field(default_factory=Counter)
    bugs: int = 0
    least_certain: list[tuple[float, str]] = field(default_factory=list)  # nats, source
    unsupported_files: Counter[str] = field(default_factory=Counter)  # by message and hint
    causes: Counter[str] = field(default_factory=Counter)  # failures by their common cause

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self.counts[outcome.status] += 1
        self.bugs += bool(outcome.bug)
        if outcome.error and outcome.error.cause:
            self.causes[outcome.error.cause] += 1
        if outcome.entropy is not None:
            self.least_certain.append((outcome.entropy, outcome.job.source))
            self.least_certain.sort(key=lambda known: -known[0])
            del self.least_certain[MAX_LISTED:]
        if outcome.status is Status.LEFT_OUT and outcome.error:
            self.unsupported_files[f"{outcome.error.message}; {outcome.error.hint}"] += 1

    def is_repeated(self, outcome: Outcome) -> bool:
        """Tell whether an outcome that was added says what others before it have said.

        It failed by the cause of an earlier one, or many results were made otherwise, as all are
        if a model is new.
        """
        if outcome.status is Status.MADE_OTHERWISE:
            return self.counts[Status.MADE_OTHERWISE] > MAX_LISTED
        return outcome.error is not None and self.causes[outcome.error.cause] > 1

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the process."""
        if self.bugs:
            return ExitCode.BUG
        is_undone = self.counts[Status.FAILED] or self.counts[Status.MADE_OTHERWISE]
        return ExitCode.SOME_FAILED if is_undone else ExitCode.OK

    def __str__(self) -> str:
        words = [f"{count} {status}" for status in Status if (count := self.counts[status])]
        return ", ".join(words) or "nothing to do"
