"""Many pictures: which inputs, which destinations, the work on each, the report."""

from __future__ import annotations

import os
import sys
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from recolor_cli.errors import (
    ExitCode,
    InputError,
    NoInputsError,
    OutputError,
    RecolorError,
    UsageError,
)
from recolor_cli.image_io import ImageFormat, decode, encode, read, write_atomic
from recolor_cli.recolorizer import Recolorizer, StageTimings
from recolor_cli.types import ImageSize

STREAM = "-"  # as an input: standard input; as a destination: standard output
DEFAULT_SUFFIX = "-recolored"


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Where results go and how they are written.

    Parameters
    ----------
    out : str or None
        A folder, a file, or ``-`` for stdout; None puts each result beside its input.
    suffix : str or None
        Added to the name; None is ``-recolored`` beside the input and nothing in a folder.
    format : ImageFormat or None
        None keeps the input's.
    quality : int
        1..100, for the lossy formats.
    overwrite : bool
        Redo what is there already, instead of skipping it.
    """

    out: str | None = None
    suffix: str | None = None
    format: ImageFormat | None = None
    quality: int = 95
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One input and the place of its result; `error` says why it cannot even be tried."""

    source: str
    destination: str = ""
    error: RecolorError | None = None


class Status(StrEnum):
    """How a job ended."""

    WRITTEN = "written"
    SKIPPED = "skipped"
    FAILED = "failed"
    PLANNED = "planned"  # a dry run: it would be written


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
    """

    job: Job
    status: Status
    error: RecolorError | None = None
    bug: str = ""
    size: ImageSize | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass
class Report:
    """How a whole batch ended."""

    counts: Counter[Status] = field(default_factory=Counter)
    bugs: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self.counts[outcome.status] += 1
        self.bugs += bool(outcome.bug)

    @property
    def exit_code(self) -> ExitCode:
        """What the process is to return."""
        if self.bugs:
            return ExitCode.BUG
        return ExitCode.SOME_FAILED if self.counts[Status.FAILED] else ExitCode.OK

    def __str__(self) -> str:
        words = [f"{count} {status}" for status in Status if (count := self.counts[status])]
        return ", ".join(words) or "nothing to do"


def plan(inputs: Sequence[str], recursive: bool, options: OutputOptions) -> list[Job]:
    """Decide what is to be done, before anything is.

    Parameters
    ----------
    inputs : sequence of str
        Files, folders, or ``-``.
    recursive : bool
        Search folders in depth.
    options : OutputOptions

    Returns
    -------
    list of Job
        In the order of the inputs; the files of a folder in the order of their names.

    Raises
    ------
    NoInputsError
        If no input matches.
    UsageError
        If the destination does not fit the inputs.

    Notes
    -----
    A file that is another input's destination is a result of an earlier run and is left out, and so
    are, in folders, files whose name ends in the suffix: the same command twice does nothing twice.
    """
    out = options.out
    single = len(inputs) == 1 and (inputs[0] == STREAM or not os.path.isdir(inputs[0]))
    out_file = out is not None and single and _names_a_file(out)
    if out == STREAM and not single:
        raise UsageError("standard output takes one picture", "give one input, or a folder with -o")
    named = ImageFormat.of_suffix(Path(out).suffix) if out is not None and out_file else None
    if named and options.format and named is not options.format:
        raise UsageError(f"--format {options.format.lower()} does not fit the name {out}")
    if out is not None and not out_file and os.path.exists(out) and not os.path.isdir(out):
        raise UsageError(f"{out} is a file, but a folder is needed", "choose another -o")
    suffix = options.suffix
    if suffix is None:
        suffix = DEFAULT_SUFFIX if out is None else ""
    if "/" in suffix or os.sep in suffix:
        raise UsageError(f"the suffix {suffix} has a slash in it", "use -o for a folder")

    jobs: list[Job] = []
    for name in inputs:
        if name == STREAM:
            jobs.append(Job(STREAM, STREAM if out is None else _of_stream(out, out_file, options)))
            continue
        path = Path(name)
        if os.path.isdir(name):
            found = _scan(path, recursive, suffix or DEFAULT_SUFFIX, out)
        else:
            found = [(path, Path(path.name))]
        for source, relative in found:
            if out_file:
                jobs.append(Job(str(source), str(out)))
            else:
                folder = source.parent if out is None else Path(out) / relative.parent
                ending = options.format.suffix if options.format else source.suffix
                jobs.append(Job(str(source), str(folder / f"{source.stem}{suffix}{ending}")))
    if not jobs:
        names = ", ".join(inputs)
        advice = "name a folder with JPEG, PNG, WebP, TIFF or AVIF files"
        raise NoInputsError(
            f"no pictures in {names}",
            advice if recursive else f"{advice}, or search deeper with -r",
        )
    return _without_conflicts(jobs)


def run(
    jobs: Sequence[Job], recolorizer: Recolorizer, options: OutputOptions, workers: int
) -> Iterator[Outcome]:
    """Do the jobs and yield how each ended, in their order.

    Parameters
    ----------
    jobs : sequence of Job
    recolorizer : Recolorizer
    options : OutputOptions
    workers : int
        Pictures that are worked on at a time, each in a thread of its own: decoding, the network
        and encoding all run outside Python's lock. Memory grows with it, not with the jobs.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="recolor") as pool:
        waiting: deque[Future[Outcome]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(_do, job, recolorizer, options, workers))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # interrupted: what is begun is finished, the rest is not begun
            for future in waiting:
                future.cancel()


def dry_run(jobs: Sequence[Job], options: OutputOptions) -> Iterator[Outcome]:
    """Yield what `run` would do, as far as that shows without reading a picture."""
    for job in jobs:
        if job.error:
            yield Outcome(job, Status.FAILED, job.error)
        elif job.source != STREAM and not os.path.exists(job.source):
            yield Outcome(job, Status.FAILED, InputError("no such file", "check the name"))
        elif _is_done(job, options):
            yield Outcome(job, Status.SKIPPED)
        else:
            yield Outcome(job, Status.PLANNED)


def _do(job: Job, recolorizer: Recolorizer, options: OutputOptions, share: int) -> Outcome:
    """Do one job; whatever goes wrong is in the outcome, so that the others go on."""
    if job.error:
        return Outcome(job, Status.FAILED, job.error)
    if _is_done(job, options):
        return Outcome(job, Status.SKIPPED)
    timings = StageTimings()
    try:
        data = sys.stdin.buffer.read() if job.source == STREAM else read(Path(job.source))
        image = decode(data, share)
        timings.lap("decode")
        rgb = recolorizer.recolor(image.rgb, timings)
        image_format = (
            options.format
            or ImageFormat.of_suffix(Path(job.destination).suffix)
            or image.format  # stdout, or a name without a known ending
        )
        encoded = encode(image, rgb, image_format, options.quality)
        timings.lap("encode")
        if job.destination == STREAM:
            sys.stdout.buffer.write(encoded)
            sys.stdout.buffer.flush()
        else:
            write_atomic(Path(job.destination), encoded)
        timings.lap("write")
    except RecolorError as error:
        return Outcome(job, Status.FAILED, error)
    except MemoryError:
        advice = "make it smaller, or use fewer --jobs"
        return Outcome(job, Status.FAILED, InputError("there is not enough memory for it", advice))
    except BrokenPipeError:
        advice = "let the next program in the pipe read all of it"
        return Outcome(job, Status.FAILED, OutputError("standard output was closed", advice))
    except Exception as error:  # a bug; 100,000 other pictures are not to suffer from it
        failure = RecolorError(f"a bug in recolor: {error!r}", "please report it with -v's output")
        return Outcome(job, Status.FAILED, failure, bug=traceback.format_exc())
    return Outcome(
        job, Status.WRITTEN, size=image.size, seconds=timings.seconds, warnings=image.warnings
    )


def _is_done(job: Job, options: OutputOptions) -> bool:
    return job.destination != STREAM and not options.overwrite and os.path.exists(job.destination)


def _names_a_file(out: str) -> bool:
    """Tell whether ``-o`` is meant as a file: by its ending, unless it is a folder already."""
    if out == STREAM:
        return True
    if out.endswith(("/", os.sep)) or os.path.isdir(out) or not Path(out).suffix:
        return False
    if ImageFormat.of_suffix(Path(out).suffix) is None:
        raise UsageError(
            f"{out}: files ending in {Path(out).suffix} cannot be written",
            "use .jpg, .png, .webp, .tif or .avif; a folder's name ends in /",
        )
    return True


def _of_stream(out: str, out_file: bool, options: OutputOptions) -> str:
    """Return the destination of standard input, which has no name of its own."""
    if out_file:
        return out
    ending = (options.format or ImageFormat.PNG).suffix
    return str(Path(out) / f"stdin{options.suffix or DEFAULT_SUFFIX}{ending}")


def _scan(
    folder: Path, recursive: bool, result_suffix: str, out: str | None
) -> list[tuple[Path, Path]]:
    """Return the pictures in a folder, each with its path relative to it.

    Hidden files and folders, links to folders and the output folder are left out.
    """
    found = []
    out_folder = Path(out).resolve() if out is not None else None
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders[:] = sorted(
            name
            for name in folders
            if recursive
            and not name.startswith(".")
            and not (out_folder and (here / name).resolve() == out_folder)
        )
        for name in sorted(files):
            path = here / name
            if (
                ImageFormat.of_suffix(path.suffix)
                and not name.startswith(".")
                and not path.stem.endswith(result_suffix)
            ):
                found.append((path, path.relative_to(folder)))
    return found


def _without_conflicts(jobs: list[Job]) -> list[Job]:
    """Leave out earlier results, and refuse what would harm an input or another result."""
    writer: dict[str, str] = {}  # destination -> the first source that is to be written there
    for job in jobs:
        if job.destination != STREAM:
            writer.setdefault(_key(job.destination), job.source)
    identities = {_identity(job.source) for job in jobs} - {None}
    checked: list[Job] = []
    seen: set[str] = set()
    for job in jobs:
        if job.source == STREAM and job.destination == STREAM:
            checked.append(job)
            continue
        if job.source != STREAM:
            source = _key(job.source)
            if source in seen or writer.get(source, job.source) != job.source:
                continue  # named twice, or the result of another input
            seen.add(source)
        if job.destination == STREAM:
            checked.append(job)
        elif _identity(job.destination) in identities:
            error = OutputError(
                f"{job.destination} would overwrite an input", "choose another -o or --suffix"
            )
            checked.append(Job(job.source, job.destination, error))
        elif writer[_key(job.destination)] != job.source:
            error = OutputError(
                f"{job.destination} is already the result of {writer[_key(job.destination)]}",
                "recolor them into different folders",
            )
            checked.append(Job(job.source, job.destination, error))
        else:
            checked.append(job)
    return checked


def _key(path: str) -> str:
    """Return what two spellings of the same place have in common."""
    return os.path.normcase(os.path.abspath(path))


def _identity(path: str) -> tuple[int, int] | None:
    """Return device and inode, the same for all links to a file; None if it is missing."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
