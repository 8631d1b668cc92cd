"""An OpenAI-compatible server of Python's own library alone, to run beside workers in any image that has Python.

It answers as `TestEndpoint` does. When a file `die` lies beside this one, its first life ends in the middle of an answer,
after as many answers as the file says.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from answers import answered_by_hash

_LIVED = Path("/tmp/lived")
_HEALTH, _MODELS = "/health", "/v1/models"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model = ""
    latency = 0.0
    lives: int | None = None
    answers = 0
    lock = threading.Lock()

    def do_GET(self) -> None:
        known: dict[str, Any] = {_HEALTH: {}, _MODELS: {"data": [{"id": self.model}]}}
        self._send(known.get(self.path))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(self.latency)
        with self.lock:
            type(self).answers += 1
            if self.lives is not None and self.answers > self.lives:
                os._exit(9)
        self._send(answered_by_hash(self.path.removeprefix("/v1/"), body))

    def _send(self, document: dict[str, Any] | None) -> None:
        data = json.dumps(document).encode()
        self.send_response(404 if document is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def main() -> None:
    """Serve until asked to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--fail", help="say this and end with exit code 3")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if options.fail:
        time.sleep(2)
        sys.exit(print(options.fail, file=sys.stderr) or 3)
    die = Path(__file__).with_name("die")
    if die.exists() and not _LIVED.exists():
        _LIVED.touch()
        _Handler.lives = int(die.read_text())
    _Handler.model, _Handler.latency = options.model, options.latency
    ThreadingHTTPServer(("127.0.0.1", options.port), _Handler).serve_forever()


if __name__ == "__main__":
    main()
