"""What is to be done: which inputs, which destinations, and what must not be touched."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recolor_cli.batch.sidecars import (
    COMPARE,
    CONFIDENCE,
    VARIANTS,
    is_thumbnail,
    sidecar_path,
    without_label,
)
from recolor_cli.errors import InputError, NoInputsError, OutputError, RecolorError, UsageError
from recolor_cli.image.formats import READABLE, ImageFormat, color_suffix
from recolor_cli.image.unsupported import unsupported_suffix

STREAM = "-"  # as an input: standard input; as a destination: standard output
DEFAULT_SUFFIX = "-recolored"


@dataclass(frozen=True, slots=True)
class MediaKind:
    """What sort of files is planned for.

    Parameters
    ----------
    noun : str
        In the plural.
    readable, writable : str
        What can be read, in words, and the endings of what can be written.
    reads, writes : callable
        Tell by its name whether a file is of this sort, and whether a result may have the name.
    ending : callable
        Returns the ending of a result, given that of its source.
    ending_of_stream : str
        The ending of what was read from standard input.
    stray : callable
        Returns why a file in a folder is left out that people may take for one of the sort, given
        its ending; or None.
    """

    noun: str
    readable: str
    writable: str
    reads: Callable[[str], bool]
    writes: Callable[[str], bool]
    ending: Callable[[str], str]
    ending_of_stream: str
    unsupported: Callable[[str], InputError | None]


def _is_picture(name: str) -> bool:
    return ImageFormat.of_suffix(Path(name).suffix) is not None


PICTURES = MediaKind(
    noun="pictures",
    readable=READABLE,
    writable=", ".join(f.suffix for f in ImageFormat),
    reads=_is_picture,
    writes=_is_picture,
    ending=color_suffix,
    ending_of_stream=ImageFormat.PNG.suffix,
    unsupported=unsupported_suffix,
)


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
    source_profile : bool
        Write in the picture's own color profile instead of sRGB.
    preserve_times : bool
        Give results the times of their pictures.
    backup : str or None
        The result takes the picture's name, and the picture one with this suffix.
    max_pixels : int
        Pictures that declare more are refused.
    compare : bool
        Write before | after beside each result.
    thumbnails : bool
        Make small pictures of before and after.
    if_gray : bool
        Skip pictures that have color.
    variants : int
        How many different colorings to write beside each result, and a sheet of them; 0 is none.
    seed : int
        Which variants.
    confidence : bool
        Write beside each result where the network was sure.
    kind : Kind
        Of files that are planned for.
    """

    out: str | None = None
    suffix: str | None = None
    format: ImageFormat | None = None
    quality: int = 95
    overwrite: bool = False
    source_profile: bool = False
    preserve_times: bool = False
    backup: str | None = None
    max_pixels: int = 500_000_000
    compare: bool = False
    thumbnails: bool = False
    if_gray: bool = False
    variants: int = 0
    seed: int = 0
    confidence: bool = False
    kind: MediaKind = PICTURES

    @property
    def needs_distribution(self) -> bool:
        """Whether one color for each place is not enough."""
        return bool(self.variants) or self.confidence

    def sidecars(self, destination: str) -> list[str]:
        """Return the paths of what is written beside a result."""
        return self.comparison_sidecars(destination) + self.network_sidecars(destination)

    def comparison_sidecars(self, destination: str) -> list[str]:
        """Return the paths of what is made of a picture and its result."""
        return [sidecar_path(destination, COMPARE)] if self.compare else []

    def network_sidecars(self, destination: str) -> list[str]:
        """Return the paths of what the network is needed for."""
        labels = [str(number) for number in range(1, self.variants + 1)]
        labels += [VARIANTS] if self.variants else []
        labels += [CONFIDENCE] if self.confidence else []
        return [sidecar_path(destination, label) for label in labels]


@dataclass(frozen=True, slots=True)
class Job:
    """One input and the place of its result.

    Parameters
    ----------
    source, destination : str
    error : RecolorError or None
        Why it cannot even be tried.
    backup : str
        The name that the input gets because its own goes to the result; else empty.
    is_stray : bool
        Whether it was found in a folder and is of a kind that is not read, which `error` names:
        that is told, but is no failure.
    redo : bool
        Whether a result that exists is of an earlier state of the input.
    """

    source: str
    destination: str = ""
    error: RecolorError | None = None
    backup: str = ""
    is_unsupported: bool = False
    redo: bool = False


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
    suffix = suffix_of(options)
    if options.backup is not None:
        _check_backup(inputs, options, options.backup)
    out_file = _out_file(inputs, options)
    jobs = [job for name in inputs for job in _jobs_of(name, recursive, options, suffix, out_file)]
    if jobs and all(job.is_unsupported and job.error for job in jobs):
        first = jobs[0]
        assert first.error
        raise NoInputsError(
            f"no pictures that can be read in {', '.join(inputs)}; "
            f"{first.source}: {first.error.message}",
            first.error.hint,
        )
    if not jobs:
        kind = options.kind
        advice = f"name a folder with {kind.readable.replace(' and', ' or')} files"
        raise NoInputsError(
            f"no {kind.noun} in {', '.join(inputs)}",
            advice if recursive else f"{advice}, or search deeper with -r",
        )
    if len(jobs) > 1 and any(job.destination == STREAM for job in jobs):
        raise UsageError("standard output takes one picture", "give one input, or a folder with -o")
    return _without_conflicts(jobs, options, suffix)


def plan_lines(names: Iterable[str], recursive: bool, options: OutputOptions) -> Iterator[Job]:
    """Decide what is to be done about each name of a list as it comes in, however long it is.

    Parameters
    ----------
    names : iterable of str
        Files and folders.
    recursive, options
        As for `plan`.

    Yields
    ------
    Job
        In the order of the names.

    Raises
    ------
    UsageError
        As `plan`.

    Notes
    -----
    What comes later cannot be known: a result of an earlier run that comes before its picture is
    told by its name, as in folders.
    """
    suffix = suffix_of(options)
    pretended = ["several", "names"]
    if options.backup is not None:
        _check_backup(pretended, options, options.backup)
    _out_file(pretended, options)
    if options.out == STREAM:
        raise UsageError("standard output takes one picture", "name it, without a list")
    sources, destinations, identities = _Seen(), _Seen(), _Seen()
    for name in names:
        for job in _jobs_of(name, recursive, options, suffix, None):
            if job.error:
                yield job
                continue
            source, destination = _key(job.source), _key(job.destination)
            identity = _identity(job.source)
            if source in sources or source in destinations or _is_result(job.source, suffix):
                continue
            error: RecolorError | None = None
            sources.add(source)
            identities.add(identity)
            existing = _identity(job.destination)
            if not job.backup and (destination in sources or (existing and existing in identities)):
                error = _would_overwrite(job)
            elif destination in destinations:
                error = taken(job, "another input")
            else:
                destinations.add(destination)
                for path in options.sidecars(job.destination):
                    if _key(path) in sources or _key(path) in destinations:
                        error = _companion_taken(path)
                    destinations.add(_key(path))
            yield replace(job, error=error)


def suffix_of(options: OutputOptions) -> str:
    """Return what is added to the names of results."""
    suffix = options.suffix
    if suffix is None:
        suffix = DEFAULT_SUFFIX if options.out is None else ""
    if "/" in suffix or os.sep in suffix:
        raise UsageError(f"the suffix {suffix} has a slash in it", "use -o for a folder")
    return suffix


def _jobs_of(
    name: str, recursive: bool, options: OutputOptions, suffix: str, out_file: str | None
) -> Iterator[Job]:
    """Yield the jobs of one input: a file, the files of a folder, standard input."""
    if not name:
        raise UsageError("an input's name is empty", "check the quotes and variables")
    if name == STREAM:
        yield Job(STREAM, out_file or _of_stream(options))
        return
    path = Path(name)
    found: Iterable[tuple[Path, Path] | Job] = [(path, Path(path.name))]
    if os.path.isdir(name):
        found = _scan(path, recursive, suffix or DEFAULT_SUFFIX, options)
    for entry in found:
        if isinstance(entry, Job):
            yield entry
            continue
        source, relative = entry
        if is_thumbnail(source):
            continue
        if options.backup is not None:
            place = os.path.realpath(source)  # a link stays one
            result = Path(place).with_stem(without_label(Path(place).stem))
            if result != Path(place) and os.path.exists(f"{result}{options.backup}"):
                continue  # a companion of an earlier run's
            yield Job(str(source), place, backup=place + options.backup)
        elif out_file:
            yield Job(str(source), out_file)
        else:
            yield job_of(source, relative, options, suffix)


def job_of(source: Path, relative: Path, options: OutputOptions, suffix: str) -> Job:
    """Return the job of a file whose result is named after it.

    Parameters
    ----------
    source : Path
    relative : Path
        Its place in the folder that was searched, which is its result's in the one of results.
    options : OutputOptions
    suffix : str
        What `suffix_of` gives.
    """
    folder = source.parent if options.out is None else Path(options.out) / relative.parent
    ending = options.format.suffix if options.format else options.kind.ending(source.suffix)
    return Job(str(source), str(folder / f"{source.stem}{suffix}{ending}"))


def _check_backup(inputs: Sequence[str], options: OutputOptions, backup: str) -> None:
    """Refuse what would make pictures and their backups hard to tell apart."""
    if options.out is not None or options.suffix is not None or options.format:
        raise UsageError(
            "--in-place keeps folder, name and format", "leave -o, --suffix and --format out"
        )
    if options.overwrite:
        raise UsageError(
            "--in-place does a picture once, its backup is the sign",
            "leave --overwrite out; to do it again, move the backup back",
        )
    if STREAM in inputs:
        raise UsageError("standard input has no place", "leave --in-place or - out")
    if not backup or "/" in backup or os.sep in backup or ImageFormat.of_suffix(backup):
        raise UsageError(
            f"{backup!r} cannot be the end of a backup's name", "use one such as .orig"
        )


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
    if several and (options.kind.writes(out) or os.path.exists(out)):
        raise UsageError(
            f"several results do not fit in the file {out}", f"a folder's name ends in /: {out}/"
        )
    if several or not ending:
        return None
    if not options.kind.writes(out):
        raise UsageError(
            f"{out}: files ending in {ending} cannot be written",
            f"use {options.kind.writable}; a folder's name ends in /",
        )
    if options.format and image_format is not options.format:
        raise UsageError(
            f"--format {options.format.lower()} does not fit the name {out}", "leave --format out"
        )
    return out


def is_done(job: Job, options: OutputOptions) -> bool:
    """Tell whether the network has nothing to do, because all that it is needed for exists."""
    return has_result(job, options) and not (
        options.needs_distribution and missing_network_sidecars(job, options)
    )


def has_result(job: Job, options: OutputOptions) -> bool:
    """Tell whether the result exists already, so that it is to stay."""
    if job.backup:  # which may be a second name of what is still the old picture
        return os.path.exists(job.backup) and not _same_file(job.backup, job.destination)
    if job.destination == STREAM or options.overwrite or job.redo:
        return False
    if not os.path.isfile(job.destination):
        return False
    try:
        return Path(job.destination).stat().st_size > 0  # an empty one is what a power cut left
    except OSError:  # it went away, or its disk did
        return False


def missing_network_sidecars(job: Job, options: OutputOptions) -> list[str]:
    """Return what is to lie beside a result, of the network's making, and is not there."""
    paths = options.network_sidecars(job.destination)
    return [path for path in paths if options.overwrite or not os.path.exists(path)]


def missing_comparison_sidecars(job: Job, options: OutputOptions) -> list[str]:
    """Return what is to be made of a picture and its result and is not there."""
    return [
        path for path in options.comparison_sidecars(job.destination) if not os.path.exists(path)
    ]


def _of_stream(options: OutputOptions) -> str:
    """Return the destination of standard input, which has no name of its own."""
    if options.out is None:
        return STREAM
    ending = options.format.suffix if options.format else options.kind.ending_of_stream
    return str(Path(options.out) / f"stdin{options.suffix or DEFAULT_SUFFIX}{ending}")


def _scan(
    folder: Path, recursive: bool, result_suffix: str, options: OutputOptions
) -> list[tuple[Path, Path] | Job]:
    """Return a folder's files of a kind, each with its path relative to it; the unreadable fail.

    Of files of other kinds those that people take for pictures are strays (see `Job`). Hidden files
    and folders, links to folders, the output folder, and results that lie beside the picture that
    they were made from are left out.
    """
    found: list[tuple[Path, Path] | Job] = []

    def unreadable(error: OSError) -> None:
        failure = InputError(f"cannot be read: {error.strerror}", "check its permissions")
        found.append(Job(str(error.filename), error=failure))

    out_folder = Path(options.out).resolve() if options.out is not None else None
    for root, folders, files in os.walk(folder, onerror=unreadable):
        here = Path(root)
        folders[:] = sorted(
            name
            for name in folders
            if recursive
            and not name.startswith(".")
            and not (out_folder and (here / name).resolve() == out_folder)
        )
        named = [here / name for name in sorted(files) if not name.startswith(".")]
        pictures = [path for path in named if options.kind.reads(path.name)]
        stems = {path.stem for path in pictures}
        found += [
            Job(str(path), error=error, is_unsupported=True)
            for path in named
            if (error := options.kind.unsupported(path.suffix))
        ]
        for path in pictures:
            original = _original(path.stem, result_suffix)
            is_result = original != path.stem and original in stems
            if not is_result and not _is_special(path):
                found.append((path, path.relative_to(folder)))
    return found


def _original(stem: str, suffix: str) -> str:
    """Return the name of the picture that a result, or its companion, would be made from."""
    unlabelled = without_label(stem, suffix)
    return (unlabelled if unlabelled.endswith(suffix) else stem).removesuffix(suffix)


def _is_special(path: Path) -> bool:
    """Tell whether a path is a pipe, a socket or a device: reading it might never end."""
    return os.path.exists(path) and not os.path.isfile(path)


def _without_conflicts(jobs: list[Job], options: OutputOptions, suffix: str) -> list[Job]:
    """Leave out earlier results, and refuse what would harm an input or another result."""
    writer: dict[str, str] = {}  # destination -> the first source that is to be written there
    for job in jobs:
        if not job.error:
            writer.setdefault(_key(job.destination), job.source)
    kept: dict[str, Job] = {}
    for job in jobs:
        source, path = _key(job.source), Path(job.source)
        result = source
        if path.name and not job.backup:  # in place, results bear the names of pictures
            result = _key(str(path.with_stem(without_label(path.stem, suffix))))
        # Else it is the result of another input, or a companion of it.
        if all(writer.get(key, job.source) == job.source for key in {source, result}):
            kept.setdefault(source, job)  # else: named twice
    identities = {_identity(job.source) for job in kept.values()} - {None}
    return [_refused(job, writer, identities, options) or job for job in kept.values()]


def _refused(
    job: Job,
    writer: dict[str, str],
    identities: set[tuple[int, int] | None],
    options: OutputOptions,
) -> Job | None:
    """Return a job with the reason why it must not be done, or None."""
    if job.error or job.destination == STREAM:
        return None
    if not job.backup and _identity(job.destination) in identities:
        error = _would_overwrite(job)
    elif (other := writer[_key(job.destination)]) != job.source:
        error = taken(job, other)
    else:
        for path in options.sidecars(job.destination):
            if _key(path) in writer or _identity(path) in identities:
                return replace(job, error=_companion_taken(path))
        return None
    return replace(job, error=error)


def _companion_taken(path: str) -> OutputError:
    return OutputError(
        f"{path}, beside its result, is an input or a result itself",
        "choose another -o or --suffix",
    )


def _would_overwrite(job: Job) -> OutputError:
    return OutputError(
        f"{job.destination} would overwrite an input", "choose another -o or --suffix"
    )


def taken(job: Job, other: str) -> OutputError:
    """Return the error of a job whose destination is another input's already."""
    return OutputError(
        f"{job.destination} is already the result of {other}",
        "recolor them into different folders",
    )


def _is_result(source: str, suffix: str) -> bool:
    """Tell whether a file lies beside the picture that it was made from, by their names."""
    path = Path(source)
    original = _original(path.stem, suffix or DEFAULT_SUFFIX)
    return original != path.stem and os.path.exists(path.with_name(original + path.suffix))


class _Seen:
    """A set of what was seen, of which it keeps 8 bytes each: for millions of names."""

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._older: list[NDArray[np.int64]] = []  # sorted, each at least twice the next

    def add(self, value: object) -> None:
        self._recent.add(hash(value))
        if len(self._recent) < 1 << 16:
            return
        merged = np.sort(np.fromiter(self._recent, np.int64))
        self._recent.clear()
        while self._older and len(self._older[-1]) < 2 * len(merged):
            merged = np.sort(np.concatenate((self._older.pop(), merged)))
        self._older.append(merged)

    def __contains__(self, value: object) -> bool:
        number = hash(value)
        if number in self._recent:
            return True
        for numbers in self._older:
            at = int(np.searchsorted(numbers, number))
            if at < len(numbers) and numbers[at] == number:
                return True
        return False


def _key(path: str) -> str:
    """Return what two spellings of the same place have in common."""
    place = os.path.normcase(os.path.abspath(path))
    if _folds_case(str(Path(place).parent)):
        place = unicodedata.normalize("NFC", place).casefold()
    return place


@cache
def _folds_case(folder: str) -> bool:
    """Tell whether two names in a folder that differ in case alone are of one file."""
    for path in (folder, *map(str, Path(folder).parents)):
        other = path.swapcase()
        if other != path and os.path.exists(path):
            return _same_file(path, other)
    return False


def _same_file(path: str, other: str) -> bool:
    try:
        return Path(path).samefile(other)
    except (OSError, ValueError):  # one is missing
        return False


def _identity(path: str) -> tuple[int, int] | None:
    """Return device and inode, the same for all links to a file; None if it is missing."""
    try:
        status = os.fstat(0) if path == STREAM else os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
