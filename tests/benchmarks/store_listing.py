"""Time and memory of a run that skips all pictures of a bucket, against a server that lists only.

    python tests/benchmarks/store_listing.py s3 1000 200000
    DELAY=0.1 python tests/benchmarks/store_listing.py s3 1000 200000

The store is s3, gs or az. DELAY is the time in seconds that the server waits before it answers, as
one far away does.
"""

import bisect
import itertools
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_S3_ITEM = (
    "<Contents><Key>{}</Key><LastModified>2026-11-01T12:00:00.000Z</LastModified>"
    '<ETag>"9b2cf535f27731c974343645a3985328"</ETag><Size>400000</Size>'
    "<StorageClass>STANDARD</StorageClass></Contents>"
)
_AZURE_ITEM = (
    "<Blob><Name>{}</Name><Properties><Creation-Time>Sun, 01 Nov 2026 12:00:00 GMT</Creation-Time>"
    "<Last-Modified>Sun, 01 Nov 2026 12:00:00 GMT</Last-Modified><Etag>0x8DBDAFE</Etag>"
    "<Content-Length>400000</Content-Length><Content-Type>image/jpeg</Content-Type>"
    "<Content-MD5>mys1324a==</Content-MD5><BlobType>BlockBlob</BlobType>"
    "<AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred>"
    "<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>"
    "<ServerEncrypted>true</ServerEncrypted></Properties><Metadata /></Blob>"
)


def page(keys, prefix, token, size) -> tuple[list[str], str]:
    """Return the keys of a page behind a token, and the token of the next one; empty at the end."""
    start = max(bisect.bisect_right(keys, token), bisect.bisect_left(keys, prefix))
    found = [key for key in keys[start : start + size + 1] if key.startswith(prefix)]
    return found[:size], found[size - 1] if len(found) > size else ""


def of_s3(keys, query) -> bytes:
    """Answer ListObjectsV2 with XML; with a delimiter it is of folders."""
    prefix, token = query.get("prefix", ""), query.get("continuation-token", "")
    token = token or query.get("start-after", "")
    if query.get("delimiter"):
        start = max(bisect.bisect_right(keys, token), bisect.bisect_left(keys, prefix))
        end = bisect.bisect_left(keys, prefix + chr(0x10FFFF))
        folders = {prefix + key[len(prefix) :].split("/")[0] for key in keys[start:end]}
        named = (f"<Prefix>{folder}/</Prefix>" for folder in sorted(folders)[:1000])
        items, more = [f"<CommonPrefixes>{name}</CommonPrefixes>" for name in named], ""
    else:
        found, more = page(keys, prefix, token, 1000)
        items = list(map(_S3_ITEM.format, found))
    token = f"<NextContinuationToken>{more}</NextContinuationToken>" if more else ""
    return (
        '<?xml version="1.0"?><ListBucketResult>'
        f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>{token}{''.join(items)}"
        "</ListBucketResult>"
    ).encode()


def of_google(keys, query) -> bytes:
    """Answer a listing of Google's with JSON, which has the asked fields alone."""
    found, more = page(keys, query.get("prefix", ""), query.get("pageToken", ""), 1000)
    items = [{"name": key, "size": "400000"} for key in found]
    return json.dumps({"items": items} | ({"nextPageToken": more} if more else {})).encode()


def of_azure(keys, query) -> bytes:
    """Answer List Blobs with XML."""
    prefix = query.get("prefix", "")  # its client asks with what the last page told
    found, more = page(keys, prefix, query.get("marker", ""), 5000)
    return (
        '<?xml version="1.0"?><EnumerationResults ContainerName="b">'
        f"<Prefix>{prefix}</Prefix><Blobs>{''.join(map(_AZURE_ITEM.format, found))}</Blobs>"
        f"<NextMarker>{more}</NextMarker></EnumerationResults>"
    ).encode()


# By store, how a listing is answered and how the program knows of the server.
_STORES = {
    "s3": (
        of_s3,
        lambda url: {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
        },
    ),
    "gs": (of_google, lambda url: {"STORAGE_EMULATOR_HOST": url, "FSSPEC_GS_TOKEN": "anon"}),
    "az": (
        of_azure,
        lambda url: {
            "AZURE_STORAGE_CONNECTION_STRING": "DefaultEndpointsProtocol=http;AccountName=x;"
            f"AccountKey=eA==;BlobEndpoint={url}/x;"
        },
    ),
}


def serve(store, folders, count, port, delay) -> None:
    """Answer listings of so many pictures in each top folder, in folders of 1,000.

    In answer to a message, the pipe gets the server's CPU time and the number of its answers.
    """
    keys = sorted(f"{top}/{i // 1000:04}/{i:07}.jpg" for top in folders for i in range(count))

    answer, _ = _STORES[store]
    answered = itertools.count()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
            next(answered)
            time.sleep(delay)
            body = answer(keys, query)
            self.send_response(200)
            self.send_header(
                "Content-Type", "application/json" if store == "gs" else "application/xml"
            )
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.send(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port.recv()
    port.send((time.process_time(), next(answered)))


@contextmanager
def listing_server(folders, count, store="s3"):
    """Start a server; yield the environment to use it, and the pipe of `serve`."""
    ours, theirs = multiprocessing.Pipe()
    delay = float(os.environ.get("DELAY", "0"))
    server = multiprocessing.Process(
        target=serve, args=(store, folders, count, theirs, delay), daemon=True
    )
    server.start()
    _, variables = _STORES[store]
    environment = {**os.environ, **variables(f"http://127.0.0.1:{ours.recv()}")}
    yield environment, ours
    server.kill()
    server.join()


def run(command, environment):
    """Run a command; return its messages, seconds, CPU seconds and the most MB it took."""
    started = time.monotonic()
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        told = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, told
    cpu = usage.ru_utime + usage.ru_stime
    return told.strip(), time.monotonic() - started, cpu, usage.ru_maxrss / 1024


def measure(store: str, count: int) -> None:
    command = [sys.executable, "-m", "recolor_cli", "-r"]
    command += [f"{store}://b/in/", "-o", f"{store}://b/new/"]
    with listing_server(("in", "new"), count, store) as (environment, server):
        told, seconds, cpu, memory = run(command, environment)
        server.send("over")
        server_cpu, requests = server.recv()
    print(
        f"{store}, {count} pictures: {requests} requests in {seconds:.1f} s, CPU {cpu:.1f} s "
        f"and the server's {server_cpu:.1f} s, {memory:.0f} MB; {told}"
    )


if __name__ == "__main__":
    for argument in sys.argv[2:]:
        measure(sys.argv[1], int(argument))
