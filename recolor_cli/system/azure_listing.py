"""List the blobs of a container of Azure, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def objects(fs: Any, container: str, prefix: str, recursive: bool) -> Iterator[tuple[str, bool]]:
    """Yield the names of the blobs that have a prefix, and whether one is known to be empty.

    The pages come as they are asked for, so that memory does not grow: `find` of the file system
    keeps more than a kilobyte for each blob.

    Parameters
    ----------
    fs : adlfs.AzureBlobFileSystem
        Its client has the retries.
    container, prefix : str
    recursive : bool
        False leaves out names with a slash behind the prefix. True does not tell which blobs are
        empty, because the client takes twenty times as long for sizes as for names.
    """
    from fsspec.asyn import sync

    client = fs.service_client.get_container_client(container)
    ask = client.list_blob_names if recursive else client.walk_blobs
    pages = ask(name_starts_with=prefix).by_page()
    while (page := sync(fs.loop, _next_page, pages)) is not None:
        yield from page


async def _next_page(pages: Any) -> list[tuple[str, bool]] | None:
    """Return the names of the next blobs, and whether each is empty; None at the end."""
    async for page in pages:
        return [_noted(blob) async for blob in page]
    return None


def _noted(blob: Any) -> tuple[str, bool]:
    if isinstance(blob, str):
        return blob, False
    # With a delimiter there are folders, which have no size.
    return blob.name, not blob.name.endswith("/") and not blob.size
