"""`recolor demo`: check that the installation works."""

from __future__ import annotations

from pathlib import Path

import click

from recolor_cli.commands.options import SETTINGS, device_option, quiet_option, verbose_option
from recolor_cli.commands.report import load_network, report_outcome
from recolor_cli.errors import ExitCode, OutputError, UsageError

_SOURCE, _RESULT = "recolor-demo.jpg", "recolor-demo-recolored.jpg"
_ADVICE = "choose another folder with -o"


@click.command(context_settings=SETTINGS)
@click.option("-o", "--out", default=".", metavar="FOLDER", help="Where to. [here]")
@device_option
@quiet_option
@verbose_option
def demo(out: str, device: str, quiet: bool, verbose: bool) -> ExitCode:
    """Recolor a picture that comes with the program: a check that all works."""
    from recolor_cli.batch.outcome import Report
    from recolor_cli.batch.output_options import OutputOptions
    from recolor_cli.batch.plan import plan
    from recolor_cli.batch.run import run_with_workers
    from recolor_cli.batch.run_provenance import describe_colors, run_provenance
    from recolor_cli.batch.threads import ThreadWorkers
    from recolor_cli.guidance.recolor_options import RecolorOptions
    from recolor_cli.recolorizer import Recolorizer
    from recolor_cli.system.files import write_atomic
    from recolor_cli.terminal.console import Console

    console = Console(quiet, verbose)
    folder = _folder_of_this_machine(out)
    source = folder / _SOURCE
    picture = (Path(__file__).parent.parent / "demo.jpg").read_bytes()
    _check_replaceable(folder, picture)
    write_atomic(source, picture)
    provenance = run_provenance("poster", describe_colors(RecolorOptions()))
    options = OutputOptions(overwrite=True, provenance=provenance)
    jobs = plan([str(source)], False, options)
    network = load_network("poster", device, 1, console)
    report = Report()
    workers = ThreadWorkers(Recolorizer(network), options, 1)
    for outcome in run_with_workers(jobs, options, workers):
        report_outcome(outcome, report, console, False, "poster", network.device)
    return report.exit_code


def _folder_of_this_machine(out: str) -> Path:
    """Return the folder that an argument names.

    Raises
    ------
    UsageError
        If it is an address.
    """
    from recolor_cli.system.places import is_url, local_name

    name = local_name(out)
    if is_url(name):
        raise UsageError("-o of the demo is a folder of this machine", "name one")
    return Path(name)


def _check_replaceable(folder: Path, picture: bytes) -> None:
    """Check that a folder has no files of the demo's names that are somebody else's.

    Parameters
    ----------
    folder : Path
    picture : bytes
        The picture of the demo.

    Raises
    ------
    UsageError
        If it has one.
    OutputError
        If a file cannot be read.
    """
    from recolor_cli.image.xmp_reader import read_provenance, read_xmp

    source, result = folder / _SOURCE, folder / _RESULT
    if _read(source) not in (None, picture):
        raise UsageError(f"{source} exists and is another picture", _ADVICE)
    if _read(result):  # a power cut may have left an empty one
        recorded = read_provenance(read_xmp(str(result)))
        if recorded is None or not recorded.is_of(_SOURCE):
            raise UsageError(f"{result} exists and is another picture", _ADVICE)


def _read(path: Path) -> bytes | None:
    """Return the bytes of a file, or None if there is none; raise OutputError if that fails."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror}", _ADVICE) from error
