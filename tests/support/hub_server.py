"""A hub on this machine: the endpoints of the Hugging Face Hub that downloading and uploading use, over HTTP.

Repositories are kept in memory, with branches and commits, and large files by their digests as git LFS names them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

from huggingface_hub import ModelCard, ModelCardData

TOKEN = "hf_" + "valid" * 4
"""The only token that the hub accepts."""


def data_of(card: ModelCard) -> ModelCardData:
    """Return the header of the card of a model."""
    assert isinstance(card.data, ModelCardData)
    return card.data


@dataclass
class Repository:
    """Files of each commit by path, and the commit of each branch."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"0" * 40: {}})
    branches: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        sha = hashlib.sha1(f"{branch}{len(self.commits)}{sorted(files)}".encode()).hexdigest()
        self.commits[sha] = files
        self.branches[branch] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.branches.get(revision)


@dataclass
class Hub:
    """State of the hub, and what was asked of it."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    """Uploaded large files by their SHA-256."""
    requests: list[str] = field(default_factory=list)
    """Method and path of each request."""
    corrupt: set[str] = field(default_factory=set)
    """Names of files in which one bit is wrong when they are downloaded."""

    def add(self, name: str, folder: Path, kind: Repository | None = None) -> Repository:
        """Add a repository, empty so far, with the files of a folder."""
        repository = kind or Repository()
        repository.commit("main", {path.name: path.read_bytes() for path in folder.iterdir()})
        self.repositories[name] = repository
        return repository

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        repository = self.repositories[name]
        sha = repository.resolve(revision)
        assert sha is not None
        return repository.commits[sha]

    def downloaded(self) -> set[str]:
        """Names of the files whose content was asked for."""
        return {line.rpartition("/")[2] for line in self.requests if line.startswith("GET") and "/resolve/" in line}


def is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".onnx"))


def digest_of(name: str, content: bytes) -> str:
    """Return by which digest the hub names a file: SHA-256 if it is large, that of git otherwise."""
    if is_large(name):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name in the base class)
        """Print nothing."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:  # noqa: PLR0911 (one for each kind of request)
        hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        hub.requests.append(f"{self.command} {path}")
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = path.strip("/").split("/")
        authorization = self.headers.get("Authorization")
        if authorization not in (None, f"Bearer {TOKEN}"):
            return self._send(401, {"error": "Invalid credentials in Authorization header"})
        self.signed_in = authorization is not None
        if parts[0] == "lfs":
            hub.blobs[parts[1]] = self.body
            return self._send(200, {})
        if parts[:2] == ["api", "validate-yaml"]:
            return self._validate()
        if parts[:3] == ["api", "repos", "create"]:
            return self._create()
        name = "/".join(parts[2:4] if parts[:2] == ["api", "models"] else parts[:2]).removesuffix(".git")
        rest = parts[4:] if parts[:2] == ["api", "models"] else parts[2:]
        repository = hub.repositories.get(name)
        if repository is None or (repository.private and not self.signed_in):
            return self._send(404 if self.signed_in else 401, {"error": "Repository not found"}, "RepoNotFound")
        if repository.gated and not self.signed_in and "resolve" in rest:
            return self._send(401, {"error": "Access to model is restricted"}, "GatedRepo")
        return self._in_repository(name, repository, rest)

    def _in_repository(self, name: str, repository: Repository, rest: list[str]) -> None:
        match rest:
            case []:
                self._send(200, {"id": name, "sha": repository.branches["main"], "siblings": []})
            case ["revision", revision] if sha := repository.resolve(revision):
                self._send(200, {"id": name, "sha": sha, "siblings": []})
            case ["tree", revision] if sha := repository.resolve(revision):
                self._send(200, [_entry(path, content) for path, content in repository.commits[sha].items()])
            case ["resolve", revision, file] if sha := repository.resolve(revision):
                self._file(repository.commits[sha], sha, file)
            case _ if self.command == "POST" and not self.signed_in:
                self._send(401, {"error": "Invalid username or password."})
            case ["branch", branch]:
                self._branch(repository, branch)
            case ["preupload", _]:
                self._preupload()
            case ["info", "lfs", "objects", "batch"]:
                self._batch()
            case ["commit", branch] if sha := repository.resolve(branch):
                self._commit(name, repository, branch, sha)
            case _:
                self._send(404, {"error": "Invalid rev id"}, "RevisionNotFound")

    def _file(self, files: dict[str, bytes], sha: str, file: str) -> None:
        content = files.get(file)
        if content is None:
            return self._send(404, {"error": "Entry not found"}, "EntryNotFound", sha)
        headers = {"ETag": f'"{digest_of(file, content)}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        hub = self.server.hub
        self.send_response(200)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return None
        if file in hub.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.wfile.write(content)
        return None

    def _validate(self) -> None:
        header = json.loads(self.body)["content"].split("---")[1]
        if "not-a-licence" in header:
            self._send(400, {"errors": [{"message": '"license" must be one of [apache-2.0, ...]'}]})
        else:
            self._send(200, {"warnings": []})

    def _create(self) -> None:
        if not self.signed_in:
            return self._send(401, {"error": "Invalid username or password."})
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] == "others":
            return self._send(403, {"error": "You don't have the rights to create a model under this namespace"})
        private = asked.get("visibility") == "private" or asked.get("private") is True
        known = name in self.server.hub.repositories
        self.server.hub.repositories.setdefault(name, Repository(private=private))
        return self._send(409 if known else 200, {"url": f"{self.server.hub.url}/{name}", "name": name, "id": name})

    def _branch(self, repository: Repository, branch: str) -> None:
        known = branch in repository.branches
        repository.branches.setdefault(branch, repository.branches["main"])
        self._send(409 if known else 200, {})

    def _preupload(self) -> None:
        files = [
            {"path": one["path"], "uploadMode": "lfs" if is_large(one["path"]) else "regular", "shouldIgnore": False}
            for one in json.loads(self.body)["files"]
        ]
        self._send(200, {"files": files})

    def _batch(self) -> None:
        href = f"{self.server.hub.url}/lfs"
        objects = [
            {**one, "actions": {"upload": {"href": f"{href}/{one['oid']}"}}} for one in json.loads(self.body)["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def _commit(self, name: str, repository: Repository, branch: str, parent: str) -> None:
        files = dict(repository.commits[parent])
        for line in self.body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.server.hub.blobs[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        sha = repository.commit(branch, files)
        self._send(200, {"commitUrl": f"{self.server.hub.url}/{name}/commit/{sha}", "commitOid": sha, "success": True})

    def _send(self, status: int, content: object, code: str | None = None, commit: str | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(HTTPStatus(status))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if code is not None:
            self.send_header("X-Error-Code", code)
        if commit is not None:
            self.send_header("X-Repo-Commit", commit)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _entry(path: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": digest_of("", content)}
    if is_large(path):
        entry["lfs"] = {"oid": digest_of(path, content), "size": len(content), "pointerSize": 130}
    return entry


class _Server(ThreadingHTTPServer):
    hub: Hub


@contextmanager
def serving() -> Iterator[Hub]:
    """Run a hub until the end of the block."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.hub = Hub(url=f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.hub
        finally:
            server.shutdown()
            thread.join()
