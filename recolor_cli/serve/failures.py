"""Answers to requests that meet a bug, or that the stop of the server cuts off."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive, Scope, Send

from recolor_cli.serve.middleware import HttpMiddleware
from recolor_cli.serve.problems import bug_problem, problem, server_stops


class AnswerFailures(HttpMiddleware):
    """Middleware that answers where the application cannot.

    It is the innermost, so that the others see these answers too.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer it if that fails."""
        is_answered = False

        async def send_noted(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except asyncio.CancelledError:  # the server stops, and waits no longer
            if not is_answered:
                await problem(server_stops())(scope, receive, send)
        except Exception:
            if not is_answered:
                await bug_problem()(scope, receive, send)
            raise  # uvicorn writes it to the log
