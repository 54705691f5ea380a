"""`recolor doctor`: what a run would use."""

from __future__ import annotations

import click

from recolor_cli.commands.options import (
    SETTINGS,
    version_of,
)
from recolor_cli.errors import (
    ExitCode,
    RecolorError,
)


@click.command(context_settings=SETTINGS)
def doctor() -> ExitCode:
    """Show what a run would use: versions, devices and why one is missing, models."""
    import platform
    from importlib import metadata

    from recolor_cli.model.manifest import DEFAULT_MODEL, available_models, model_folders
    from recolor_cli.model.onnx_network import OnnxColorNetwork, available_providers
    from recolor_cli.system.device import cpu_count
    from recolor_cli.terminal.console import Console

    console = Console()
    rows = [
        ("recolor", metadata.version("recolor-cli")),
        ("python", f"{platform.python_version()} on {platform.platform()}"),
    ]
    for package in (
        "onnxruntime-gpu",
        "onnxruntime",
        "numpy",
        "opencv-python",
        "imagecodecs",
        "tifffile",
        "pillow",
        "click",
        "rich",
        "av",
    ):
        rows.append((package, version_of(package)))
    rows.append(("providers", ", ".join(available_providers())))
    rows.append(("CPUs to use", str(cpu_count())))
    code = ExitCode.OK
    problems = []
    if "not installed" not in (version_of("onnxruntime-gpu"), version_of("onnxruntime")):
        problems.append("onnxruntime and onnxruntime-gpu shadow each other: uninstall one")
    try:
        network = OnnxColorNetwork.load(DEFAULT_MODEL, "auto")
        rows.append(("device", network.device))
        if network.cpu_reason:
            rows.append(("no CUDA because", network.cpu_reason))
    except RecolorError as error:
        code = error.exit_code
        problems.append(f"{error.message}: {error.hint}")
    rows.append(("models", ", ".join(available_models()) or "none"))
    rows.append(("looked in", ", ".join(map(str, model_folders())) or "nothing"))
    console.table(("", ""), rows)
    for problem in problems:
        console.error(problem)
    return code
