"""Time and memory of a run that skips all pictures of a bucket, against a server that lists only.

    python tests/benchmarks/store_listing.py 1000 200000
    DELAY=0.1 python tests/benchmarks/store_listing.py 1000 200000

DELAY is the time in seconds that the server waits before it answers, as one far away does.
"""

import bisect
import itertools
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
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


def serve(folders, count, port, delay) -> None:
    """Answer ListObjectsV2 for so many pictures in each top folder, in folders of 1,000.

    In answer to a message, the pipe gets the server's CPU time and the number of its answers.
    """
    keys = sorted(f"{top}/{i // 1000:04}/{i:07}.jpg" for top in folders for i in range(count))

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


@contextmanager
def listing_server(folders, count):
    """Start a server; yield the environment to use it, and the pipe of `serve`."""
    ours, theirs = multiprocessing.Pipe()
    delay = float(os.environ.get("DELAY", "0"))
    server = multiprocessing.Process(
        target=serve, args=(folders, count, theirs, delay), daemon=True
    )
    server.start()
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ours.recv()}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
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


def measure(count: int) -> None:
    command = [sys.executable, "-m", "recolor_cli", "s3://b/in/", "-o", "s3://b/new/", "-r"]
    with listing_server(("in", "new"), count) as (environment, server):
        told, seconds, cpu, memory = run(command, environment)
        server.send("over")
        server_cpu, requests = server.recv()
    print(
        f"{count} pictures: {requests} requests in {seconds:.1f} s, CPU {cpu:.1f} s and the "
        f"server's {server_cpu:.1f} s, {memory:.0f} MB; {told}"
    )


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        measure(int(argument))
