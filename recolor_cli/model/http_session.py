"""HTTP with the user's settings: proxies and certificates of the environment and of the system."""

from __future__ import annotations

import ipaddress
import ssl
from typing import Any
from urllib.parse import urlsplit

import requests
import truststore
from requests.adapters import HTTPAdapter

PLAIN_REDIRECT = "redirects to an address without encryption"
_MAX_REDIRECTS = 10


class _Session(requests.Session):
    """A session that reaches this machine without a proxy, and stays encrypted.

    requests itself asks NO_PROXY only.
    """

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send one request of a chain of redirects."""
        if _is_this_machine(urlsplit(request.url or "").hostname or ""):
            options["proxies"] = {}
        return super().send(request, **options)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where a response leads; refuse to go on without encryption.

        Raises
        ------
        requests.exceptions.InvalidURL
            If the response was encrypted and what it leads to is not.
        """
        target = super().get_redirect_target(resp)
        if target and resp.url.startswith("https:") and target.lower().startswith("http:"):
            raise requests.exceptions.InvalidURL(PLAIN_REDIRECT)
        return target


class _SystemCertificates(HTTPAdapter):
    """Trusts the certificates of the system, of SSL_CERT_FILE, of REQUESTS_CA_BUNDLE and certifi's.

    requests alone does not know those that a company has put into the system.
    """

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Open direct connections."""
        super().init_poolmanager(*args, ssl_context=_system_context(), **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Open connections by way of a proxy."""
        return super().proxy_manager_for(proxy, ssl_context=_system_context(), **options)


def open_session() -> requests.Session:
    """Return a session; close it after use."""
    session = _Session()
    session.max_redirects = _MAX_REDIRECTS
    session.mount("https://", _SystemCertificates())
    return session


def _system_context() -> ssl.SSLContext:
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
