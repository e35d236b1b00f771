"""A server on this machine that speaks as much of the Hub's API as fetching and pushing need."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

HEAD = "a" * 40
"""The commit that every branch of the server points to at first."""


class FakeHub:
    """Repositories in memory.

    ``repos[id][revision][name]`` are the bytes of a file. ``listed`` overrides names and sizes
    that the server claims to have; ``denied`` maps a repository to (status, error code);
    ``broken`` holds files of which only half is sent; ``writers`` may push with a token.
    """

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.listed: dict[str, list[tuple[str, int]]] = {}
        self.denied: dict[str, tuple[int, str]] = {}
        self.broken: set[str] = set()
        self.writers: dict[str, set[str]] = {}
        self.private: set[str] = set()
        self.messages: list[str] = []
        self.requests: list[tuple[str, str, str | None]] = []
        self.status: int | None = None
        self.url = ""

    def add(self, repo_id: str, files: dict[str, bytes], revision: str = "main") -> None:
        self.repos.setdefault(repo_id, {})[revision] = dict(files)

    def files(self, repo_id: str, revision: str) -> dict[str, bytes] | None:
        branches = self.repos[repo_id]
        return branches["main"] if revision in (HEAD, "main") else branches.get(revision)


class Handler(BaseHTTPRequestHandler):
    """One request; the server's ``hub`` is the :class:`FakeHub`."""

    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> FakeHub:
        return self.server.hub  # type: ignore[attr-defined]

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status: int, code: str) -> None:
        self.answer(status, {"error": code}, {"X-Error-Code": code, "X-Error-Message": code})

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def parts(self) -> list[str]:
        path = urlsplit(self.path).path
        self.hub.requests.append((self.command, path, self.token()))
        return [unquote(part) for part in path.strip("/").split("/")]

    def denies(self, repo_id: str) -> bool:
        if self.hub.status is not None:
            self.refuse(self.hub.status, "Trouble")
        elif repo_id in self.hub.denied:
            self.refuse(*self.hub.denied[repo_id])
        elif repo_id not in self.hub.repos:
            self.refuse(404, "RepoNotFound")
        else:
            return False
        return True

    def do_GET(self) -> None:
        match self.parts():
            case ["api", "models", owner, name]:
                self.info(f"{owner}/{name}", "main")
            case ["api", "models", owner, name, "revision", revision]:
                self.info(f"{owner}/{name}", revision)
            case ["api", "models", owner, name, "tree", revision, *_]:
                self.tree(f"{owner}/{name}", revision)
            case [owner, name, "resolve", revision, *path]:
                self.resolve(f"{owner}/{name}", revision, "/".join(path))
            case _:
                self.refuse(404, "EntryNotFound")

    do_HEAD = do_GET

    def listing(self, repo_id: str, files: dict[str, bytes]) -> list[tuple[str, int]]:
        return self.hub.listed.get(repo_id) or [(n, len(c)) for n, c in files.items()]

    def info(self, repo_id: str, revision: str) -> None:
        if self.denies(repo_id):
            return
        files = self.hub.files(repo_id, revision)
        if files is None:
            self.refuse(404, "RevisionNotFound")
            return
        siblings = [{"rfilename": n, "size": s} for n, s in self.listing(repo_id, files)]
        sha = HEAD if revision in ("main", HEAD) else hashlib.sha1(revision.encode()).hexdigest()
        if sha not in self.hub.repos[repo_id]:
            self.hub.repos[repo_id][sha] = files
        answer = {"id": repo_id, "sha": sha, "siblings": siblings, "private": False, "tags": []}
        self.answer(200, answer)

    def tree(self, repo_id: str, revision: str) -> None:
        if self.denies(repo_id):
            return
        files = self.hub.files(repo_id, revision) or {}
        self.answer(
            200,
            [
                {"type": "file", "path": n, "size": s, "oid": hashlib.sha1(n.encode()).hexdigest()}
                for n, s in self.listing(repo_id, files)
            ],
        )

    def resolve(self, repo_id: str, revision: str, path: str) -> None:
        if self.denies(repo_id):
            return
        content = (self.hub.files(repo_id, revision) or {}).get(path)
        if content is None:
            self.refuse(404, "EntryNotFound")
            return
        etag = hashlib.sha1(content).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": HEAD if revision == "main" else revision}
        if self.command == "GET" and path in self.hub.broken:
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return
        self.answer(200, content, headers)

    def do_POST(self) -> None:
        parts, body = self.parts(), self.body()
        match parts:
            case ["api", "validate-yaml"]:
                self.answer(200, {"errors": [], "warnings": []})
            case ["api", "repos", "create"]:
                self.create(json.loads(body))
            case ["api", "models", owner, name, "branch", branch]:
                repos = self.hub.repos[f"{owner}/{name}"]
                repos.setdefault(branch, dict(repos["main"]))
                self.answer(200, {})
            case ["api", "models", _, _, "preupload", _]:
                files = json.loads(body)["files"]
                modes = [
                    {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for f in files
                ]
                self.answer(200, {"files": modes})
            case ["api", "models", owner, name, "commit", revision]:
                self.commit(f"{owner}/{name}", revision, body)
            case _:
                self.refuse(404, "EntryNotFound")

    def may_write(self, owner: str) -> bool:
        if self.token() in self.hub.writers.get(owner, set()):
            return True
        self.answer(403, {"error": f"You don't have the rights to write to {owner}"})
        return False

    def create(self, wanted: dict[str, Any]) -> None:
        owner, name = wanted.get("organization") or "me", wanted["name"]
        if not self.may_write(owner):
            return
        repo_id = f"{owner}/{name}"
        url = {"url": f"{self.hub.url}/{repo_id}"}
        if repo_id in self.hub.repos:
            self.answer(409, {"error": "You already created this model repo", **url})
            return
        if wanted.get("visibility") == "private" or wanted.get("private"):
            self.hub.private.add(repo_id)
        self.hub.add(repo_id, {})
        self.answer(200, url)

    def commit(self, repo_id: str, revision: str, body: bytes) -> None:
        if not self.may_write(repo_id.split("/")[0]):
            return
        files = self.hub.repos[repo_id][revision]
        for line in body.decode().splitlines():
            entry = json.loads(line)
            if entry["key"] == "header":
                self.hub.messages.append(entry["value"]["summary"])
            elif entry["key"] == "file":
                value = entry["value"]
                files[value["path"]] = base64.b64decode(value["content"])
        url = f"{self.hub.url}/{repo_id}/commit/{HEAD}"
        self.answer(200, {"success": True, "commitUrl": url, "commitOid": HEAD})


@contextmanager
def running() -> Iterator[FakeHub]:
    """Run a server on this machine; its address is the ``url`` of the :class:`FakeHub`."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.hub = hub  # type: ignore[attr-defined]
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
