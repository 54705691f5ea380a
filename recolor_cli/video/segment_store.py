"""What is done of a film, in a folder beside its result, so that a later run can go on from there.

A segment holds the encoded frames of some seconds; it counts once the file `state.npz` says so,
which is written after it. Nothing else in the folder is of any worth.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from recolor_cli.errors import OutputError
from recolor_cli.system.files import write_atomic
from recolor_cli.video.temporal_smoothing import SmootherState

SEGMENT = 500  # frames; each begins with a frame that stands alone
_HEAD = struct.Struct("<qqBI")  # pts, duration, key frame, bytes
_STATE = "state.npz"


@dataclass(frozen=True, slots=True)
class StoredPacket:
    """One encoded frame: its time and duration in ticks, and its bytes."""

    pts: int
    duration: int
    is_keyframe: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a film is done.

    Parameters
    ----------
    segments, frames, cuts : int
        So many of them.
    last : int or None
        The time of the last frame, ticks.
    smoother : SmootherState or None
        What is remembered of the frames before.
    """

    segments: int = 0
    frames: int = 0
    cuts: int = 0
    last: int | None = None
    smoother: SmootherState | None = None


class Storage:
    """The folder of one film's unfinished result.

    Parameters
    ----------
    destination : Path
        Of the finished result.
    fingerprint : str
        Of the source and all options that the result depends on: what was made of another source
        or with others is thrown away.

    Raises
    ------
    OutputError
        If the folder cannot be made or is in use by another run.
    """

    def __init__(self, destination: Path, fingerprint: str) -> None:
        self.folder = destination.with_name(f".{destination.name}.recolor-parts")
        self._fingerprint = fingerprint
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.folder / "lock")
        except OSError as error:
            raise _cannot_write(self.folder, error) from error
        self.progress = self._read()
        if not self.progress.segments:
            for path in self.folder.glob("*.packets"):
                path.unlink()

    def _read(self) -> Progress:
        """Return how far an earlier run of the same kind came."""
        with (
            contextlib.suppress(OSError, ValueError, KeyError, EOFError),
            np.load(self.folder / _STATE, allow_pickle=False) as state,
        ):
            told = json.loads(str(state["told"]))
            if told.pop("fingerprint") != self._fingerprint:
                return Progress()
            sizes = told.pop("sizes")
            paths = [self._path(number) for number in range(told["segments"])]
            if [path.stat().st_size for path in paths] != sizes:
                return Progress()
            smoother = None
            if "total" in state:
                smoother = SmootherState(state["lightness"], state["total"], state["weight"])
            return Progress(**told, smoother=smoother)
        return Progress()

    def commit(self, packets: BinaryIO, progress: Progress) -> None:
        """Count a segment as done; it is on the disk before the state says so."""
        try:
            packets.flush()
            os.fsync(packets.fileno())
            packets.close()
            sizes = [self._path(n).stat().st_size for n in range(progress.segments)]
        except OSError as error:
            raise _cannot_write(self.folder, error) from error
        told = {
            "fingerprint": self._fingerprint,
            "sizes": sizes,
            "segments": progress.segments,
            "frames": progress.frames,
            "cuts": progress.cuts,
            "last": progress.last,
        }
        arrays = {"told": np.array(json.dumps(told))}
        if state := progress.smoother:
            arrays |= {
                "lightness": state.lightness, "total": state.total, "weight": state.weight,
            }  # fmt: skip
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        write_atomic(self.folder / _STATE, buffer.getvalue())
        self.progress = progress

    def new_segment(self) -> BinaryIO:
        """Open the file of the next segment."""
        try:
            return self._path(self.progress.segments).open("wb")
        except OSError as error:
            raise _cannot_write(self.folder, error) from error

    def write(self, file: BinaryIO, packet: StoredPacket) -> None:
        """Add an encoded frame to a segment's file."""
        head = _HEAD.pack(packet.pts, packet.duration, packet.is_keyframe, len(packet.data))
        try:
            file.write(head)
            file.write(packet.data)
        except OSError as error:
            raise _cannot_write(self.folder, error) from error

    def heads(self) -> Iterator[int]:
        """Yield the times of all encoded frames, in the order of decoding, without their bytes."""
        for number in range(self.progress.segments):
            with self._path(number).open("rb") as file:
                while head := file.read(_HEAD.size):
                    pts, _, _, size = _HEAD.unpack(head)
                    yield pts
                    file.seek(size, os.SEEK_CUR)

    def packets(self) -> Iterator[StoredPacket]:
        """Yield all encoded frames, in the order of decoding."""
        for number in range(self.progress.segments):
            with self._path(number).open("rb") as file:
                while head := file.read(_HEAD.size):
                    pts, duration, is_keyframe, size = _HEAD.unpack(head)
                    yield StoredPacket(pts, duration, bool(is_keyframe), file.read(size))

    def close(self) -> None:
        """Leave the folder for a later run, or remove it if there is nothing to go on from."""
        self._lock.close()
        if self.progress.segments:
            with contextlib.suppress(OSError):
                (self.folder / "lock").unlink()
        else:
            self.remove()

    def remove(self) -> None:
        """Remove the folder: the result is there, or there is nothing to go on from."""
        self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.packets"


def _locked(path: Path) -> BinaryIO:
    """Open a file that only one process at a time holds; it is free again when that one is gone."""
    file = path.open("ab")
    try:
        import fcntl
    except ImportError:  # Windows, where another process cannot even remove it
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise OutputError(
            "another run works on it at this moment", "wait for it, or choose another -o"
        ) from error
    except OSError:  # some network systems have no locks
        pass
    return file


def _cannot_write(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write in {folder}: {error.strerror or error}",
        "choose a folder that you may write to and that has room, with -o",
    )
