"""Find models by name: the folders they lie in, their profiles and their builds in fewer bits."""

from __future__ import annotations

import os
from pathlib import Path

from recolor_cli.errors import ModelError

DEFAULT_MODEL = "poster"
PROFILE_SUFFIX = ".toml"  # of the profile of a foreign network
_BUILDS = {8: ".int8", 16: ".fp16"}  # the end of a build's file name, by the bits it computes in

# The profiles that come along, by name. `recolor models add` downloads their networks.
PROFILES = {
    path.stem: path
    for path in sorted(
        (Path(__file__).parent / "profiles").glob(f"*{PROFILE_SUFFIX}"), key=lambda path: path.stem
    )
}


def added_folder() -> Path:
    """Return the folder of the models that the user adds; it need not exist.

    It is ``$RECOLOR_MODELS``, or ``models`` in the user's folder for the data of programs.
    """
    if own := os.environ.get("RECOLOR_MODELS"):
        return Path(own)
    import platformdirs

    return platformdirs.user_data_path("recolor", appauthor=False) / "models"


def model_folders() -> list[Path]:
    """Return the folders that are searched for models by name, in this order.

    `added_folder` comes first, then the folder in the package, then ``models`` of a checkout.
    """
    package = Path(__file__).resolve().parents[1]
    folders = [added_folder(), package / "models"]
    # Without this file it is site-packages, where `models` would be somebody else's.
    if (package.parent / "pyproject.toml").is_file():
        folders.append(package.parent / "models")
    # os.path answers False where the folder of another user may not be looked into.
    return [folder for folder in folders if os.path.isdir(folder)]


def available_models() -> dict[str, Path]:
    """Return the model files by name, or the profile of the name that lies beside a file.

    Their int8 and float16 builds have no names of their own.
    """
    found: dict[str, Path] = {}
    for folder in model_folders():
        for path in sorted(folder.glob("[!.]*.onnx")):
            if not is_build(path.stem):
                profile = path.with_suffix(PROFILE_SUFFIX)
                found.setdefault(path.stem, profile if profile.is_file() else path)
    return found


def is_build(name: str) -> bool:
    """Tell whether a name is that of an int8 or float16 build."""
    return name.endswith(tuple(_BUILDS.values()))


def added_names() -> list[str]:
    """Return the names of the models that `recolor models add` put there."""
    folder = added_folder()
    return [
        name
        for name, path in available_models().items()
        if path.parent == folder and receipt_path(path).is_file()
    ]


def receipt_path(model: Path) -> Path:
    """Return the file that says where an added network or profile is from."""
    return model.with_suffix(".json")


def part_path(name: str) -> Path:
    """Return the file of a model whose download is under way, or was cut."""
    return added_folder() / f".{name}.part"


def unfinished_downloads() -> dict[str, int]:
    """Return the models whose download was cut, with the bytes that are there."""
    parts = sorted(added_folder().glob(".*.part"))
    return {path.stem.removeprefix("."): path.stat().st_size for path in parts}


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
    if not name:
        raise ModelError("the model's name is empty", "check the quotes and variables")
    path = Path(name)
    if path.suffix.lower() in (".onnx", PROFILE_SUFFIX) or len(path.parts) > 1:
        if os.path.isfile(path):
            return path
        raise ModelError(f"no model file {name}", "check the path, or see `recolor models`")
    models = available_models()
    if name not in models:
        known = ", ".join(models) or "none"
        advice = "see `recolor models`"
        if name in PROFILES:
            advice = f"add it: recolor models add {name}"
        raise ModelError(f"no model is called {name}; there are: {known}", advice)
    if bits in _BUILDS and (build := build_path(models[name], bits)).is_file():
        return build
    return models[name]
