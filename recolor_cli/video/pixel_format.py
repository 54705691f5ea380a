"""Choose the pixel format of the result among those of its encoder."""

from __future__ import annotations

from collections.abc import Sequence

import av

from recolor_cli.types import ImageSize


def choose_pixel_format(
    offered: Sequence[str], bits: int, size: ImageSize, any_subsampling: bool
) -> str | None:
    """Return the offered pixel format that keeps most of the source and plays most widely.

    The format has no transparency. It has the depth of the source, or the nearest one. It is 4:2:0,
    which all players know, unless an odd size rules that out.

    Parameters
    ----------
    offered : sequence of str
        FFmpeg's names.
    bits : int
        Bits per luma sample of the source.
    size : ImageSize
        Size of a frame, px.
    any_subsampling : bool
        Whether the encoder takes 4:2:0 of odd sizes.

    Returns
    -------
    str or None
        None if no YUV or packed RGB format is offered.
    """
    odd_width, odd_height = size.width % 2, size.height % 2
    across = 1 if odd_width and not any_subsampling else 2
    down = 1 if (odd_width or odd_height) and not any_subsampling else 2
    ranked = []
    for name in offered:
        layout = av.VideoFormat(name, 16, 16)
        parts = layout.components
        if len(parts) != 3 or layout.has_palette or name.startswith(("yuvj", "nv", "p0", "gbr")):
            continue
        if layout.is_planar and layout.is_big_endian and parts[0].bits > 8:
            continue
        depth = parts[0].bits
        subsampling = (16 // layout.chroma_width(16), 16 // layout.chroma_height(16))
        missing = max(0, bits - depth)
        misfit, too_coarse = 0, False
        if not layout.is_rgb:
            misfit = abs(subsampling[0] - across) + abs(subsampling[1] - down)
            too_coarse = subsampling[0] > across or subsampling[1] > down
        ranked.append(((missing, too_coarse, layout.is_rgb, misfit, depth), name))
    return min(ranked)[1] if ranked else None
