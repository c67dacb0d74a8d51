"""Starts runs on a worker for whoever asks over HTTP, as a container engine does.

`POST /RUN` with arguments as JSON starts a process, `GET /RUN` tells its exit code (null while it runs), `DELETE /RUN`
ends it. It knows the processes that it has started itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.machines.machine import HOME

_processes: dict[str, subprocess.Popen[bytes]] = {}


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        arguments = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        log = Path(HOME, f"{self._run()}.log")
        with log.open("wb") as file:
            _processes[self._run()] = subprocess.Popen(arguments, stdout=file, stderr=subprocess.STDOUT)
        self._answer(HTTPStatus.CREATED, _processes[self._run()].pid)

    def do_GET(self) -> None:
        process = _processes.get(self._run())
        if process is None:
            self._answer(HTTPStatus.NOT_FOUND, None)
        else:
            self._answer(HTTPStatus.OK, process.poll())

    def do_DELETE(self) -> None:
        process = _processes.get(self._run())
        if process is None or process.poll() is not None:
            self._answer(HTTPStatus.NOT_FOUND, None)
            return
        process.terminate()
        self._answer(HTTPStatus.OK, None)

    def _run(self) -> str:
        return self.path.removeprefix("/")

    def _answer(self, status: HTTPStatus, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing of single requests."""


if __name__ == "__main__":
    ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), _Handler).serve_forever()
