"""Many pictures: which inputs, which destinations, the work on each, the report."""

from __future__ import annotations

import os
import threading
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
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
from recolor_cli.image_io import (
    ImageFormat,
    available_memory,
    decode,
    encode,
    memory_needed,
    read,
    remove_leftovers,
    write_atomic,
)
from recolor_cli.recolorizer import Recolorizer, StageTimings
from recolor_cli.streams import read_stdin, write_stdout
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
    are, in folders, results that lie beside the picture that they were made from: the same command
    twice does nothing twice.
    """
    suffix = options.suffix
    if suffix is None:
        suffix = DEFAULT_SUFFIX if options.out is None else ""
    if "/" in suffix or os.sep in suffix:
        raise UsageError(f"the suffix {suffix} has a slash in it", "use -o for a folder")
    out_file = _out_file(inputs, options)

    jobs: list[Job] = []
    for name in inputs:
        if not name:
            raise UsageError("an input's name is empty", "check the quotes and variables")
        path = Path(name)
        if name == STREAM:
            jobs.append(Job(STREAM, out_file or _of_stream(options)))
            continue
        if os.path.isdir(name):
            found = _scan(path, recursive, suffix or DEFAULT_SUFFIX, options.out)
        else:
            found = [(path, Path(path.name))]
        for entry in found:
            if isinstance(entry, Job):
                jobs.append(entry)
                continue
            source, relative = entry
            folder = source.parent if options.out is None else Path(options.out) / relative.parent
            ending = options.format.suffix if options.format else source.suffix
            beside = str(folder / f"{source.stem}{suffix}{ending}")
            jobs.append(Job(str(source), out_file or beside))
    if not jobs:
        advice = "name a folder with JPEG, PNG, WebP, TIFF or AVIF files"
        raise NoInputsError(
            f"no pictures in {', '.join(inputs)}",
            advice if recursive else f"{advice}, or search deeper with -r",
        )
    if len(jobs) > 1 and any(job.destination == STREAM for job in jobs):
        raise UsageError("standard output takes one picture", "give one input, or a folder with -o")
    return _without_conflicts(jobs)


def _out_file(inputs: Sequence[str], options: OutputOptions) -> str | None:
    """Return ``-o`` if it names a file or stdout, None if it names a folder or is not given."""
    out = options.out
    if out is None or out == STREAM:
        return out
    if not out:
        raise UsageError("-o is empty", "name a folder, a file, or - for standard output")
    if os.path.isdir(out) or out.endswith(("/", os.sep)):
        return None
    several = len(inputs) > 1 or os.path.isdir(inputs[0])
    ending = Path(out).suffix
    image_format = ImageFormat.of_suffix(ending)
    if several and (image_format or os.path.exists(out)):
        raise UsageError(
            f"several results do not fit in the file {out}", f"a folder's name ends in /: {out}/"
        )
    if several or not ending:
        return None
    if image_format is None:
        raise UsageError(
            f"{out}: files ending in {ending} cannot be written",
            "use .jpg, .png, .webp, .tif or .avif; a folder's name ends in /",
        )
    if options.format and image_format is not options.format:
        raise UsageError(
            f"--format {options.format.lower()} does not fit the name {out}", "leave --format out"
        )
    return out


def run(
    jobs: Sequence[Job],
    recolorizer: Recolorizer,
    options: OutputOptions,
    workers: int,
    stop: threading.Event | None = None,
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
    stop : threading.Event or None
        Once set, what is begun is finished and yielded, and the rest is not begun.
    """
    stop = stop or threading.Event()
    for folder in {Path(job.destination).parent for job in jobs if job.destination != STREAM}:
        remove_leftovers(folder)
    budget = MemoryBudget(int(available_memory() * 0.9))
    with ThreadPoolExecutor(workers, thread_name_prefix="recolor") as pool:
        waiting: deque[Future[Outcome]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(_do, job, recolorizer, options, budget))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
                if stop.is_set():
                    break
            while waiting:
                future = waiting.popleft()
                if not (stop.is_set() and future.cancel()):
                    yield future.result()
        finally:  # closed early: what is begun is finished, the rest is not begun
            for future in waiting:
                future.cancel()


class MemoryBudget:
    """Lets pictures in as memory allows: large ones wait for each other instead of failing.

    Parameters
    ----------
    total : int
        Bytes that all pictures at a time may take.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, needed: int) -> Iterator[None]:
        """Wait until so many bytes are free, and hold them while the block runs.

        Raises
        ------
        InputError
            If there are not that many at all.
        """
        if needed > self._total:
            raise InputError(
                f"it needs about {needed / 2**30:.1f} GiB of memory, "
                f"{self._total / 2**30:.1f} GiB are free",
                "make it smaller first, or use a larger machine",
            )
        with self._changed:
            self._changed.wait_for(lambda: self._used + needed <= self._total)
            self._used += needed
        try:
            yield
        finally:
            with self._changed:
                self._used -= needed
                self._changed.notify_all()


def dry_run(jobs: Sequence[Job], options: OutputOptions) -> Iterator[Outcome]:
    """Yield what `run` would do, as far as that shows without reading a picture."""
    for job in jobs:
        if job.error:
            yield Outcome(job, Status.FAILED, job.error)
        elif job.source != STREAM and not os.path.exists(job.source):
            yield Outcome(job, Status.FAILED, InputError("no such file", "check the name"))
        elif is_done(job, options):
            yield Outcome(job, Status.SKIPPED)
        else:
            yield Outcome(job, Status.PLANNED)


def is_done(job: Job, options: OutputOptions) -> bool:
    """Tell whether there is nothing to do, because the result exists already."""
    if job.destination == STREAM or options.overwrite or not os.path.isfile(job.destination):
        return False
    return Path(job.destination).stat().st_size > 0  # an empty one is what a power cut left


def _do(
    job: Job, recolorizer: Recolorizer, options: OutputOptions, budget: MemoryBudget
) -> Outcome:
    """Do one job; whatever goes wrong is in the outcome, so that the others go on."""
    if job.error:
        return Outcome(job, Status.FAILED, job.error)
    if is_done(job, options):
        return Outcome(job, Status.SKIPPED)
    timings = StageTimings()
    try:
        data = read_stdin() if job.source == STREAM else read(Path(job.source))
        target = options.format or ImageFormat.of_suffix(Path(job.destination).suffix)
        with budget.reserve(memory_needed(data, target)):
            timings.lap("read")
            image = decode(data)
            timings.lap("decode")
            rgb = recolorizer.recolor(image.rgb, timings)
            # Stdout, or a name without a known ending, takes the source's format.
            encoded = encode(image, rgb, target or image.format, options.quality)
            timings.lap("encode")
        if job.destination == STREAM:
            write_stdout(encoded)
        else:
            write_atomic(Path(job.destination), encoded)
        timings.lap("write")
    except RecolorError as error:
        return Outcome(job, Status.FAILED, error)
    except MemoryError:
        advice = "make it smaller, or use fewer --jobs"
        return Outcome(job, Status.FAILED, InputError("there is not enough memory for it", advice))
    except Exception as error:  # a bug; 100,000 other pictures are not to suffer from it
        failure = RecolorError(f"a bug in recolor: {error!r}", "please report it with -v's output")
        return Outcome(job, Status.FAILED, failure, bug=traceback.format_exc())
    return Outcome(
        job, Status.WRITTEN, size=image.size, seconds=timings.seconds, warnings=image.warnings
    )


def _of_stream(options: OutputOptions) -> str:
    """Return the destination of standard input, which has no name of its own."""
    if options.out is None:
        return STREAM
    ending = (options.format or ImageFormat.PNG).suffix
    return str(Path(options.out) / f"stdin{options.suffix or DEFAULT_SUFFIX}{ending}")


def _scan(
    folder: Path, recursive: bool, result_suffix: str, out: str | None
) -> list[tuple[Path, Path] | Job]:
    """Return the pictures in a folder, each with its path relative to it; what is unreadable fails.

    Hidden files and folders, links to folders, the output folder, and results that lie beside the
    picture that they were made from are left out.
    """
    found: list[tuple[Path, Path] | Job] = []

    def unreadable(error: OSError) -> None:
        failure = InputError(f"cannot be read: {error.strerror}", "check its permissions")
        found.append(Job(str(error.filename), error=failure))

    out_folder = Path(out).resolve() if out is not None else None
    for root, folders, files in os.walk(folder, onerror=unreadable):
        here = Path(root)
        folders[:] = sorted(
            name
            for name in folders
            if recursive
            and not name.startswith(".")
            and not (out_folder and (here / name).resolve() == out_folder)
        )
        pictures = [
            here / name
            for name in sorted(files)
            if ImageFormat.of_suffix(Path(name).suffix) and not name.startswith(".")
        ]
        stems = {path.stem for path in pictures}
        for path in pictures:
            original = path.stem.removesuffix(result_suffix)
            is_result = original != path.stem and original in stems
            if not is_result and not _is_special(path):
                found.append((path, path.relative_to(folder)))
    return found


def _is_special(path: Path) -> bool:
    """Tell whether a path is a pipe, a socket or a device: reading it might never end."""
    return os.path.exists(path) and not os.path.isfile(path)


def _without_conflicts(jobs: list[Job]) -> list[Job]:
    """Leave out earlier results, and refuse what would harm an input or another result."""
    writer: dict[str, str] = {}  # destination -> the first source that is to be written there
    for job in jobs:
        if not job.error:
            writer.setdefault(_key(job.destination), job.source)
    kept: dict[str, Job] = {}
    for job in jobs:
        source = _key(job.source)
        if writer.get(source, job.source) == job.source:  # else: the result of another input
            kept.setdefault(source, job)  # else: named twice
    identities = {_identity(job.source) for job in kept.values()} - {None}
    return [_refused(job, writer, identities) or job for job in kept.values()]


def _refused(
    job: Job, writer: dict[str, str], identities: set[tuple[int, int] | None]
) -> Job | None:
    """Return a job with the reason why it must not be done, or None."""
    if job.error or job.destination == STREAM:
        return None
    if _identity(job.destination) in identities:
        error = OutputError(
            f"{job.destination} would overwrite an input", "choose another -o or --suffix"
        )
    elif (other := writer[_key(job.destination)]) != job.source:
        error = OutputError(
            f"{job.destination} is already the result of {other}",
            "recolor them into different folders",
        )
    else:
        return None
    return Job(job.source, job.destination, error)


def _key(path: str) -> str:
    """Return what two spellings of the same place have in common."""
    return os.path.normcase(os.path.abspath(path))


def _identity(path: str) -> tuple[int, int] | None:
    """Return device and inode, the same for all links to a file; None if it is missing."""
    try:
        status = os.fstat(0) if path == STREAM else os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
