"""Recolor the film of one job, and turn everything that goes wrong into an outcome."""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.outcome import Outcome, Status, failed_unexpectedly
from recolor_cli.errors import InputError, OutputError, RecolorError
from recolor_cli.model.color_network import ColorNetwork
from recolor_cli.system import stores
from recolor_cli.system.memory import is_out_of_memory
from recolor_cli.system.places import is_address
from recolor_cli.system.temporary_files import remove_leftovers, temporary_file
from recolor_cli.system.texts import counted
from recolor_cli.terminal.console import Console
from recolor_cli.terminal.streams import stdin, wait_for_input
from recolor_cli.types import ImageSize
from recolor_cli.video.film_info import FilmInfo
from recolor_cli.video.film_options import FilmOptions, FilmReport
from recolor_cli.video.film_reader import FilmReader
from recolor_cli.video.job import recolor_film
from recolor_cli.video.provenance_tag import film_provenance
from recolor_cli.video.raw_frames import RawFrames, is_y4m


@dataclass(frozen=True, slots=True)
class FilmSource:
    """A path or ``-``, and what the user declared about the frames."""

    name: str
    raw: RawFrames | None = None  # layout of standard input without a header
    rate: Fraction | None = None  # frames per second, if the source declares none

    @contextmanager
    def open(self, stop: threading.Event | None = None) -> Iterator[FilmReader]:
        """Open the film. An object, or a container in standard input, is copied to a file first.

        Once `stop` is set, nothing is awaited any more from standard input.
        """
        with ExitStack() as stack:
            if is_address(self.name):
                film = self._read_copy(stack.enter_context(_download(self.name)))
            else:
                is_stream = self.name == STREAM
                film = self._open_stream(stack, stop) if is_stream else self._read(self.name)
            stack.callback(film.close)
            yield film

    def _open_stream(self, stack: ExitStack, stop: threading.Event | None) -> FilmReader:
        """Open standard input. What the film needs until it is closed goes onto the stack."""
        pipe: Any = stdin()
        if stop and not wait_for_input(None, stop):
            raise InputError("stopped before anything came", "the same command begins anew")
        begin = pipe.peek(16) if hasattr(pipe, "peek") else None
        if begin == b"":
            raise InputError("standard input is empty", "check the program that writes it")
        if self.raw:
            return FilmReader(STREAM, self.raw, self.rate, pipe)
        if begin and is_y4m(begin):
            return FilmReader(STREAM, None, self.rate, pipe)
        return self._read_copy(stack.enter_context(_save_to_file(pipe)))

    def _read(self, path: str) -> FilmReader:
        return FilmReader(path, rate=self.rate)

    def _read_copy(self, path: Path) -> FilmReader:
        return FilmReader(str(path), rate=self.rate, is_copy=True)


@contextmanager
def _download(address: str) -> Iterator[Path]:
    """Copy an object to a temporary file."""
    with stores.temporary_path(address) as path:
        stores.download(address, path)
        yield path


@contextmanager
def _write_result(destination: str) -> Iterator[str]:
    """Yield a destination, or a temporary file's name where it is an address.

    The file is uploaded at the end, if the block made it. Errors name the address.
    """
    if not is_address(destination):
        yield destination
        return
    with stores.temporary_path(destination) as path:
        try:
            yield str(path)
        except OutputError as error:
            if str(path.parent) not in error.message:
                raise
            reason = error.message.rpartition(": ")[2]
            raise stores.temporary_file_error(destination, reason) from error
        if path.exists():
            stores.upload(path, destination)


@contextmanager
def _save_to_file(pipe: Any) -> Iterator[Path]:
    """Copy a stream to a temporary file."""
    with ExitStack() as stack:
        try:
            folder = Path(tempfile.gettempdir())
            remove_leftovers(folder)  # a film is large
            path, file = stack.enter_context(temporary_file(folder))
            path.chmod(0o600)  # others use the folder, too
            shutil.copyfileobj(pipe, file)
            file.flush()
            if sys.platform == "win32":  # opens no file twice
                file.close()
        except OSError as error:
            raise InputError(
                f"standard input cannot be saved to a temporary file: {error.strerror}",
                "save it to a file on a disk with room, and name that file",
            ) from error
        yield path


def recolor_job(
    job: Job,
    source: FilmSource,
    network: ColorNetwork,
    options: FilmOptions,
    console: Console,
    stop: threading.Event,
) -> Outcome:
    """Recolor one film. No error is raised: it is in the outcome."""
    started = time.monotonic()
    size: ImageSize | None = None
    try:
        with source.open(stop) as film, ExitStack() as stack:
            size = film.info.size
            if run := options.provenance:
                made = film_provenance(job.source, run, film.pictures)
                options = replace(options, provenance=made)
            total = count_expected_frames(film.info, options)
            bar = stack.enter_context(console.progress(total, "frames", Path(job.source).name))
            place = stack.enter_context(_write_result(job.destination))
            report = recolor_film(film, place, network, options, bar.advance, stop)
    except RecolorError as error:
        if is_out_of_memory(error.__cause__):  # FFmpeg says so in an error of its own
            return replace(failed_unexpectedly(job, error), size=size)
        return Outcome(job, Status.FAILED, error, size=size)
    except Exception as error:  # a bug must not stop the other films
        return replace(failed_unexpectedly(job, error), size=size)
    seconds = time.monotonic() - started
    console.note(_format_summary(report, seconds))
    counts = {"frames": report.frames, "resumed": report.resumed, "cuts": report.cuts}
    if report.interrupted:
        stopped = RecolorError(f"stopped after {counted(report.frames, 'frame')}")
        return Outcome(job, Status.FAILED, stopped, size=size, counts=counts)
    return Outcome(
        job,
        Status.WRITTEN,
        size=size,
        seconds={"film": seconds},
        warnings=tuple(report.warnings),
        written=(job.destination,),
        counts=counts,
    )


def find_misfit(source: FilmSource, options: FilmOptions) -> InputError | None:
    """Return why a mask or a still does not fit a film whose result exists; opens it for these."""
    has_overlays = options.references or options.recolor.mask is not None
    if not has_overlays or source.name == STREAM or is_address(source.name):
        return None
    try:
        with source.open() as film:
            displayed = film.info.displayed
    except RecolorError:  # would be reported if there were anything to do
        return None
    try:
        options.check_fit(displayed)
    except InputError as error:
        return error
    return None


def count_expected_frames(info: FilmInfo, options: FilmOptions) -> int | None:
    """Return the number of frames in the span, if the film declares its length."""
    frames, span = info.frames, options.span
    if frames is None or span.is_all:
        return frames
    rest = max(0, frames - round(span.start * info.rate))
    if span.end is None:
        return rest
    return min(rest, round((span.end - span.start) * info.rate))


def _format_summary(report: FilmReport, seconds: float) -> str:
    """Return the line that says how many frames were made, and how fast."""
    new = report.frames - report.resumed
    cuts = f", {counted(report.cuts, 'cut')}" if report.cuts else ""
    resumed = f", {report.resumed} by an earlier run" if report.resumed else ""
    speed = f" ({new / seconds:.1f} a second)" if seconds > 0 else ""
    return f"{counted(report.frames, 'frame')} in {seconds:.1f} s{speed}{cuts}{resumed}"
