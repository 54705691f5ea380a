"""Decide which inputs become jobs, where their results go, and what conflicts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import compress

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
from recolor_cli.system.compact import CompactList, HashedNumbers, HashedSet
from recolor_cli.system.places import folder_of, local_name, relative_to, sibling


def plan(inputs: Sequence[str], recursive: bool, options: OutputOptions) -> Sequence[Job]:
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
    sequence of Job
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

    A picture takes some hundred bytes of memory while it is planned, and its job some twenty.
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
    jobs: Sequence[Job] = CompactList(
        job for name in inputs for job in jobs_of(name, recursive, options, suffix, destination)
    )
    _check_any(jobs, inputs, recursive, options)
    # Where it is false no job goes to standard output, and a long list is not looked through.
    may_stream = destination == STREAM or (options.out is None and any(map(is_stream, inputs)))
    if may_stream and len(jobs) > 1 and any(job.destination == STREAM for job in jobs):
        raise UsageError("standard output takes one picture", "give one input, or a folder with -o")
    if options.backup is None:
        jobs = _without_results(jobs, suffix)
    resolved = _Conflicts(options, suffix).resolve(jobs)
    return CompactList(job for job in resolved if not job.is_of_other_shard)


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
        advice = [f"name a folder with {kind.readable.replace(' and', ' or')} files"]
        if options.exclude:
            advice.append("leave --exclude out")
        if not recursive:
            advice.append("search deeper with -r")
        raise NoInputsError(f"no {kind.noun} in {names}", ", or ".join(advice))
    if all(job.is_unsupported for job in jobs):
        first = jobs[0]
        assert first.error
        raise NoInputsError(
            f"no pictures that can be read in {names}; {first.source}: {first.error.message}",
            first.error.hint,
        )


def _without_results(jobs: Sequence[Job], suffix: str) -> Sequence[Job]:
    """Return the jobs without those of earlier results whose pictures are inputs, too."""

    def stem_and_original(job: Job) -> tuple[str, str]:
        stem = os.path.splitext(job.source)[0]
        return stem, original_stem(stem, suffix)

    if all(stem == original for stem, original in map(stem_and_original, jobs)):
        return jobs
    stems = HashedSet(path_key(stem_and_original(job)[0]) for job in jobs)

    def is_result(job: Job) -> bool:
        stem, original = stem_and_original(job)
        return stem != original and path_key(original) in stems

    return CompactList(job for job in jobs if not is_result(job))


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
        # A list may have millions of paths, so their hashes are kept, and names compressed.
        self._names: CompactList[str] = CompactList()  # of the sources, in their order
        self._writers = HashedNumbers()  # destination -> number of the first job that writes there
        self._sidecars = HashedSet()  # of the jobs so far
        self._sources = HashedSet()
        self._identities = HashedSet()  # of the sources that exist

    def resolve(self, jobs: Sequence[Job]) -> Iterator[Job]:
        """Yield the jobs that are left, checked against each other and against all before them."""
        first = len(self._names)
        for number, job in enumerate(jobs, first):
            self._names.append(job.source)
            if not job.error:
                self._writers.setdefault(path_key(job.destination), number)
        are_new = bytearray(self._is_new(number, job) for number, job in enumerate(jobs, first))
        numbered = enumerate(jobs, first)
        for number, job in compress(numbered, are_new):
            conflict = None if job.error else self._conflict(number, job)
            yield job._replace(error=conflict) if conflict else job

    def _is_new(self, number: int, job: Job) -> bool:
        """Register an input; False if it is named twice, or is another input's output."""
        key = result = path_key(job.source)
        stem, ending = os.path.splitext(os.path.split(job.source)[1])
        if not job.backup:  # in place, results bear the names of pictures
            unlabelled = without_label(stem, self._suffix)
            if unlabelled != stem:
                result = path_key(sibling(job.source, unlabelled + ending))
        if key in self._sources or key in self._sidecars:
            return False
        if self._writers.get(key, number) != number:
            return False
        if result != key and self._writers.get(result, number) != number:
            return False
        self._sources.add(key)
        if identity := file_identity(job.source):
            self._identities.add(identity)
        return True

    def _conflict(self, number: int, job: Job) -> RecolorError | None:
        """Register the outputs of a job; return why it must not be done, or None."""
        if job.destination == STREAM:
            return None
        key = path_key(job.destination)
        if not job.backup and self._is_input(job.destination, key):
            return OutputError(
                f"{job.destination} would overwrite an input",
                "choose another -o or --suffix",
                "their results would overwrite inputs",
            )
        if (writer := self._writers[key]) != number:
            return conflict_error(job, self._names[writer])
        if key in self._sidecars:
            return conflict_error(job, "another input")
        sidecars = [(path, path_key(path)) for path in self._options.sidecar_paths(job.destination)]
        for path, sidecar in sidecars:
            if sidecar in self._writers or self._is_input(path, sidecar):
                return OutputError(
                    f"{path}, a sidecar file of its result, is an input or a result itself",
                    "choose another -o or --suffix",
                )
        for _, sidecar in sidecars:
            self._sidecars.add(sidecar)
        return None

    def _is_input(self, path: str, key: str) -> bool:
        return key in self._sources or file_identity(path) in self._identities
