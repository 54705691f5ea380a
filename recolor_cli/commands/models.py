"""`recolor models`: what -m can name."""

from __future__ import annotations

import click

from recolor_cli.commands.options import (
    SETTINGS,
    json_option,
)
from recolor_cli.errors import (
    ExitCode,
    RecolorError,
)

# Figures that `models` lists, and their formats.
_LISTED = (
    ("l2_over_gray", ".2f"),
    ("balanced_auc", ".3f"),
    ("chroma_ratio", ".2f"),
    ("class_ratio", ".2f"),
)


@click.command(context_settings=SETTINGS)
@click.option(
    "--time", "timed", is_flag=True, help="Load and run each one, and say how long it takes."
)
@json_option
def models(timed: bool, as_json: bool) -> ExitCode:
    """List the models that -m can name.

    L2 / gray (of no color at all it would be 1) and balanced AuC say how near a model came to the
    true colors of the pictures that it was exported with; color and classes, how much of theirs it
    gives. models/README.md in the repository has a table of all on the same pictures.
    """
    from recolor_cli.model.manifest import available_models, model_folders
    from recolor_cli.model.onnx_network import read_manifest
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
            seconds = _seconds_a_picture(name) if timed else None
        except RecolorError as error:
            console.error(error.message, error.hint)
            code = ExitCode.MODEL
            continue
        megabytes = path.stat().st_size / 1e6
        figures = manifest.training.get("figures") or {}
        if as_json:
            console.json(
                {
                    "name": name,
                    "path": str(path),
                    "kind": manifest.kind,
                    "size": manifest.size,
                    "bins": len(manifest.centers),
                    "temperature": manifest.temperature,
                    "megabytes": round(megabytes, 2),
                    "license": manifest.license,
                    "data": manifest.data,
                    "training": manifest.training,
                    "seconds": seconds,
                }
            )
        rows.append(
            (
                name,
                str(manifest.kind),
                f"{manifest.size} px",
                str(len(manifest.centers) or "-"),
                f"{megabytes:.1f} MB",
                *("-" if figures.get(k) is None else format(figures[k], f) for k, f in _LISTED),
                *([f"{1000 * seconds:.0f} ms"] if seconds else []),
                manifest.license,
                str(path),
            )
        )
    if not as_json:
        titles = ("L2 / gray", "balanced AuC", "color", "classes")
        times = ("a picture",) if timed else ()
        columns = ("name", "kind", "size", "bins", "file", *titles, *times, "license", "path")
        console.table(columns, rows)
    return code


def _seconds_a_picture(name: str) -> float:
    """Time the network alone on the CPU, on one picture with all threads, after a first run."""
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
    return sorted(seconds[1:])[1]
