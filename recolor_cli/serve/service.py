"""The service for programs: pictures in, recolored files out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive

from recolor_cli.batch.job import STREAM, Job
from recolor_cli.errors import ModelError
from recolor_cli.serve.bodies import Holding, Memory, read_sent
from recolor_cli.serve.metrics import Metrics
from recolor_cli.serve.results import Result
from recolor_cli.serve.settings import RequestOptions, ServeSettings
from recolor_cli.serve.studio.studio import Studio
from recolor_cli.serve.work import Work
from recolor_cli.system.files import file_version

_Value = TypeVar("_Value")

_MODELS = 64  # whose facts are kept


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of a server that all handlers share, at ``request.app.state.service``.

    Parameters
    ----------
    settings : ServeSettings
    options : RequestOptions
    work : Work
    memory : Memory
        Counts the bodies and results of all requests.
    metrics : Metrics
    studio : Studio
    """

    settings: ServeSettings
    options: RequestOptions
    work: Work
    memory: Memory
    metrics: Metrics
    studio: Studio


def service_routes() -> list[Route]:
    """Return the routes of the service."""
    return [
        Route("/v1/recolor", recolor, methods=["POST"]),
        Route("/v1/models", models),
        Route("/metrics", metrics),
    ]


async def recolor(request: Request) -> Response:
    """Recolor the picture of a request, and answer with the file."""
    service: Service = request.app.state.service
    options = request.query_params.multi_items()
    # Report wrong options before the body is read.
    service.options.parse(options)
    service.work.check_room()
    holding = Holding(service.memory)
    try:
        limit = service.settings.limits.body
        sent = await read_sent(request, service.options.file_options, limit, holding)
        task = service.options.parse(options, sent.files, sent.picture)
        job = Job(sent.name or STREAM, STREAM)
        outcome = await _unless_gone(service.work.do(job, task), request.receive)
        holding.count(len(outcome.result))
    except BaseException:
        holding.release()
        raise
    return Result(outcome, sent.name, holding)


async def models(request: Request) -> Response:
    """List the models that a request can name."""
    service: Service = request.app.state.service
    return JSONResponse({"models": await asyncio.to_thread(_models, service.settings.model)})


async def metrics(request: Request) -> Response:
    """Return what the server counts, as Prometheus reads it."""
    service: Service = request.app.state.service
    return service.metrics.response()


async def _unless_gone(work: Awaitable[_Value], receive: Receive) -> _Value:
    """Wait for work that nobody needs if the client goes; raises ClientDisconnect then."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_until_gone(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await each


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _models(default: str) -> list[dict[str, Any]]:
    from recolor_cli.model.registry import available_models

    return [
        {"default": name == default, **_facts(name, path, file_version(path))}
        for name, path in available_models().items()
    ]


@lru_cache(_MODELS)
def _facts(name: str, path: Path, version: str) -> dict[str, Any]:
    """Return what is told of a model; `version` is that of its file."""
    from recolor_cli.model.model_facts import model_facts

    try:
        facts = model_facts(name, path)
    except ModelError as error:
        return {"name": name, "error": error.message, "hint": error.hint}
    del facts["source"]  # may be a path of this machine
    return facts
