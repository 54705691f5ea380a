"""`recolor models`: the models that -m can name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recolor_cli.commands.options import SETTINGS, json_option
from recolor_cli.errors import ExitCode, RecolorError
from recolor_cli.model.registry import DEFAULT_MODEL, model_facts

if TYPE_CHECKING:
    from recolor_cli.model.manifest import Manifest

# Figures in the table: key in the manifest, title, format.
_FIGURES = (
    ("l2_over_gray", "L2 / gray", ".2f"),
    ("balanced_auc", "balanced AuC", ".3f"),
    ("chroma_ratio", "color", ".2f"),
    ("class_ratio", "classes", ".2f"),
)


@click.command(context_settings=SETTINGS)
@click.option(
    "--time", "timed", is_flag=True, help="Also run each model, and print how long a picture takes."
)
@json_option
def models(timed: bool, as_json: bool) -> ExitCode:
    """List the models that -m can name.

    L2 / gray (1 for a result without color) and balanced AuC say how near a model comes to the true
    colors of the pictures that it was exported with. color and classes are the shares of their
    chroma and of their kinds of color that it gives. models/README.md in the repository compares
    all models on the same pictures.
    """
    from recolor_cli.model.onnx_network import read_manifest
    from recolor_cli.model.registry import available_models, model_folders
    from recolor_cli.terminal.console import Console

    console = Console()
    found = available_models()
    if not found:
        folders = ", ".join(map(str, model_folders())) or "no folder of models"
        console.error(
            f"there is no model in {folders}", "install recolor-cli again, or name a file"
        )
        return ExitCode.MODEL
    rows, code = [], ExitCode.OK
    for name, path in found.items():
        try:
            manifest = read_manifest(path)
            seconds = _time_model(name) if timed else None
        except RecolorError as error:
            console.error(error.message, error.hint)
            code = ExitCode.MODEL
            continue
        if as_json:
            console.json(_json_of(name, path, manifest, seconds))
        rows.append(_row_of(name, path, manifest, seconds))
    if not as_json:
        titles = [title for _, title, _ in _FIGURES]
        times = ["a picture"] if timed else []
        columns = ("name", "kind", "size", "bins", "file", *titles, *times, "license", "path")
        console.table(columns, rows)
    return code


def _json_of(name: str, path: Path, manifest: Manifest, seconds: float | None) -> dict[str, Any]:
    """Return the JSON object of a model."""
    return {
        "name": name,
        "default": name == DEFAULT_MODEL,
        "path": str(path),
        **model_facts(name, path, manifest),
        "seconds": seconds,
    }


def _row_of(name: str, path: Path, manifest: Manifest, seconds: float | None) -> tuple[str, ...]:
    """Return the table row of a model."""
    figures = manifest.training.get("figures") or {}
    return (
        f"{name} (default)" if name == DEFAULT_MODEL else name,
        str(manifest.kind),
        f"{manifest.size} px",
        str(len(manifest.centers) or "-"),
        f"{path.stat().st_size / 1e6:.1f} MB",
        *(
            "-" if figures.get(key) is None else format(figures[key], spec)
            for key, _, spec in _FIGURES
        ),
        *([f"{1000 * seconds:.0f} ms"] if seconds else []),
        manifest.license,
        str(path),
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
