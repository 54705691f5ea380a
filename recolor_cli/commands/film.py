"""`recolor film`: films in, films out. The default command where a film is named.

A command of its own, since a film's options (codec, smoothing, span) mean nothing to a picture, and
most of a picture's (format, ICC, pixels) nothing to a film: `run` would have had both.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recolor_cli.commands.options import (
    SETTINGS,
    Number,
    device_option,
    dry_run_option,
    json_option,
    load_network,
    missing_extra,
    overwrite_option,
    quiet_option,
    recursive_option,
    report_outcome,
    signals,
    strength_option,
    temperature_option,
    verbose_option,
)
from recolor_cli.errors import ExitCode, InputError, OutputError, RecolorError, UsageError
from recolor_cli.image.film_names import FILM_SUFFIXES, is_film

if TYPE_CHECKING:
    from recolor_cli.batch.outcome import Outcome
    from recolor_cli.batch.plan import Job, OutputOptions
    from recolor_cli.model.color_network import ColorNetwork
    from recolor_cli.terminal.console import Console
    from recolor_cli.video.film import FilmOptions, FilmReport
    from recolor_cli.video.reading import Film, RawFrames


class _Time(click.ParamType[float]):
    """A time or length: seconds, or HH:MM:SS with parts of a second."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return seconds, or fail as a usage error."""
        if isinstance(value, float):
            return value
        seconds = 0.0
        try:
            for part in str(value).split(":"):
                seconds = 60 * seconds + float(part)
        except ValueError:
            self.fail(f"{value} is no time; 90, 1:30 and 0:01:30.5 are", param, ctx)
        if not 0 <= seconds < float("inf"):
            self.fail(f"{value} is no time from the beginning on", param, ctx)
        return seconds


class _Rate(click.ParamType[Fraction]):
    """Frames a second: 24, 23.976 or 24000/1001."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a fraction above 0, or fail as a usage error."""
        try:
            rate = Fraction(value).limit_denominator(100_000)
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value} is no rate; 24, 23.976 and 24000/1001 are", param, ctx)
        if not 0 < rate <= 1000:
            self.fail(f"{value} does not lie in 0..1000", param, ctx)
        return rate


class _Smoothing(Number):
    """Alpha of the smoothing, or ``off``."""

    name = "alpha"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return alpha, infinite for off."""
        return float("inf") if value == "off" else super().convert(value, param, ctx)


@click.command(context_settings=SETTINGS)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-o", "--out", metavar="OUT", help="Folder, file or - for stdout. [beside the input]")
@recursive_option
@click.option("-m", "--model", default="poster", show_default=True, help="A name or an .onnx file.")
@temperature_option
@strength_option
@device_option
@click.option(
    "--smoothing",
    type=_Smoothing(0, 100),
    default=0.2,
    show_default=True,
    metavar="ALPHA|off",
    help="The frame i before counts exp(-ALPHA i): smaller is calmer.",
)
@click.option(
    "--scene-threshold",
    type=Number(0, 2),
    default=0.6,
    show_default=True,
    help="Difference of two frames, 0 to 2, that is a cut; 2 sees none.",
)
@click.option("--start", type=_Time(), default=0.0, metavar="TIME", help="Begin there: 90 or 1:30.")
@click.option("--duration", type=_Time(), metavar="TIME", help="Color so much of it. [all]")
@click.option(
    "--preview", is_flag=True, help="Before and after side by side, of 10 seconds or --duration."
)
@click.option(
    "--codec",
    metavar="h264|hevc|vp9|av1|prores|ffv1",
    help="Or FFmpeg's name of an encoder. [h264; vp9 in WebM]",
)
@click.option(
    "--crf",
    type=click.IntRange(0, 63),
    help="Quality as the codec counts it, lower is better. [near-transparent]",
)
@click.option("--lossless", is_flag=True, help="With h264, hevc, vp9 or ffv1.")
@click.option("--pixel-format", help="FFmpeg's name. [4:2:0 of the source's depth]")
@click.option(
    "--encoder-option",
    multiple=True,
    metavar="KEY=VALUE",
    help="For the encoder, such as preset=slow or tune=grain; repeatable.",
)
@click.option(
    "--raw",
    metavar="WxH[:FORMAT]",
    help="Standard input is frames without a header, as in 640x480:gray. [FORMAT: rgb24]",
)
@click.option(
    "--rate", type=_Rate(), metavar="FPS", help="Of numbered pictures and raw frames. [24]"
)
@click.option("--suffix", help="Added to the name. [-recolored, -part, -preview]")
@overwrite_option
@dry_run_option
@json_option
@quiet_option
@verbose_option
def film(
    inputs: tuple[str, ...],
    out: str | None,
    recursive: bool,
    model: str,
    temperature: float | None,
    strength: float,
    device: str,
    smoothing: float,
    scene_threshold: float,
    start: float,
    duration: float | None,
    preview: bool,
    codec: str | None,
    crf: int | None,
    lossless: bool,
    pixel_format: str | None,
    encoder_option: tuple[str, ...],
    raw: str | None,
    rate: Fraction | None,
    suffix: str | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> ExitCode:
    """Recolor films: files, folders, numbered pictures (frames/%05d.png), or - for stdin.

    Luma, sound, subtitles, chapters and times stay as they are; only chroma is new. What exists is
    skipped, and a run that was interrupted is continued by the same command.
    """
    from recolor_cli.batch.outcome import Report
    from recolor_cli.batch.plan import STREAM, plan
    from recolor_cli.guidance.recolor_options import RecolorOptions
    from recolor_cli.system.device import cpu_count
    from recolor_cli.terminal.console import Console
    from recolor_cli.terminal.streams import stdin_is_terminal, stdout_is_terminal

    try:
        from recolor_cli.video.encoding import EncodingOptions
        from recolor_cli.video.film import FilmOptions
        from recolor_cli.video.reading import RawFrames
    except ImportError as error:
        raise missing_extra("video", error) from error

    console = Console(quiet, verbose)
    options = FilmOptions(
        recolor=RecolorOptions(temperature, strength),
        encoding=EncodingOptions(
            codec, crf, lossless, pixel_format, tuple(_setting(text) for text in encoder_option)
        ),
        smoothing=smoothing,
        scene_threshold=scene_threshold,
        start=start,
        duration=duration,
        preview=preview,
    )
    frames = RawFrames.parse(raw) if raw else None
    if frames and inputs != (STREAM,):
        raise UsageError("--raw is for standard input", "name - as the input")
    if strangers := [n for n in inputs if Path(n).is_file() and not is_film(n)]:
        raise UsageError(f"{strangers[0]} is no film", "recolor run colors pictures")
    output = _output_options(out, suffix, overwrite, options)
    jobs = [_placed(job, output) for job in plan(inputs, recursive, output)]
    to_stdout = any(job.destination == STREAM for job in jobs)
    if to_stdout and as_json:
        raise UsageError("--json and the film cannot both go to standard output", "use -o FILE")
    if to_stdout and not dry_run and stdout_is_terminal():
        raise UsageError("a film is not written to a terminal", "pipe it on, or use -o FILE")
    if STREAM in inputs and stdin_is_terminal():
        raise UsageError("- reads a film from standard input, a terminal", "pipe one in")

    report = Report()
    network: ColorNetwork | None = None
    with signals((signal.SIGINT,)) as stop:
        for job in jobs:
            also: dict[str, object] = {}
            if dry_run or job.error or _is_done(job, output):
                outcome = _not_done(job, output)
            else:
                # All of them work on one film, each at a frame of its own.
                network = network or load_network(model, device, cpu_count(), console)
                outcome = _one(job, network, options, frames, rate, console, stop, also)
            report.add(outcome)
            report_outcome(outcome, console, as_json, model, network.device if network else "",
                 len(jobs) == 1, also)  # fmt: skip
            if stop.is_set():
                break
    if stop.is_set():
        console.error(f"interrupted: {report}", "the same command goes on from here")
        return ExitCode.INTERRUPTED
    return report.exit_code


def _setting(text: str) -> tuple[str, str]:
    """Split KEY=VALUE."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"--encoder-option {text} is not KEY=VALUE", "as in preset=slow")
    return key, value


def _output_options(
    out: str | None, suffix: str | None, overwrite: bool, options: FilmOptions
) -> OutputOptions:
    """Return where results go; parts of a film do not take the whole film's name."""
    from recolor_cli.batch.plan import MediaKind, OutputOptions
    from recolor_cli.video.encoding import CONTAINERS, is_written, kept_suffix

    kind = MediaKind(
        noun="films",
        readable="MP4, Matroska, MOV, AVI and other film",
        writable=", ".join(sorted(CONTAINERS)),
        reads=lambda name: Path(name).suffix.lower() in FILM_SUFFIXES,
        writes=is_written,
        ending=kept_suffix,
        ending_of_stream=".mkv",
        unsupported=lambda ending: None,
    )
    if suffix is None and options.preview:
        suffix = "-preview"
    elif suffix is None and not options.span.is_all:
        suffix = "-part"
    return OutputOptions(out=out, suffix=suffix, overwrite=overwrite, kind=kind)


def _placed(job: Job, output: OutputOptions) -> Job:
    """Return a job with its destination: of numbered pictures a folder beside theirs."""
    from recolor_cli.batch.plan import DEFAULT_SUFFIX, STREAM
    from recolor_cli.video.reading import is_pattern

    source = Path(job.source)
    if job.source == STREAM or not is_pattern(job.source) or source.exists():
        return job
    if output.out is None:
        # Of a pattern without a folder, a folder below this one.
        name = (source.parent.name or "pictures") + (output.suffix or DEFAULT_SUFFIX)
        place = source.parent.with_name(name) if source.parent.name else Path(name)
        return replace(job, destination=str(place / source.name))
    if not output.kind.writes(output.out):
        place = Path(output.out) / source.name
        return _harmless(replace(job, destination=str(place)))
    return _harmless(replace(job, destination=output.out))


def _harmless(job: Job) -> Job:
    """Return a job, with an error if its numbered pictures would lie among their sources."""
    from recolor_cli.video.reading import is_pattern

    folders = [Path(name).parent.resolve() for name in (job.source, job.destination)]
    if not is_pattern(job.destination) or folders[0] != folders[1]:
        return job
    error = OutputError(
        f"{job.destination} lies among its sources", "choose another folder with -o"
    )
    return replace(job, error=error)


def _is_done(job: Job, output: OutputOptions) -> bool:
    """Tell whether the result exists; of numbered pictures the first is written last."""
    from recolor_cli.batch.plan import is_done
    from recolor_cli.video.reading import is_pattern, numbered

    if is_pattern(job.destination):
        job = replace(job, destination=numbered(job.destination, 1))
    return is_done(job, output)


def _not_done(job: Job, output: OutputOptions) -> Outcome:
    """Return the outcome of what is not tried: an error, a skip, or a dry run."""
    from recolor_cli.batch.outcome import Outcome, Status

    if job.error:
        return Outcome(job, Status.FAILED, job.error)
    return Outcome(job, Status.SKIPPED if _is_done(job, output) else Status.PLANNED)


def _one(
    job: Job,
    network: ColorNetwork,
    options: FilmOptions,
    raw: RawFrames | None,
    rate: Fraction | None,
    console: Console,
    stop: threading.Event,
    also: dict[str, object],
) -> Outcome:
    """Recolor one film; whatever goes wrong is in the outcome, so that the others go on."""
    from recolor_cli.batch.outcome import Outcome, Status
    from recolor_cli.video.film import recolor_film

    started = time.monotonic()
    size = None
    try:
        with _opened(job.source, raw, rate) as source, ExitStack() as stack:
            size = source.info.size
            frames = _frames_to_do(source, options)
            bar = stack.enter_context(console.progress(frames, "frames", Path(job.source).name))
            report = recolor_film(source, job.destination, network, options, bar.advance, stop)
    except UsageError:  # what is wrong with the options is so for all films
        raise
    except RecolorError as error:
        return Outcome(job, Status.FAILED, error, size=size)
    except MemoryError:
        lack = InputError("there is not enough memory for it", "close other programs")
        return Outcome(job, Status.FAILED, lack, size=size)
    except Exception as error:  # a bug; other films are not to suffer from it
        failure = RecolorError(f"a bug in recolor: {error!r}", "please report it with -v's output")
        return Outcome(job, Status.FAILED, failure, bug=traceback.format_exc(), size=size)
    seconds = time.monotonic() - started
    also |= {"frames": report.frames, "resumed": report.resumed, "cuts": report.cuts}
    _sum_up(report, seconds, console)
    if report.interrupted:
        stopped = RecolorError(f"stopped after {report.frames} frames")
        return Outcome(job, Status.FAILED, stopped, size=size)
    return Outcome(
        job, Status.WRITTEN, size=size, seconds={"film": seconds}, warnings=tuple(report.warnings)
    )


def _frames_to_do(source: Film, options: FilmOptions) -> int | None:
    """Return how many frames there will be, as far as the film says."""
    frames, span = source.info.frames, options.span
    if frames is None or span.is_all:
        return frames
    rest = max(0, frames - round(span.start * source.info.rate))
    if span.end is None:
        return rest
    return min(rest, round((span.end - span.start) * source.info.rate))


def _sum_up(report: FilmReport, seconds: float, console: Console) -> None:
    """Say how it went."""
    new = report.frames - report.resumed
    cuts = f", {report.cuts} cuts" if report.cuts else ""
    resumed = f", {report.resumed} of an earlier run" if report.resumed else ""
    speed = f" ({new / seconds:.1f} a second)" if seconds > 0 else ""
    console.note(f"{report.frames} frames in {seconds:.1f} s{speed}{cuts}{resumed}")


@contextmanager
def _opened(source: str, raw: RawFrames | None, rate: Fraction | None) -> Iterator[Film]:
    """Open a film; one from standard input that has more than frames is saved to a file first."""
    from recolor_cli.batch.plan import STREAM
    from recolor_cli.terminal.streams import stdin
    from recolor_cli.video.reading import Film, begins_like_y4m

    with ExitStack() as stack:
        if source != STREAM:
            film = Film(source, rate=rate)
        elif raw:
            film = Film(STREAM, raw, rate, stdin())
        else:
            pipe: Any = stdin()
            head = pipe.peek(16) if hasattr(pipe, "peek") else b""
            if begins_like_y4m(head):
                film = Film(STREAM, None, rate, pipe)
            else:
                file = stack.enter_context(tempfile.NamedTemporaryFile(suffix=".film"))
                try:
                    shutil.copyfileobj(pipe, file)
                    file.flush()
                except OSError as error:
                    advice = "save it to a file with room first, and name that"
                    raise InputError(f"standard input: {error.strerror}", advice) from error
                film = Film(file.name, rate=rate)
        stack.callback(film.close)
        yield film
