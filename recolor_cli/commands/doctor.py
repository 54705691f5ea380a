"""`recolor doctor`: the versions, devices and models that a run would use."""

from __future__ import annotations

import click

from recolor_cli.commands.options import SETTINGS, cluster_option
from recolor_cli.commands.report import missing_extra, version_of
from recolor_cli.commands.variables import warn_of_unknown_variables
from recolor_cli.errors import ExitCode, RecolorError

_PACKAGES = (
    "onnxruntime-gpu",
    "onnxruntime",
    "numpy",
    "opencv-python",
    "imagecodecs",
    "simplejpeg",
    "tifffile",
    "pillow",
    "click",
    "rich",
    "av",
    "starlette",
    "uvicorn",
)


@click.command(context_settings=SETTINGS)
@cluster_option
def doctor(cluster: str | None) -> ExitCode:
    """Show what a run would use: versions, devices and why one is missing, models.

    With --cluster: its machines, and in what they differ from this one.
    """
    return _show_this_machine() if cluster is None else _show_cluster(cluster)


def _show_cluster(address: str) -> ExitCode:
    try:
        from recolor_cli.cluster.connection import connected
        from recolor_cli.cluster.nodes import alive_nodes, differences, own_software, survey
    except ImportError as error:
        raise missing_extra("cluster", error) from error
    import asyncio

    from recolor_cli.terminal.console import Console

    console = Console()
    with connected(address):
        found = asyncio.run(survey(alive_nodes()))
    rows = []
    for node, installed in found.items():
        versions = installed.packages if installed else {}
        onnxruntime = versions.get("onnxruntime-gpu") or versions.get("onnxruntime")
        rows.append(
            (
                node.host,
                node.address,
                str(node.cpus),
                str(node.gpus),
                f"{node.memory / 2**30:.1f}",
                installed.python if installed else "no answer",
                *(version or "-" for version in (versions.get("recolor-cli"), onnxruntime)),
                versions.get("ray") or "-",
            )
        )
    console.table(
        ("host", "address", "CPUs", "GPUs", "GiB", "python", "recolor", "onnxruntime", "ray"), rows
    )
    problems = differences(found, own_software())
    for problem in problems:
        console.error(problem)
    return ExitCode.SOME_FAILED if problems else ExitCode.OK


def _show_this_machine() -> ExitCode:
    import platform
    from importlib import metadata

    from recolor_cli.model.onnx_network import OnnxColorNetwork
    from recolor_cli.model.registry import (
        DEFAULT_MODEL,
        added_names,
        available_models,
        model_folders,
    )
    from recolor_cli.model.session import available_providers
    from recolor_cli.system.device import cpu_count
    from recolor_cli.terminal.console import Console

    console = Console()
    rows = [
        ("recolor", metadata.version("recolor-cli")),
        ("python", f"{platform.python_version()} on {platform.platform()}"),
        *((package, version_of(package)) for package in _PACKAGES),
        ("providers", ", ".join(available_providers())),
        ("CPUs to use", str(cpu_count())),
    ]
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
    rows.append(("added ones", ", ".join(added_names()) or "none"))
    rows.append(("looked in", ", ".join(map(str, model_folders())) or "nothing"))
    console.table(("", ""), rows)
    warn_of_unknown_variables(click.get_current_context())
    for problem in problems:
        console.error(problem)
    return code
