"""`recolor film`: recolor films. It is the default command where a film is named.

It is a command of its own, because codec, smoothing and span mean nothing to a picture, and format,
ICC profile and masks mean nothing to a film.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import click

from recolor_cli.commands.film_options import film_options, split_encoder_option
from recolor_cli.commands.options import SETTINGS, shared_options, suffix_option
from recolor_cli.commands.report import load_network, missing_extra, report_outcome
from recolor_cli.commands.signals import signals
from recolor_cli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from recolor_cli.batch.plan import Job
    from recolor_cli.model.color_network import ColorNetwork


@click.command(context_settings=SETTINGS)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@shared_options
@suffix_option("-recolored, -part, -preview")
@film_options
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

    Luma, sound, subtitles, chapters and times stay as they are; only chroma is new. Results that
    exist are skipped. The same command continues an interrupted run.
    """
    try:
        from recolor_cli.commands.film_run import FilmSource, recolor_job
        from recolor_cli.video.encoding import VideoEncodingOptions
        from recolor_cli.video.film_options import FilmOptions
        from recolor_cli.video.raw_frames import RawFrames
    except ImportError as error:
        raise missing_extra("video", error) from error
    from recolor_cli.batch.outcome import Report
    from recolor_cli.commands.film_plan import (
        film_output,
        is_finished,
        outcome_of_untried,
        plan_films,
    )
    from recolor_cli.guidance.recolor_options import RecolorOptions
    from recolor_cli.system.device import cpu_count
    from recolor_cli.terminal.console import Console
    from recolor_cli.video.fingerprint import digest_model

    console = Console(quiet, verbose)
    settings = tuple(split_encoder_option(text) for text in encoder_option)
    options = FilmOptions(
        recolor=RecolorOptions(temperature, strength),
        encoding=VideoEncodingOptions(codec, crf, lossless, pixel_format, settings),
        temporal_smoothing=smoothing,
        scene_threshold=scene_threshold,
        start=start,
        duration=duration,
        preview=preview,
    )
    frames = RawFrames.parse(raw) if raw else None
    if frames and inputs != ("-",):
        raise UsageError("--raw is for standard input", "name - as the input")
    output = film_output(out, suffix, overwrite, options)
    jobs = plan_films(inputs, recursive, output)
    _check_standard_streams(inputs, jobs, as_json, dry_run)

    report = Report()
    network: ColorNetwork | None = None
    with signals((signal.SIGINT,)) as stop:
        for job in jobs:
            further: dict[str, object] = {}
            if dry_run or job.error or is_finished(job, output):
                outcome = outcome_of_untried(job, output)
            else:
                if network is None:  # all CPUs work on one film, each on a frame of its own
                    network = load_network(model, device, cpu_count(), console)
                    options = replace(options, model_digest=digest_model(model))
                source = FilmSource(job.source, frames, rate)
                outcome, done = recolor_job(job, source, network, options, console, stop)
                if done:
                    further = {"frames": done.frames, "resumed": done.resumed, "cuts": done.cuts}
            report.add(outcome)
            used = network.device if network else ""
            report_outcome(outcome, console, as_json, model, used, len(jobs) == 1, further)
            if stop.is_set():
                console.error(f"interrupted: {report}", "the same command goes on from here")
                return ExitCode.INTERRUPTED
    return report.exit_code


def _check_standard_streams(
    inputs: Sequence[str], jobs: Sequence[Job], as_json: bool, dry_run: bool
) -> None:
    """Raise UsageError if standard input or output is a terminal, or has two uses."""
    from recolor_cli.terminal.streams import stdin_is_terminal, stdout_is_terminal

    to_stdout = any(job.destination == "-" for job in jobs)
    if to_stdout and as_json:
        raise UsageError("--json and the film cannot both go to standard output", "use -o FILE")
    if to_stdout and not dry_run and stdout_is_terminal():
        raise UsageError("a film is not written to a terminal", "pipe it on, or use -o FILE")
    if "-" in inputs and stdin_is_terminal():
        raise UsageError("- reads a film from standard input, which is a terminal", "pipe one in")
