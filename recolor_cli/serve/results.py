"""Send results to clients that may read slowly."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from recolor_cli.batch.outcome import Outcome
from recolor_cli.image.formats import ImageFormat
from recolor_cli.serve.bodies import Holding

# Bytes that are handed to the connection at a time. It waits until most of them are gone, and is
# cut if that takes too long.
_CHUNK = 64 << 10


class Result(Response):
    """A recolored file.

    Parameters
    ----------
    outcome : Outcome
        Of a picture that came as bytes.
    name : str or None
        Of the picture's file.
    holding : Holding
        Released when the result is sent, or its reader gone.
    """

    def __init__(self, outcome: Outcome, name: str | None, holding: Holding) -> None:
        image_format = ImageFormat.of_data(outcome.result)
        assert image_format
        super().__init__(media_type=image_format.media_type)
        self._data = outcome.result
        self._holding = holding
        self.headers["Content-Length"] = str(len(self._data))
        self.headers["Cache-Control"] = "no-store"
        stages = (f"{stage};dur={1000 * s:.1f}" for stage, s in outcome.seconds.items())
        self.headers["Server-Timing"] = ", ".join(stages)
        for warning in outcome.warnings:
            self.headers.append("Recolor-Warning", quote(warning, safe=" ,;:()'/"))
        if name:
            stem = name.rpartition(".")[0] or name
            target = quote(f"{stem}-recolored{image_format.suffix}", safe="")
            self.headers["Content-Disposition"] = f"inline; filename*=UTF-8''{target}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the result piece by piece."""
        try:
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
            data = memoryview(self._data)
            for offset in range(0, len(data), _CHUNK):
                piece = bytes(data[offset : offset + _CHUNK])
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._holding.release()
