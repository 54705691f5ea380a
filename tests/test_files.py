import errno
import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import draw, encoded
from recolor_cli.errors import InputError, OutputError
from recolor_cli.image.unsupported import check_format
from recolor_cli.system import files, memory
from recolor_cli.system.files import back_up, mount_point, read, read_pipe, write_atomic, writing


def test_a_file_larger_than_the_memory_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "x.jpg").write_bytes(b"x" * 100)
    monkeypatch.setattr(files, "available_memory", lambda: 99)
    with pytest.raises(InputError, match="larger than the free memory"):
        read(tmp_path / "x.jpg")


def test_available_memory_is_plausible():
    assert 2**24 < memory.available_memory() < 2**50


def test_a_written_file_is_whole_and_alone(tmp_path):
    path = tmp_path / "deep" / "er" / "x.jpg"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["x.jpg"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failure):
    path = tmp_path / "x.jpg"
    path.write_bytes(b"old")

    def fail(self, target):
        raise failure

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OutputError if isinstance(failure, OSError) else KeyboardInterrupt):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.jpg"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    original = Path.open

    def on_a_full_disk(self, mode="r", *args, **kwargs):
        original(self, mode).close()  # the name appears, as it would
        return original(Path("/dev/full"), "wb", *args, **kwargs)

    monkeypatch.setattr("pathlib.Path.open", on_a_full_disk)
    with pytest.raises(OutputError, match="No space left"):
        write_atomic(tmp_path / "x.jpg", b"x" * 100_000)
    assert list(tmp_path.iterdir()) == []


def test_two_runs_that_write_the_same_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "x.jpg"
    contents = [bytes([i]) * 200_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda data: write_atomic(path, data), contents * 5))
    assert path.read_bytes() in contents
    assert [p.name for p in tmp_path.iterdir()] == ["x.jpg"]


def test_reading_says_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "missing.jpg")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path)
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    with pytest.raises(InputError, match="symbolic links"):
        read(tmp_path / "loop.jpg")


def test_a_result_gets_permissions_owner_and_times_of_its_picture(tmp_path):
    source = tmp_path / "a.jpg"
    source.write_bytes(b"a")
    source.chmod(0o640)
    os.utime(source, ns=(10**18, 2 * 10**18))
    if os.geteuid() == 0:
        os.chown(source, 1234, 2345)
    status = read(source).status
    for keep_times in (False, True):
        result = tmp_path / "b.jpg"
        write_atomic(result, b"b", status, keep_times)
        found = result.stat()
        assert found.st_mode & 0o777 == 0o640
        assert (found.st_uid, found.st_gid) == (status.st_uid, status.st_gid)
        assert (found.st_mtime_ns == 2 * 10**18) == keep_times


@pytest.mark.skipif(sys.platform != "linux", reason="folders choose the group by setgid there")
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="sets groups")
def test_a_folder_may_choose_the_group_of_results_but_not_that_of_what_they_replace(tmp_path):
    source, folder = tmp_path / "a.jpg", tmp_path / "shared"
    source.write_bytes(b"a")
    os.chown(source, -1, 2345)
    source.chmod(0o640)
    folder.mkdir()
    os.chown(folder, -1, 3456)
    folder.chmod(0o2770)
    write_atomic(folder / "b.jpg", b"b", source.stat())
    found = (folder / "b.jpg").stat()
    assert (found.st_gid, found.st_mode & 0o777) == (3456, 0o640)
    os.chown(folder / "b.jpg", -1, 2345)
    write_atomic(folder / "b.jpg", b"new", (folder / "b.jpg").stat())
    assert (folder / "b.jpg").stat().st_gid == 2345


@pytest.mark.skipif(sys.platform == "win32", reason="its files have no groups")
@pytest.mark.parametrize(("mode", "wanted"), [(0o640, 0o600), (0o664, 0o644), (0o660, 0o600)])
def test_a_group_that_a_file_cannot_have_opens_it_to_no_other(tmp_path, monkeypatch, mode, wanted):
    source = tmp_path / "a.jpg"
    source.write_bytes(b"a")
    source.chmod(mode)
    fields = list(source.stat())
    fields[5] += 1  # its group

    def chown(*args):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", chown)
    write_atomic(tmp_path / "b.jpg", b"b", os.stat_result(fields))
    assert (tmp_path / "b.jpg").stat().st_mode & 0o777 == wanted


def test_bytes_are_on_the_disk_before_they_have_the_name(tmp_path, monkeypatch):
    done = []
    replace, fsync = Path.replace, os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append("fsync"), fsync(fd)))
    monkeypatch.setattr(Path, "replace", lambda *a: (done.append("replace"), replace(*a)))
    write_atomic(tmp_path / "x.jpg", b"x")
    assert done == ["fsync", "replace"]


def test_what_is_secret_is_never_readable_for_others(tmp_path, monkeypatch):
    source = tmp_path / "a.jpg"
    source.write_bytes(b"a")
    source.chmod(0o600)
    seen = []

    def fsync(fd):
        seen.append(os.fstat(fd).st_mode & 0o777)

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomic(tmp_path / "b.jpg", b"b", source.stat())
    assert seen == [0o600]


def test_a_backup_is_a_second_name_for_the_same_bytes(tmp_path):
    path, backup = tmp_path / "a.jpg", tmp_path / "a.jpg.orig"
    path.write_bytes(b"old")
    back_up(path, backup, b"old")
    back_up(path, backup, b"old")  # a run was killed in between
    write_atomic(path, b"new")
    assert (path.read_bytes(), backup.read_bytes()) == (b"new", b"old")
    with pytest.raises(OutputError, match="exists already"):
        back_up(path, backup, b"new")
    assert backup.read_bytes() == b"old"


def test_a_backup_where_a_file_has_one_name_only(tmp_path, monkeypatch):
    def link(*args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    path, backup = tmp_path / "a.jpg", tmp_path / "a.jpg.orig"
    path.write_bytes(b"old")
    os.utime(path, ns=(10**18, 10**18))
    back_up(path, backup, b"old")
    assert backup.read_bytes() == b"old"
    assert backup.stat().st_mtime_ns == 10**18
    back_up(path, backup, b"old")  # a run was killed in between
    write_atomic(path, b"new")
    with pytest.raises(OutputError, match="exists already"):
        back_up(path, backup, b"new")
    assert backup.read_bytes() == b"old"


def test_a_pipe_without_end_is_left_soon(monkeypatch):
    class Endless(io.RawIOBase):
        def __init__(self, head, rest):
            self.head, self.rest, self.count = head, rest, 0

        def read(self, size=-1):
            self.count += size
            head, self.head = self.head, b""
            return (head + self.rest * size)[:size]

    words = Endless(b"", b"y")
    with pytest.raises(InputError, match="no picture"):
        read_pipe(words, check_format)
    assert words.count <= 1 << 20
    monkeypatch.setattr(files, "_PIPE_LIMIT", 5 << 20)
    picture = Endless(encoded(draw()), b"\0")
    with pytest.raises(InputError, match="no end"):
        read_pipe(picture, check_format)
    assert picture.count <= 7 << 20


def test_a_device_without_end_is_left_soon():
    with pytest.raises(InputError, match="no picture"):
        read(Path("/dev/zero"), check_format)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOTCONN])
def test_a_disk_that_went_away_is_told_as_that(tmp_path, monkeypatch, number):
    def fail(self, *args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pathlib.Path.open", fail)
    with pytest.raises(InputError, match=os.strerror(number)) as reading:
        read(tmp_path / "x.jpg")
    with pytest.raises(OutputError, match=os.strerror(number)) as writing:
        write_atomic(tmp_path / "x.jpg", b"x")
    assert "disk is still there" in reading.value.hint
    assert "disk is still there" in writing.value.hint


def test_a_mount_point_is_found_below_what_is_not_made_yet(monkeypatch, tmp_path):
    assert mount_point(Path("/")) == Path("/")
    disk = tmp_path / "disk"
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) in (disk, Path("/")))
    assert mount_point(disk / "to" / "be" / "made") == disk
    assert mount_point(disk) == disk
    assert mount_point(tmp_path / "beside") == Path("/")


def test_nothing_is_written_where_a_disk_was_mounted_before(tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = True
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == disk and mounted)
    with writing(disk / "a.jpg", mount=disk) as file:
        file.write(b"x")
    mounted = False
    gone = pytest.raises(OutputError, match=f"mounted on {disk} is gone")
    with gone, writing(disk / "sub" / "b.jpg", mount=disk):
        pass
    assert [path.name for path in disk.iterdir()] == ["a.jpg"]
