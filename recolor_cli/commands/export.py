"""`recolor export`: a model file from a training, or from a network made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from recolor_cli.commands.options import (
    SETTINGS,
    missing_extra,
    quiet_option,
)
from recolor_cli.errors import (
    ExitCode,
    UsageError,
)

if TYPE_CHECKING:
    from recolor_cli.model.foreign_profile import ForeignProfile


_MEASURED = 240  # pictures that `export` takes a model's figures on, at most


@click.command(context_settings=SETTINGS)
@click.argument("checkpoints", nargs=-1, required=True, metavar="CHECKPOINT...")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option(
    "--pictures",
    multiple=True,
    metavar="SOURCE",
    help="Folders or tar files: real pictures to compare the model file's answers on.",
)
@click.option("--architecture", help="CHECKPOINT is somebody's state dict of this one of ours.")
@click.option(
    "--profile",
    metavar="PROFILE",
    help="CHECKPOINT is a network made elsewhere, which this TOML file, or one that comes along, "
    "describes: .onnx, TorchScript (.pt), .pt2, .keras or .h5.",
)
@click.option(
    "--trust",
    is_flag=True,
    help="Load a TorchScript or .pt2 file, though it can run code of its own; others run none.",
)
@quiet_option
def export(
    checkpoints: tuple[str, ...],
    destination: Path,
    pictures: tuple[str, ...],
    architecture: str | None,
    profile: str | None,
    trust: bool,
    quiet: bool,
) -> ExitCode:
    """Make a model file from a training's CHECKPOINT, and prove that it gives the same colors.

    Of several, the mean of their weights, each as often as it is named; the first says what the
    model is, the others may be weights files and models. DESTINATION ends in .onnx, or in
    .safetensors for the weights alone, to train on from.

    With --architecture or --profile, from a network that was made elsewhere.
    """
    from recolor_cli.terminal.console import Console

    try:
        from recolor_cli.evaluation.pictures import load_pictures, usable
        from recolor_cli.training.checkpoint import WEIGHTS_SUFFIX, load_mean
        from recolor_cli.training.export import export as export_model
        from recolor_cli.training.export import export_state_dict
        from recolor_cli.training.foreign.conversion import export_foreign
    except ImportError as error:
        raise missing_extra("train", error) from error
    console = Console(quiet)
    elsewhere = architecture or profile
    if architecture and profile:
        raise UsageError(
            "--architecture and --profile exclude each other",
            "a state dict has an architecture, everything else a profile",
        )
    if elsewhere and len(checkpoints) > 1:
        raise UsageError("--architecture and --profile take one file", "name just one")
    if destination.suffix == WEIGHTS_SUFFIX and not elsewhere:
        load_mean(checkpoints).save(destination)
        console.data(str(destination))
        return ExitCode.OK
    if destination.suffix != ".onnx":
        suffixes = ".onnx" if elsewhere else f".onnx or {WEIGHTS_SUFFIX}"
        raise UsageError(f"{destination} must end in {suffixes}", f"name it {destination}.onnx")
    source = Path(checkpoints[0])
    if profile and destination.exists() and source.exists() and destination.samefile(source):
        raise UsageError(f"{destination} is the network itself", "name another file")
    if not elsewhere and source.suffix in (".onnx", ".pt2", ".keras", ".h5", ".hdf5"):
        raise UsageError(
            f"{source} is no checkpoint of `recolor train`",
            "describe it with --profile THEIRS.toml",
        )
    found = load_pictures(pictures)
    if not found:
        raise UsageError("export compares on real pictures, too", "name some with --pictures")
    chosen = usable(found[:: -(-len(found) // _MEASURED)])
    console.note(f"comparing and measuring on {len(chosen)} pictures")
    if architecture:
        parity = export_state_dict(source, architecture, destination, chosen)
    elif profile:
        parity = export_foreign(source, _profile_of(profile), destination, chosen, trust)
    else:
        parity = export_model(checkpoints, destination, chosen)
    note = (
        f"{parity.framework} and onnxruntime differ by at most {parity.max_difference:.1e} ab "
        f"units on {parity.inputs} inputs"
    )
    if parity.storage:
        note += f"; weights in {parity.storage} change ab by {parity.rounding:.1e}"
    console.note(note)
    console.data(str(destination))
    return ExitCode.OK


def _profile_of(name: str) -> ForeignProfile:
    """Return a profile by its path, or by the name of one that comes along."""
    from recolor_cli.model.foreign_profile import SHIPPED, ForeignProfile

    path = SHIPPED.get(name) or Path(name)
    if not path.is_file():
        raise UsageError(f"no profile {name}", f"name a TOML file, or one of {', '.join(SHIPPED)}")
    return ForeignProfile.load(path)
