"""Give old film posters, photographs and films new, believable color.

>>> from recolor_cli import Recolorizer
>>> recolorizer = Recolorizer("poster")  # doctest: +SKIP
>>> new = recolorizer.recolor(rgb)  # (H, W, 3) uint8 in and out  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recolor_cli.errors import RecolorError

if TYPE_CHECKING:
    from recolor_cli.guidance.recolor_options import RecolorOptions
    from recolor_cli.recolorizer import Recolorizer

__all__ = ["RecolorError", "RecolorOptions", "Recolorizer"]


def __getattr__(name: str) -> object:
    """Import numpy and OpenCV on first use only, because ``--help`` needs neither."""
    if name == "Recolorizer":
        from recolor_cli.recolorizer import Recolorizer

        return Recolorizer
    if name == "RecolorOptions":
        from recolor_cli.guidance.recolor_options import RecolorOptions

        return RecolorOptions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
