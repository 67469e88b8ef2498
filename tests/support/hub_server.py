"""A hub of models on loopback: what huggingface_hub asks for, whole or damaged."""

import hashlib
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = hashlib.sha1(b"the only commit").hexdigest()
LARGE = (".safetensors", ".bin")

# Gets OWNER/NAME, the file, its content and how often it was sent before; returns what is sent.
Fault = Callable[[str, str, bytes, int], bytes]


def etag(name: str, content: bytes) -> str:
    """The hub's names: sha256 of what git keeps elsewhere, git's own hash of the rest."""
    if name.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class HubServer:
    """Serves folders as repositories: ``OWNER/NAME`` -> folder."""

    repositories: dict[str, Path]
    fault: Fault = lambda repository, name, content, before: content
    sent: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> "HubServer":
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer()

            def do_GET(self) -> None:
                found = self.answer()
                if found is None:
                    return
                repository, name, content = found
                with lock:
                    before = outer.sent[f"{repository}/{name}"]
                    outer.sent[f"{repository}/{name}"] += 1
                self.wfile.write(outer.fault(repository, name, content, before))

            def answer(self) -> tuple[str, str, bytes] | None:
                repository, name, path = outer.find(self.path)
                content = path.read_bytes() if path else b""
                self.send_response(200 if path else 404)
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Content-Length", str(len(content)))
                if path:
                    self.send_header("ETag", f'"{etag(name, content)}"')
                else:
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.end_headers()
                return (repository, name, content) if path else None

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def find(self, asked: str) -> tuple[str, str, Path | None]:
        """Return repository, file and path of ``/OWNER/NAME/resolve/REVISION/FILE``."""
        repository, _, rest = asked.strip("/").partition("/resolve/")
        name = rest.partition("/")[2]
        folder = self.repositories.get(repository)
        path = folder / name if folder and name else None
        return repository, name, path if path and path.is_file() else None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"
