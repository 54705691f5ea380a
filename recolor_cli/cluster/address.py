"""Addresses of clusters, as they stand on the command line."""

from __future__ import annotations

import re

from recolor_cli.errors import UsageError

THIS_MACHINE = "local"
RUNNING = "auto"

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}")


def is_cluster_address(text: str) -> bool:
    """Tell whether a text has the form of a cluster's address, which no file's name has.

    >>> [is_cluster_address(t) for t in ("10.0.0.1:6379", "auto", "ray://head:10001", "posters/")]
    [True, True, True, False]
    """
    if text in (THIS_MACHINE, RUNNING) or text.startswith("ray://"):
        return True
    return _HOST_AND_PORT.fullmatch(text) is not None


def check_cluster_address(address: str) -> str:
    """Return an address that a run can use.

    Raises
    ------
    UsageError
        If it is no address, or one of Ray's client, through which all results would go.
    """
    if address.startswith("ray://"):
        raise UsageError(
            f"{address} is an address for Ray's client, which recolor does not use",
            "run it on a machine of the cluster with --cluster auto, or as `ray job submit`",
        )
    if not is_cluster_address(address):
        raise UsageError(
            f"{address} is no address of a cluster", "use HOST:PORT, as in 10.0.0.1:6379, or auto"
        )
    return address


def host_and_port(address: str) -> tuple[str, int]:
    """Split HOST:PORT.

    >>> host_and_port("[::1]:6379")
    ('::1', 6379)
    """
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
