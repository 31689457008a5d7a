"""A tracking server on this machine: the endpoints of MLflow that a training uses, which can be killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit


@dataclass
class Tracking:
    """What the server got, and after how many batches of metrics it is killed."""

    folder: Path
    url: str = ""
    batches: list[dict[str, object]] = field(default_factory=list)
    dies_after: int | None = None

    @property
    def dead(self) -> bool:
        return self.dies_after is not None and len(self.batches) >= self.dies_after


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name in the base class)
        """Print nothing."""

    def do_GET(self) -> None:
        tracking = self.server.tracking
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if tracking.dead:  # the connection ends without an answer, as that of a killed process does
            self.close_connection = True
            return
        name = urlsplit(self.path).path.rpartition("/mlflow/")[2]
        info = {
            "run_id": "a" * 32,
            "run_uuid": "a" * 32,
            "experiment_id": "1",
            "status": "RUNNING",
            "artifact_uri": (tracking.folder / "artifacts").as_uri(),
            "lifecycle_stage": "active",
        }
        answers: dict[str, object] = {
            "experiments/get-by-name": {"experiment": {"experiment_id": "1", "name": "x", "lifecycle_stage": "active"}},
            "runs/create": {"run": {"info": info, "data": {}}},
            "runs/get": {"run": {"info": info, "data": {}}},
            "runs/update": {"run_info": info},
        }
        if name == "runs/log-batch" and "metrics" in (batch := json.loads(body)):
            tracking.batches.append(batch)
        content = json.dumps(answers.get(name, {})).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET


class _Server(ThreadingHTTPServer):
    tracking: Tracking


@contextmanager
def serving(folder: Path) -> Iterator[Tracking]:
    """Run a tracking server until the end of the block."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.tracking = Tracking(folder, f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.tracking
        finally:
            server.shutdown()
            thread.join()
