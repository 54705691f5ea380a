"""Keys of SSH servers: only servers are used that the user has accepted with ssh."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import paramiko

_FILES = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts")


class HostKeyError(paramiko.SSHException):  # type: ignore[misc]
    """A server is not known, or has another key than it had."""


class KnownHosts(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """Accept the keys of the files ``known_hosts``, as ssh does, and no others.

    fsspec asks a policy about each server, because it loads no such files. Its own policy accepts
    all, so that another machine could take the place of the store.
    """

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        """Raise HostKeyError if the key is not that of the host."""
        known = paramiko.HostKeys()
        for file in _FILES:
            with suppress(OSError, RuntimeError):  # few users have all of them, or no home
                known.load(str(Path(file).expanduser()))
        if known.check(hostname, key):
            return
        if key.get_name() in (known.lookup(hostname) or {}):
            raise HostKeyError(f"{hostname} has another key than known_hosts says")
        raise HostKeyError(f"{hostname} is in no file known_hosts")
