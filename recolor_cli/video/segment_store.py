"""Keep the encoded frames of an unfinished film beside its result, so that a later run can resume.

A segment file holds the packets of up to `SEGMENT` frames. It counts once `state.npz` lists it,
which is written after it. Other files in the folder are worthless.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

import numpy as np

from recolor_cli.errors import OutputError
from recolor_cli.system.file_lock import open_locked, remove_locked
from recolor_cli.system.files import write_atomic, write_error
from recolor_cli.types import FloatArray

SEGMENT = 500  # frames; each segment begins with a key frame
_PACKET_HEAD = struct.Struct("<qqBI")  # pts, duration, whether it is a key frame, bytes
_STATE = "state.npz"
_PROGRESS = "progress"  # name there of the numbers, beside the arrays of `FilmProgress.state`


@dataclass(frozen=True, slots=True)
class StoredPacket:
    """One encoded frame: time and duration in ticks, and its bytes."""

    pts: int
    duration: int
    is_keyframe: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class FilmProgress:
    """The finished part of a film."""

    segments: int = 0
    frames: int = 0
    cuts: int = 0
    last: int | None = None  # time of the last finished frame, ticks of the source
    state: dict[str, FloatArray] = field(default_factory=dict)  # of the pipeline after that frame


class SegmentStore:
    """The folder with the segments of one film.

    Parameters
    ----------
    destination : Path
        Path of the finished result.
    fingerprint : str
        Hash of the source and of all options that the result depends on. Segments with another
        fingerprint are deleted.

    Raises
    ------
    OutputError
        If the folder cannot be made, or another run uses it.
    """

    def __init__(self, destination: Path, fingerprint: str) -> None:
        self.folder = _folder_of(destination)
        self._fingerprint = fingerprint
        self._lock_path = self.folder / "lock"
        try:
            self._lock = open_locked(
                self._lock_path,
                "another run works on this film at this moment",
                "wait for it, or choose another -o",
            )
        except OSError as error:
            raise write_error(self.folder, error) from error
        self.progress = self._load_progress()
        if not self.progress.segments:
            self._remove_segments()

    def _load_progress(self) -> FilmProgress:
        """Return the progress of an earlier run with the same fingerprint, else none."""
        with (
            contextlib.suppress(OSError, ValueError, KeyError, EOFError, BadZipFile),
            # From memory: of a damaged file numpy leaves the handle open.
            np.load(io.BytesIO((self.folder / _STATE).read_bytes())) as stored,
        ):
            state = dict(stored)
            fields = json.loads(str(state.pop(_PROGRESS)))
            if fields.pop("fingerprint") != self._fingerprint:
                return FilmProgress()
            sizes = fields.pop("sizes")
            if self._segment_sizes(fields["segments"]) != sizes:
                return FilmProgress()
            return FilmProgress(**fields, state=state)
        return FilmProgress()

    def _remove_segments(self) -> None:
        try:
            for path in self.folder.glob("*.packets"):
                path.unlink()
        except OSError as error:
            remove_locked(self._lock, self._lock_path)
            raise write_error(self.folder, error) from error

    def commit(self, segment: BinaryIO, progress: FilmProgress) -> None:
        """Count a segment as finished. Its bytes reach the disk before the state lists them."""
        try:
            segment.flush()
            os.fsync(segment.fileno())
            segment.close()
            sizes = self._segment_sizes(progress.segments)
        except OSError as error:
            raise write_error(self.folder, error) from error
        fields = {
            "fingerprint": self._fingerprint,
            "sizes": sizes,
            "segments": progress.segments,
            "frames": progress.frames,
            "cuts": progress.cuts,
            "last": progress.last,
        }
        buffer = io.BytesIO()
        arrays = {_PROGRESS: np.array(json.dumps(fields)), **progress.state}
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        write_atomic(self.folder / _STATE, buffer.getvalue())
        self.progress = progress

    def new_segment(self) -> BinaryIO:
        """Open the file of the next segment."""
        try:
            return self._path(self.progress.segments).open("wb")
        except OSError as error:
            raise write_error(self.folder, error) from error

    def write(self, segment: BinaryIO, packet: StoredPacket) -> None:
        """Append a packet to the file of a segment."""
        size = len(packet.data)
        try:
            segment.write(_PACKET_HEAD.pack(packet.pts, packet.duration, packet.is_keyframe, size))
            segment.write(packet.data)
        except OSError as error:
            raise write_error(self.folder, error) from error

    def read_times(self) -> Iterator[int]:
        """Yield the times of all packets in decoding order, without reading their data."""
        for number in range(self.progress.segments):
            with self._open_segment(number) as file:
                while head := file.read(_PACKET_HEAD.size):
                    pts, _, _, size = _PACKET_HEAD.unpack(head)
                    yield pts
                    file.seek(size, os.SEEK_CUR)

    def read_packets(self) -> Iterator[StoredPacket]:
        """Yield all packets in decoding order."""
        for number in range(self.progress.segments):
            with self._open_segment(number) as file:
                while head := file.read(_PACKET_HEAD.size):
                    pts, duration, is_keyframe, size = _PACKET_HEAD.unpack(head)
                    yield StoredPacket(pts, duration, bool(is_keyframe), file.read(size))

    @contextlib.contextmanager
    def _open_segment(self, number: int) -> Iterator[BinaryIO]:
        """Open the file of a finished segment, and say of its disk's errors where it lies."""
        try:
            with self._path(number).open("rb") as file:
                yield file
        except OSError as error:
            raise write_error(self.folder, error) from error

    def close(self) -> None:
        """Leave the folder for a later run, or remove it if no segment is finished."""
        if self.progress.segments:
            remove_locked(self._lock, self._lock_path)
        else:
            self.remove()

    def remove(self) -> None:
        """Remove the folder and its contents."""
        if self._lock.closed:
            return
        with contextlib.suppress(OSError):  # the disk is gone
            for path in self.folder.iterdir():
                if path != self._lock_path:
                    with contextlib.suppress(OSError):
                        path.unlink()
        remove_locked(self._lock, self._lock_path)
        with contextlib.suppress(OSError):  # another run may use it already
            self.folder.rmdir()

    def _segment_sizes(self, count: int) -> list[int]:
        """Return the sizes of the first segment files, in bytes."""
        return [self._path(number).stat().st_size for number in range(count)]

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.packets"


def discard_segments(destination: Path, result: Path) -> None:
    """Remove the folder of a finished film, which remains if a run is killed at its very end.

    Segments that are newer than the result are of a run with --overwrite, and stay.

    Parameters
    ----------
    destination : Path
        A file, or a pattern of numbered pictures.
    result : Path
        The file that is written last: the destination, or the first of the pictures.
    """
    state = _folder_of(destination) / _STATE
    with contextlib.suppress(OSError):
        if state.exists() and state.stat().st_mtime > result.stat().st_mtime:
            return
        if state.parent.is_dir():
            with contextlib.suppress(OutputError):  # another run uses it, or it is read-only
                SegmentStore(destination, "").remove()


def _folder_of(destination: Path) -> Path:
    return destination.with_name(f".{destination.name}.recolor-parts")
