"""Report devices and outcomes to the user; shared by `run`, `film` and `demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recolor_cli.batch.job import STREAM
from recolor_cli.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from recolor_cli.batch.messages import ReadyMessage
    from recolor_cli.batch.outcome import Outcome, Report
    from recolor_cli.model.onnx_network import OnnxColorNetwork
    from recolor_cli.terminal.console import Console


def load_network(model: str, device: str, workers: int, console: Console) -> OnnxColorNetwork:
    """Load a model, divide the CPUs among the workers, and report the device.

    Raises
    ------
    ModelError, DeviceError
        As `OnnxColorNetwork.load`.
    """
    from recolor_cli.batch.messages import ReadyMessage
    from recolor_cli.batch.threads import share_cpus
    from recolor_cli.model.onnx_network import OnnxColorNetwork

    network = OnnxColorNetwork.load(model, device, share_cpus(workers))
    report_device(
        ReadyMessage(network.manifest.name, network.device, network.cpu_reason, workers), console
    )
    return network


def report_device(ready: ReadyMessage, console: Console) -> None:
    """Report why a card is not used; with --verbose, model, device, workers and memory, too."""
    from recolor_cli.system.device import NO_CUDA_PROVIDER, why_no_driver
    from recolor_cli.system.texts import megabytes

    if ready.cpu_reason:
        # Most computers have no card of NVIDIA's, and `recolor doctor` says so.
        no_driver = why_no_driver()
        has_no_card = no_driver and ready.cpu_reason in (no_driver, NO_CUDA_PROVIDER)
        report = console.detail if has_no_card else console.note
        report(f"running on the CPU: {ready.cpu_reason} (--device cpu is silent)")
    memory = f", each with {megabytes(ready.memory)} before its picture" if ready.memory else ""
    console.detail(f"model {ready.name} on {ready.device}, {ready.count} at a time{memory}")


def report_outcome(
    outcome: Outcome,
    report: Report,
    console: Console,
    as_json: bool,
    model: str,
    device: str,
    alone: bool = True,
    is_watch: bool = False,
) -> None:
    """Count an outcome, and print it: messages to stderr, the path or a JSON object to stdout.

    Parameters
    ----------
    outcome : Outcome
    report : Report
        Of the run. A message that it has had before is printed with --verbose alone.
    console : Console
    as_json : bool
    model, device : str
        For the JSON object; an empty device becomes null.
    alone : bool
        Whether it is the only job of the run: then a skip is a message without --verbose, too.
    is_watch : bool
        Whether the report at the end may never come: then each unsupported file is named at once.
    """
    from recolor_cli.batch.outcome import Status

    report.add(outcome)
    job = outcome.job
    if is_watch and outcome.status is Status.LEFT_OUT and outcome.error:
        console.warn(f"{job.source} is left out: {outcome.error.message}")
        report.unsupported_files.clear()  # it is named, and need not be counted at the end
    else:
        _print_messages(outcome, console, alone, report.is_repeated(outcome))
    if as_json:
        console.json(_json(outcome, model, device))
    elif outcome.status is Status.PLANNED:
        console.data(f"{job.source} -> {job.destination}")
    elif not console.quiet:
        for path in outcome.written:
            if path != STREAM:
                console.data(path)


def print_page(page: Path, is_data: bool, console: Console) -> None:
    """Print the path of the gallery; to stdout, as those of all written files, if it is data."""
    if not is_data:
        console.note(f"gallery: {page}")
    elif not console.quiet:
        console.data(str(page))


def print_lists(report: Report, console: Console) -> None:
    """Print the least certain pictures, and counts of the files that were not named one by one."""
    from recolor_cli.batch.outcome import MAX_LISTED, Status

    print_repeated_failures(report, console)
    if (rest := report.counts[Status.MADE_OTHERWISE] - MAX_LISTED) > 0:
        console.error(
            f"{rest} more results exist and were made otherwise",
            "-v names them; --overwrite redoes them",
        )
    if report.least_certain:
        console.note("least certain first, nats:")
        for nats, source in report.least_certain:
            console.note(f"  {nats:.2f}  {source}")
    for reason, count in report.unsupported_files.items():
        if count == 1:
            console.warn(f"1 file is left out: {reason}")
        else:
            console.warn(f"{count} files are left out: {reason.replace('it is', 'each is', 1)}")


def print_repeated_failures(report: Report, console: Console) -> None:
    """Print how many further failures each common cause has had, and begin to count anew."""
    for cause, count in report.causes.items():
        if count > 1:
            console.error(f"{count - 1} more failed because {cause}")
    report.causes.clear()


def _print_messages(outcome: Outcome, console: Console, alone: bool, is_repeated: bool) -> None:
    from recolor_cli.batch.outcome import Status

    job, error = outcome.job, outcome.error
    for warning in outcome.warnings:
        console.warn(f"{job.source}: {warning}")
    if error and outcome.status is Status.LEFT_OUT:
        # A phone's folder may hold thousands; the report at the end counts them.
        console.detail(f"{job.source} is left out: {error.message}")
    elif error and is_repeated:
        console.detail(f"{job.source}: {error.message}")
    elif error:
        console.error(f"{job.source}: {error.message}", error.hint)
    if outcome.bug:
        console.detail(outcome.bug)
    if outcome.status is Status.SKIPPED:
        # Of a folder's thousands the count is enough.
        write = console.note if alone else console.detail
        if outcome.reason:
            write(f"{job.source}: {outcome.reason}, skipped")
        elif job.backup:
            write(f"{job.source} was recolored before, skipped; move {job.backup} back to redo it")
        elif outcome.written:
            write(f"{job.destination} exists, and was not redone; --overwrite does that")
        else:
            write(f"{job.destination} exists, skipped; --overwrite redoes it")


def _json(outcome: Outcome, model: str, device: str) -> dict[str, object]:
    error, size = outcome.error, outcome.size
    return {
        "source": outcome.job.source,
        "destination": outcome.job.destination or None,
        "status": outcome.status,
        "error": error.message if error else None,
        "hint": error.hint if error else None,
        "reason": outcome.reason or None,
        "entropy": None if outcome.entropy is None else round(outcome.entropy, 3),
        "companions": [path for path in outcome.written if path != outcome.job.destination],
        "warnings": list(outcome.warnings),
        "damaged": outcome.is_damaged,
        "width": size.width if size else None,
        "height": size.height if size else None,
        "model": model,
        "device": device or None,
        "seconds": {stage: round(s, 4) for stage, s in outcome.seconds.items()},
        **outcome.counts,
    }


def missing_extra(extra: str, error: ImportError) -> UsageError:
    """Return the error that names the extra that brings a missing package.

    Raises
    ------
    ImportError
        The given one, if the package is there and memory is lacking.
    """
    from recolor_cli.system.memory import is_out_of_memory

    if is_out_of_memory(error):
        raise error
    return UsageError(
        f"this command needs the package {error.name}", f"pip install 'recolor-cli[{extra}]'"
    )


def version_of(package: str) -> str:
    """Return the version of an installed package, or ``not installed``."""
    from importlib import metadata  # slow to import: it brings a parser of e-mail

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
