"""Estimate how long a run would take: recolor a few of its pictures, and scale their time."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from recolor_cli.batch.job import Job, is_stream
from recolor_cli.commands.report import load_network
from recolor_cli.errors import RecolorError
from recolor_cli.system.places import is_address
from recolor_cli.system.texts import counted

if TYPE_CHECKING:
    from recolor_cli.batch.outcome import Outcome
    from recolor_cli.batch.picture import PictureWork
    from recolor_cli.commands.workers import WorkerOpener

_CANDIDATES = 9  # pictures of which those of middling, largest and smallest size are measured
_HEADERS = 500  # pictures of which the header is read
_HEADER_SIZE = 1 << 18  # bytes of an object that are read for its header
_LONGEST = 10.0  # seconds; a picture that seems to take longer is not measured


class _Tally:
    """The pictures that would be recolored: how many, how large, and some of them."""

    def __init__(self) -> None:
        self.count = 0
        self._counted = 0  # pictures whose header was read
        self._pixels = 0  # of these
        self._candidates: list[tuple[int, Job]] = []
        self._random = random.Random(0)  # of its own: the same pictures give the same estimate

    def add(self, job: Job) -> None:
        """Count a picture. A stream cannot be measured, because it can be read only once."""
        if is_stream(job.source):
            return
        self.count += 1
        place = len(self._candidates)
        if place == _CANDIDATES:
            place = self._random.randrange(self.count)
        headers = 0 if is_address(job.source) else _HEADERS  # each would be a request
        if self._counted >= headers and place >= _CANDIDATES:
            return
        if pixels := _pixels_of(job.source):
            self._counted += 1
            self._pixels += pixels
            self._candidates[place : place + 1] = [(pixels, job)] if place < _CANDIDATES else []

    @property
    def pixels(self) -> float:
        """Pixels of all pictures; those whose header was not read have the mean of the others."""
        return self._pixels / max(self._counted, 1) * self.count

    def candidates(self) -> list[tuple[int, Job]]:
        """Return some pictures and their pixels: a middling, a large and a small one.

        The others follow, for the case that these cannot be recolored.
        """
        rest = sorted(self._candidates, key=lambda candidate: candidate[0])
        chosen = [rest.pop(place) for place in (len(rest) // 2, -1, 0) if rest]
        return chosen + rest


def with_estimate(
    outcomes: Iterator[Outcome], opener: WorkerOpener, stop: threading.Event
) -> Iterator[Outcome]:
    """Yield the outcomes of a dry run, then print how long the run would take, unless quiet."""
    from recolor_cli.batch.outcome import Status

    tally = _Tally()
    for outcome in outcomes:
        if outcome.status is Status.PLANNED:
            tally.add(outcome.job)
        yield outcome
    if tally.count and not opener.console.quiet and not stop.is_set():
        _print_estimate(tally, opener)


def _print_estimate(tally: _Tally, opener: WorkerOpener) -> None:
    from recolor_cli.batch.picture import PictureWork
    from recolor_cli.batch.sizing import needs_trial, pictures_at_a_time
    from recolor_cli.recolorizer import Recolorizer
    from recolor_cli.system.memory import MemoryBudget, memory_for_pictures, used_memory
    from recolor_cli.terminal.console import Console

    # Three processes that share a CPU, as with a store, are not three times as fast.
    config, console = replace(opener.config, on_store=False), opener.console
    at_a_time = min(pictures_at_a_time(config, on_gpu=False), tally.count)
    network = load_network(config.model, config.device, at_a_time, Console(quiet=True))
    if needs_trial(config):
        at_a_time = min(pictures_at_a_time(config, False, used_memory().most), tally.count)
    options = replace(config.output, out=None, backup=None)
    work = PictureWork(
        Recolorizer(network, config.recolor), options, MemoryBudget(memory_for_pictures())
    )
    measured, pixels, seconds = 0, 0, 0.0
    for pixels_of_one, job in tally.candidates():
        if measured == 3 or (measured and seconds / pixels * pixels_of_one > _LONGEST):
            continue
        if (found := _measure(work, job, is_first=not measured)) is not None:
            measured, pixels, seconds = measured + 1, pixels + pixels_of_one, seconds + found
    if not measured:
        console.note("how long it would take is unknown: the pictures tried cannot be recolored")
        return
    total = seconds / pixels * tally.pixels / at_a_time
    rest = "" if measured == tally.count else ", scaled by the pixels of all"
    console.note(
        f"it would take about {format_duration(total)}: {counted(measured, 'picture')} took "
        f"{seconds:.1f} s here{rest}, {at_a_time} at a time"
    )


def _pixels_of(place: str) -> int:
    """Return the pixels of all pages or frames of a file, by its header; 0 if it has none."""
    from PIL import Image

    from recolor_cli.image.failures import decoder_errors
    from recolor_cli.system.stores import read

    try:
        file = BytesIO(read(place, _HEADER_SIZE)) if is_address(place) else place
        with decoder_errors(), Image.open(file) as image:
            return image.width * image.height * int(getattr(image, "n_frames", 1))
    except (RecolorError, MemoryError):
        return 0


def _measure(work: PictureWork, job: Job, is_first: bool) -> float | None:
    """Recolor a picture into a temporary folder; return the seconds, or None if it fails."""
    from recolor_cli.batch.outcome import Status
    from recolor_cli.batch.skip_rule import MissingOutputs

    with tempfile.TemporaryDirectory(prefix="recolor-") as folder:
        trial = Job(job.source, str(Path(folder) / Path(job.destination).name))
        if is_first:  # the first run of a network is slower than the others
            work(trial, MissingOutputs(True))
        started = time.perf_counter()
        outcome = work(trial, MissingOutputs(True))
        seconds = time.perf_counter() - started
    return None if outcome.status is Status.FAILED else seconds


def format_duration(seconds: float) -> str:
    """Return seconds in the unit that fits.

    Examples
    --------
    >>> [format_duration(seconds) for seconds in (0.2, 59, 200, 7300)]
    ['1 s', '59 s', '3 min', '2 h 2 min']
    """
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
