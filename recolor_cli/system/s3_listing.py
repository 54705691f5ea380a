"""List the objects of a bucket on S3, several pages at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from typing import Any

# A store takes about a tenth of a second for a page; this program some hundredths.
_PAGES_AT_ONCE = 8
_PARTS = 16  # more than pages at once, because some are over before others

_Request = dict[str, str]


def objects(fs: Any, bucket: str, prefix: str, recursive: bool) -> Iterator[tuple[str, bool]]:
    """Yield the keys of the objects that have a prefix, and whether each is empty.

    The pages come as they are asked for, so that memory does not grow. They are in no order.

    Parameters
    ----------
    fs : s3fs.S3FileSystem
        Its call has the retries.
    bucket, prefix : str
    recursive : bool
        False leaves out keys with a slash behind the prefix.
    """
    _read_times_quickly(fs)

    def ask(request: _Request) -> dict[str, Any]:
        page: dict[str, Any] = fs.call_s3("list_objects_v2", **request)
        return page

    request = {"Bucket": bucket, "Prefix": prefix} | ({} if recursive else {"Delimiter": "/"})
    page = ask(request)
    for item in page.get("Contents", ()):
        yield item["Key"], not item["Size"]
    if not page.get("IsTruncated"):
        return
    parts = [(request | _next(page), "")]  # each with its last possible key, or ""
    if recursive and page.get("Contents"):
        last = page["Contents"][-1]["Key"]
        ends = _folders(ask(request | {"Delimiter": "/", "StartAfter": last}), last)
        parts = [(request | {"StartAfter": a}, b) for a, b in pairwise([last, *ends, ""])]
    with ThreadPoolExecutor(_PAGES_AT_ONCE, thread_name_prefix="recolor-listing") as pool:
        while parts:
            pages = list(pool.map(ask, (request for request, _ in parts)))
            unfinished = []
            for (_, end), page in zip(parts, pages, strict=True):
                key = ""
                for item in page.get("Contents", ()):
                    key = item["Key"]
                    if not end or key <= end:
                        yield key, not item["Size"]
                if page.get("IsTruncated") and (not end or key < end):
                    unfinished.append((request | _next(page), end))
            parts = unfinished


def _next(page: dict[str, Any]) -> _Request:
    return {"ContinuationToken": page["NextContinuationToken"]}


def _folders(page: dict[str, Any], last: str) -> list[str]:
    """Return some of the folders behind a key, which divide the rest of the listing."""
    folders = [item["Prefix"] for item in page.get("CommonPrefixes", ()) if item["Prefix"] > last]
    return folders[:: -(-len(folders) // _PARTS)] if folders else []


def _read_times_quickly(fs: Any) -> None:
    """Let a client of S3 read the times of listings by Python's own parser.

    The client's parser reads many formats, and takes three quarters of the time of a listing.
    """
    from botocore.utils import parse_timestamp

    def time_of(value: Any) -> datetime:
        try:
            return datetime.fromisoformat(value)
        except (TypeError, ValueError):  # the headers of objects have another format
            time: datetime = parse_timestamp(value)
            return time

    fs.connect()
    parsers = fs.session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=time_of)
