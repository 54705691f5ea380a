"""Time and memory of a run that skips all pictures of a bucket, against a server that lists only.

python tests/benchmarks/store_listing.py 1000 200000
"""

import bisect
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_ITEM = (
    "<Contents><Key>{}</Key><LastModified>2026-11-01T12:00:00.000Z</LastModified>"
    '<ETag>"9b2cf535f27731c974343645a3985328"</ETag><Size>400000</Size>'
    "<StorageClass>STANDARD</StorageClass></Contents>"
)


def serve(count, port) -> None:
    """Answer ListObjectsV2 for so many pictures, in folders of 1,000, and for their results."""
    keys = sorted(f"{top}/{i // 1000:04}/{i:07}.jpg" for top in ("in", "new") for i in range(count))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
            prefix = query.get("prefix", "")
            start = bisect.bisect_right(keys, query.get("continuation-token", ""))
            start = max(start, bisect.bisect_left(keys, prefix))
            page = [key for key in keys[start : start + 1000] if key.startswith(prefix)]
            more = len(page) == 1000
            token = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if more else ""
            body = (
                '<?xml version="1.0"?><ListBucketResult>'
                f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}"
                f"{''.join(map(_ITEM.format, page))}</ListBucketResult>"
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.send(server.server_address[1])
    server.serve_forever()


def measure(count: int) -> None:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(count, theirs), daemon=True)
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
    print(
        f"{count} pictures: {time.monotonic() - started:.1f} s, {cpu:.1f} s of CPU, "
        f"{after.ru_maxrss / 1024:.0f} MB; {done.stderr.strip()}"
    )
    server.terminate()


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        measure(int(argument))
