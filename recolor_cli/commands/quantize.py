"""`recolor quantize`: builds of a model that compute in 8 or 16 bits."""

from __future__ import annotations

from pathlib import Path

import click

from recolor_cli.commands.options import SETTINGS, quiet_option
from recolor_cli.commands.report import missing_extra
from recolor_cli.errors import ExitCode, UsageError

_PICTURES = 240  # at most


@click.command(context_settings=SETTINGS)
@click.argument("model")
@click.option(
    "--pictures",
    multiple=True,
    required=True,
    metavar="SOURCE",
    help="Folders or tar files of real pictures, to take ranges from and to compare on.",
)
@click.option(
    "--bits",
    type=click.Choice(["8", "16"]),
    default="8",
    show_default=True,
    help="8: integers, for CPUs; 16: half precision, for GPUs.",
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
    """Make a build of MODEL that computes in fewer bits, which takes a fraction of the time.

    MODEL is a name, or an .onnx file that `recolor export` wrote. A run of a name takes the build
    that lies beside its file: NAME.int8.onnx on the CPU, NAME.fp16.onnx on a GPU.
    """
    from recolor_cli.model.registry import build_path, find_model
    from recolor_cli.terminal.console import Console

    try:
        from recolor_cli.evaluation.pictures import load_pictures, spread, usable
        from recolor_cli.training.compression.float16 import to_float16
        from recolor_cli.training.compression.int8 import to_int8
    except ImportError as error:
        raise missing_extra("train", error) from error
    console = Console(quiet)
    path = find_model(model)
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"{path} is no model file", "make one of it with `recolor export`")
    destination = out or build_path(path, int(bits))
    if destination.suffix != ".onnx":
        raise UsageError(f"{destination} must end in .onnx", f"name it {destination}.onnx")
    if destination.resolve() == path.resolve():
        raise UsageError(f"{destination} is the model itself", "choose another name with -o")
    chosen = usable(spread(load_pictures(pictures), _PICTURES))
    report = (to_int8 if bits == "8" else to_float16)(path, destination, chosen)
    first = "the first " if bits == "8" else ""
    console.note(
        f"the color moves by {report.shift:.2f} ab units on average; "
        f"{first}{report.single_precision} of {report.convolutions} convolutions stay in single "
        "precision"
    )
    console.data(str(destination))
    return ExitCode.OK
