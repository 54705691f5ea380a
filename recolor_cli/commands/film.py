"""`recolor film`: recolor films. It is the default command where a film is named.

It is a command of its own, because codec, smoothing and span mean nothing to a picture, and format,
ICC profile and masks mean nothing to a film.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recolor_cli.batch.job import STREAM
from recolor_cli.batch.steering_files import read_mask, steering_of
from recolor_cli.commands.film_click_options import film_options, split_encoder_option
from recolor_cli.commands.options import (
    DEFAULT_SETTINGS,
    SharedValues,
    check_cluster,
    color_options,
    inputs_argument,
    shared_options,
    suffix_option,
)
from recolor_cli.commands.report import missing_extra, print_lists, report_outcome
from recolor_cli.commands.signals import signals
from recolor_cli.errors import ExitCode, UsageError
from recolor_cli.system.device import Device

if TYPE_CHECKING:
    from recolor_cli.batch.job import Job
    from recolor_cli.batch.output_options import OutputOptions
    from recolor_cli.image.provenance import Provenance
    from recolor_cli.terminal.console import Console
    from recolor_cli.video.encoding import VideoEncodingOptions
    from recolor_cli.video.film_options import FilmOptions
    from recolor_cli.video.raw_frames import RawFrames


@click.command(context_settings=DEFAULT_SETTINGS)
@inputs_argument(required=True)
@shared_options
@color_options
@suffix_option("-recolored, -part, -preview")
@film_options
def film(**values: Any) -> Callable[[], ExitCode]:
    """Recolor films: files, folders, numbered pictures (frames/%05d.png), or - for stdin.

    Luma, sound, subtitles, chapters and times stay as they are; only chroma is new. Results that
    exist are skipped. The same command continues an interrupted run.
    """
    try:
        import_module("recolor_cli.video.job")
    except ImportError as error:
        raise missing_extra("video", error) from error
    from recolor_cli.commands.film_plan import make_output_options, plan_films
    from recolor_cli.model.preflight import check_model
    from recolor_cli.terminal.console import Console

    given = _OptionValues(**values)
    if given.seed is not None and not given.pick:
        raise UsageError("--seed needs --pick", "add it, or leave --seed out")
    if given.cluster:
        check_cluster(given)
    options, raw = _make_film_options(given), _parse_raw_frames(given)
    output = make_output_options(given, options)
    jobs = plan_films(given.inputs, given.recursive, output)
    jobs.sort(key=lambda job: job.error is None)  # errors come before hours of work
    _check_streams(given, jobs)
    _check_encoders(jobs, options.encoding)
    # Machines of a cluster have devices of their own.
    device = Device.CPU if given.cluster else given.device
    check_model(given.model, device, bool(options.recolor.steering))
    console = Console(given.quiet, given.verbose, given.null)
    return partial(_recolor, given, jobs, output, options, raw, console)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OptionValues(SharedValues):
    """The values of the options of `recolor film`."""

    reference: tuple[tuple[float, str], ...]
    smoothing: float
    scene_threshold: float
    start: float
    duration: float | None
    preview: bool
    codec: str | None
    crf: int | None
    lossless: bool
    pixel_format: str | None
    encoder_option: tuple[str, ...]
    cluster: str | None
    raw: str | None
    rate: Fraction | None


def _make_film_options(given: _OptionValues) -> FilmOptions:
    from recolor_cli.guidance.recolor_options import RecolorOptions
    from recolor_cli.video.encoding import VideoEncodingOptions
    from recolor_cli.video.film_options import FilmOptions
    from recolor_cli.video.references import load_reference

    return FilmOptions(
        recolor=RecolorOptions(
            given.temperature,
            given.strength,
            given.keep_original,
            given.only_gray,
            read_mask(given.mask),
            steering_of(given.palette, given.palette_strength, (), given.pick, given.seed),
        ),
        references=tuple(load_reference(time, name) for time, name in given.reference),
        encoding=VideoEncodingOptions(
            codec=given.codec,
            quality=given.crf,
            lossless=given.lossless,
            pixel_format=given.pixel_format,
            settings=tuple(split_encoder_option(text) for text in given.encoder_option),
        ),
        temporal_smoothing=given.smoothing,
        scene_threshold=given.scene_threshold,
        start=given.start,
        duration=given.duration,
        preview=given.preview,
    )


def _make_provenance(given: _OptionValues, options: FilmOptions) -> Provenance:
    """Return the provenance that all results of a run share."""
    from recolor_cli.batch.run_provenance import describe_colors, run_provenance
    from recolor_cli.commands.film_provenance import describe_film_options

    colors = describe_colors(options.recolor, given.mask, given.palette)
    others = describe_film_options(options, given.raw, given.rate)
    return run_provenance(given.model, colors + others)


def _parse_raw_frames(given: _OptionValues) -> RawFrames | None:
    """Return the layout that ``--raw`` declares."""
    from recolor_cli.video.raw_frames import RawFrames

    if not given.raw:
        return None
    raw = RawFrames.parse(given.raw)
    if given.inputs != (STREAM,):
        raise UsageError("--raw is for standard input", "name - as the input")
    return raw


def _check_streams(given: _OptionValues, jobs: Sequence[Job]) -> None:
    """Raise UsageError if standard input or output is a terminal, or has two uses."""
    from recolor_cli.terminal.streams import stdin_is_terminal, stdout_is_terminal

    to_stdout = any(job.destination == STREAM for job in jobs)
    if to_stdout and given.as_json:
        raise UsageError("--json and the film cannot both go to standard output", "use -o FILE")
    if to_stdout and not given.dry_run and stdout_is_terminal():
        raise UsageError("a film is not written to a terminal", "pipe it on, or use -o FILE")
    if STREAM in given.inputs and stdin_is_terminal():
        raise UsageError("- reads a film from standard input, which is a terminal", "pipe one in")


def _check_encoders(jobs: Sequence[Job], options: VideoEncodingOptions) -> None:
    """Raise UsageError if the encoding options fit no film, once for each format of a result."""
    from recolor_cli.video.encoding import check_options

    names = {Path(job.destination).suffix: job.destination for job in jobs if not job.error}
    for destination in names.values():
        check_options(destination, options)


def _recolor(
    given: _OptionValues,
    jobs: Sequence[Job],
    output: OutputOptions,
    options: FilmOptions,
    raw: RawFrames | None,
    console: Console,
) -> ExitCode:
    """Recolor the films and report each, in their order."""
    from recolor_cli.batch.outcome import Report
    from recolor_cli.batch.skip_rule import expect_results
    from recolor_cli.commands.film_jobs import FilmJobs

    provenance = _make_provenance(given, options)
    options = replace(options, provenance=None if given.no_provenance else provenance)
    options = replace(options, model_digest=provenance.model_digest)
    report, alone = Report(), len(jobs) == 1
    expect_results(jobs, output)
    with signals((signal.SIGINT,)) as stop:
        films = FilmJobs(
            jobs,
            output,
            options,
            given.model,
            given.device,
            raw,
            given.rate,
            given.dry_run,
            console,
            stop,
        )
        for outcome in films.on_cluster(given.cluster) if given.cluster else films.here():
            if isinstance(outcome.error, UsageError) and alone:
                raise outcome.error
            report_outcome(
                outcome, report, console, given.as_json, given.model, films.loaded_device, alone
            )
        if stop.is_set():
            console.error(f"interrupted: {report}", "the same command goes on from here")
            return ExitCode.INTERRUPTED
    print_lists(report, console)
    if given.dry_run and not given.quiet:
        from recolor_cli.commands.film_estimate import print_estimate
        from recolor_cli.commands.film_plan import is_finished

        undone = [
            job
            for job in jobs
            if not (job.error or is_finished(job, output, given.start, given.rate))
        ]
        print_estimate(undone, given.model, given.device, options, given.rate)
    return report.exit_code
