"""Decide which inputs become jobs, where their results go, and what conflicts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from recolor_cli.batch.destination import (
    check_backup,
    check_base,
    check_places,
    result_suffix,
    single_destination,
    with_common_base,
)
from recolor_cli.batch.file_identity import file_identity, path_key
from recolor_cli.batch.folder_search import is_folder
from recolor_cli.batch.inputs import is_earlier_result, jobs_of, original_stem
from recolor_cli.batch.job import STREAM, Job, is_stream
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.sidecar_names import without_label
from recolor_cli.errors import InputError, NoInputsError, OutputError, RecolorError, UsageError
from recolor_cli.system.places import folder_of, local_name, relative_to, sibling


def plan(inputs: Sequence[str], recursive: bool, options: OutputOptions) -> list[Job]:
    """Plan the inputs of a command line, which are checked against each other.

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
    An input that is another input's destination is a result of an earlier run and is left out, and
    so are results that lie beside the picture that they were made from, in folders and where both
    are named, as a shell's ``*`` does: the same command twice does nothing twice.
    """
    suffix = result_suffix(options)
    check_backup(options)
    if any(is_stream(name) for name in inputs):
        if options.backup is not None:
            raise UsageError(
                "a stream has no place on the disk", "leave --in-place out, or the stream"
            )
        if options.shard:
            raise UsageError("a stream is in no shard", "leave --shard out, or the stream")
    check_places(inputs, options)
    several = len(inputs) > 1 or is_folder(inputs[0])
    destination = single_destination(options, several)
    check_base(options, destination)
    options = with_common_base(inputs, options)
    jobs: list[Job] = []
    for name in inputs:
        jobs += jobs_of(name, recursive, options, suffix, destination)
    _check_any(jobs, inputs, recursive, options)
    if len(jobs) > 1 and any(job.destination == STREAM for job in jobs):
        raise UsageError("standard output takes one picture", "give one input, or a folder with -o")
    if options.backup is None:
        jobs = _without_results(jobs, suffix)
    resolved = _Conflicts(options, suffix).resolve(jobs)
    return [job for job in resolved if not job.is_of_other_shard]


def plan_lines(names: Iterable[str], recursive: bool, options: OutputOptions) -> Iterator[Job]:
    """Plan the names of a list of any length, each as it comes in.

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
    Later names are not known yet, so that a result of an earlier run that comes before its picture
    is recognised by its name, as in folders. A common folder of all names is not known either, so
    that results keep their path below the current folder, unless the options have another base. Of
    names outside the current folder, a file's result has its name alone.
    """
    suffix = result_suffix(options)
    check_backup(options)
    check_places((), options)
    check_base(options, single_destination(options, several=True))
    if options.out == STREAM:
        raise UsageError("standard output takes one picture", "name it, without a list")
    conflicts = _Conflicts(options, suffix)
    here = replace(options, base=os.curdir) if options.base is None else options
    for name in map(local_name, names):
        if is_stream(name):
            pipe = InputError("a list cannot name a pipe", "name it on the command line")
            if options.shard is None or options.shard.holds(name):
                yield Job(name, error=pipe)
            continue
        options_of_name = here if relative_to(name, os.curdir) else options
        for job in jobs_of(name, recursive, options_of_name, suffix, None):
            is_unreadable = job.error and os.path.isdir(job.source)
            if is_unreadable or not is_earlier_result(job.source, suffix, options_of_name):
                resolved = conflicts.resolve([job])
                yield from (job for job in resolved if not job.is_of_other_shard)


def conflict_error(job: Job, other: str) -> OutputError:
    """Return the error of a job whose destination is already that of another input."""
    # Folders cannot keep two files of one folder apart, such as x.avi and x.wmv.
    of_one_folder = folder_of(job.source) == folder_of(other)
    return OutputError(
        f"{job.destination} is already the result of {other}",
        "name it alone, with another -o or --suffix"
        if of_one_folder
        else "keep their folders apart with --base FOLDER, or recolor them into different folders",
    )


def _check_any(
    jobs: Sequence[Job], inputs: Sequence[str], recursive: bool, options: OutputOptions
) -> None:
    """Raise NoInputsError if there is nothing that can be read."""
    names = ", ".join(inputs)
    if not jobs:
        kind = options.kind
        advice = f"name a folder with {kind.readable.replace(' and', ' or')} files"
        raise NoInputsError(
            f"no {kind.noun} in {names}",
            advice if recursive else f"{advice}, or search deeper with -r",
        )
    if all(job.is_unsupported for job in jobs):
        first = jobs[0]
        assert first.error
        raise NoInputsError(
            f"no pictures that can be read in {names}; {first.source}: {first.error.message}",
            first.error.hint,
        )


def _without_results(jobs: Sequence[Job], suffix: str) -> list[Job]:
    """Return the jobs without those of earlier results whose pictures are inputs, too."""
    stems = {_key(os.path.splitext(job.source)[0]) for job in jobs}
    return [
        job
        for job in jobs
        if (stem := os.path.splitext(job.source)[0]) == (original := original_stem(stem, suffix))
        or _key(original) not in stems
    ]


class _Conflicts:
    """Leave out inputs that are results, and refuse jobs that would harm an input or a result.

    Parameters
    ----------
    options : OutputOptions
    suffix : str
        From `result_suffix`.
    """

    def __init__(self, options: OutputOptions, suffix: str) -> None:
        self._options = options
        self._suffix = suffix
        # Paths are kept as hashes, which take less memory: a list may have millions.
        self._writers: dict[int, str] = {}  # destination -> the source that is written there
        self._sidecars: set[int] = set()  # of the jobs so far
        self._sources: set[int] = set()
        self._identities: set[int] = set()  # of the sources that exist

    def resolve(self, jobs: Sequence[Job]) -> Iterator[Job]:
        """Yield the jobs that are left, checked against each other and against all before them."""
        for job in jobs:
            if not job.error:
                self._writers.setdefault(_key(job.destination), job.source)
        for job in [job for job in jobs if self._is_new_input(job)]:
            conflict = None if job.error else self._conflict(job)
            yield replace(job, error=conflict) if conflict else job

    def _is_new_input(self, job: Job) -> bool:
        """Register an input; False if it is named twice, or is another input's output."""
        key = result = _key(job.source)
        stem, ending = os.path.splitext(os.path.split(job.source)[1])
        if not job.backup:  # in place, results bear the names of pictures
            unlabelled = without_label(stem, self._suffix)
            if unlabelled != stem:
                result = _key(sibling(job.source, unlabelled + ending))
        if key in self._sources or key in self._sidecars:
            return False
        if any(self._writers.get(output, job.source) != job.source for output in (key, result)):
            return False
        self._sources.add(key)
        if identity := file_identity(job.source):
            self._identities.add(hash(identity))
        return True

    def _conflict(self, job: Job) -> RecolorError | None:
        """Register the outputs of a job; return why it must not be done, or None."""
        if job.destination == STREAM:
            return None
        key = _key(job.destination)
        if not job.backup and self._is_input(job.destination):
            return OutputError(
                f"{job.destination} would overwrite an input",
                "choose another -o or --suffix",
                "their results would overwrite inputs",
            )
        if (writer := self._writers[key]) != job.source:
            return conflict_error(job, writer)
        if key in self._sidecars:
            return conflict_error(job, "another input")
        sidecars = self._options.sidecar_paths(job.destination)
        taken = [p for p in sidecars if _key(p) in self._writers or self._is_input(p)]
        if taken:
            return OutputError(
                f"{taken[0]}, a sidecar file of its result, is an input or a result itself",
                "choose another -o or --suffix",
            )
        self._sidecars.update(map(_key, sidecars))
        return None

    def _is_input(self, path: str) -> bool:
        return _key(path) in self._sources or hash(file_identity(path)) in self._identities


def _key(path: str) -> int:
    """Return a number that is equal for all spellings of a path."""
    return hash(path_key(path))
