"""A chat server on loopback that answers, or fails in the ways that real ones do."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Gets the handler, the body of the request and how often these pictures were sent before;
# returns True when it answered by itself.
Fault = Callable[[BaseHTTPRequestHandler, dict[str, Any], int], bool]


def pictures(body: dict[str, Any]) -> str:
    """What tells two clips apart: their pictures."""
    parts = body["messages"][0]["content"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return hashlib.sha256("".join(urls).encode()).hexdigest()[:8]


def completion(text: str | None, **choice: Any) -> bytes:
    message = {"role": "assistant", "content": text, **choice.pop("message", {})}
    choices = [{"index": 0, "finish_reason": "stop", "message": message, **choice}]
    return json.dumps({"object": "chat.completion", "choices": choices}).encode()


def send(handler: BaseHTTPRequestHandler, status: int, data: bytes, **headers: str) -> bool:
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
    return True


@dataclass
class ChatServer:
    """Answers differ with the pictures, so that mixed-up rows would show."""

    fault: Fault | None = None
    seen: Counter[str] = field(default_factory=Counter)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "ChatServer":
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name = pictures(body)
                with lock:
                    before = outer.seen[name]
                    outer.seen[name] += 1
                    outer.headers.append(dict(self.headers))
                    outer.bodies.append(body)
                if not (outer.fault and outer.fault(self, body, before)):
                    send(self, 200, completion(f"The lips part and the brows go up, {name}."))

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def requests(self) -> int:
        return sum(self.seen.values())
