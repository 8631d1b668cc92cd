"""vLLM's own server, as its users start it."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep

from support.s3 import free_port


@contextmanager
def vllm_server(model: str, name: str, *options: str) -> Iterator[str]:
    """The address of a server with the model under a name, in float32 and 16 requests at a time."""
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--port", str(port)]
    command += ["--host", "127.0.0.1", "--served-model-name", name, "--dtype", "float32", "--enforce-eager"]
    command += ["--max-num-seqs", "16", "--disable-uvicorn-access-log", *options]
    server = subprocess.Popen(command, env={**os.environ, "TORCHDYNAMO_DISABLE": "1", "HF_HUB_OFFLINE": "1"})
    try:
        deadline = monotonic() + 240
        while not _healthy(port):
            assert server.poll() is None and monotonic() < deadline, "vLLM's server does not start"
            sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
