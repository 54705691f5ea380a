"""A server of SFTP for tests, on paramiko's, which shows one folder as the root."""

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

import paramiko
from paramiko import SFTPAttributes, SFTPHandle, SFTPServer, SFTPServerInterface


class _Files(SFTPServerInterface):
    """The files below a folder."""

    def __init__(self, server, *args, root: Path, seen: list[tuple[str, str]], **kwargs) -> None:
        self._root, self._seen = root, seen
        super().__init__(server, *args, **kwargs)

    def _place(self, path: str) -> Path:
        return self._root / self.canonicalize(path).lstrip("/")

    def _try(self, word: str, path: str, work):
        self._seen.append((word, path))
        try:
            return work(self._place(path))
        except OSError as error:
            return SFTPServer.convert_errno(error.errno)

    def list_folder(self, path):
        return self._try(
            "list",
            path,
            lambda place: [
                SFTPAttributes.from_stat(child.stat(), child.name) for child in place.iterdir()
            ],
        )

    def stat(self, path):
        return self._try("stat", path, lambda place: SFTPAttributes.from_stat(place.stat()))

    lstat = stat

    def open(self, path, flags, attr):
        def work(place):
            descriptor = os.open(place, flags, 0o644)
            mode = "wb" if flags & os.O_WRONLY else "r+b" if flags & os.O_RDWR else "rb"
            file = os.fdopen(descriptor, mode)
            handle = SFTPHandle(flags)
            handle.readfile = handle.writefile = file
            return handle

        return self._try("open", path, work)

    def _change(self, word, path, work):
        found = self._try(word, path, work)
        return found if isinstance(found, int) else paramiko.SFTP_OK

    def remove(self, path):
        return self._change("remove", path, lambda place: place.unlink())

    def mkdir(self, path, attr):
        return self._change("mkdir", path, lambda place: place.mkdir())

    def rename(self, oldpath, newpath):
        def work(place):
            if self._place(newpath).exists():
                raise FileExistsError(17, "it exists")  # as the standard has it
            place.rename(self._place(newpath))

        return self._change("rename", oldpath, work)

    def posix_rename(self, oldpath, newpath):
        return self._change("rename", oldpath, lambda place: place.replace(self._place(newpath)))


class _Login(paramiko.ServerInterface):
    """Lets one user in by a key."""

    def __init__(self, key: paramiko.PKey) -> None:
        self._key = key

    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        known = username == "ann" and key == self._key
        return paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED


class Server:
    """A server of a folder for the user ann with a key.

    Attributes
    ----------
    port : int
    seen : list of (str, str)
        Kind and path of each request.
    """

    def __init__(self, root: Path, key: paramiko.PKey) -> None:
        self.seen: list[tuple[str, str]] = []
        self._root, self._key = root, key
        self._host_key = paramiko.ECDSAKey.generate()
        self._transports: list[paramiko.Transport] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        host_key = f"{self._host_key.get_name()} {self._host_key.get_base64()}"
        self.known_hosts = f"[127.0.0.1]:{self.port} {host_key}\n"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                transport = paramiko.Transport(connection)
                transport.add_server_key(self._host_key)
                transport.set_subsystem_handler(
                    "sftp", SFTPServer, _Files, root=self._root, seen=self.seen
                )
                self._transports.append(transport)
                with suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=_Login(self._key))

    def close(self) -> None:
        self._socket.close()
        for transport in self._transports:
            transport.close()
