"""`recolor evaluate`: the table of figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recolor_cli.commands.completers import model_names
from recolor_cli.commands.options import (
    SETTINGS,
    Number,
    device_option,
    json_option,
    load_network,
    missing_extra,
    quiet_option,
)
from recolor_cli.errors import (
    ExitCode,
    InputError,
    NoInputsError,
    OutputError,
    UsageError,
)

if TYPE_CHECKING:
    from recolor_cli.model.onnx_network import OnnxColorNetwork


@click.command(context_settings=SETTINGS)
@click.argument("pictures", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "-m",
    "--model",
    "models_",
    envvar="RECOLOR_MODEL",
    shell_complete=model_names,
    multiple=True,
    help="A name, an .onnx file or a .toml profile; repeatable. [poster]",
)
@click.option("-T", "--temperature", type=Number(0.01, 10), help="[the model's own]")
@click.option("--strength", type=Number(0, 3), default=1.0, show_default=True)
@click.option("--only", help="Only pictures whose name contains this.")
@click.option("--aged", is_flag=True, help="Show the models the pictures worn as old prints are.")
@click.option("--legacy-mask", is_flag=True, help="Class accuracies as the seed's code takes them.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="Folder for table.md, table.json and a sheet of pictures a model.",
)
@click.option(
    "--examples",
    type=click.IntRange(1, 100),
    default=4,
    show_default=True,
    help="How many of the best, the middling and the worst the sheets show.",
)
@json_option
@device_option
@quiet_option
def evaluate(
    pictures: tuple[str, ...],
    models_: tuple[str, ...],
    temperature: float | None,
    strength: float,
    only: str | None,
    aged: bool,
    legacy_mask: bool,
    report: Path | None,
    examples: int,
    as_json: bool,
    device: str,
    quiet: bool,
) -> ExitCode:
    """Measure models on color pictures, beside gray and the prior's mean.

    SOURCE is a folder or a tar file of color pictures. What the figures mean stands in the report.
    """
    from importlib import metadata

    from recolor_cli.terminal.console import Console

    try:
        from recolor_cli.evaluation.pictures import load_pictures
        from recolor_cli.evaluation.sheet import contact_sheet
        from recolor_cli.evaluation.table import GRAY, PRIOR_MEAN, Table, color_picture
        from recolor_cli.evaluation.table import evaluate as measure
    except ImportError as error:
        raise missing_extra("eval", error) from error
    from recolor_cli.guidance.recolor_options import RecolorOptions
    from recolor_cli.model.manifest import DEFAULT_MODEL, find_model
    from recolor_cli.model.onnx_network import read_manifest
    from recolor_cli.system.files import write_atomic
    from recolor_cli.types import ColorSpace

    console = Console(quiet)
    found = [p for p in load_pictures(pictures) if only is None or only in p.name]
    if not found:
        raise NoInputsError(f"no picture's name contains {only}", "leave --only out")
    sound = []
    for picture in found:
        try:
            color_picture(picture)
            sound.append(picture)
        except InputError as error:  # it must not cost what the others' measuring took
            console.error(error.message, error.hint)
    if not sound:
        return ExitCode.SOME_FAILED
    if report:
        _make_report_folder(report, pictures)
    networks: dict[str, OnnxColorNetwork] = {}
    for name in models_ or (DEFAULT_MODEL,):
        label = Path(name).name.removesuffix(".onnx").removesuffix(".toml")
        while label in (GRAY, PRIOR_MEAN, *networks):
            label += "'"
        networks[label] = load_network(name, device, 1, console)
    manifests = [network.manifest for network in networks.values()]
    # Of a network made elsewhere the prior is not known: all bins are said to be as frequent.
    manifests = [m for m in manifests if len(set(m.prior)) > 1 and m.space is ColorSpace.LAB]
    baseline = manifests[0] if manifests else read_manifest(find_model(DEFAULT_MODEL))
    options = RecolorOptions(temperature, strength)
    with console.progress(len(sound), "pictures", "measuring") as bar:
        entries = measure(sound, networks, baseline, options, aged, bar.advance)
    conditions = (
        f"{len(sound)} pictures of {', '.join(Path(source).name or source for source in pictures)}"
        f"{f' whose name contains {only}' if only else ''}"
        f"{', shown worn as old prints are' if aged else ''}; temperature "
        f"{temperature or 'as the model has it'}, strength {strength:g}; "
        f"recolor {metadata.version('recolor-cli')}."
    )
    table = Table(entries, legacy_mask, conditions)
    if as_json:
        for entry in entries:
            console.json(entry.to_json())
    else:
        console.table(table.columns(), table.rows())
    if report:
        write_atomic(report / "table.md", table.to_markdown().encode())
        write_atomic(report / "table.json", table.to_json().encode())
        for number, (name, network) in enumerate(networks.items()):
            differences = entries[2 + number].differences
            sheet = contact_sheet(sound, differences, network, options, examples, aged)
            write_atomic(report / f"{number + 1}-{name}.png", sheet)
    return ExitCode.OK if len(sound) == len(found) else ExitCode.SOME_FAILED


def _make_report_folder(report: Path, sources: Sequence[str]) -> None:
    """Make a folder that is no source itself and lies in none: else it would be measured next."""
    for source in sources:
        folder = Path(source).expanduser().resolve()
        if folder.is_dir() and report.resolve().is_relative_to(folder):
            raise UsageError(f"the report {report} lies in {source}", "name a folder elsewhere")
    try:
        report.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {report}: {error.strerror}", "name another with --report"
        ) from error
