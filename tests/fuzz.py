"""Check that any broken file gives a clear error or a sound result.

    python tests/fuzz.py --inputs 20000 --seed 1

The script changes valid files of every format at random (bits, numbers, cuts, pieces of other
files), and reads, recolors and writes them as a run does. It reports exceptions that no user should
see, results that cannot be read, crashes of the process, inputs that take more than 20 seconds, and
more memory than a picture of 4 megapixels needs. A seed gives the same inputs each time; `--only
NUMBER` repeats one of them, and `--save FILE` writes it to a file.
"""

from __future__ import annotations

import argparse
import io
import random
import resource
import signal
import struct
import subprocess
import sys
import time
import traceback
import zlib
from collections import Counter
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from recolor_cli.errors import RecolorError
from recolor_cli.image.decode import decode_pages
from recolor_cli.image.encode import ImageEncoding, encode_all
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.probe import probe

MOST_PIXELS = 4_000_000
SECONDS = 20
_ADDRESSES = 8 << 30  # bytes, of which libraries reserve some without using them
MEBIBYTES = 1200  # the libraries, and a picture of MOST_PIXELS with 16 bits and transparency


@cache
def corpus() -> list[tuple[str, bytes]]:
    """Return valid files. They are small, so that most changes hit something that matters."""
    numbers = np.random.default_rng(0)
    small = Image.fromarray(numbers.integers(0, 256, (6, 5, 3), dtype=np.uint8))
    picture = small.resize((40, 48), Image.Resampling.BICUBIC)
    rgb = np.asarray(picture)
    deep = rgb.astype(np.uint16) * 257
    alpha = np.full((48, 40), 200, np.uint8)
    profile = imagecodecs.cms_profile("adobergb")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "x" * 20, 6
    exif.get_ifd(0x8769)[0x9003] = "1921:02:06 12:00:00"
    texts = PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    texts.add_text("Title", "x" * 2000, zip=True)
    iptc = b"8BIM\4\4\0\0\0\0\0\x0a\x1c\2\x69\0\5hello8BIM\4\x0c\0\0\0\0\0\4abcd"
    app13 = b"\xff\xed\0" + bytes([2 + 14 + len(iptc)]) + b"Photoshop 3.0\0" + iptc
    found: list[tuple[str, bytes]] = []

    def add(name: str, image: Image.Image, image_format: str, **options: object) -> None:
        buffer = io.BytesIO()
        image.save(buffer, image_format, **options)
        found.append((name, buffer.getvalue()))

    def add_tiff(name: str, *pages: np.ndarray, **options: object) -> None:
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer, bigtiff=bool(options.pop("bigtiff", False))) as writer:
            for page in pages:
                writer.write(page, metadata=None, **options)
        found.append((name, buffer.getvalue()))

    rgba = Image.fromarray(np.dstack((rgb, alpha)))
    frames = [picture.rotate(90 * i, expand=False) for i in range(3)]
    animated = {"save_all": True, "append_images": frames[1:], "duration": 40}
    add("jpeg", picture, "JPEG", exif=exif, icc_profile=profile, comment=b"hi", extra=app13)
    add("jpeg progressive", picture, "JPEG", progressive=True, subsampling=0)
    add("jpeg gray", picture.convert("L"), "JPEG")
    add("jpeg cmyk", picture.convert("CMYK"), "JPEG")
    add("png", picture, "PNG", exif=exif, icc_profile=profile, pnginfo=texts, dpi=(300, 300))
    add("png palette", picture.quantize(16), "PNG", transparency=0)
    add("png animated", frames[0], "PNG", **animated)
    found.append(("png 16", bytes(imagecodecs.png_encode(deep))))
    plain = bytes(imagecodecs.png_encode(rgb))
    corners = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    for name, chunks in (
        ("png gamma", {b"gAMA": struct.pack(">I", 55556), b"cHRM": corners}),
        ("png cicp", {b"cICP": bytes([12, 13, 0, 1])}),
    ):
        told = b"".join(
            struct.pack(">I", len(content)) + kind + content + bytes(4)
            for kind, content in chunks.items()
        )
        found.append((name, with_checksums(plain[:33] + told + plain[33:])))
    add("webp", rgba, "WEBP", exif=exif, icc_profile=srgb)
    add("webp lossless", picture, "WEBP", lossless=True)
    add("webp animated", frames[0], "WEBP", **animated)
    add("gif", frames[0], "GIF", **animated)
    add("avif", rgba, "AVIF", exif=exif, icc_profile=srgb)
    add("jp2", picture, "JPEG2000")
    found.append(("jp2 16", bytes(imagecodecs.jpeg2k_encode(deep, level=0, codecformat="jp2"))))
    add("bmp", picture, "BMP")
    add("bmp palette", picture.quantize(16), "BMP")
    add("ppm", picture, "PPM")
    found.append(("ppm 16", b"P6 40 48 65535\n" + deep.astype(">u2").tobytes()))
    found.append(("pbm", b"P4 40 48\n" + np.packbits(rgb[..., 0] > 128, axis=1).tobytes()))
    add("tiff exif", picture, "TIFF", exif=exif, icc_profile=profile)
    add("tiff g4", picture.convert("1"), "TIFF", compression="group4")
    add("tiff jpeg", picture, "TIFF", compression="jpeg")
    add_tiff("tiff 16", deep, photometric="rgb", compression="lzw", iccprofile=profile)
    add_tiff("tiff tiles", deep[..., 0], deep[..., 1], tile=(16, 16), compression="zlib")
    add_tiff("tiff many", rgb, rgb[::-1], photometric="rgb", compression="packbits")
    add_tiff("tiff float", deep.astype(np.float32) / 65535, photometric="rgb", predictor=True,
             compression="zlib")  # fmt: skip
    add_tiff("tiff lab", rgb, photometric="cielab")
    add_tiff("tiff icclab 16", deep, photometric="icclab", planarconfig="separate")
    add_tiff("bigtiff", rgb, photometric="rgb", bigtiff=True)
    return found


def changed(seed: int, number: int) -> tuple[str, bytes]:
    """Return the name and the bytes of one input."""
    chance = random.Random(f"{seed} {number}")
    files = corpus()
    name, data = files[number % len(files)]
    broken = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        if not broken:
            break
        # Hit the first bytes more often, because they describe the rest.
        reach = len(broken) if chance.random() < 0.5 else min(len(broken), 200)
        at = chance.randrange(reach)
        match chance.randrange(8):
            case 0:
                broken[at] ^= 1 << chance.randrange(8)
            case 1:
                broken[at] = chance.choice((0, 1, 127, 128, 255))
            case 2:
                size = chance.choice((2, 4, 8))
                value = chance.choice((0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 60_000))
                order = chance.choice(("big", "little"))
                broken[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, order)
            case 3:
                del broken[at:]
            case 4:
                del broken[at : at + chance.randrange(1, 64)]
            case 5:
                broken[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(64)))
            case 6:
                broken[at:at] = broken[at : at + chance.randrange(1, 512)]
            case 7:
                _, other = chance.choice(files)
                start = chance.randrange(len(other))
                broken[at : at + 64] = other[start : start + 64]
    # A decoder refuses chunks of a PNG with wrong checksums before it reads them.
    if name.startswith("png") and chance.random() < 0.8:
        return name, with_checksums(bytes(broken))
    return name, bytes(broken)


def with_checksums(data: bytes) -> bytes:
    """Correct the checksums of a PNG's chunks, up to the first broken one."""
    result, at = data[:8], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + length]
        if len(body) < 4 + length:
            break
        result += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return result + data[at:]


def outcome_of(data: bytes) -> str:
    """Read and write a file as a run does, without the network, and return how it ended."""
    try:
        found = probe(data)
        if found.pixels > MOST_PIXELS:
            return "too large"
        results = ((page, page.rgb[::-1]) for page in decode_pages(data, header=found))
        encoded = encode_all(results, ImageEncoding())
    except RecolorError as error:
        return "clear error" if error.message else "FOUND an error without a message"
    assert ImageFormat(next(decode_pages(encoded)).format)
    return "result"


def work(seed: int, numbers: range) -> None:
    """Try some inputs, and print a line before and a line after each."""
    # More memory is a finding, and could stop the whole machine.
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError("too slow")))
    for number in numbers:
        name, data = changed(seed, number)
        print(f"begin {number}", flush=True)
        signal.alarm(SECONDS)
        try:
            result = outcome_of(data)
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            result = (
                f"FOUND {type(error).__name__}: {error} ({name}; {where.filename}:{where.lineno})"
            )
        signal.alarm(0)
        print(f"end {number} {result.splitlines()[0]}", flush=True)
    print("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, flush=True)


def main() -> int:
    """Try all inputs in processes that may die, and print a summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of one input")
    parser.add_argument("--save", type=Path, help="where to put that one")
    parser.add_argument("--worker", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only is not None:
        name, data = changed(arguments.seed, arguments.only)
        if arguments.save:
            arguments.save.write_bytes(data)
        print(name, outcome_of(data))
        return 0
    if arguments.worker:
        work(arguments.seed, range(*arguments.worker))
        return 0
    counts: Counter[str] = Counter()
    found: list[str] = []
    peak, next_, started = 0, 0, time.monotonic()
    while next_ < arguments.inputs:
        stop = min(next_ + 2000, arguments.inputs)
        command = [sys.executable, "-W", "ignore", __file__, "--seed", str(arguments.seed)]
        process = subprocess.run(
            [*command, "--worker", str(next_), str(stop)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        begun = next_
        for line in process.stdout.splitlines():
            word, _, rest = line.partition(" ")
            if word == "begin":
                begun = int(rest)
            elif word == "end":
                number, _, result = rest.partition(" ")
                next_ = int(number) + 1
                counts[result.split(":")[0]] += 1
                if result.startswith("FOUND"):
                    found.append(f"{number} {result}")
            elif word == "memory":
                peak = max(peak, int(rest))
        if process.returncode != 0:
            found.append(f"{begun} FOUND a crash: exit code {process.returncode}")
            counts["crash"] += 1
            next_ = begun + 1
    for line in found:
        print(line)
    print(
        f"seed {arguments.seed}: {sum(counts.values())} inputs of {len(corpus())} kinds,", end=" "
    )
    print(", ".join(f"{count} {word}" for word, count in counts.most_common()), end="; ")
    print(f"peak {peak} MiB, {time.monotonic() - started:.0f} s")
    return 1 if found or peak > MEBIBYTES else 0


if __name__ == "__main__":
    sys.exit(main())
