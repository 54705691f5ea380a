"""Time and memory of a run that skips all pictures of a bucket, against a server that lists only.

    python tests/benchmarks/store_listing.py 1000 200000
    DELAY=0.1 python tests/benchmarks/store_listing.py 1000 200000

DELAY is the time in seconds that the server waits before it answers, as one far away does.
"""

import bisect
import itertools
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_ITEM = (
    "<Contents><Key>{}</Key><LastModified>2026-11-01T12:00:00.000Z</LastModified>"
    '<ETag>"9b2cf535f27731c974343645a3985328"</ETag><Size>400000</Size>'
    "<StorageClass>STANDARD</StorageClass></Contents>"
)


_ASKED = ("prefix", "delimiter", "start-after", "continuation-token")


def answer(keys, prefix, delimiter, start_after, continuation_token) -> bytes:
    """Return the XML of a page of a listing; with a delimiter, of its folders."""
    start = bisect.bisect_right(keys, continuation_token or start_after)
    start = max(start, bisect.bisect_left(keys, prefix))
    if delimiter:
        end = bisect.bisect_left(keys, prefix + chr(0x10FFFF))
        folders = {prefix + key[len(prefix) :].split("/")[0] for key in keys[start:end]}
        named = (f"<Prefix>{folder}/</Prefix>" for folder in sorted(folders)[:1000])
        items = [f"<CommonPrefixes>{name}</CommonPrefixes>" for name in named]
        more, token = False, ""
    else:
        found = [key for key in keys[start : start + 1001] if key.startswith(prefix)]
        items = list(map(_ITEM.format, found[:1000]))
        more = len(found) > 1000
        token = f"<NextContinuationToken>{found[999]}</NextContinuationToken>" if more else ""
    return (
        '<?xml version="1.0"?><ListBucketResult>'
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(items)}</ListBucketResult>"
    ).encode()


def serve(count, port, delay) -> None:
    """Answer ListObjectsV2 for so many pictures, in folders of 1,000, and for their results.

    In answer to a message, the pipe gets the server's CPU time and the number of its answers.
    """
    keys = sorted(f"{top}/{i // 1000:04}/{i:07}.jpg" for top in ("in", "new") for i in range(count))

    answered = itertools.count()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
            next(answered)
            time.sleep(delay)
            body = answer(keys, **{name.replace("-", "_"): query.get(name, "") for name in _ASKED})
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
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


def measure(count: int) -> None:
    ours, theirs = multiprocessing.Pipe()
    delay = float(os.environ.get("DELAY", "0"))
    server = multiprocessing.Process(target=serve, args=(count, theirs, delay), daemon=True)
    server.start()
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ours.recv()}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    command = [sys.executable, "-m", "recolor_cli", "s3://b/in/", "-o", "s3://b/new/", "-r"]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seconds = time.monotonic() - started
    ours.send("over")
    server_cpu, requests = ours.recv()
    print(
        f"{count} pictures: {requests} requests in {seconds:.1f} s, CPU {cpu:.1f} s and the "
        f"server's {server_cpu:.1f} s, {after.ru_maxrss / 1024:.0f} MB; {done.stderr.strip()}"
    )
    server.join()


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        measure(int(argument))
