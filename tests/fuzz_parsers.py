"""Our own parsing, led by coverage: EXIF, XMP, Photoshop, JP2 boxes, PNG chunks, PNM, lists.

    pip install atheris
    python tests/fuzz_parsers.py -max_total_time=600

Nothing but a ValueError or a RecolorError may come out of any bytes.
"""

import io
import sys

import atheris

with atheris.instrument_imports(include=["recolor_cli"]):
    from recolor_cli.errors import RecolorError
    from recolor_cli.image import codecs, exif, formats, jp2_boxes, metadata, png_color
    from recolor_cli.terminal import streams

_NUMBERS = 1 << 16  # levels of a PNM: what it declares must not fill the memory


def parse(data: bytes) -> None:
    """Give the same bytes to all that parses."""
    for order, big in (("<", False), (">", False), ("<", True)):
        try:
            directory = exif.Directory.of_tiff(data, 8, order, big)
            assert len(directory.to_bytes(0)) <= 16 * len(data) + 1000
            metadata.of_directory(directory)
            again = exif.Directory.of_block(directory.to_block())
            assert again.entries.keys() == directory.entries.keys()
        except ValueError:
            pass
    try:
        block = exif.reset_orientation(data)
        exif.without_orientation(exif.with_resolution(block, (300.0, 300.0)))
    except ValueError:
        pass
    metadata._upright_xmp(data)
    kept = metadata._without_thumbnails(data)
    assert metadata._without_thumbnails(kept) == kept
    assert len(kept) <= len(data)
    jp2_boxes.raw_exif(data), jp2_boxes.xmp(data), jp2_boxes.icc_profile(data)
    assert jp2_boxes.with_metadata(data, metadata.Metadata(dpi=(300.0, 300.0))) is not None
    head = codecs._PNM_HEAD.match(data)
    if head and int(head[2]) * int(head[3]) < _NUMBERS:
        try:
            codecs.decode(data, formats.ImageFormat.PPM)
        except ValueError:
            pass
    try:
        list(streams.parts(io.BytesIO(data), b"\n"))
        formats.unsupported_format(data), formats.unrecognized_format(data)
        png_color.color_profile(data, b"")
    except RecolorError:
        pass


if __name__ == "__main__":
    atheris.WorkerConfig(sys.argv, parse)
    atheris.Fuzz()
