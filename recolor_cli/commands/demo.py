"""`recolor demo`: check that the installation works."""

from __future__ import annotations

import os
from pathlib import Path

import click

from recolor_cli.commands.options import SETTINGS, device_option, quiet_option, verbose_option
from recolor_cli.commands.report import load_network, report_outcome
from recolor_cli.errors import ExitCode, UsageError


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
    source = Path(out) / "recolor-demo.jpg"
    picture = (Path(__file__).parent.parent / "demo.jpg").read_bytes()
    if os.path.exists(source) and source.read_bytes() != picture:
        raise UsageError(f"{source} exists and is another picture", "choose another folder with -o")
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
