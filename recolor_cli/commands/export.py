"""`recolor export`: write a model file from a training, or from a foreign network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recolor_cli.commands.options import SETTINGS, quiet_option
from recolor_cli.commands.report import missing_extra
from recolor_cli.errors import ExitCode, UsageError
from recolor_cli.system.texts import counted

if TYPE_CHECKING:
    from recolor_cli.evaluation.pictures import Picture
    from recolor_cli.model.foreign_profile import ForeignProfile
    from recolor_cli.terminal.console import Console

_MAX_MEASURED = 240  # pictures


@click.command(context_settings=SETTINGS)
@click.argument("checkpoints", nargs=-1, required=True, metavar="CHECKPOINT...")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option(
    "--pictures",
    multiple=True,
    metavar="SOURCE",
    help="Folders or tar files of real pictures, on which the colors are compared.",
)
@click.option(
    "--architecture", help="CHECKPOINT is a foreign state dict of this architecture of ours."
)
@click.option(
    "--profile",
    metavar="PROFILE",
    help="CHECKPOINT is a foreign network (.onnx, .keras or .h5), which this TOML file, or an "
    "included one, describes.",
)
@quiet_option
def export(
    checkpoints: tuple[str, ...],
    destination: Path,
    pictures: tuple[str, ...],
    architecture: str | None,
    profile: str | None,
    quiet: bool,
) -> ExitCode:
    """Write the weights of CHECKPOINT as a model file, if it gives the same colors.

    Several checkpoints, weights files and models are averaged, each as often as it is named. The
    first one must be a checkpoint: the model file gets its config. DESTINATION ends in .onnx, or in
    .safetensors for the weights of any of them alone, to start a training from.

    With --architecture or --profile, CHECKPOINT is a foreign network.
    """
    from recolor_cli.terminal.console import Console

    try:
        from recolor_cli.training.checkpoint import WEIGHTS_SUFFIX, load_mean
        from recolor_cli.training.export import export as export_model
        from recolor_cli.training.export import export_state_dict
        from recolor_cli.training.foreign.conversion import export_foreign
    except ImportError as error:
        raise missing_extra("train", error) from error
    console = Console(quiet)
    _check_sources(checkpoints, destination, architecture, profile)
    is_foreign = bool(architecture or profile)
    if destination.suffix == WEIGHTS_SUFFIX and not is_foreign:
        load_mean(checkpoints).save(destination)
        console.data(str(destination))
        return ExitCode.OK
    if destination.suffix != ".onnx":
        suffixes = ".onnx" if is_foreign else f".onnx or {WEIGHTS_SUFFIX}"
        raise UsageError(f"{destination} must end in {suffixes}", f"name it {destination}.onnx")
    source = Path(checkpoints[0])
    chosen = _load_pictures(pictures, console)
    if architecture:
        parity = export_state_dict(source, architecture, destination, chosen)
    elif profile:
        parity = export_foreign(source, _load_profile(profile), destination, chosen)
    else:
        parity = export_model(checkpoints, destination, chosen)
    note = (
        f"{parity.framework} and onnxruntime differ by at most {parity.max_difference:.1e} ab "
        f"units on {counted(parity.inputs, 'input')}"
    )
    if parity.storage:
        note += f"; weights in {parity.storage} change ab by {parity.rounding:.1e}"
    console.note(note)
    console.data(str(destination))
    return ExitCode.OK


def _check_sources(
    checkpoints: tuple[str, ...], destination: Path, architecture: str | None, profile: str | None
) -> None:
    """Raise UsageError if the options do not fit the files."""
    source = Path(checkpoints[0])
    if architecture and profile:
        raise UsageError(
            "--architecture and --profile exclude each other",
            "a state dict needs an architecture, a whole network a profile",
        )
    if (architecture or profile) and len(checkpoints) > 1:
        raise UsageError("--architecture and --profile take one file", "name just one")
    both_exist = os.path.exists(destination) and os.path.exists(source)
    if profile and both_exist and destination.samefile(source):
        raise UsageError(f"{destination} is the network itself", "name another file")
    if (
        not (architecture or profile)
        and destination.suffix == ".onnx"
        and source.suffix in (".onnx", ".keras", ".h5", ".hdf5")
    ):
        raise UsageError(
            f"{source} is not a checkpoint of `recolor train`",
            "describe it with --profile THEIRS.toml",
        )


def _load_pictures(sources: tuple[str, ...], console: Console) -> list[Picture]:
    from recolor_cli.evaluation.pictures import load_pictures, spread, usable

    found = load_pictures(sources)
    if not found:
        raise UsageError("export compares on real pictures, too", "name some with --pictures")
    chosen = usable(spread(found, _MAX_MEASURED))
    console.note(f"comparing and measuring on {counted(len(chosen), 'picture')}")
    return chosen


def _load_profile(name: str) -> ForeignProfile:
    """Return a profile by its path, or by the name of an included one."""
    from recolor_cli.model.foreign_profile import ForeignProfile
    from recolor_cli.model.registry import PROFILES

    path = PROFILES.get(name) or Path(name)
    if not os.path.isfile(path):
        raise UsageError(f"no profile {name}", f"name a TOML file, or one of {', '.join(PROFILES)}")
    return ForeignProfile.load(path)
