"""The folder of an unfinished film: one run at a time."""

import errno
import os
import sys
from pathlib import Path

import pytest

from recolor_cli.errors import OutputError
from recolor_cli.system import file_lock
from recolor_cli.video.segment_store import (
    FilmProgress,
    SegmentStore,
    StoredPacket,
    discard_segments,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="its files cannot be locked")


def begun(destination):
    """Return a store with one finished segment."""
    store = SegmentStore(destination, "same")
    segment = store.new_segment()
    store.write(segment, StoredPacket(7, 1, True, b"frame"))
    store.commit(segment, FilmProgress(segments=1, frames=1))
    return store


def test_a_later_run_takes_over_what_is_finished(tmp_path):
    begun(tmp_path / "a.mkv").close()
    store = SegmentStore(tmp_path / "a.mkv", "same")
    assert store.progress.frames == 1
    assert [packet.data for packet in store.read_packets()] == [b"frame"]
    assert list(store.read_times()) == [7]
    store.close()
    other = SegmentStore(tmp_path / "a.mkv", "other")
    assert other.progress.frames == 0
    other.close()


def test_a_finished_film_leaves_no_folder(tmp_path):
    store = begun(tmp_path / "a.mkv")
    store.remove()
    store.close()
    assert not list(tmp_path.iterdir())


@posix
@pytest.mark.parametrize("end", [SegmentStore.close, SegmentStore.remove])
def test_a_run_that_waited_for_a_lock_does_not_hold_a_deleted_one(tmp_path, monkeypatch, end):
    first = begun(tmp_path / "a.mkv")
    try_lock = file_lock.try_lock

    def first_ends(file):  # after the second run opened the lock file, before it locks it
        monkeypatch.setattr(file_lock, "try_lock", try_lock)
        end(first)
        return try_lock(file)

    monkeypatch.setattr(file_lock, "try_lock", first_ends)
    second = SegmentStore(tmp_path / "a.mkv", "same")
    assert second.progress.segments == (1 if end is SegmentStore.close else 0)
    with pytest.raises(OutputError, match="another run works on this film"):
        SegmentStore(tmp_path / "a.mkv", "same")
    first.close()  # again, as after an error: the lock is the second run's now
    with pytest.raises(OutputError, match="another run works on this film"):
        SegmentStore(tmp_path / "a.mkv", "same")
    second.close()


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0])
def test_a_damaged_state_begins_anew(tmp_path, share):
    result = tmp_path / "a.mkv"
    state = tmp_path / ".a.mkv.recolor-parts/state.npz"

    def damage():
        begun(result).close()
        whole = state.read_bytes()
        state.write_bytes(whole[: int(share * len(whole))])

    damage()
    store = SegmentStore(result, "same")
    assert store.progress.segments == 0
    store.close()
    damage()
    result.write_bytes(b"finished")
    discard_segments(result, result)
    assert list(tmp_path.iterdir()) == [result]


def test_segments_of_a_finished_film_go_and_those_of_a_new_one_stay(tmp_path):
    result = tmp_path / "a.mkv"
    begun(result).close()
    result.write_bytes(b"finished")
    os.utime(result, (1, 1))  # the segments are of a later run with --overwrite
    discard_segments(result, result)
    assert (tmp_path / ".a.mkv.recolor-parts").exists()
    os.utime(result)
    store = SegmentStore(result, "same")
    if sys.platform != "win32":
        discard_segments(result, result)  # another run is about to end
        assert store.folder.exists()
    store.close()
    discard_segments(result, result)
    discard_segments(result, result)
    assert list(tmp_path.iterdir()) == [result]


def test_segments_of_finished_pictures_go(tmp_path):
    pattern, first = tmp_path / "%05d.png", tmp_path / "00001.png"
    begun(pattern).close()
    first.write_bytes(b"finished")
    discard_segments(pattern, first)
    assert list(tmp_path.iterdir()) == [first]


@pytest.mark.parametrize("read", [SegmentStore.read_times, SegmentStore.read_packets])
def test_segments_that_cannot_be_read_are_told_with_their_folder(tmp_path, monkeypatch, read):
    store = begun(tmp_path / "a.mkv")
    opened = Path.open

    def open_file(path, *args, **kwargs):
        if path.suffix == ".packets":
            raise OSError(errno.EIO, "Input/output error")
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", open_file)
    with pytest.raises(OutputError, match=r"\.a\.mkv\.recolor-parts: Input/output error"):
        list(read(store))
    store.close()


def test_segments_that_cannot_be_removed_are_told_and_leave_no_lock(tmp_path, monkeypatch):
    begun(tmp_path / "a.mkv").close()
    unlink = Path.unlink

    def fail(path, *args, **kwargs):
        if path.suffix == ".packets":
            raise OSError(errno.EIO, "Input/output error")
        unlink(path, *args, **kwargs)

    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(OutputError, match=r"\.a\.mkv\.recolor-parts: Input/output error"):
        SegmentStore(tmp_path / "a.mkv", "other")
    monkeypatch.undo()
    SegmentStore(tmp_path / "a.mkv", "other").close()
