"""Estimate how long films would take: recolor a second of the first one, and scale its time."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from recolor_cli.batch.job import Job, is_stream
from recolor_cli.commands.estimate import format_duration
from recolor_cli.commands.film_run import FilmSource, count_expected_frames, recolor_job
from recolor_cli.commands.report import load_network
from recolor_cli.errors import RecolorError
from recolor_cli.system.device import cpu_count
from recolor_cli.system.places import is_address
from recolor_cli.system.texts import counted
from recolor_cli.terminal.console import Console
from recolor_cli.video.film_options import FilmOptions

_LENGTH = 1.0  # seconds of the film that are recolored


@dataclass(frozen=True, slots=True)
class _Film:
    """A film that would be recolored.

    Parameters
    ----------
    job : Job
    frames : int
        In the span that is asked for.
    pixels : int
        Of one frame.
    """

    job: Job
    frames: int
    pixels: int


def print_estimate(
    jobs: Sequence[Job], model: str, device: str, options: FilmOptions, rate: Fraction | None
) -> None:
    """Print how long it would take to recolor films.

    Parameters
    ----------
    jobs : sequence of Job
        Those that are not done.
    model, device : str
    options : FilmOptions
    rate : Fraction or None
        Frames a second of numbered pictures.

    Raises
    ------
    ModelError, DeviceError
        If the model cannot be run.
    """
    console = Console()
    planned = [found for job in jobs if (found := _look_at(job, options, rate))]
    unknown = len(jobs) - len(planned)
    for film in planned:
        if seconds_a_frame := _measure(film, model, device, options, rate):
            total = sum(
                seconds_a_frame * other.frames * other.pixels / film.pixels for other in planned
            )
            besides = f", besides {counted(unknown, 'film')} of unknown length" if unknown else ""
            console.note(
                f"it would take about {format_duration(total)}{besides}: the first second of "
                f"{film.job.source} went at {1 / seconds_a_frame:.1f} frames a second here"
            )
            return
    if jobs:
        console.note("how long it would take is unknown: the length of the films is not known")


def _look_at(job: Job, options: FilmOptions, rate: Fraction | None) -> _Film | None:
    """Return how long and how large a film is; None if it does not say so."""
    if is_stream(job.source) or is_address(job.source):  # read only once, or slow to read
        return None
    try:
        with FilmSource(job.source, rate=rate).open() as film:
            frames = count_expected_frames(film.info, options)
            size = film.info.size
    except RecolorError:
        return None
    return _Film(job, frames, size.pixels) if frames else None


def _measure(
    film: _Film, model: str, device: str, options: FilmOptions, rate: Fraction | None
) -> float | None:
    """Recolor a second of a film into a temporary folder; return the seconds a frame."""
    network = load_network(model, device, cpu_count(), Console(quiet=True))
    length = min(_LENGTH, options.duration or _LENGTH)
    # A still may be of another moment.
    options = replace(options, duration=length, references=())
    with tempfile.TemporaryDirectory(prefix="recolor-") as folder:
        trial = Job(film.job.source, str(Path(folder) / Path(film.job.destination).name))
        source = FilmSource(film.job.source, rate=rate)
        outcome = recolor_job(
            trial, source, network, options, Console(quiet=True), threading.Event()
        )
    if not outcome.counts.get("frames"):
        return None
    return outcome.seconds["film"] / outcome.counts["frames"]
