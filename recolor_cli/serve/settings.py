"""The settings of a server."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from recolor_cli.batch.messages import Request

_LOOPBACK_NAME = "localhost"


class SentFile(NamedTuple):
    """A file that came with a request: the option that takes it, its name, its contents."""

    option: str
    name: str
    content: bytes


class RequestOptions(Protocol):
    """The options of requests: those of the command line, by the same code."""

    @property
    def parameters(self) -> Sequence[dict[str, Any]]:
        """The options as parameters of an OpenAPI document."""
        ...

    @property
    def file_options(self) -> tuple[str, ...]:
        """Names of the options that take files."""
        ...

    def parse(
        self,
        options: Sequence[tuple[str, str]],
        files: Sequence[SentFile] = (),
        picture: bytes | None = None,
    ) -> Request:
        """Read the options of a request.

        Parameters
        ----------
        options : sequence of (str, str)
            Names, as on the command line without their dashes, and values.
        files : sequence of SentFile
            The only files that options can name.
        picture : bytes or None

        Raises
        ------
        UsageError, ModelError
            If an option is unknown or its value wrong.
        """
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a request.

    Parameters
    ----------
    body : int
        Bytes of a request.
    pixels : int
        Pixels that a picture may declare.
    seconds : float
        Time for the work on one picture; what takes longer is ended.
    waiting : int
        Pictures that may wait for their turn. More are refused with 503.
    """

    body: int = 200 << 20
    pixels: int = 100_000_000
    seconds: float = 60.0
    waiting: int = 32


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The settings of a server.

    Parameters
    ----------
    inputs : tuple of str
        Folders and pictures that the page shows, as they are named on the command line. No other
        files are read or written.
    host : str
        Address or name to listen on.
    port : int
        0 takes a free one.
    token : str or None
        What clients must know; None asks for none.
    allowed_hosts : tuple of str
        Further names by which clients call the server, without ports.
    model, device : str
    limits : Limits
    """

    inputs: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] = ()
    model: str = "poster"
    device: str = "auto"
    limits: Limits = field(default_factory=Limits)

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Tell whether a host, an address or a name without a port, is this machine's own."""
    if host.lower().rstrip(".") == _LOOPBACK_NAME:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
