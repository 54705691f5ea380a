"""Give old film posters, photographs and films new, believable color.

docs/library.md describes what programs use. All of it is imported from here:

>>> from recolor_cli import Recolorizer
>>> recolorizer = Recolorizer("poster")  # doctest: +SKIP
>>> new = recolorizer.recolor(picture)  # an array, or a picture of Pillow's  # doctest: +SKIP
"""

from __future__ import annotations

# Nothing is imported here, not even `typing`: Ctrl-C would meet an import of milliseconds.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from recolor_cli.errors import (
        DeviceError,
        InferenceError,
        InputError,
        ModelError,
        RecolorError,
        UsageError,
    )
    from recolor_cli.guidance.color_texts import parse_color
    from recolor_cli.guidance.hint_files import load_hints
    from recolor_cli.guidance.hints import Hint, Hints
    from recolor_cli.guidance.palette_files import load_palette
    from recolor_cli.guidance.palette_matching import Palette
    from recolor_cli.guidance.prediction import Prediction
    from recolor_cli.guidance.recolor_options import RecolorOptions, Steering
    from recolor_cli.model.registry import available_models
    from recolor_cli.recolorizer import Recolorizer

__all__ = [
    "DeviceError",
    "Hint",
    "Hints",
    "InferenceError",
    "InputError",
    "ModelError",
    "Palette",
    "Prediction",
    "RecolorError",
    "RecolorOptions",
    "Recolorizer",
    "Steering",
    "UsageError",
    "available_models",
    "load_hints",
    "load_palette",
    "parse_color",
]
_MODULES = {  # imported on first use, because `recolor --help` needs neither numpy nor OpenCV
    "DeviceError": "errors",
    "Hint": "guidance.hints",
    "Hints": "guidance.hints",
    "InferenceError": "errors",
    "InputError": "errors",
    "ModelError": "errors",
    "Palette": "guidance.palette_matching",
    "Prediction": "guidance.prediction",
    "RecolorError": "errors",
    "RecolorOptions": "guidance.recolor_options",
    "Recolorizer": "recolorizer",
    "Steering": "guidance.recolor_options",
    "UsageError": "errors",
    "available_models": "model.registry",
    "load_hints": "guidance.hint_files",
    "load_palette": "guidance.palette_files",
    "parse_color": "guidance.color_texts",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, also those that were not imported yet."""
    return sorted(globals().keys() | set(__all__))
