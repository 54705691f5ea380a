"""`recolor evaluate`: measure models on color pictures."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recolor_cli.commands.completers import model_names
from recolor_cli.commands.options import (
    SETTINGS,
    device_option,
    json_option,
    quiet_option,
    strength_option,
    temperature_option,
)
from recolor_cli.commands.report import load_network, missing_extra, version_of
from recolor_cli.errors import ExitCode, InputError, NoInputsError, OutputError, UsageError
from recolor_cli.system.texts import counted

if TYPE_CHECKING:
    from recolor_cli.evaluation.pictures import Picture
    from recolor_cli.guidance.recolor_options import RecolorOptions
    from recolor_cli.model.manifest import Manifest
    from recolor_cli.model.onnx_network import OnnxColorNetwork
    from recolor_cli.terminal.console import Console


class _ModelName(click.types.StringParamType):
    """The name or the path of a model. The variable has one, which may have spaces in it."""

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        """Return the value as it is."""
        return [rv]


@click.command(context_settings=SETTINGS)
@click.argument("pictures", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "-m",
    "--model",
    "models_",
    type=_ModelName(),
    envvar="RECOLOR_MODEL",
    shell_complete=model_names,
    multiple=True,
    metavar="NAME",
    help="A name, an .onnx or .toml file; repeatable. [poster]",
)
@temperature_option
@strength_option
@click.option(
    "--only", metavar="TEXT", help="Measure pictures with TEXT in their path within SOURCE."
)
@click.option("--aged", is_flag=True, help="Wear the pictures as old prints are before recoloring.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write table.md, table.json, a sheet for each model and a page with all side by side.",
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
    report: Path | None,
    as_json: bool,
    device: str,
    quiet: bool,
) -> ExitCode:
    """Measure models on color pictures, beside gray and the prior's mean.

    SOURCE is a folder or a tar file of color pictures. The report defines every figure.
    """
    from recolor_cli.terminal.console import Console

    try:
        from recolor_cli.evaluation.example_page import write_example_page
        from recolor_cli.evaluation.example_sheet import draw_example_sheet
        from recolor_cli.evaluation.pictures import load_pictures
        from recolor_cli.evaluation.table import Table
        from recolor_cli.evaluation.table import evaluate as measure
        from recolor_cli.gallery.comparison import NAME, ComparisonPage
    except ImportError as error:
        raise missing_extra("eval", error) from error
    from recolor_cli.guidance.recolor_options import RecolorOptions
    from recolor_cli.model.preflight import check_model
    from recolor_cli.model.registry import DEFAULT_MODEL
    from recolor_cli.system.files import write_atomic

    console = Console(quiet)
    models = models_ or (DEFAULT_MODEL,)
    for model in models:  # before all pictures are decoded
        check_model(model, device)
    found = [p for p in load_pictures(pictures) if only is None or only in p.within]
    if not found:
        raise NoInputsError(f"no picture's path contains {only}", "leave --only out")
    if report:
        _make_report_folder(report, pictures)
        page = ComparisonPage(report / NAME, "name another folder with --report")
    sound = _leave_out_broken(found, console)
    if not sound:
        return ExitCode.SOME_FAILED
    networks = _load_networks(models, device, console)
    options = RecolorOptions(temperature, strength)
    with console.progress(len(sound), "pictures", "measuring") as bar:
        figures = measure(sound, networks, _baseline_of(networks), options, aged, bar.advance)
    conditions = _describe(len(sound), pictures, only, aged, options)
    table = Table(figures, conditions)
    if as_json:
        for row in figures:
            console.json(row.to_json())
    else:
        console.table(table.columns(), table.rows())
    if report:
        _remove_sheets(report)
        write_atomic(report / "table.md", table.to_markdown().encode())
        write_atomic(report / "table.json", table.to_json().encode())
        for number, (name, network) in enumerate(networks.items()):
            differences = figures[2 + number].differences  # behind the two baselines
            sheet = draw_example_sheet(sound, differences, network, options, aged)
            write_atomic(report / _sheet_name(number, name), sheet)
        write_example_page(page, sound, figures[2:], networks, options, aged, conditions)
    return ExitCode.OK if len(sound) == len(found) else ExitCode.SOME_FAILED


def _leave_out_broken(pictures: Sequence[Picture], console: Console) -> list[Picture]:
    """Return the pictures that can be measured, and report the others.

    Every picture is decoded before the first one is measured. Otherwise a broken one would end the
    command when hours of measuring are done.
    """
    from recolor_cli.evaluation.table import decode_for_measuring

    sound = []
    for picture in pictures:
        try:
            decode_for_measuring(picture)
            sound.append(picture)
        except InputError as error:
            console.error(error.message, error.hint)
    return sound


def _load_networks(
    models: Sequence[str], device: str, console: Console
) -> dict[str, OnnxColorNetwork]:
    """Load the networks, by names that differ from each other and from the baselines'."""
    from recolor_cli.evaluation.table import GRAY, PRIOR_MEAN

    networks: dict[str, OnnxColorNetwork] = {}
    for model in models:
        name = Path(model).name.removesuffix(".onnx").removesuffix(".toml")
        while name in (GRAY, PRIOR_MEAN, *networks):
            name += "'"
        networks[name] = load_network(model, device, 1, console)
    return networks


def _baseline_of(networks: Mapping[str, OnnxColorNetwork]) -> Manifest:
    """Return the manifest whose prior gives the mean color: the first one that has a prior."""
    from recolor_cli.model.onnx_network import read_manifest
    from recolor_cli.model.registry import DEFAULT_MODEL, find_model
    from recolor_cli.types import ColorSpace

    for network in networks.values():
        manifest = network.manifest
        # A network made elsewhere has no known prior: its manifest has all bins equally frequent.
        if len(set(manifest.prior)) > 1 and manifest.space is ColorSpace.LAB:
            return manifest
    return read_manifest(find_model(DEFAULT_MODEL))


def _describe(
    count: int, sources: Sequence[str], only: str | None, aged: bool, options: RecolorOptions
) -> str:
    """Return a sentence that says which pictures were measured, and how."""
    names = ", ".join(Path(source).name or source for source in sources)
    return (
        f"{counted(count, 'picture')} of {names}"
        f"{f' whose path contains {only}' if only else ''}"
        f"{', shown worn as old prints are' if aged else ''}; temperature "
        f"{options.temperature or 'as the model has it'}, strength {options.strength:g}; "
        f"recolor {version_of('recolor-cli')}."
    )


def _make_report_folder(report: Path, sources: Sequence[str]) -> None:
    """Create the folder of the report.

    Raises
    ------
    UsageError
        If it lies in a source, because the next run would measure its sheets.
    OutputError
        If it cannot be made.
    """
    for source in sources:
        folder = Path(source).expanduser().resolve()
        if os.path.isdir(folder) and report.resolve().is_relative_to(folder):
            raise UsageError(f"the report {report} lies in {source}", "name a folder elsewhere")
    try:
        report.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {report}: {error.strerror}", "name another with --report"
        ) from error


def _sheet_name(number: int, model: str) -> str:
    """Return the name of the sheet of a model, given its number, from 0."""
    return f"{number + 1}-{model}.png"


def _remove_sheets(report: Path) -> None:
    """Remove the sheets of the models that an earlier ``table.json`` has, and no other files."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        entries = json.loads((report / "table.json").read_bytes())["entries"]
        for number, entry in enumerate(entries[2:]):  # behind the two baselines
            sheet = _sheet_name(number, entry["model"])
            if Path(sheet).name == sheet:
                (report / sheet).unlink(missing_ok=True)
