"""Plan which films are recolored, and where the results go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from recolor_cli.batch.destination import DEFAULT_SUFFIX
from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.outcome import Outcome, Status
from recolor_cli.batch.output_options import MediaKind, OutputOptions
from recolor_cli.batch.plan import plan
from recolor_cli.batch.skip_rule import has_result
from recolor_cli.errors import OutputError, UsageError
from recolor_cli.image.film_names import FILM_SUFFIXES, is_film
from recolor_cli.video.containers import CONTAINERS, choose_suffix, is_writable
from recolor_cli.video.image_sequence import format_frame_name, is_pattern

if TYPE_CHECKING:
    from recolor_cli.video.film_options import FilmOptions

_FILMS = MediaKind(
    noun="films",
    readable="MP4, Matroska, MOV, AVI and other film",
    writable=", ".join(sorted(CONTAINERS)),
    reads=lambda name: Path(name).suffix.lower() in FILM_SUFFIXES,
    writes=is_writable,
    ending=choose_suffix,
    ending_of_stream=".mkv",
    unsupported=lambda ending: None,
)


def make_output_options(
    out: str | None,
    base: str | None,
    suffix: str | None,
    overwrite: bool,
    options: FilmOptions,
) -> OutputOptions:
    """Return where results go. A part of a film does not take the name of the whole result."""
    if suffix is None and options.preview:
        suffix = "-preview"
    elif suffix is None and not options.span.is_all:
        suffix = "-part"
    return OutputOptions(out=out, base=base, suffix=suffix, overwrite=overwrite, kind=_FILMS)


def plan_films(inputs: Sequence[str], recursive: bool, output: OutputOptions) -> list[Job]:
    """Return the jobs of the inputs.

    Raises
    ------
    UsageError
        If an input is a file of another kind, or the destination does not fit the inputs.
    NoInputsError
        If there is no film.
    """
    for name in inputs:
        if Path(name).is_file() and not is_film(name):
            raise UsageError(f"{name} is not a film", "recolor run colors pictures")
    return [_place_sequence(job, output) for job in plan(inputs, recursive, output)]


def is_finished(job: Job, output: OutputOptions) -> bool:
    """Tell whether the result exists. Of numbered pictures, the first one is written last."""
    if is_pattern(job.destination):
        job = replace(job, destination=format_frame_name(job.destination, 1))
    return has_result(job, output)


def make_untried_outcome(job: Job, finished: bool) -> Outcome:
    """Return the outcome of a job that is not tried: it has an error, is finished, or planned."""
    if job.error:
        return Outcome(job, Status.FAILED, job.error)
    return Outcome(job, Status.SKIPPED if finished else Status.PLANNED)


def _place_sequence(job: Job, output: OutputOptions) -> Job:
    """Return a job with the destination of numbered pictures, by default in a folder beside them.

    Other jobs are returned unchanged.
    """
    source = Path(job.source)
    if job.source == STREAM or not is_pattern(job.source) or source.exists():
        return job
    if output.out is None:
        # Pictures in the current folder get a folder inside it.
        name = (source.parent.name or "pictures") + (output.suffix or DEFAULT_SUFFIX)
        folder = source.parent.with_name(name) if source.parent.name else Path(name)
        return replace(job, destination=str(folder / source.name))
    destination = output.out
    if not output.kind.writes(output.out):
        destination = str(Path(output.out) / source.name)
    job = replace(job, destination=destination)
    if is_pattern(destination) and source.parent.resolve() == Path(destination).parent.resolve():
        error = OutputError(
            f"{destination} lies among its sources", "choose another folder with -o"
        )
        return replace(job, error=error)
    return job
