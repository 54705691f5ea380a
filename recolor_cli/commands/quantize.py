"""`recolor quantize`: a model that computes in 8 or 16 bits."""

from __future__ import annotations

from pathlib import Path

import click

from recolor_cli.commands.options import SETTINGS, missing_extra, quiet_option
from recolor_cli.errors import ExitCode, UsageError

_PICTURES = 240  # at most


@click.command(context_settings=SETTINGS)
@click.argument("model")
@click.option(
    "--pictures",
    multiple=True,
    required=True,
    metavar="SOURCE",
    help="Folders or tar files: real pictures to take ranges from, and to compare on.",
)
@click.option(
    "--bits",
    type=click.Choice(["8", "16"]),
    default="8",
    show_default=True,
    help="8, integers, for CPUs; 16, half precision, for GPUs.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="[MODEL.int8.onnx or MODEL.fp16.onnx, beside the model]",
)
@quiet_option
def quantize(
    model: str, pictures: tuple[str, ...], bits: str, out: Path | None, quiet: bool
) -> ExitCode:
    """Make a MODEL compute in fewer bits, which takes a fraction of the time.

    MODEL is a name, or an .onnx file that `recolor export` wrote. Where NAME.int8.onnx lies beside
    NAME.onnx, a run on the CPU takes it; where NAME.fp16.onnx does, a run on a GPU. That one uses
    weights that NAME.onnx stores: make it again when that changes.
    """
    from recolor_cli.model.manifest import find_model, twin_of
    from recolor_cli.terminal.console import Console

    try:
        from recolor_cli.evaluation.pictures import load_pictures, usable
        from recolor_cli.training.compression.float16 import halve
        from recolor_cli.training.compression.int8 import quantize as quantize_model
    except ImportError as error:
        raise missing_extra("train", error) from error
    console = Console(quiet)
    path = find_model(model)
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"{path} is no model file", "make one of it with `recolor export`")
    destination = out or twin_of(path, int(bits))
    if destination.suffix != ".onnx":
        raise UsageError(f"{destination} must end in .onnx", f"name it {destination}.onnx")
    found = load_pictures(pictures)
    chosen = usable(found[:: -(-len(found) // _PICTURES)])
    result = (quantize_model if bits == "8" else halve)(path, destination, chosen)
    console.note(
        f"the color moves by {result.moved:.2f} ab units on average; "
        f"{'the first ' if bits == '8' else ''}{result.kept} of {result.convolutions} convolutions "
        "stay in single precision"
    )
    console.data(str(destination))
    return ExitCode.OK
