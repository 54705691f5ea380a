"""Read, change and copy EXIF blocks without loss.

An EXIF block is a small TIFF file: directories of entries (tag, type, count, value), some of which
point to other directories. Values are kept as bytes, because Pillow would rebuild them from Python
values and lose texts in UTF-8 and the types of numbers.

References
----------
TIFF 6.0, section 2. CIPA DC-008 (EXIF 2.32), section 4.6.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from recolor_cli.types import ImageSize

PREFIX = b"Exif\0\0"
CHILDREN = (34665, 34853, 40965)  # directories of camera, place and interoperability
ORIENTATION = 274
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
INCH, CENTIMETRE = 2, 3

_SHORT, _RATIONAL = 3, 5
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
ON_ITS_SIDE = range(5, 9)  # orientations
_THUMBNAILS = ((513, 514), (273, 279))  # tags of offset and length: of a JPEG, of bare pixels


@dataclass(frozen=True, slots=True)
class ExifEntry:
    """A value: its type (as TIFF numbers it), how many there are, and their bytes."""

    kind: int
    count: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory: its entries, and the directories that it points to, by tag.

    Parameters
    ----------
    order : str
        Byte order of all its numbers, ``<`` or ``>``.
    """

    order: str
    entries: dict[int, ExifEntry] = field(default_factory=dict)
    children: dict[int, Directory] = field(default_factory=dict)

    @classmethod
    def of_block(cls, block: bytes) -> Directory:
        """Read an EXIF block.

        Raises
        ------
        ValueError
            If it is no EXIF block.
        """
        block = block.removeprefix(PREFIX)
        order = _byte_order(block)
        return cls.of_tiff(block, _unpack(order + "I", block, 4), order)

    @classmethod
    def of_tiff(
        cls, data: bytes, offset: int, order: str, big: bool = False, depth: int = 0
    ) -> Directory:
        """Read the directory at an offset of a TIFF file.

        Entries that are cut off are left out, and those with which values would take more bytes
        than the file has.

        Parameters
        ----------
        data : bytes
        offset : int
        order : str
            ``<`` or ``>``.
        big : bool
            Whether it is a BigTIFF, whose offsets have 64 bits.
        depth : int
            Length of the chain of directories that points here.

        Raises
        ------
        ValueError
            If there is no directory.
        """
        left = len(data)
        number, width, head = ("Q", 8, 8) if big else ("I", 4, 2)
        directory = cls(order)
        count = _unpack(order + ("Q" if big else "H"), data, offset)
        step = 4 + 2 * width
        end = min(offset + head + count * step, len(data) - step + 1)
        for at in range(offset + head, end, step):
            tag, kind = struct.unpack_from(order + "HH", data, at)
            values = _unpack(order + number, data, at + 4)
            size = _SIZES.get(kind, 0) * values
            place = at + 4 + width
            if size > width:
                place = _unpack(order + number, data, place)
            if not size or place + size > len(data):
                continue
            if size > left:  # values overlap, and might become many times as large as the file
                continue
            left -= size
            if tag in CHILDREN and depth < 2:
                child = _unpack(order + number, data, at + 4 + width)
                try:
                    directory.children[tag] = cls.of_tiff(data, child, order, big, depth + 1)
                except ValueError:
                    continue  # it points to no directory
            else:
                directory.entries[tag] = ExifEntry(kind, values, bytes(data[place : place + size]))
        return directory

    def to_block(self) -> bytes:
        """Return an EXIF block of the directory, its values and its children."""
        magic = b"II*\0" if self.order == "<" else b"MM\0*"
        return PREFIX + magic + struct.pack(self.order + "I", 8) + self.to_bytes(8)

    def to_bytes(self, offset: int, big: bool = False) -> bytes:
        """Encode the directory, its values and its children for an offset of a file.

        Parameters
        ----------
        offset : int
        big : bool
            Whether the file is a BigTIFF.
        """
        number, width, head = ("Q", 8, "Q") if big else ("I", 4, "H")
        tags = sorted({*self.entries, *self.children})
        body = bytearray()
        records = bytearray(struct.pack(self.order + head, len(tags)))
        start = offset + len(records) + (4 + 2 * width) * len(tags) + width
        for tag in tags:
            entry = self.entries.get(tag)
            if entry and len(entry.data) <= width:
                records += struct.pack(f"{self.order}HH{number}", tag, entry.kind, entry.count)
                records += entry.data.ljust(width, b"\0")
                continue
            body += b"\0" * (len(body) % 2)  # values begin at even offsets
            kind, count = (entry.kind, entry.count) if entry else (4, 1)
            place = start + len(body)
            records += struct.pack(f"{self.order}HH{number}{number}", tag, kind, count, place)
            body += entry.data if entry else self.children[tag].to_bytes(place, big)
        return bytes(records) + b"\0" * width + bytes(body)

    def number(self, tag: int) -> int | None:
        """Return the first number of an entry, or None if it holds no unsigned integers."""
        entry = self.entries.get(tag)
        code = {1: "B", 3: "H", 4: "I"}.get(entry.kind) if entry else None
        return _unpack(self.order + code, entry.data, 0) if entry and code else None

    def rational(self, tag: int) -> tuple[int, int] | None:
        """Return numerator and denominator of an entry, or None if it is no rational number."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind != _RATIONAL:
            return None
        above, below = struct.unpack_from(self.order + "II", entry.data)
        return above, below

    @property
    def dpi(self) -> tuple[float, float] | None:
        """Dots per inch, across and down, or None if the directory does not hold them."""
        unit = {CENTIMETRE: 2.54, INCH: 1.0}.get(self.number(RESOLUTION_UNIT) or INCH)
        x, y = self.rational(X_RESOLUTION), self.rational(Y_RESOLUTION)
        if not (unit and x and y and all(x) and all(y)):
            return None
        return x[0] / x[1] * unit, y[0] / y[1] * unit


def upright_size(stored: ImageSize, orientation: int) -> ImageSize:
    """Return the size of a picture after it is turned upright by its EXIF orientation."""
    return ImageSize(stored.width, stored.height) if orientation in ON_ITS_SIDE else stored


def reset_orientation(block: bytes) -> bytes:
    """Set the orientation of an EXIF block to 1 and remove its thumbnail.

    Everything else stays where it is, because makers' notes hold offsets.

    Raises
    ------
    ValueError
        If it is no EXIF block.
    """
    changed = bytearray(block.removeprefix(PREFIX))
    order = _byte_order(changed)
    entries, end = _first_directory(changed, order)
    following = _unpack(order + "I", changed, end)
    for tag, entry in entries:
        if tag == ORIENTATION:
            struct.pack_into(order + "HIHH", changed, entry + 2, _SHORT, 1, 1, 0)
    struct.pack_into(order + "I", changed, end, 0)
    try:
        thumbnail = Directory.of_tiff(bytes(changed), following, order) if following else None
    except ValueError:
        thumbnail = None
    for place, length in _THUMBNAILS:
        at = thumbnail.number(place) if thumbnail else None
        size = thumbnail.number(length) if thumbnail else None
        if at and size and at + size <= len(changed):  # it shows the old color
            changed[at : at + size] = b"" if at + size == len(changed) else b"\0" * size
    return PREFIX + bytes(changed)


def swap_resolution(block: bytes) -> bytes:
    """Exchange the resolutions across and down in an EXIF block, because its picture is turned.

    Raises
    ------
    ValueError
        If it is no EXIF block.
    """
    changed = bytearray(block.removeprefix(PREFIX))
    order = _byte_order(changed)
    entries, _ = _first_directory(changed, order)
    places = {tag: at + 2 for tag, at in entries}  # of all but the tag
    x, y = places.get(X_RESOLUTION), places.get(Y_RESOLUTION)
    if x and y:
        changed[x : x + 10], changed[y : y + 10] = changed[y : y + 10], changed[x : x + 10]
    return PREFIX + bytes(changed)


def shorten(block: bytes, limit: int) -> bytes:
    """Return an EXIF block without its largest values, so that it has at most so many bytes.

    Returns
    -------
    bytes
        Nothing if that cannot be done.
    """
    if len(block) <= limit:
        return block
    directory = Directory.of_block(block)
    while len(block := directory.to_block()) > limit:
        places = [directory.entries]
        children = [*directory.children.values()]
        while children:
            child = children.pop()
            places.append(child.entries)
            children += child.children.values()
        found = [(len(entry.data), place, tag) for place in places for tag, entry in place.items()]
        if not found:
            return b""
        _, place, tag = max(found, key=lambda entry: entry[0])
        del place[tag]
    return block


def with_resolution(block: bytes, dpi: tuple[float, float]) -> bytes:
    """Add the resolution to an EXIF block, or to a new one, unless it holds one."""
    bare = (block or Directory("<").to_block()).removeprefix(PREFIX)
    order = _byte_order(bare)
    if X_RESOLUTION in Directory.of_block(bare).entries:
        return block
    values = b"".join(struct.pack(order + "II", round(value * 1000), 1000) for value in dpi)
    place = len(bare)
    records = {
        X_RESOLUTION: struct.pack(order + "HHII", X_RESOLUTION, _RATIONAL, 1, place),
        Y_RESOLUTION: struct.pack(order + "HHII", Y_RESOLUTION, _RATIONAL, 1, place + 8),
        RESOLUTION_UNIT: struct.pack(order + "HHIHH", RESOLUTION_UNIT, _SHORT, 1, INCH, 0),
    }
    return _with_records(bare + values, order, records)


def without_orientation(block: bytes) -> bytes:
    """Remove the orientation from an EXIF block. Without one, a picture is upright."""
    bare = block.removeprefix(PREFIX)
    return _with_records(bare, _byte_order(bare), {ORIENTATION: b""})


def _with_records(bare: bytes, order: str, changes: dict[int, bytes]) -> bytes:
    """Write a changed first directory behind everything else, so that nothing else moves.

    An empty record removes an entry.
    """
    entries, _ = _first_directory(bare, order)
    records = {tag: bare[at : at + 12] for tag, at in entries} | changes
    kept = [record for _, record in sorted(records.items()) if record]
    bare += b"\0" * (len(bare) % 2)
    directory = struct.pack(order + "H", len(kept)) + b"".join(kept) + b"\0" * 4
    return PREFIX + bare[:4] + struct.pack(order + "I", len(bare)) + bare[8:] + directory


def _first_directory(bare: bytes | bytearray, order: str) -> tuple[list[tuple[int, int]], int]:
    """Return the tags of the first directory with the places of their entries, and its end."""
    start = _unpack(order + "I", bare, 4)
    end = start + 2 + 12 * _unpack(order + "H", bare, start)
    return [(_unpack(order + "H", bare, at), at) for at in range(start + 2, end, 12)], end


def _byte_order(block: bytes | bytearray) -> str:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(block[:4]))
    if order is None:
        raise ValueError("no EXIF block")
    return order


def _unpack(code: str, data: bytes | bytearray, offset: int) -> int:
    try:
        (number,) = struct.unpack_from(code, data, offset)
    except struct.error as error:
        raise ValueError(f"cut off at {offset}") from error
    return int(number)
