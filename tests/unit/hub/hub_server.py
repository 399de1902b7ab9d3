"""A hub on loopback that speaks the three listings, and misbehaves as it is told.

Its API is at 127.0.0.1 and its files, behind a signed address, at localhost: two hosts for a client.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
REPO = "org/toy"


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class HubServer:
    """`files` by path; those of 1000 bytes and more are large (sha256). `faults`: path -> list of what each GET does,
    the last again and again; `listing_faults` for the listings. `requests` are (host, path, headers) of all that came.
    """

    def __init__(self, files):
        self.files, self.faults, self.listing_faults = dict(files), {}, []
        self.requests, self.counts, self.lock = [], {}, threading.Lock()
        self.gate = threading.Event()  # a stalled answer waits for it
        self.served = 0
        self.extra_entries = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_arguments):
                pass

            def do_GET(self):
                try:
                    outer.answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.base, self.cdn = f"http://127.0.0.1:{self.port}", f"http://localhost:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_error):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()

    def is_large(self, path):
        return len(self.files[path]) >= 1000

    # -- what is asked ----------------------------------------------------------------------------------------------

    def answer(self, handler):
        address = urlsplit(handler.path)
        path, query = unquote(address.path), parse_qs(address.query)
        with self.lock:
            self.requests.append((handler.headers.get("Host", ""), handler.path, dict(handler.headers)))
        if path.startswith("/signed/"):
            return self.send_file(handler, path[len("/signed/") :])
        if path.startswith(f"/{REPO}/resolve/") or path.startswith(f"/datasets/{REPO}/resolve/"):
            name = path.partition("/resolve/")[2].partition("/")[2]
            return self.resolve(handler, name)
        if path.startswith(f"/api/v1/file/{REPO}/") and "/media/" in path:
            return self.resolve(handler, path.partition("/media/")[2])
        if path in (f"/api/v1/models/{REPO}/repo", f"/api/v1/datasets/{REPO}/repo"):
            return self.resolve(handler, query["FilePath"][0])
        fault = self.listing_faults.pop(0) if self.listing_faults else ""
        if fault:
            return self.misbehave(handler, fault)
        listing = self.listing(path, query)
        if listing is None:
            return self.send(handler, 404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        body, headers = listing
        return self.send(handler, 200, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})

    def listing(self, path, query):
        kind = "datasets" if "/datasets/" in path else "models"
        if path.startswith(f"/api/{kind}/{REPO}/revision/"):
            if path.rpartition("/")[2] not in ("main", COMMIT, "v1"):
                return None
            return {"sha": COMMIT, "cardData": {"license": "apache-2.0"}}, {}
        if path == f"/api/{kind}/{REPO}/tree/{COMMIT}":
            entries = [self.hf_entry(name) for name in sorted(self.files)] + self.extra_entries
            start = int(query.get("cursor", ["0"])[0])
            headers = {}
            if start + 5 < len(entries):
                headers["Link"] = f'<{self.base}{path}?recursive=true&cursor={start + 5}>; rel="next"'
            return entries[start : start + 5], headers
        if path in (f"/api/v1/{kind}/{REPO}/repo/files", f"/api/v1/{kind}/{REPO}/repo/tree"):
            entries = [
                {"Path": name, "Type": "blob", "Size": len(data), "Sha256": hashlib.sha256(data).hexdigest()}
                for name, data in sorted(self.files.items())
            ]
            number, size = int(query.get("PageNumber", ["1"])[0]), int(query.get("PageSize", ["100000"])[0])
            part = [*entries, *self.extra_entries][(number - 1) * size : number * size]
            return {"Success": True, "Data": {"Files": part}}, {}
        if path == f"/api/v1/file/{REPO}":
            return {"data": {"tree": self.modelers_tree(query.get("path", [""])[0])}}, {}
        return None

    def hf_entry(self, name):
        data = self.files[name]
        entry = {"type": "file", "path": name, "size": len(data), "oid": git_sha1(data)}
        if self.is_large(name):
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
        return entry

    def modelers_tree(self, folder):
        prefix = f"{folder}/" if folder else ""
        found, folders = [], set()
        for name, data in sorted(self.files.items()):
            if not name.startswith(prefix):
                continue
            rest = name[len(prefix) :]
            if "/" in rest:
                folders.add(prefix + rest.partition("/")[0])
                continue
            large = self.is_large(name)
            digest = hashlib.sha256(data).hexdigest() if large else git_sha1(data)
            found.append({"type": "file", "path": name, "size": len(data), "is_lfs": large, "etag": digest})
        return [*({"type": "dir", "path": name} for name in sorted(folders)), *found, *self.extra_entries]

    # -- what is sent -----------------------------------------------------------------------------------------------

    def resolve(self, handler, name):
        if name not in self.files:
            return self.send(handler, 404, b"{}", {"X-Error-Code": "EntryNotFound"})
        if self.is_large(name):
            return self.send(handler, 302, b"", {"Location": f"{self.cdn}/signed/{name}?signature=s3cret"})
        return self.send_file(handler, name)

    def send_file(self, handler, name):
        data = self.files[name]
        planned = self.faults.get(name, [])
        with self.lock:
            number = self.counts.get(name, 0)
            self.counts[name] = number + 1
        fault = planned[min(number, len(planned) - 1)] if planned else ""
        wanted = handler.headers.get("Range", "")
        start = int(wanted.partition("=")[2].partition("-")[0]) if wanted else 0
        if fault in ("page", "loop", "to http", "expired") or fault[:3].isdigit():
            return self.misbehave(handler, fault)
        if fault == "wrong":
            data = bytes(byte ^ 1 for byte in data[:1]) + data[1:]
        if fault == "grown":
            data = data + b"more"
        if fault == "no range":
            start = 0
        status, headers = (206 if start else 200), {}
        if start:
            first = start + (7 if fault == "lying range" else 0)
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        body = data[start:]
        self.head(handler, status, {**headers, "Content-Length": str(len(body))})
        return self.body(handler, body, fault)

    def body(self, handler, body, fault):
        if fault == "cut" or (fault == "cuts" and len(body) > 150_000):
            half = 150_000 if fault == "cuts" else max(1, len(body) // 2)
            handler.wfile.write(body[:half])
            self.served += half
            handler.close_connection = True
            handler.connection.close()
        elif fault == "stall":
            handler.wfile.write(body[: len(body) // 3])
            handler.wfile.flush()
            self.gate.wait(30)
        elif fault == "trickle":
            for at in range(len(body)):
                handler.wfile.write(body[at : at + 1])
                handler.wfile.flush()
                if self.gate.wait(0.01):
                    return
        elif fault == "slow":
            for at in range(0, len(body), 4096):
                handler.wfile.write(body[at : at + 4096])
                time.sleep(0.02)
        else:
            handler.wfile.write(body)
            self.served += len(body)

    def misbehave(self, handler, fault):
        if fault == "page":
            page = b"<html>Please log in to the network of this hotel</html>"
            return self.send(handler, 200, page, {"Content-Type": "text/html"})
        if fault == "loop":
            return self.send(handler, 302, b"", {"Location": f"{self.base}{handler.path}"})
        if fault == "expired":
            return self.send(handler, 403, b"<Error>AccessDenied</Error>", {"Content-Type": "application/xml"})
        if fault == "gated":
            return self.send(
                handler, 403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}
            )
        if fault == "no json":
            return self.send(handler, 200, b"{", {"Content-Type": "application/json"})
        status, _, wait = fault.partition(" ")
        return self.send(handler, int(status), b"", {"Retry-After": wait} if wait else {})

    def send(self, handler, status, body, headers):
        self.head(handler, status, {**headers, "Content-Length": str(len(body))})
        handler.wfile.write(body)

    def head(self, handler, status, headers):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
