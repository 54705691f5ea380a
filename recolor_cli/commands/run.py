"""`recolor run`, the default command: pictures in, pictures out."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from recolor_cli.batch.job import STREAM, is_stream
from recolor_cli.batch.sidecar_names import MAX_VARIANTS
from recolor_cli.commands.completers import files
from recolor_cli.commands.gallery_writer import gallery_writer, page_of
from recolor_cli.commands.help import SectionedCommand
from recolor_cli.commands.name_list import inputs_and_list
from recolor_cli.commands.options import (
    DEFAULT_SETTINGS,
    cluster_option,
    color_options,
    inputs_argument,
    jobs_option,
    max_pixels_option,
    shared_options,
    suffix_option,
)
from recolor_cli.commands.report import (
    print_lists,
    print_page,
    print_repeated_failures,
    report_outcome,
)
from recolor_cli.commands.run_options import (
    OptionValues,
    check_combinations,
    output_options,
    provenance_of,
    recolor_options,
)
from recolor_cli.commands.signals import signals
from recolor_cli.commands.workers import WorkerOpener
from recolor_cli.errors import ExitCode, OutputError, UsageError
from recolor_cli.image.formats import FORMAT_NAMES, ImageFormat
from recolor_cli.system.device import Device
from recolor_cli.system.places import is_address

if TYPE_CHECKING:
    from recolor_cli.batch.job import Job
    from recolor_cli.batch.outcome import Outcome
    from recolor_cli.batch.output_options import OutputOptions
    from recolor_cli.terminal.console import Console

_ENDINGS = [image_format.suffix[1:] for image_format in ImageFormat]


# The sections of the help. Options in none of them come last.
_SECTIONS = {
    "Output": (
        "out",
        "base",
        "suffix",
        "format_",
        "quality",
        "icc",
        "preserve_times",
        "overwrite",
        "in_place",
        "no_provenance",
    ),
    "Color": ("model", "temperature", "strength", "keep_original", "only_gray", "if_gray", "mask"),
    "Other colors": (
        "variants",
        "pick",
        "seed",
        "palette",
        "palette_strength",
        "hint",
        "confidence",
    ),
    "Looking": ("compare", "gallery"),
    "Inputs": (
        "recursive",
        "exclude",
        "shard",
        "files_from",
        "null",
        "watch",
        "damaged",
        "max_pixels",
    ),
    "Speed": ("jobs", "device", "cluster"),
    "Report": ("dry_run", "as_json", "quiet", "verbose"),
}


@click.command(cls=SectionedCommand, sections=_SECTIONS, context_settings=DEFAULT_SETTINGS)
@inputs_argument(required=False)
@shared_options
@color_options
@click.option("--if-gray", is_flag=True, help="Skip pictures that have color.")
@click.option(
    "--variants",
    type=click.IntRange(2, MAX_VARIANTS),
    metavar="N",
    help="Write N different colorings, NAME and NAME-2 to NAME-N, and a sheet, NAME-variants.",
)
@click.option(
    "--hint",
    multiple=True,
    metavar="X,Y,COLOR|FILE",
    help="A color at a pixel, as in 120,80,red; or JSON of such, or a PNG with strokes. Can be "
    "given often.",
)
@click.option(
    "--confidence",
    is_flag=True,
    help="Write where the network was sure, as NAME-confidence; list the least certain.",
)
@suffix_option("-recolored; nothing with -o FOLDER")
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(FORMAT_NAMES), case_sensitive=False),
    metavar="|".join(_ENDINGS),
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
@click.option(
    "--in-place",
    metavar="SUFFIX",
    help="Results take the pictures' names; these are kept as NAME.jpgSUFFIX.",
)
@click.option(
    "--damaged",
    type=click.Choice(["refuse", "keep"]),
    default="refuse",
    show_default=True,
    help="keep recolors what is left of damaged pictures.",
)
@max_pixels_option(500_000_000)
@click.option(
    "--files-from",
    metavar="FILE",
    shell_complete=files,
    help="Read inputs from a file, one a line; - is stdin.",
)
@jobs_option("the CPUs; with a store, three for each")
@cluster_option
@click.option(
    "--watch", is_flag=True, help="Go on with what arrives in the folders INPUT, until stopped."
)
def run(**values: Any) -> Callable[[], ExitCode]:
    """Recolor pictures: files, folders, or - for standard input.

    Each result goes beside its input as NAME-recolored, or to -o. What exists is skipped, so a run
    that was interrupted is finished by the same command; an input is never overwritten. Every
    option can also be set as a variable: RECOLOR_MODEL, RECOLOR_QUALITY and so on.
    """
    from recolor_cli.batch.messages import WorkerConfig
    from recolor_cli.model.preflight import check_model
    from recolor_cli.terminal.console import Console

    given = OptionValues(**values)
    console = Console(given.quiet, given.verbose, given.null)
    check_combinations(given)
    output, recolor = output_options(given), recolor_options(given)
    planned = _plan(given, output)
    _check_streams(given, planned, output)
    needs_distribution = recolor.steering is not None or output.needs_distribution
    # Machines of a cluster have devices of their own.
    device = given.device if given.cluster is None else Device.CPU
    check_model(given.model, device, needs_distribution)
    output = replace(output, provenance=provenance_of(given, recolor))
    on_store = any(map(is_address, (*given.inputs, given.out or "")))
    config = WorkerConfig(
        given.model, given.device, given.jobs, planned.total, recolor, output, on_store
    )
    # A picture alone needs no other process, and other processes lack the streams of this one.
    in_threads = planned.total == 1 or any(is_stream(name) for name in given.inputs)
    opener = WorkerOpener(config, console, in_threads, given.cluster)
    return partial(_run, given, planned, opener, console)


@dataclass(frozen=True, slots=True)
class _RunPlan:
    """The jobs of a run.

    Parameters
    ----------
    jobs : iterator or list of Job
        Of a watch, jobs come from its folders instead.
    total : int or None
        Number of jobs, if it is known.
    to_stdout : bool
        Whether a result goes to standard output.
    """

    jobs: Iterator[Job] | Sequence[Job]
    total: int | None
    to_stdout: bool = False


def _check_streams(given: OptionValues, planned: _RunPlan, output: OutputOptions) -> None:
    """Raise UsageError if standard input or output cannot be used as the jobs need it."""
    from recolor_cli.terminal.streams import stdin_is_terminal, stdout_is_terminal

    if planned.to_stdout:
        if given.as_json:
            raise UsageError(
                "--json and the picture cannot both go to standard output", "use -o FILE"
            )
        if not given.dry_run and stdout_is_terminal():
            raise UsageError(
                "a picture is not written to a terminal", "redirect it, or use -o FILE"
            )
        if given.compare or output.needs_distribution:
            network_sidecar = "variants" if given.variants else "a map of confidence"
            sidecar = "a comparison" if given.compare else network_sidecar
            raise UsageError(
                f"{sidecar} would be written next to a file, and standard output is none",
                "use -o FILE",
            )
    if STREAM in given.inputs and stdin_is_terminal():
        raise UsageError(
            "- reads a picture from standard input, which is a terminal", "pipe one in"
        )


def _plan(given: OptionValues, output: OutputOptions) -> _RunPlan:
    """Plan the inputs of the command line, or those of a list while it is read."""
    from recolor_cli.batch.plan import plan, plan_lines

    if given.files_from is not None:
        names = inputs_and_list(given.inputs, given.files_from, given.null)
        return _RunPlan(plan_lines(names, given.recursive, output), None)
    if not given.inputs:
        raise UsageError("no input is given", "name files or folders, or - for standard input")
    if given.watch:
        return _RunPlan([], None)
    jobs = plan(given.inputs, given.recursive, output)
    # `plan` refuses further jobs beside one that goes to standard output.
    return _RunPlan(jobs, len(jobs), len(jobs) == 1 and jobs[0].destination == STREAM)


def _run(
    given: OptionValues, planned: _RunPlan, workers: WorkerOpener, console: Console
) -> ExitCode:
    """Do the jobs and report their outcomes, until they are done or a signal comes."""
    from recolor_cli.batch.outcome import Report, Status

    report, started = Report(), time.monotonic()
    page = page_of(given.out) if given.gallery and not given.dry_run else None
    with (
        # First, so that Ctrl-C does not meet the gallery while it is begun or finished.
        signals((signal.SIGINT, signal.SIGTERM) if given.watch else (signal.SIGINT,)) as stop,
        gallery_writer(console, page) as gallery,
        console.progress(
            planned.total, "pictures", "watching" if given.watch else "recoloring"
        ) as bar,
    ):
        for outcome in _outcomes(given, planned, workers, stop):
            report_outcome(
                outcome,
                report,
                console,
                given.as_json,
                given.model,
                workers.device,
                alone=planned.total == 1,
                is_watch=given.watch,
            )
            if given.watch and outcome.status is Status.WRITTEN:
                print_repeated_failures(report, console)  # the cause is over, and may come again
            gallery.add(outcome, given.model)
            bar.advance()
        # SIGTERM is the usual end of a watch.
        interrupted = stop.is_set() and stop.signal != signal.SIGTERM
        gallery.finish(given.model, workers.device, interrupted)
    if page:
        print_page(page, not (given.as_json or planned.to_stdout), console)
    print_lists(report, console)
    if interrupted:
        console.error(f"interrupted: {report}", "the same command goes on from here")
        return ExitCode.INTERRUPTED
    if planned.total != 1:
        console.note(f"{report} in {time.monotonic() - started:.1f} s")
    if given.watch and not stop.is_set():
        console.error("the watch ends, because no process is left", "start it again")
        return ExitCode.SOME_FAILED
    if given.watch:
        return ExitCode.OK
    return report.exit_code if gallery.is_complete else report.exit_code or ExitCode.SOME_FAILED


def _outcomes(
    given: OptionValues, planned: _RunPlan, workers: WorkerOpener, stop: threading.Event
) -> Iterator[Outcome]:
    """Do the jobs, pretend to do them, or do those that arrive in the folders."""
    from recolor_cli.batch import run

    output, recolor = workers.config.output, workers.config.recolor
    workers.stop = stop
    if given.dry_run:
        from recolor_cli.commands.estimate import with_estimate

        return with_estimate(run.dry_run(planned.jobs, output, stop, recolor), workers, stop)
    if given.watch:
        return _watched(given, workers, stop)
    return run.run(planned.jobs, output, workers, stop, recolor)


def _watched(
    given: OptionValues, workers: WorkerOpener, stop: threading.Event
) -> Iterator[Outcome]:
    """Do the jobs that arrive in the folders, as long as there are processes for them."""
    from recolor_cli.batch.outcome import Status
    from recolor_cli.batch.run import run_with_workers
    from recolor_cli.batch.watch import Arrivals

    output, recolor = workers.config.output, workers.config.recolor
    arriving = Arrivals(given.inputs, given.recursive, output, stop)
    processes = workers()
    for outcome in run_with_workers(arriving, output, processes, stop, recolor, arriving.note):
        if outcome.status is Status.MADE_OTHERWISE and outcome.error:
            error = OutputError(outcome.error.message, "move it away, and touch the picture")
            outcome = replace(outcome, error=error)
        yield outcome
        if processes.failure:  # no other one will be started
            return
