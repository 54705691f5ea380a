"""Collect the facts about a model, for tables and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recolor_cli.errors import ModelError
from recolor_cli.model.manifest import Manifest
from recolor_cli.model.model_files import find_files, read_properties
from recolor_cli.model.receipts import read_receipt
from recolor_cli.model.registry import added_folder


def model_facts(name: str, path: Path) -> dict[str, Any]:
    """Return what a model says of itself, and what is kept of it if the user added it.

    Parameters
    ----------
    name : str
    path : Path
        As `available_models` gives it.

    Raises
    ------
    ModelError
        If a file is broken, or is another one than was added.
    """
    receipt = read_receipt(path) if path.parent == added_folder() else None
    files = find_files(path, 32)
    profile = files.profile
    if profile:
        manifest = profile.to_manifest(name)
    else:
        manifest = Manifest.from_properties(read_properties(path), path)
    size = files.graph.stat().st_size
    if receipt and receipt.bytes != size:
        raise ModelError(
            f"{files.graph} has {size:,} bytes, and had {receipt.bytes:,} when it was added",
            f"remove it and add it again: recolor models remove {name}",
        )
    is_distribution = profile is not None and profile.is_distribution
    return {
        "name": name,
        "kind": manifest.kind,
        "size": receipt.size if receipt else manifest.size,
        "bins": profile.output_channels if profile and is_distribution else len(manifest.centers),
        "temperature": manifest.temperature,
        "input": "gray" if profile and profile.gray_input else "L*",
        "megabytes": size / 1e6,
        "license": manifest.license,
        "data": manifest.data,
        "citation": profile.citation if profile else "",
        "training": manifest.training,
        "added": receipt is not None,
        "source": receipt.source if receipt else None,
        "sha256": receipt.sha256 if receipt else None,
        "verified": receipt.verified if receipt else None,
    }
