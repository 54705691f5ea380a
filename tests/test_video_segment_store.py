"""The folder of an unfinished film: one run at a time."""

import sys

import pytest

from recolor_cli.errors import OutputError
from recolor_cli.video import segment_store
from recolor_cli.video.segment_store import FilmProgress, SegmentStore, StoredPacket

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
    lock_file = segment_store._lock_file

    def first_ends(file):  # after the second run opened the lock file, before it locks it
        monkeypatch.setattr(segment_store, "_lock_file", lock_file)
        end(first)
        lock_file(file)

    monkeypatch.setattr(segment_store, "_lock_file", first_ends)
    second = SegmentStore(tmp_path / "a.mkv", "same")
    assert second.progress.segments == (1 if end is SegmentStore.close else 0)
    with pytest.raises(OutputError, match="another run works on this film"):
        SegmentStore(tmp_path / "a.mkv", "same")
    first.close()  # again, as after an error: the lock is the second run's now
    with pytest.raises(OutputError, match="another run works on this film"):
        SegmentStore(tmp_path / "a.mkv", "same")
    second.close()
