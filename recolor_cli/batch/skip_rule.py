"""The skip rule: which outputs of a job exist already."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.sidecar_names import VARIANTS, sidecar_path
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.provenance import Provenance
from recolor_cli.image.xmp_reader import read_provenance, read_xmp
from recolor_cli.system.files import has_same_content
from recolor_cli.system.places import folder_of, is_address
from recolor_cli.system.stores import LISTINGS


@dataclass(frozen=True, slots=True)
class MissingOutputs:
    """The outputs of a job that are to be made.

    Parameters
    ----------
    result : bool
    network_sidecars : tuple of str
        Paths of sidecar files that need the network.
    comparison_sidecars : tuple of str
        Paths of sidecar files that are made from the picture and its result.
    difference : str
        Which of the existing outputs was made otherwise than it would be now, and how. Then
        nothing is to be made.
    """

    result: bool
    network_sidecars: tuple[str, ...] = ()
    comparison_sidecars: tuple[str, ...] = ()
    difference: str = ""

    @property
    def sidecars(self) -> tuple[str, ...]:
        """Paths of all sidecar files that are to be made."""
        return self.network_sidecars + self.comparison_sidecars

    @property
    def needs_network(self) -> bool:
        """Whether the picture has to be recolored."""
        return self.result or bool(self.network_sidecars)


def missing_outputs(job: Job, options: OutputOptions) -> MissingOutputs:
    """Return the outputs of a job that are to be made.

    With a new result come all its sidecar files. Those of the network are one set: if one is
    missing, all are made anew, because a sheet must show the variants that lie beside it. Drawings
    of an earlier result count as missing.
    """
    network = options.network_sidecars(job.destination)
    comparison = options.comparison_sidecars(job.destination)
    if not has_result(job, options):
        return MissingOutputs(True, tuple(network), tuple(comparison))
    differences = _differences(job, options)
    numbers = filter(str.isdecimal, options.network_labels)
    pictures = [job.destination, *(sidecar_path(job.destination, number) for number in numbers)]
    for path in pictures:
        if path in differences:
            return MissingOutputs(False, difference=f"{path} exists, and was {differences[path]}")

    def is_current(path: str) -> bool:
        """Tell whether a file is there, and is no drawing of an earlier result."""
        return _is_written(path) and path not in differences

    is_whole = all(map(is_current, network))
    absent = (path for path in comparison if not is_current(path))
    return MissingOutputs(False, () if is_whole else tuple(network), tuple(absent))


def has_result(job: Job, options: OutputOptions) -> bool:
    """Tell whether the result exists and must stay."""
    if job.backup:
        # A run that ended between the backup and the result leaves a backup like the picture.
        backup, picture = Path(job.backup), Path(job.destination)
        return backup.exists() and not has_same_content(backup, picture)
    if job.destination == STREAM or options.overwrite or job.redo:
        return False
    return _is_written(job.destination)


def find_foreign_sidecar(job: Job, missing: MissingOutputs, options: OutputOptions) -> str | None:
    """Return a file that has the name of a sidecar file to be made, but may be somebody's picture.

    Where a result is missing, its sidecar files were removed before it, or by the user with it.
    Where there is a result, but no sheet, no run has made variants of it. So a file of such a name
    is taken for one of them only if it says so itself. One on a store is not read.
    """
    if options.overwrite:
        return None
    sheet = sidecar_path(job.destination, VARIANTS)
    is_remade = job.redo or (not missing.result and _is_written(sheet))

    def is_foreign(path: str) -> bool:
        if not _is_written(path):
            return False
        recorded = recorded_provenance(path)
        return not is_remade if recorded is None else not recorded.is_of(job.source)

    paths = missing.sidecars if missing.result else missing.network_sidecars
    return next(filter(is_foreign, paths), None)


def recorded_provenance(path: str) -> Provenance | None:
    """Return how a file says that it was made, or None; one on a store is not read."""
    return None if is_address(path) else read_provenance(read_xmp(path))


def _differences(job: Job, options: OutputOptions) -> dict[str, str]:
    """Return how existing outputs were made, by path, if that is otherwise than now."""
    if is_address(job.destination):  # to read it would be a request a picture
        return {}
    run = options.provenance_for(ImageFormat.of_suffix(os.path.splitext(job.destination)[1]))
    if run is None:
        return {}
    wanted = {job.destination: run}
    for label in options.sidecar_labels:
        path = sidecar_path(job.destination, label)
        wanted[path] = options.provenance_of_sidecar(label, run)
    source, file = job.source, job.backup or job.source
    if source == STREAM or is_address(source):
        file = ""
    found = {}
    for path, provenance in wanted.items():
        recorded = read_provenance(read_xmp(path))
        if recorded and (difference := recorded.difference(provenance, source, file)):
            found[path] = difference
    return found


def expect_results(jobs: Iterable[Job], options: OutputOptions) -> None:
    """Let the results on a store be found by one listing, of no more than is needed.

    Parameters
    ----------
    jobs : iterable of Job
        If it is no sequence, the whole folder of results is listed.
    options : OutputOptions
    """
    out = options.out
    if not isinstance(jobs, Sequence):
        if out is not None and is_address(out):
            LISTINGS.expect(f"{out.rstrip('/')}/")
        return
    on_stores = (job.destination for job in jobs if is_address(job.destination))
    first = last = os.path.splitext(next(on_stores, ""))[0]
    for stem, _ in map(os.path.splitext, on_stores):
        if out is None and folder_of(stem) != folder_of(first):
            return  # their common folder may hold much more, so each is listed
        first, last = min(first, stem), max(last, stem)
    if first:
        # All addresses between the first and the last one share their common beginning.
        LISTINGS.expect(os.path.commonprefix((first, last)))  # noqa: RUF071, of characters


def _is_written(path: str) -> bool:
    if is_address(path):
        return LISTINGS.is_written(path)
    if not os.path.isfile(path):
        return False
    try:
        # A power cut may leave an empty file.
        return Path(path).stat().st_size > 0
    except OSError:  # the file, or its disk, was removed just now
        return False
