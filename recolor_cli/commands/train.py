"""`recolor train`."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recolor_cli.commands.options import SETTINGS, device_option, quiet_option, verbose_option
from recolor_cli.commands.report import missing_extra
from recolor_cli.commands.signals import signals
from recolor_cli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from recolor_cli.evaluation.metrics import Figures
    from recolor_cli.training.progress import TrainingProgress


@click.command(context_settings=SETTINGS)
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run. [runs/CONFIG]")
@click.option(
    "--data", multiple=True, metavar="SOURCE", help="Folders or tar files, instead of the config's."
)
@click.option(
    "--validation", multiple=True, metavar="SOURCE", help="The same, of the validation pictures."
)
@click.option("--samples", type=click.IntRange(1), help="Pictures to see, instead of the config's.")
@click.option("--init", help="Start from the weights of a model, a weights file or a checkpoint.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a value of the config, in TOML's syntax; repeatable.",
)
@device_option
@quiet_option
@verbose_option
def train(
    config: Path,
    out: Path | None,
    data: tuple[str, ...],
    validation: tuple[str, ...],
    samples: int | None,
    init: str | None,
    settings: tuple[str, ...],
    device: str,
    quiet: bool,
    verbose: bool,
) -> ExitCode:
    """Train a network by CONFIG, a TOML file or the name of an included one (tune).

    After an interruption, the same command resumes from the last checkpoint.
    """
    from recolor_cli.terminal.console import Console

    console = Console(quiet, verbose)
    try:
        from recolor_cli.training.config import CONFIGS, TrainConfig
        from recolor_cli.training.train import train as run_training
    except ImportError as error:
        raise missing_extra("train", error) from error

    if not os.path.isfile(config) and len(config.parts) == 1:
        config = CONFIGS.get(str(config), config)
    values: dict[str, Any] = {}
    if data:  # the config's name and description are about other pictures
        values = {"description": "the user's own pictures"}
        values |= {"name": out.resolve().name} if out else {}
    values |= {"train": data or None, "validation": validation or None, "samples": samples}
    plan = TrainConfig.load(config, values | _parse_settings(settings))
    folder = out or Path("runs") / config.stem
    with console.progress(plan.samples, "samples", plan.name) as bar:
        seen = 0

        def report(progress: TrainingProgress) -> None:
            nonlocal seen
            if progress.figures or not bar.is_shown:
                console.note(_progress_line(progress))
            bar.describe(f"{plan.name} loss {progress.loss:.3f}")
            bar.advance(progress.samples - seen)
            seen = progress.samples

        is_finished = run_training(
            plan,
            folder,
            device,
            init,
            report,
            report_every_s=5.0 if bar.is_shown else 30.0,
            interrupts=signals((signal.SIGINT, signal.SIGTERM)),
            warn=console.warn,
        )
    if not is_finished:
        console.error("interrupted", "the same command resumes the training")
        return ExitCode.INTERRUPTED
    console.data(str(folder))
    return ExitCode.OK


def _parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Parse ``KEY=VALUE`` as lines of TOML. A word that is not a TOML value is text."""
    import tomllib

    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        key = key.strip()
        if not (equals and key.isidentifier()):
            raise UsageError(f"--set {setting} is not KEY=VALUE", "as in --set rebalance=0.8")
        try:
            values[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[key] = value.strip()
    return values


def _progress_line(progress: TrainingProgress) -> str:
    line = (
        f"{progress.samples:,} of {progress.total:,} samples, loss {progress.loss:.3f}, "
        f"{progress.rate:.1f} samples/s, {timedelta(seconds=round(progress.remaining_s))} left, "
        f"{progress.waiting:.0%} of the time waiting for pictures"
    )
    if progress.figures:
        line += f"; validation: {_figures_line(progress.figures)}"
    return line


def _figures_line(figures: Figures) -> str:
    return (
        f"balanced AuC {figures.balanced_auc:.3f}, 1-class {figures.one_class:.3f}, "
        f"2-class {figures.two_class:.3f}, L2 {figures.l2:.0f}, "
        f"chroma {figures.chroma_ratio:.2f}, classes {figures.class_ratio:.2f}"
    )
