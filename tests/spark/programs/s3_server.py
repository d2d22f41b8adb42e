"""An S3 server in a process of its own, which counts what is asked of it.

`python -m tests.spark.programs.s3_server KEY` prints its port. PUT /_rules sets what goes wrong,
GET /_asked tells what was asked since.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

REFUSED = b"<Error><Code>InvalidAccessKeyId</Code><Message>unknown key</Message></Error>"
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>reduce your request rate</Message></Error>"


class Counted:
    """A server that knows one key, and fails by rule.

    Rules: `busy`, every so manieth request is answered 503; `vanish` and `cut`, objects by path,
    each deleted or cut in half at the first request of a method; `deny`, objects whose GET is
    answered 403; `dated`, when objects were changed, seconds since 1970, by path.
    """

    def __init__(self, key: str) -> None:
        self.key, self.moto = key, DomainDispatcherApplication(create_backend_app)
        self.asked: list[dict[str, Any]] = []
        self.rules: dict[str, Any] = {}
        self.requests = 0
        self.lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        # WSGI hands bytes over as Latin-1.
        path = environ["PATH_INFO"].encode("latin-1").decode()
        method = environ["REQUEST_METHOD"]
        if path == "/_rules":
            length = int(environ["CONTENT_LENGTH"])
            self.rules, self.asked = json.loads(environ["wsgi.input"].read(length)), []
            for changed, seconds in self.rules.pop("dated", {}).items():
                time = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
                self._object(changed).last_modified = time
            start("200 OK", [])
            return [b""]
        if path == "/_asked":
            start("200 OK", [])
            return [json.dumps(self.asked).encode()]
        if f"Credential={self.key}/" not in environ.get("HTTP_AUTHORIZATION", ""):
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [REFUSED]
        with self.lock:
            self.requests += 1
            told: dict[str, Any] = {"kind": self._kind(environ), "path": path}
            self.asked.append(told)
            for rule in ("vanish", "cut"):
                if self.rules.get(rule, {}).get(path) == method:
                    del self.rules[rule][path]
                    self._change(path, rule)
        if method == "GET" and path in self.rules.get("deny", ()):
            told |= {"status": 403, "bytes": 0}
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [DENIED]
        if (every := self.rules.get("busy")) and self.requests % every == 0:
            told |= {"status": 503, "bytes": 0}
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("503 Slow Down", [("Content-Type", "application/xml"), ("Connection", "close")])
            return [SLOW_DOWN]

        def answer(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            told["status"] = int(status[:3])
            return start(status, headers, *more)

        body = [b"".join(self.moto(environ, answer))]
        told["bytes"] = len(body[0])
        return body

    def _change(self, path: str, rule: str) -> None:
        _, bucket, name = path.split("/", 2)
        store = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        if rule == "vanish":
            store.delete_object(bucket, name)
        else:
            value = self._object(path).value
            store.put_object(bucket, name, value[: len(value) // 2])

    @staticmethod
    def _object(path: str) -> Any:
        _, bucket, name = path.split("/", 2)
        return s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(bucket, name)

    @staticmethod
    def _kind(environ: dict[str, Any]) -> str:
        method = str(environ["REQUEST_METHOD"])
        if method == "GET" and "list-type" in environ["QUERY_STRING"]:
            return "LIST"
        return "COPY" if "HTTP_X_AMZ_COPY_SOURCE" in environ else method


def main(key: str) -> None:
    """Serve until the process ends."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, Counted(key), threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
