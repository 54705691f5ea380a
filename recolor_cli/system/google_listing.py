"""List the objects of a bucket of Google Cloud Storage, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def objects(fs: Any, bucket: str, prefix: str, recursive: bool) -> Iterator[tuple[str, bool]]:
    """Yield the names of the objects that have a prefix, and whether each is empty.

    The pages come as they are asked for, so that memory does not grow: `find` of the file system
    keeps a kilobyte for each object.

    Parameters
    ----------
    fs : gcsfs.GCSFileSystem
        Its call has the retries.
    bucket, prefix : str
    recursive : bool
        False leaves out names with a slash behind the prefix.
    """
    request = {"prefix": prefix, "fields": "nextPageToken,items(name,size)"}
    if not recursive:
        request["delimiter"] = "/"
    token = ""
    while token is not None:
        page = fs.call("GET", "b/{}/o", bucket, json_out=True, **request, pageToken=token or None)
        for item in page.get("items", ()):
            yield item["name"], item["size"] == "0"
        token = page.get("nextPageToken")
