"""What several commands share: options, opening a model, telling what became of a picture."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from recolor_cli.errors import UsageError

if TYPE_CHECKING:
    from recolor_cli.batch.outcome import Outcome
    from recolor_cli.batch.processes import ReadyMessage
    from recolor_cli.model.onnx_network import OnnxColorNetwork
    from recolor_cli.terminal.console import Console

SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "auto_envvar_prefix": "RECOLOR",
    "max_content_width": 100,
}  # of every command
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    shell_complete=lambda ctx, param, incomplete: [
        name for name in ("auto", "cpu", "cuda") if name.startswith(incomplete)
    ],
    help="auto uses CUDA where it works and says so where it does not; cuda insists.",
)
json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    envvar="RECOLOR_JSON",
    help="Print JSON to stdout, one object a line.",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")


@dataclass
class GlobalFlags:
    """Flags of a command that `cli.main` needs after the command has failed."""

    verbose: bool = False


def _store_verbose(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    if flags := ctx.find_object(GlobalFlags):
        flags.verbose = value
    return value


verbose_option = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    is_eager=True,  # so that errors in other options have a traceback, too
    callback=_store_verbose,
    help="Print more, and tracebacks.",
)


class Number(click.FloatRange):
    """A number within limits; unlike click's own it does not let NaN through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value as a float, or fail as a usage error."""
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value} is not a number", param, ctx)
        return number


# Of pictures and of films.
recursive_option = click.option("-r", "--recursive", is_flag=True, help="Search folders in depth.")
temperature_option = click.option(
    "-T",
    "--temperature",
    type=Number(0.01, 10),
    metavar="N",
    help="Lower is more vivid and patchier, higher calmer. [the model's own]",
)
strength_option = click.option(
    "--strength",
    type=Number(0, 3),
    metavar="N",
    default=1.0,
    show_default=True,
    help="Factor on the color; 0 is gray.",
)
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Redo results that exist; else they are skipped."
)
dry_run_option = click.option(
    "-n", "--dry-run", is_flag=True, help="Say what would be done, and do nothing."
)


def load_network(model: str, device: str, workers: int, console: Console) -> OnnxColorNetwork:
    """Open a model; several pictures at a time share the CPUs, a single one takes them all."""
    from recolor_cli.batch.picture import share_cpus
    from recolor_cli.batch.processes import ReadyMessage
    from recolor_cli.model.onnx_network import OnnxColorNetwork

    network = OnnxColorNetwork.load(model, device, share_cpus(workers))
    report_device(
        ReadyMessage(network.manifest.name, network.device, network.cpu_reason, workers), console
    )
    return network


def report_device(ready: ReadyMessage, console: Console) -> None:
    """Say why it is not CUDA, if that was to be tried, and, to who asks, what runs where."""
    if ready.cpu_reason:
        console.note(f"running on the CPU: {ready.cpu_reason} (--device cpu is silent)")
    console.detail(f"model {ready.name} on {ready.device}, {ready.count} at a time")


def report_outcome(
    outcome: Outcome,
    console: Console,
    as_json: bool,
    model: str,
    device: str,
    alone: bool = True,
    also: dict[str, object] | None = None,
) -> None:
    """Report one outcome; `also` is what else its JSON object has."""
    from recolor_cli.batch.outcome import Status
    from recolor_cli.batch.plan import STREAM

    job = outcome.job
    for warning in outcome.warnings:
        console.warn(f"{job.source}: {warning}")
    if outcome.error and outcome.status is Status.LEFT_OUT:
        # A phone's folder may have thousands: the report counts them.
        console.detail(f"{job.source} is left out: {outcome.error.message}")
    elif outcome.error:
        console.error(f"{job.source}: {outcome.error.message}", outcome.error.hint)
    if outcome.bug:
        console.detail(outcome.bug)
    if outcome.status is Status.SKIPPED:
        # One is told; of a folder's thousands the count is enough.
        say = console.note if alone else console.detail
        if outcome.reason:
            say(f"{job.source}: {outcome.reason}, skipped")
        else:
            say(f"{job.destination} exists, skipped; --overwrite redoes it")
    if as_json:
        console.json(
            {
                "source": job.source,
                "destination": job.destination or None,
                "status": outcome.status,
                "error": outcome.error.message if outcome.error else None,
                "hint": outcome.error.hint if outcome.error else None,
                "reason": outcome.reason or None,
                "entropy": None if outcome.entropy is None else round(outcome.entropy, 3),
                "companions": list(outcome.sidecars),
                "warnings": list(outcome.warnings),
                "width": outcome.size.width if outcome.size else None,
                "height": outcome.size.height if outcome.size else None,
                "model": model,
                "device": device or None,
                "seconds": {stage: round(s, 4) for stage, s in outcome.seconds.items()},
                **(also or {}),
            }
        )
    elif outcome.status is Status.PLANNED:
        console.data(f"{job.source} -> {job.destination}")
    elif outcome.status is Status.WRITTEN and job.destination != STREAM and not console.quiet:
        console.data(job.destination)


class Stop(threading.Event):
    """Set by a signal, which it remembers."""

    signal = 0


@contextlib.contextmanager
def signals(numbers: Sequence[signal.Signals]) -> Iterator[Stop]:
    """Turn signals, once or often, into an event: work that is begun is finished and reported."""
    stop = Stop()
    previous = {number: signal.getsignal(number) for number in numbers}

    def on_signal(number: int, frame: object) -> None:
        stop.signal = number
        stop.set()

    try:
        # Other threads than the main one cannot set handlers.
        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                # A caller that ignores it (nohup, a shell's background) stays in charge.
                if previous[number] is not signal.SIG_IGN:
                    signal.signal(number, on_signal)
        yield stop
    finally:
        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                # After one the process ends; a second one is not to turn that into a failure.
                signal.signal(number, signal.SIG_IGN if stop.is_set() else previous[number])


def missing_extra(extra: str, error: ImportError) -> UsageError:
    """Return the error that names the extra whose package a command misses."""
    return UsageError(
        f"this command needs the package {error.name}", f"pip install 'recolor-cli[{extra}]'"
    )


def version_of(package: str) -> str:
    """Return the version of an installed package, or that it is not there."""
    from importlib import metadata  # with a parser of e-mail: only where it is needed

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
