"""`recolor run`, the default command: pictures in, pictures out."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recolor_cli.commands.completion import files, model_names
from recolor_cli.commands.guidance_options import steering_of, steering_options
from recolor_cli.commands.help import Sectioned
from recolor_cli.commands.options import (
    SETTINGS,
    Number,
    device_option,
    dry_run_option,
    json_option,
    load_network,
    overwrite_option,
    quiet_option,
    recursive_option,
    report_device,
    report_outcome,
    signals,
    strength_option,
    temperature_option,
    verbose_option,
)
from recolor_cli.commands.viewers import page_of, result_viewer
from recolor_cli.errors import (
    ExitCode,
    InputError,
    NoInputsError,
    UsageError,
)
from recolor_cli.image.formats import FORMAT_NAMES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recolor_cli.batch.outcome import Outcome
    from recolor_cli.batch.processes import WorkerConfig
    from recolor_cli.batch.run import Workers
    from recolor_cli.terminal.console import Console


# How the help is divided. What others are in none of these comes last.
_SECTIONS = {
    "Output": (
        *("out", "suffix", "format_", "quality", "icc", "preserve_times", "overwrite"),
        "in_place",
    ),
    "Color": ("model", "temperature", "strength", "keep_original", "only_gray", "if_gray", "mask"),
    "Other colors": ("variants", "seed", "palette", "palette_strength", "hint", "confidence"),
    "Looking": ("compare", "gallery", "show"),
    "Inputs": ("recursive", "files_from", "null", "watch", "max_pixels"),
    "Speed": ("jobs", "device"),
    "Report": ("dry_run", "as_json", "quiet", "verbose"),
}


@click.command(cls=Sectioned, sections=_SECTIONS, context_settings=SETTINGS)
@click.argument("inputs", nargs=-1, metavar="INPUT...", shell_complete=files)
@click.option(
    "-o",
    "--out",
    metavar="OUT",
    shell_complete=files,
    help="Folder, file or - for stdout. [beside the input]",
)
@recursive_option
@click.option(
    "-m",
    "--model",
    default="poster",
    show_default=True,
    metavar="NAME",
    shell_complete=model_names,
    help="A name, an .onnx or .toml file.",
)
@temperature_option
@strength_option
@click.option(
    "--keep-original",
    type=Number(0, 1),
    metavar="N",
    default=0.0,
    show_default=True,
    help="How much of its own color stays: 0 none, 1 all.",
)
@click.option("--only-gray", is_flag=True, help="Recolor gray parts, leave colored ones alone.")
@click.option("--if-gray", is_flag=True, help="Skip pictures that have color.")
@click.option("--mask", metavar="FILE", help="A picture that is white where there is to be color.")
@steering_options
@device_option
@click.option("--suffix", help="Added to the name. [-recolored; nothing with -o FOLDER]")
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(FORMAT_NAMES), case_sensitive=False),
    metavar="jpg|png|webp|tif|avif|jp2|gif|bmp|ppm",
    envvar="RECOLOR_FORMAT",
    help="[the input's]",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    metavar="N",
    default=95,
    show_default=True,
    help="Of JPEG, WebP and AVIF.",
)
@click.option(
    "--icc",
    type=click.Choice(["srgb", "source"]),
    default="srgb",
    show_default=True,
    help="Color profile of results; source is the picture's own.",
)
@click.option("--preserve-times", is_flag=True, help="Give results the times of their pictures.")
@click.option("--compare", is_flag=True, help="Write before | after too, as NAME-compare.")
@click.option(
    "--gallery", is_flag=True, help="Write the page gallery.html of this run, into -o or here."
)
@click.option("--show", is_flag=True, help="Show before and after in a terminal that can.")
@overwrite_option
@click.option(
    "--in-place",
    metavar="SUFFIX",
    help="Results take the pictures' names; these are kept as NAME.jpgSUFFIX.",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    metavar="N",
    default=500_000_000,
    show_default=True,
    help="Refuse pictures that declare more.",
)
@click.option(
    "--files-from",
    metavar="FILE",
    shell_complete=files,
    help="Read inputs from a file, one a line; - is stdin.",
)
@click.option(
    "-0", "--null", is_flag=True, help="With --files-from: names end in NUL, not newline."
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Pictures worked on at a time. [the CPUs]",
)
@click.option(
    "--watch", is_flag=True, help="Go on with what arrives in the folders INPUT, until stopped."
)
@dry_run_option
@json_option
@quiet_option
@verbose_option
def run(
    inputs: tuple[str, ...],
    out: str | None,
    recursive: bool,
    model: str,
    temperature: float | None,
    strength: float,
    keep_original: float,
    only_gray: bool,
    if_gray: bool,
    mask: str | None,
    variants: int | None,
    seed: int | None,
    palette: str | None,
    palette_strength: float | None,
    hint: tuple[str, ...],
    confidence: bool,
    device: str,
    suffix: str | None,
    format_: str | None,
    quality: int,
    icc: str,
    preserve_times: bool,
    compare: bool,
    gallery: bool,
    show: bool,
    overwrite: bool,
    in_place: str | None,
    max_pixels: int,
    files_from: str | None,
    null: bool,
    jobs: int | None,
    watch: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> ExitCode:
    """Recolor pictures: files, folders, or - for standard input.

    Each result goes beside its input as NAME-recolored, or to -o. What exists is skipped, so a run
    that was interrupted is finished by the same command; an input is never overwritten. Every
    option can also be set as a variable: RECOLOR_MODEL, RECOLOR_QUALITY and so on.
    """
    from recolor_cli.batch import run
    from recolor_cli.batch.outcome import Report
    from recolor_cli.batch.plan import STREAM, Job, OutputOptions, plan, plan_lines
    from recolor_cli.batch.processes import WorkerConfig
    from recolor_cli.guidance.recolor_options import RecolorOptions
    from recolor_cli.terminal.console import Console
    from recolor_cli.terminal.streams import stdin_is_terminal, stdout_is_terminal

    console = Console(quiet, verbose)
    if STREAM in inputs and files_from == "-":
        raise UsageError("standard input cannot be both a list and a picture", "use a file for one")
    if null and files_from is None:
        raise UsageError("-0 goes with --files-from", "add it, or leave -0 out")
    options = OutputOptions(
        out=out,
        suffix=suffix,
        format=FORMAT_NAMES[format_] if format_ else None,
        quality=quality,
        overwrite=overwrite,
        source_profile=icc == "source",
        preserve_times=preserve_times,
        backup=in_place,
        max_pixels=max_pixels,
        compare=compare,
        thumbnails=gallery or show,
        if_gray=if_gray,
        variants=variants or 0,
        seed=seed or 0,
        confidence=confidence,
    )
    if seed is not None and not variants:
        raise UsageError("--seed says which variants", "add --variants, or leave it out")
    if variants and in_place is not None:
        raise UsageError("variants do not fit in one place", "leave --in-place or --variants out")
    recolor_options = RecolorOptions(
        temperature,
        strength,
        keep_original,
        only_gray,
        _read_mask(mask) if mask else None,
        steering_of(palette, palette_strength, hint),
    )
    advice = "name files or folders, or - for standard input"
    planned: Iterable[Job]
    if watch and (dry_run or files_from is not None):
        raise UsageError("--watch takes no list and does what it says", "leave -n and lists out")
    if watch and inputs:
        planned, total, to_stdout = [], None, False
    elif files_from is not None:  # however long the list is, only a window of it is in memory
        first = next(listed := _names_from(files_from, null), None)
        if first is None and not inputs:
            raise NoInputsError(f"the list {files_from} is empty", advice)
        names = itertools.chain(inputs, () if first is None else (first,), listed)
        planned, total, to_stdout = plan_lines(names, recursive, options), None, False
    elif inputs:
        planned = plan(inputs, recursive, options)
        total, to_stdout = len(planned), any(job.destination == STREAM for job in planned)
    else:
        raise UsageError("no input is given", advice)
    if to_stdout and as_json:
        raise UsageError("--json and the picture cannot both go to standard output", "use -o FILE")
    if to_stdout and not dry_run and stdout_is_terminal():
        raise UsageError("a picture is not written to a terminal", "redirect it, or use -o FILE")
    if to_stdout and (compare or options.needs_distribution):
        asked = "a comparison" if compare else "variants" if variants else "the map of confidence"
        raise UsageError(f"{asked} would lie beside a file, there is none", "use -o FILE")
    if STREAM in inputs and stdin_is_terminal():
        raise UsageError(
            "- reads a picture from standard input, which is a terminal", "pipe one in"
        )

    report = Report()
    started = time.monotonic()
    device_used = ""

    def outcomes(stop: threading.Event) -> Iterator[Outcome]:
        # A list may come through a pipe that stays open.
        jobs_left = iter(planned) if files_from is None else run.prefetch(stop, planned)
        for job in jobs_left:  # what is done already needs no network
            if stop.is_set():
                return
            if not dry_run and run.has_work(job, options):
                yield from outcomes_of_work(itertools.chain([job], jobs_left), stop)
                return
            yield from run.dry_run([job], options)

    def outcomes_of_work(todo: Iterable[Job], stop: threading.Event) -> Iterator[Outcome]:
        nonlocal device_used
        setup = WorkerConfig(model, device, jobs, total, recolor_options, options)
        # What goes through our own standard streams, or is alone, needs no other process.
        shared = total != 1 and STREAM not in inputs
        workers, device_used = (_processes if shared else _threads)(setup, console)
        yield from run.run(todo, workers, stop)

    page = page_of(out) if gallery and not dry_run else None
    bar_total = 1 if show else total  # a bar and pictures would be in each other's way
    with (
        result_viewer(console, page, show and not dry_run) as looks,
        console.progress(bar_total, "pictures", "watching" if watch else "recoloring") as bar,
        signals((signal.SIGINT, signal.SIGTERM) if watch else (signal.SIGINT,)) as stop,
    ):
        if watch:
            from recolor_cli.batch.watch import arrivals

            ended = outcomes_of_work(arrivals(inputs, recursive, options, stop), stop)
        else:
            ended = outcomes(stop)
        for outcome in ended:
            report.add(outcome)
            report_outcome(outcome, console, as_json, model, device_used, total == 1)
            if watch and outcome.job.is_unsupported and outcome.error:  # there may never be an end
                console.warn(f"{outcome.job.source} is left out: {outcome.error.message}")
            looks.add(outcome, model)
            bar.advance()
        cut_short = stop.is_set() and stop.signal != signal.SIGTERM  # which is a watch's usual end
        looks.finish(model=model, device=device_used, interrupted=cut_short)
    if report.least_certain:
        console.note("least certain first, nats:")
        for nats, source in report.least_certain:
            console.note(f"  {nats:.2f}  {source}")
    for reason, count in report.unsupported_files.items():
        if count == 1:
            console.warn(f"1 file is left out: {reason}")
        else:
            console.warn(f"{count} files are left out: {reason.replace('it is', 'each is', 1)}")
    if cut_short:
        console.error(f"interrupted: {report}", "the same command goes on from here")
        return ExitCode.INTERRUPTED
    if total != 1:
        console.note(f"{report} in {time.monotonic() - started:.1f} s")
    if watch:
        return ExitCode.OK
    return report.exit_code if looks.is_whole else report.exit_code or ExitCode.SOME_FAILED


def _read_mask(path: str) -> NDArray[np.uint8]:
    """Read the picture that says where to recolor."""
    from recolor_cli.image.decode import decode_mask
    from recolor_cli.system.files import read

    try:
        return decode_mask(read(Path(path)).data)
    except InputError as error:
        raise UsageError(f"--mask {path}: {error.message}", error.hint) from error


def _processes(setup: WorkerConfig, console: Console) -> tuple[Workers, str]:
    """Return workers in other processes, which no crash of a decoder ends, and the device."""
    from recolor_cli.batch.processes import ProcessWorkers

    workers = ProcessWorkers(setup)
    report_device(workers.ready, console)
    return workers, workers.ready.device


def _threads(setup: WorkerConfig, console: Console) -> tuple[Workers, str]:
    """Return workers in this process, and the device."""
    from recolor_cli.batch.picture import ThreadWorkers
    from recolor_cli.batch.processes import pictures_at_a_time
    from recolor_cli.recolorizer import Recolorizer

    count = pictures_at_a_time(setup, on_gpu=False)
    network = load_network(setup.model or "", setup.device, count, console)
    if setup.needs_distribution:
        network.require_distribution()
    recolorizer = Recolorizer(network, setup.recolor)
    return ThreadWorkers(recolorizer, setup.output, count), network.device


def _names_from(files_from: str, null: bool) -> Iterator[str]:
    """Yield the names that ``--files-from`` lists, as they come in."""
    from recolor_cli.terminal.streams import parts, stdin

    with contextlib.ExitStack() as stack:
        try:
            if files_from == "-":
                source = stdin()
            else:
                source = stack.enter_context(Path(files_from).open("rb"))
            for line in parts(source, b"\0" if null else b"\n"):
                if b"\0" in line:
                    raise InputError(
                        f"the list {files_from} has NULs between names",
                        "add -0, or end them in newlines",
                    )
                name = os.fsdecode(line if null else line.removesuffix(b"\r"))
                if name:
                    yield f"./{name}" if name == "-" else name  # there it is a file
        except OSError as error:
            advice = "check the name, or use - for standard input"
            raise InputError(
                f"cannot read the list {files_from}: {error.strerror}", advice
            ) from error
