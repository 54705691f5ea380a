"""Fuzz our parsers, guided by coverage: EXIF, XMP, Photoshop, JP2 boxes, PNG chunks, PNM, lists.

    pip install atheris
    python tests/fuzz_parsers.py -max_total_time=600

They may raise ValueError or RecolorError for broken bytes, and nothing else.
"""

import io
import sys

import atheris

with atheris.instrument_imports(include=["recolor_cli"]):
    from recolor_cli.errors import RecolorError
    from recolor_cli.image import exif, metadata, unsupported
    from recolor_cli.image.formats import jpeg2000, png, png_color, ppm, tiff
    from recolor_cli.terminal import streams

_NUMBERS = 1 << 16  # levels of a PNM, so that its header cannot ask for all memory


def parse(data: bytes) -> None:
    """Give the same bytes to all parsers."""
    for order, big in (("<", False), (">", False), ("<", True)):
        try:
            directory = exif.Directory.of_tiff(data, 8, order, big)
            assert len(directory.to_bytes(0)) <= 16 * len(data) + 1000
            tiff.metadata_of_directory(directory)
            again = exif.Directory.of_block(directory.to_block())
            assert again.entries.keys() == directory.entries.keys()
        except ValueError:
            pass
    try:
        block = exif.reset_orientation(data)
        exif.without_orientation(exif.with_resolution(block, (300.0, 300.0)))
    except ValueError:
        pass
    metadata.clean_xmp(data)
    kept = metadata.clean_photoshop(data)
    assert metadata.clean_photoshop(kept) == kept
    assert len(kept) <= len(data)
    jpeg2000.raw_exif(data), jpeg2000.xmp(data), jpeg2000.icc_profile(data)
    assert jpeg2000.with_metadata(data, metadata.Metadata(dpi=(300.0, 300.0))) is not None
    head = ppm._match_header(data)
    if head and head[1] in b"56" and int(head[2]) * int(head[3]) < _NUMBERS:
        try:
            ppm.decode_16_bit(data)
        except (ValueError, RecolorError):
            pass
    try:
        list(streams.parts(io.BytesIO(data), b"\n"))
        unsupported.check_format(data)
        png_color.profile_of_chunks(png.chunks_before_pixels(data), b"")
    except RecolorError:
        pass


if __name__ == "__main__":
    atheris.WorkerConfig(sys.argv, parse)
    atheris.Fuzz()
