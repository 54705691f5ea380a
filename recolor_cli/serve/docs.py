"""The description of the service: as OpenAPI, and as a page without any script."""

from __future__ import annotations

from html import escape
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from recolor_cli.image.formats import READABLE, ImageFormat
from recolor_cli.serve.service import Service

_TITLE = "recolor"
_TEXT = "Gives old film posters and photographs new, believable color."
_PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What went wrong, and with what."},
        "hint": {"type": "string", "description": "The next step to take."},
        "code": {"type": "integer", "description": "Exit code of the command line."},
    },
}
_PROBLEMS = {
    "400": "An option is unknown, or its value wrong.",
    "401": "The token is missing or wrong.",
    "403": "The request comes from a page of another origin.",
    "408": "The body comes too slowly.",
    "413": "The body is larger than the server takes.",
    "421": "The Host header names another server.",
    "422": "The picture cannot be read or recolored, or takes too long.",
    "503": "Too many pictures wait, or the server stops. Retry-After says for how many seconds.",
}
_STYLE = """\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.8rem 0.3rem 0; }
tr { border-bottom: 1px solid #8884; }
pre { overflow-x: auto; padding: 0.8rem; background: #8882; }
input, button { font: inherit; }
"""


def docs_routes() -> list[Route]:
    """Return the routes of the description."""
    return [
        Route("/docs", _page),
        Route("/docs/style.css", _style),
        Route("/openapi.json", _document),
    ]


def openapi(service: Service) -> dict[str, Any]:
    """Return the description of a service as an OpenAPI document."""
    secured: list[dict[str, list[str]]] = [{"token": []}] if service.settings.token else []
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "summary": _TEXT, "version": version("recolor-cli")},
        "paths": {
            "/v1/recolor": {"post": _recolor(service)},
            "/v1/models": {"get": _get("List the models that `model` can name.", _JSON)},
            "/healthz": {"get": _get("Tell whether the server works.", _JSON)},
            "/metrics": {"get": _get("Return counters as Prometheus reads them.", _PLAIN)},
        },
        "components": {"schemas": {"Problem": _PROBLEM}},
        "security": secured,
    }
    if secured:
        scheme = {"type": "http", "scheme": "bearer"}
        document["components"]["securitySchemes"] = {"token": scheme}
    return document


_JSON = {"application/json": {"schema": {"type": "object"}}}
_PLAIN = {"text/plain": {"schema": {"type": "string"}}}
_BINARY = {"type": "string", "format": "binary"}


def _get(summary: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": "OK", "content": content}}}


def _recolor(service: Service) -> dict[str, Any]:
    fields = dict.fromkeys(("picture", *service.options.file_options), _BINARY)
    form = {"type": "object", "properties": fields, "required": ["picture"]}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    results = {each.media_type: {"schema": _BINARY} for each in ImageFormat}
    return {
        "summary": "Recolor a picture.",
        "description": "The result is the file that the command line writes, byte for byte. Its "
        "format is that of the picture, unless `format` names another one.",
        "parameters": list(service.options.parameters),
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": _BINARY},
                "multipart/form-data": {"schema": form},
            },
        },
        "responses": {
            "200": {"description": "The recolored file.", "content": results},
            **{
                status: {"description": text, "content": problem}
                for status, text in _PROBLEMS.items()
            },
        },
    }


async def _document(request: Request) -> Response:
    return JSONResponse(openapi(request.app.state.service))


async def _style(request: Request) -> Response:
    return Response(_STYLE, media_type="text/css")


async def _page(request: Request) -> Response:
    return HTMLResponse(_html(request.app.state.service, str(request.base_url).rstrip("/")))


def _html(service: Service, base: str) -> str:
    """Return the page: the OpenAPI document in words."""
    limits = service.settings.limits
    token = " -H 'Authorization: Bearer TOKEN'" if service.settings.token else ""
    address = escape(f"{base}/v1/recolor")
    options = "".join(
        f"<tr><td><code>{escape(option['name'])}</code></td>"
        f"<td>{escape(_values(option['schema']))}</td><td>{escape(option['description'])}</td></tr>"
        for option in service.options.parameters
    )
    problems = "".join(
        f"<tr><td>{status}</td><td>{escape(text)}</td></tr>" for status, text in _PROBLEMS.items()
    )
    files = ", ".join(f"<code>{name}</code>" for name in service.options.file_options)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_TITLE}: the service</title>
<link rel="stylesheet" href="/docs/style.css">
</head>
<body>
<main>
<h1>{_TITLE}</h1>
<p>{_TEXT} The same description for programs: <a href="/openapi.json">OpenAPI</a>.</p>
<h2>POST /v1/recolor</h2>
<pre>curl{token} --data-binary @poster.jpg -o new.jpg '{address}?strength=1.2'
curl{token} -F picture=@poster.jpg -F palette=@look.gpl -o new.jpg {address}</pre>
<p>The body is the picture ({escape(READABLE)}), or a form whose field <code>picture</code> is one.
Files for {files} are further fields of the form. The answer is the file that the command line
writes, byte for byte. A request may have {limits.body / 2**20:.4g} MiB, a picture
{limits.pixels:,} pixels, the work on it {limits.seconds:g} seconds.</p>
<table>
<tr><th>option</th><th>values</th><th>meaning</th></tr>
{options}
</table>
<h2>GET /v1/models, /healthz, /metrics</h2>
<p>The models that <code>model</code> can name; whether the server works; counters for Prometheus.
</p>
<h2>Errors</h2>
<p><code>application/problem+json</code>: <code>detail</code> says what went wrong,
<code>hint</code> the next step, <code>code</code> is the exit code of the command line.</p>
<table>
<tr><th>status</th><th>meaning</th></tr>
{problems}
</table>
</main>
</body>
</html>
"""


def _values(schema: dict[str, Any]) -> str:
    """Return the values that an option takes, in words."""
    if schema["type"] == "array":
        return f"{_values(schema['items'])}; repeatable"
    if "enum" in schema:
        text = ", ".join(schema["enum"])
    elif {"minimum", "maximum"} <= schema.keys():
        text = f"{schema['minimum']:g} to {schema['maximum']:g}"
    elif "minimum" in schema:
        text = f"from {schema['minimum']:g}"
    else:
        text = "true, false" if schema["type"] == "boolean" else "text"
    return f"{text} [{schema['default']}]" if "default" in schema else text
