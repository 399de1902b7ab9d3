"""Speed and memory of a download beside curl's, from the same server on this machine.

    python -m tests.benchmarks.download [--mb 2048] [--files 4]

The server is a process of its own that sends zeros from memory; both are asked for the same files, one after the other
for curl. Ours hashes what it writes. The limit: 0.8 of curl's speed, 60 MB of memory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

COMMIT = "a" * 40
BLOCK = bytes(1 << 20)
SCRIPT = """
import resource, sys
from sft_tui.__main__ import main
sys.argv = ["sft-tui", *sys.argv[1:]]
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
"""


def serve(size: int, files: int) -> None:
    """Print the port, and answer until killed."""
    digest = hashlib.sha256()
    for _ in range(size >> 20):
        digest.update(BLOCK)
    entries = [
        {
            "type": "file", "path": f"model-{n:05d}-of-{files:05d}.safetensors", "size": size, "oid": "",
            "lfs": {"oid": digest.hexdigest(), "size": size},
        }
        for n in range(1, files + 1)
    ]  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: object) -> None:
            """Nothing."""

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if "/resolve/" in path:
                self.send_response(200)
                self.send_header("Content-Length", str(size))
                self.end_headers()
                for _ in range(size >> 20):
                    self.wfile.write(BLOCK)
                return
            body = json.dumps({"sha": COMMIT} if "/revision/" in path else entries).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=2048, help="of all files together")
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--serve", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    size = arguments.mb // arguments.files << 20
    if arguments.serve:
        serve(size, arguments.files)
        return
    command = [sys.executable, "-m", "tests.benchmarks.download", "--serve", "1", "--mb", str(arguments.mb)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen([*command, "--files", str(arguments.files)], stdout=subprocess.PIPE, text=True) as server,
    ):
        assert server.stdout is not None
        base = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        try:
            theirs = curl(base, arguments.files, Path(folder))
            ours, memory = download(base, Path(folder))
        finally:
            server.kill()
    ratio = f"{theirs / ours:.2f} of curl; limits 0.8, 60 MB"
    print(f"curl      {theirs:6.2f} s  {arguments.mb / theirs:7.0f} MB/s")
    print(f"download  {ours:6.2f} s  {arguments.mb / ours:7.0f} MB/s  {memory} MB  ({ratio})")


def curl(base: str, files: int, folder: Path) -> float:
    """Seconds for all files, one after the other, to disk."""
    started = time.perf_counter()
    for n in range(1, files + 1):
        name = f"model-{n:05d}-of-{files:05d}.safetensors"
        address = f"{base}/org/big/resolve/{COMMIT}/{name}"
        subprocess.run(["curl", "-sSf", "-o", folder / f"curl-{name}", address], check=True)
    return time.perf_counter() - started


def download(base: str, folder: Path) -> tuple[float, int]:
    """Seconds of the whole command, and its largest memory in MB."""
    started = time.perf_counter()
    done = subprocess.run(
        [
            sys.executable, "-c", SCRIPT, "download", "org/big", "--from", base, "--to", folder / "big",
            "--files", "*.safetensors",
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return time.perf_counter() - started, int(done.stderr.split()[-1])


if __name__ == "__main__":
    main()
