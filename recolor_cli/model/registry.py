"""Find model files by name: the folders they lie in, and their builds with fewer bits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recolor_cli.errors import ModelError

if TYPE_CHECKING:
    from recolor_cli.model.manifest import Manifest

DEFAULT_MODEL = "poster"
PROFILE_SUFFIX = ".toml"  # of a profile of somebody else's network
_BUILDS = {8: ".int8", 16: ".fp16"}  # the end of a build's file name, by the bits it computes in


def model_folders() -> list[Path]:
    """Return the folders that are searched for models by name, in this order.

    ``$RECOLOR_MODELS`` comes first, then the folder in the package, then ``models`` of a checkout.
    """
    package = Path(__file__).resolve().parents[1]
    own = os.environ.get("RECOLOR_MODELS")
    folders = [Path(own)] if own else []
    folders.append(package / "models")
    # Without this file it is site-packages, where `models` would be somebody else's.
    if (package.parent / "pyproject.toml").is_file():
        folders.append(package.parent / "models")
    return [folder for folder in folders if folder.is_dir()]


def available_models() -> dict[str, Path]:
    """Return the model files by name. Their int8 and float16 builds have no names of their own."""
    found: dict[str, Path] = {}
    for folder in model_folders():
        for path in sorted(folder.glob("[!.]*.onnx")):
            if not path.stem.endswith(tuple(_BUILDS.values())):
                found.setdefault(path.stem, path)
    return found


def build_path(model: Path, bits: int) -> Path:
    """Return the path of a model's int8 (8) or float16 (16) build, whether it exists or not."""
    return model.with_name(f"{model.stem}{_BUILDS[bits]}{model.suffix}")


def find_model(name: str, bits: int = 32) -> Path:
    """Return the file of a model.

    Parameters
    ----------
    name : str
        A name, or the path of an ONNX file or of a foreign profile, which is returned as it is.
    bits : int
        Of a name, return the int8 build (8, for CPUs) or the float16 build (16, for GPUs) where
        there is one.

    Raises
    ------
    ModelError
        If there is no such file or name.
    """
    path = Path(name)
    if path.suffix.lower() in (".onnx", ".toml") or len(path.parts) > 1:
        if path.is_file():
            return path
        raise ModelError(f"no model file {name}", "check the path, or see `recolor models`")
    models = available_models()
    if name not in models:
        known = ", ".join(models) or "none"
        raise ModelError(f"no model is called {name}; there are: {known}", "see `recolor models`")
    if bits in _BUILDS and (build := build_path(models[name], bits)).is_file():
        return build
    return models[name]


def model_facts(name: str, path: Path, manifest: Manifest | None = None) -> dict[str, Any]:
    """Return what a model says of itself, for JSON.

    Parameters
    ----------
    name : str
    path : Path
    manifest : Manifest or None
        None reads it.

    Raises
    ------
    ModelError
        If the file is broken.
    """
    if manifest is None:
        from recolor_cli.model.manifest import Manifest
        from recolor_cli.model.model_files import read_properties

        manifest = Manifest.from_properties(read_properties(path), path)
    return {
        "name": name,
        "kind": manifest.kind,
        "size": manifest.size,
        "bins": len(manifest.centers),
        "temperature": manifest.temperature,
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "license": manifest.license,
        "data": manifest.data,
        "training": manifest.training,
    }
