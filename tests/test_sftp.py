"""Pictures on a real SSH server, reached with a key of the user's folder."""

import pytest

from conftest import draw, encoded, names
from recolor_cli.system import stores

paramiko = pytest.importorskip("paramiko")


@pytest.fixture
def server(tmp_path, monkeypatch):
    from sftp_server import Server

    home, root = tmp_path / "home", tmp_path / "root"
    (home / ".ssh").mkdir(parents=True)
    (root / "in" / "1931").mkdir(parents=True)
    key = paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(home / ".ssh" / "id_ecdsa"))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    for seed, name in enumerate(("a.jpg", "1931/b.jpg")):
        (root / "in" / name).write_bytes(encoded(draw(seed=seed)))
    stores.LISTINGS.forget()
    server = Server(root, key)
    (home / ".ssh" / "known_hosts").write_text(server.known_hosts)
    server.root = root
    server.address = f"sftp://ann@127.0.0.1:{server.port}"
    yield server
    server.close()


def test_a_tree_on_an_ssh_server_is_recolored_as_on_a_disk_and_then_skipped(
    recolor, server, tmp_path
):
    argv = ("-r", "-m", "fruitnet")
    expected, _ = recolor(server.root / "in", "-o", f"{tmp_path}/plain/", *argv)
    out, told = recolor(f"{server.address}/in/", "-o", f"{server.address}/out/", *argv)
    assert "2 written" in told
    assert out.decode().replace(f"{server.address}/out/", f"{tmp_path}/plain/") == expected.decode()
    for name in ("a.jpg", "1931/b.jpg"):
        assert (server.root / "out" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    assert names(server.root / "out") == ["1931", "a.jpg"]  # and no temporary file
    server.seen.clear()
    _, told = recolor(f"{server.address}/in/", "-o", f"{server.address}/out/", *argv)
    assert "2 skipped" in told
    assert not [path for kind, path in server.seen if kind == "open"]
    recolor(f"{server.address}/in/", "-o", f"{server.address}/out/", *argv, "--overwrite")


def test_folders_may_be_made_by_another_process_meanwhile(server, monkeypatch):
    from fsspec.implementations.sftp import SFTPFileSystem

    exists = SFTPFileSystem.exists

    def made_meanwhile(fs, path, **options):
        found = exists(fs, path, **options)
        (server.root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        return found

    monkeypatch.setattr(SFTPFileSystem, "exists", made_meanwhile)
    stores.write(f"{server.address}/out/1931/x/a.jpg", b"picture")
    assert (server.root / "out" / "1931" / "x" / "a.jpg").read_bytes() == b"picture"


def test_an_unknown_user_is_told_what_to_do(recolor, server):
    address = server.address.replace("ann", "bob")
    _, told = recolor(f"{address}/in/a.jpg", "-o", f"{address}/out/", exit_code=1)
    assert "ssh-add" in told
    assert names(server.root) == ["in"]


@pytest.mark.parametrize(
    ("line", "told"),
    [(None, "is in no file known_hosts"), ("other key", "has another key than known_hosts says")],
)
def test_a_server_that_may_be_another_gets_and_gives_nothing(recolor, server, tmp_path, line, told):
    known = tmp_path / "home" / ".ssh" / "known_hosts"
    if line is None:
        known.unlink()
    else:
        other = paramiko.ECDSAKey.generate()
        known.write_text(f"[127.0.0.1]:{server.port} {other.get_name()} {other.get_base64()}\n")
    _, messages = recolor(f"{server.address}/in/", "-o", tmp_path / "out/", "-r", exit_code=1)
    assert f"[127.0.0.1]:{server.port} {told}" in messages
    assert f"`ssh -p {server.port} ann@127.0.0.1` shows the key" in messages
    (tmp_path / "a.jpg").write_bytes(encoded(draw()))
    _, messages = recolor(tmp_path / "a.jpg", "-o", f"{server.address}/out/", exit_code=1)
    assert told in messages
    assert server.seen == []


def test_a_name_in_known_hosts_may_be_hashed(server, tmp_path):
    line = server.known_hosts.partition(" ")[2]
    name = paramiko.HostKeys.hash_host(f"[127.0.0.1]:{server.port}")
    (tmp_path / "home" / ".ssh" / "known_hosts").write_text(f"# mine\n{name} {line}")
    assert stores.read(f"{server.address}/in/a.jpg")
