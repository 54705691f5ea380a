"""Plan which films are recolored, and where the results go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from recolor_cli.batch.destination import DEFAULT_SUFFIX
from recolor_cli.batch.job import Job
from recolor_cli.batch.outcome import Outcome, Status, made_otherwise
from recolor_cli.batch.output_options import MediaKind, OutputOptions
from recolor_cli.batch.plan import plan
from recolor_cli.batch.skip_rule import has_result
from recolor_cli.errors import InputError, OutputError, RecolorError
from recolor_cli.image.film_names import has_film_suffix, is_film, is_sequence
from recolor_cli.system.places import is_address
from recolor_cli.video.containers import CONTAINERS, choose_suffix, is_writable, names_pictures
from recolor_cli.video.image_sequence import (
    find_whole_sequence,
    first_result_number,
    format_frame_path,
)
from recolor_cli.video.provenance_tag import read_film_provenance, source_file

if TYPE_CHECKING:
    from recolor_cli.commands.options import SharedValues
    from recolor_cli.image.provenance import Provenance
    from recolor_cli.video.film_options import FilmOptions

FILMS = MediaKind(
    noun="films",
    readable="MP4, Matroska, MOV, AVI and other film",
    writable=", ".join(sorted(CONTAINERS)),
    reads=has_film_suffix,
    writes=is_writable,
    ending=choose_suffix,
    ending_of_stream=".mkv",
    unsupported=lambda ending: None,
)


def make_output_options(given: SharedValues, options: FilmOptions) -> OutputOptions:
    """Return where results go. A part of a film does not take the name of the whole result."""
    suffix = given.suffix
    if suffix is None and options.preview:
        suffix = "-preview"
    elif suffix is None and not options.span.is_all:
        suffix = "-part"
    return OutputOptions(
        out=given.out,
        suffix=suffix,
        overwrite=given.overwrite,
        exclude=given.exclude,
        kind=FILMS,
        base=given.base,
        shard=given.shard,
    )


def plan_films(inputs: Sequence[str], recursive: bool, output: OutputOptions) -> list[Job]:
    """Return the jobs of the inputs.

    Raises
    ------
    UsageError
        If the destination does not fit the inputs.
    NoInputsError
        If there is no film.
    """
    jobs = (_refuse_picture(job) for job in plan(inputs, recursive, output))
    return [_place_sequence(job, output) for job in jobs]


def _refuse_picture(job: Job) -> Job:
    """Return a job with an error if its source is a file without the name of a film."""
    if job.error or not os.path.isfile(job.source) or is_film(job.source):
        return job
    error = InputError("it is not named like a film", "recolor run colors pictures")
    return job._replace(error=error)


def is_finished(job: Job, output: OutputOptions, start: float, rate: Fraction | None) -> bool:
    """Tell whether the result exists; see `find_result`."""
    return find_result(job, output, start, rate) is not None


def find_result(job: Job, output: OutputOptions, start: float, rate: Fraction | None) -> str | None:
    """Return the result of a job if it exists and must stay, or None.

    Of numbered pictures, it is the first one, which is written last.

    Parameters
    ----------
    job : Job
    output : OutputOptions
    start : float
        First moment of the source to recolor, s.
    rate : Fraction or None
        Frames per second, of films that declare none.
    """
    path = job.destination
    if names_pictures(path):
        try:
            pictures = find_whole_sequence(job.source) if is_sequence(job.source) else {}
        except InputError:  # the job fails with it, too
            return None
        path = str(format_frame_path(path, first_result_number(pictures, start, rate)))
    return path if has_result(job._replace(destination=path), output) else None


def make_untried_outcome(job: Job, finished: bool, provenance: Provenance | None) -> Outcome:
    """Return the outcome of a job that is not tried: it has an error, is finished, or planned.

    Parameters
    ----------
    job : Job
    finished : bool
    provenance : Provenance or None
        Of all results of the run, to compare that of an existing result with.
    """
    if job.error:
        return Outcome(job, Status.FAILED, job.error)
    if finished and provenance and not is_address(job.destination):
        recorded = read_film_provenance(Path(job.destination))
        file = "" if is_address(job.source) else source_file(job.source)
        if recorded and (difference := recorded.difference(provenance, job.source, file)):
            return made_otherwise(job, f"{job.destination} exists, and was {difference}")
    return Outcome(job, Status.SKIPPED if finished else Status.PLANNED)


def _place_sequence(job: Job, output: OutputOptions) -> Job:
    """Return a job with the destination of numbered pictures, by default in a folder beside them.

    Other jobs are returned unchanged.
    """
    source = Path(job.source)
    if job.error or not is_sequence(job.source):
        return job
    if is_address(job.source) or (output.out is not None and is_address(output.out)):
        error: RecolorError = InputError(
            "numbered pictures are read from a disk and written to one, not to a store",
            "copy them, or make one file of them: -o NAME.mkv",
        )
        return job._replace(error=error)
    if output.out is None:
        # Pictures in the current folder get a folder inside it.
        name = (source.parent.name or "pictures") + (output.suffix or DEFAULT_SUFFIX)
        folder = source.parent.with_name(name) if source.parent.name else Path(name)
        return job._replace(destination=str(folder / source.name))
    destination = job.destination
    if destination != output.out:  # in a folder, they keep their names
        destination = str(Path(destination).with_name(source.name))
    job = job._replace(destination=destination)
    if (
        names_pictures(destination)
        and source.parent.resolve() == Path(destination).parent.resolve()
    ):
        error = OutputError(
            f"{destination} lies among its sources", "choose another folder with -o"
        )
        return job._replace(error=error)
    return job
