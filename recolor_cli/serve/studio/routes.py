"""The addresses of the page."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from recolor_cli.errors import UsageError
from recolor_cli.serve.bodies import Holding, Memory, read_body
from recolor_cli.serve.problems import RefusedError
from recolor_cli.serve.studio.studio import ExistsError, Saved, Studio
from recolor_cli.serve.studio.wishes import PaletteWish, Wishes
from recolor_cli.system.texts import as_text

_T = TypeVar("_T")

_STATIC = Path(__file__).parent / "static"
_MAX_JSON = 1 << 20  # bytes
_KEPT = {"Cache-Control": "private, max-age=86400"}  # of addresses that change with their file
_NEW = {"Cache-Control": "no-store"}


def studio_routes(studio: Studio, max_bytes: int, memory: Memory) -> list[BaseRoute]:
    """Return the routes of the page and of its files.

    Parameters
    ----------
    studio : Studio
    max_bytes : int
        Of a file that is sent.
    memory : Memory
        Counts the bodies of all requests.
    """
    api = _Api(studio, max_bytes, memory)
    return [
        Route("/", _page),
        Mount("/static", _Static(directory=_STATIC), name="static"),
        Route("/studio/about", api.about),
        Route("/studio/palette", api.palette, methods=["POST"]),
        Route("/studio/guides", api.add_guide, methods=["POST"]),
        Route("/studio/guides/{key}", api.mask),
        Route("/studio/pictures", api.pictures, methods=["GET", "POST"]),
        Route("/studio/pictures/{key}", api.describe),
        Route("/studio/pictures/{key}/thumbnail", api.thumbnail),
        Route("/studio/pictures/{key}/before", api.before),
        Route("/studio/pictures/{key}/preview", api.preview, methods=["POST"]),
        Route("/studio/pictures/{key}/detail", api.detail, methods=["POST"]),
        Route("/studio/pictures/{key}/variants", api.variants, methods=["POST"]),
        Route("/studio/pictures/{key}/colors", api.suggestions),
        Route("/studio/pictures/{key}/save", api.save, methods=["POST"]),
        Route("/studio/pictures/{key}/command", api.command, methods=["POST"]),
        Route("/studio/pictures/{key}/files/{name}", api.download),
    ]


async def _page(request: Request) -> Response:
    return FileResponse(_STATIC / "index.html", headers={"Cache-Control": "no-cache"})


class _Static(StaticFiles):
    """The page's files, which the browser asks for again after an update."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


class _Api:
    """The answers to the page. Starlette runs the methods that are not async in threads."""

    def __init__(self, studio: Studio, max_bytes: int, memory: Memory) -> None:
        self._studio = studio
        self._max_bytes = max_bytes
        self._memory = memory

    def about(self, request: Request) -> Response:
        return JSONResponse(self._studio.about())

    async def pictures(self, request: Request) -> Response:
        if request.method == "POST":
            picture = await self._keep(request, self._studio.shelf.add)
            return JSONResponse({"key": picture.key})
        return JSONResponse(await run_in_threadpool(self._studio.listing), headers=_NEW)

    async def add_guide(self, request: Request) -> Response:
        return JSONResponse({"key": await self._keep(request, self._studio.guides.add)})

    async def _keep(self, request: Request, add: Callable[[str, bytes], _T]) -> _T:
        """Read a file that the browser sends, and give it on."""
        holding = Holding(self._memory)
        try:
            data = await read_body(request, self._max_bytes, holding)
            return await run_in_threadpool(add, _name(request), data)
        finally:
            holding.release()

    async def _json(self, request: Request) -> dict[str, Any]:
        holding = Holding(self._memory)
        try:
            values = json.loads(await read_body(request, _MAX_JSON, holding))
        except (ValueError, RecursionError) as error:
            raise UsageError(f"this is no JSON: {error}", "reload the page") from error
        finally:
            holding.release()
        if not isinstance(values, dict):
            raise UsageError("this is no JSON object", "reload the page")
        return values

    def mask(self, request: Request) -> Response:
        path = self._studio.guides.path(_key(request))
        return FileResponse(path, media_type="image/png", headers=_KEPT)

    async def palette(self, request: Request) -> Response:
        values = await self._json(request)
        try:
            wish = PaletteWish(str(values["kind"]), str(values["text"]))
        except KeyError as error:
            raise UsageError(f"a palette needs {error}", "reload the page") from error
        return JSONResponse(await run_in_threadpool(self._studio.palette_colors, wish))

    def describe(self, request: Request) -> Response:
        return JSONResponse(self._studio.describe(_key(request)), headers=_NEW)

    def thumbnail(self, request: Request) -> Response:
        of_result = request.query_params.get("of") == "result"
        data = self._studio.thumbnail(_key(request), of_result)
        return Response(data, media_type="image/jpeg", headers=_KEPT)

    async def before(self, request: Request) -> Response:
        return await _jpeg(lambda: self._studio.open(_key(request))[1].before)

    async def preview(self, request: Request) -> Response:
        wishes = Wishes.parse(await self._json(request))
        draft = "draft" in request.query_params
        return await _jpeg(lambda: self._studio.preview(_key(request), wishes, draft))

    async def detail(self, request: Request) -> Response:
        values = await self._json(request)
        wishes = Wishes.parse(values.get("wishes"))
        try:
            box = tuple(min(max(float(side), 0.0), 1.0) for side in values["box"])
            side = max(1, int(values["side"]))
            left, top, right, bottom = box
            if not (left < right and top < bottom):
                raise ValueError("it is empty")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"this part cannot be shown: {error}", "reload the page") from error
        return await _jpeg(lambda: self._studio.detail(_key(request), wishes, box, side))

    async def variants(self, request: Request) -> Response:
        wishes = Wishes.parse(await self._json(request))
        return await _jpeg(lambda: self._studio.variants(_key(request), wishes))

    def suggestions(self, request: Request) -> Response:
        try:
            x, y = (float(request.query_params[axis]) for axis in ("x", "y"))
            int(x), int(y)
        except (KeyError, ValueError, OverflowError) as error:
            raise UsageError("a place needs x and y", "reload the page") from error
        return JSONResponse(self._studio.suggestions(_key(request), x, y))

    async def save(self, request: Request) -> Response:
        values = await self._json(request)
        wishes = Wishes.parse(values.get("wishes"))
        replace = values.get("replace") is True
        key = _key(request)
        try:
            saved = await run_in_threadpool(self._studio.save, key, wishes, replace)
        except ExistsError as error:
            raise RefusedError(HTTPStatus.CONFLICT, error.message, error.hint) from error
        return JSONResponse(self._answer(key, saved))

    async def command(self, request: Request) -> Response:
        wishes = Wishes.parse(await self._json(request))
        key = _key(request)
        saved = await run_in_threadpool(self._studio.command, key, wishes)
        return JSONResponse(self._answer(key, saved))

    def download(self, request: Request) -> Response:
        path = self._studio.beside(_key(request), request.path_params["name"])
        return FileResponse(path, filename=path.name, headers=_NEW)

    def _answer(self, key: str, saved: Saved) -> dict[str, Any]:
        picture = self._studio.shelf.picture(key)

        def address(path: Path) -> str:
            return f"/studio/pictures/{key}/files/{quote(path.name)}" if picture.is_dropped else ""

        files = [{"name": as_text(path.name), "address": address(path)} for path in saved.files]
        return {
            "command": saved.command,
            "files": files,
            "warnings": saved.warnings,
            "result": {
                "name": as_text(picture.destination.name),
                "address": address(picture.destination),
            },
        }


def _key(request: Request) -> str:
    return str(request.path_params["key"])


def _name(request: Request) -> str:
    """Return the name of a file that was sent; headers hold no other letters than ASCII."""
    return unquote(request.headers.get("x-file-name", "")) or "picture"


async def _jpeg(make: Callable[[], bytes]) -> Response:
    started = time.perf_counter()
    data = await run_in_threadpool(make)
    took = 1000 * (time.perf_counter() - started)
    headers = _NEW | {"Server-Timing": f"work;dur={took:.1f}"}
    return Response(data, media_type="image/jpeg", headers=headers)
