"""Answers to requests whose bodies are not read."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from recolor_cli.serve.middleware import HttpMiddleware

# To read on in a refused body, of which nothing is kept. Most clients send all of it before they
# read the answer, and lose the answer if the connection is closed before.
_SECONDS = 10.0
_SILENCE = 2.0  # seconds without a byte


class UnreadBodies(HttpMiddleware):
    """Middleware that reads on in a refused body for some seconds, and closes its connection."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        headers = Headers(scope=scope)
        has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        waits = headers.get("expect", "").lower() == "100-continue"  # for our leave to send it
        is_read = not has_body

        async def receive_body() -> Message:
            nonlocal is_read, waits
            waits = False
            message = await receive()
            is_read |= message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def read_on() -> None:
            # A server that stops cancels it.
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(_SECONDS):
                    while not is_read:
                        await asyncio.wait_for(receive_body(), _SILENCE)

        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and not is_read:
                if not waits:
                    await read_on()
                if not is_read:
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive_body, send_closing)
