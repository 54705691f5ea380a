"""`recolor models`: the models that -m can name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recolor_cli.commands.models_add import add, remove
from recolor_cli.commands.options import SETTINGS, json_option
from recolor_cli.errors import ExitCode, RecolorError
from recolor_cli.model.registry import DEFAULT_MODEL, PROFILE_SUFFIX, PROFILES, added_folder
from recolor_cli.system.texts import megabytes

if TYPE_CHECKING:
    from recolor_cli.terminal.console import Console

# Figures in the table: key in the manifest, title, format.
_FIGURES = (
    ("l2_over_gray", "L2 / gray", ".2f"),
    ("balanced_auc", "balanced AuC", ".3f"),
    ("chroma_ratio", "color", ".2f"),
    ("class_ratio", "classes", ".2f"),
)


@click.group(context_settings=SETTINGS, invoke_without_command=True)
@click.option(
    "--time", "timed", is_flag=True, help="Also run each model, and print how long a picture takes."
)
@json_option
@click.pass_context
def models(ctx: click.Context, timed: bool, as_json: bool) -> ExitCode:
    """List the models that -m can name: ours, and those that were added.

    L2 / gray (1 for a result without color) and balanced AuC say how near a model comes to the true
    colors of the pictures that it was exported with. color and classes are the shares of their
    chroma and of their kinds of color that it gives. models/README.md in the repository compares
    all models on the same pictures. verified says what the checksum of an added one was found equal
    to; docs/models.md explains it.
    """
    if ctx.invoked_subcommand:
        return ExitCode.OK
    from recolor_cli.model.registry import available_models, model_folders, unfinished_downloads
    from recolor_cli.terminal.console import Console

    console = Console()
    found = available_models()
    if not found:
        folders = ", ".join(map(str, model_folders())) or "no folder of models"
        console.error(
            f"there is no model in {folders}", "install recolor-cli again, or name a file"
        )
        return ExitCode.MODEL
    listed, code = [], ExitCode.OK
    for name, path in found.items():
        try:
            listed.append(_facts_of(name, path, timed))
        except RecolorError as error:
            console.error(error.message, error.hint)
            code = ExitCode.MODEL
            continue
        if as_json:
            console.json(listed[-1])
    if not as_json:
        _print_tables(listed, timed, console)
        if others := ", ".join(name for name in PROFILES if name not in found):
            console.note(f"others by name, with `recolor models add NAME`: {others}")
    for name, count in unfinished_downloads().items():
        console.note(
            f"{name}: {megabytes(count)} of an unfinished download; the command that began it goes "
            f"on, `recolor models remove {name}` removes them"
        )
    return code


models.add_command(add)
models.add_command(remove)


def _facts_of(name: str, path: Path, timed: bool) -> dict[str, Any]:
    """Return the JSON object of a model.

    Raises
    ------
    RecolorError
        If it cannot be used.
    """
    from recolor_cli.model.model_facts import model_facts
    from recolor_cli.model.onnx_network import read_manifest

    facts = model_facts(name, path)
    # A profile was compared with its graph when it was added, and the graph may have a gigabyte.
    if path.suffix != PROFILE_SUFFIX:
        read_manifest(path)
    return {
        "name": name,
        "default": name == DEFAULT_MODEL,
        "path": str(path),
        **facts,
        "seconds": _time_model(name) if timed else None,
    }


def _print_tables(listed: Sequence[Mapping[str, Any]], timed: bool, console: Console) -> None:
    """Print a table of all models, and one that says where those of the user's are from."""
    titles = [title for _, title, _ in _FIGURES]
    times = ["a picture"] if timed else []
    columns = ("name", "input", "bins", "file", *titles, *times, "license")
    console.table(columns, [_row_of(facts) for facts in listed])
    sources = [
        (facts["name"], facts["verified"] or "-", facts["source"] or facts["path"])
        for facts in listed
        if facts["added"] or Path(facts["path"]).parent == added_folder()
    ]
    if sources:
        console.data("")
        console.table(("added", "verified", "from"), sources)


def _row_of(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the table row of a model."""
    figures = facts["training"].get("figures") or {}
    return (
        f"{facts['name']} (default)" if facts["default"] else facts["name"],
        f"{facts['size']} px {facts['input']}",
        str(facts["bins"] or "-"),
        f"{facts['megabytes']:.1f} MB",
        *(
            "-" if figures.get(key) is None else format(figures[key], spec)
            for key, _, spec in _FIGURES
        ),
        *([f"{1000 * facts['seconds']:.0f} ms"] if facts["seconds"] else []),
        facts["license"],
    )


def _time_model(name: str) -> float:
    """Return the seconds that the network takes for one picture on all CPUs: the median of 3."""
    import time

    import numpy as np

    from recolor_cli.model.onnx_network import OnnxColorNetwork

    network = OnnxColorNetwork.load(name, "cpu")
    side = network.manifest.size
    lightness = np.full((1, 1, side, side), 50, np.float32)
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        network.predict(lightness, network.manifest.temperature)
        seconds.append(time.perf_counter() - started)
    return sorted(seconds[1:])[1]  # the first run is a warm-up
