"""A benchmark in a process of its own, beside an S3 server on this machine."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def s3_server() -> Iterator[tuple[str, dict[str, str]]]:
    """Start a server: its endpoint, and the environment of who may ask it."""
    key = "AKIABENCHMARK"
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.spark.programs.s3_server", key],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        endpoint = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        yield endpoint, {
            "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20), "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip
    finally:
        server.terminate()


def rows_of(
    module: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Run a module, and read the rows that it prints as JSON in its last line."""
    command = [sys.executable, "-m", module, *arguments]
    surroundings = dict(os.environ) | dict(environment)
    done = subprocess.run(command, env=surroundings, check=True, stdout=subprocess.PIPE)
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows
