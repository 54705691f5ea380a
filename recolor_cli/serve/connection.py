"""Connections that are cut if their clients keep them open for nothing."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # for the first line and the headers of a request
STALL_SECONDS = 30.0  # for the reader to take most of a piece of the answer


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1, with limits for clients that send or read slowly.

    Bodies have limits of their own, in `bodies`.
    """

    _until_head: asyncio.TimerHandle | None = None
    _until_read: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Await the head of the first request."""
        super().connection_made(transport)
        self._until_head = self.loop.call_later(HEAD_SECONDS, self._cut_without_request)

    def pause_writing(self) -> None:
        """Await that the client reads on."""
        super().pause_writing()
        self._until_read = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on."""
        self._forget(self._until_read)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._forget(self._until_head)
        self._forget(self._until_read)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Await the head of the next request, which the client may have begun to send."""
        super().on_response_complete()
        self._forget(self._until_head)
        seconds = max(HEAD_SECONDS, self.timeout_keep_alive)
        self._until_head = self.loop.call_later(seconds, self._cut_without_request)

    def _cut_without_request(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    @staticmethod
    def _forget(timer: asyncio.TimerHandle | None) -> None:
        if timer:
            timer.cancel()
