"""A chat endpoint with a set latency and as little of its own work as possible: `python -m benchmarks.stub_endpoint LATENCY`.

Prints its port. The answer is one of a few words, chosen by a hash of the request's end, so a run against it is
repeatable. `GET /stats` tells what was asked since the last `GET /reset`: requests, most in flight at a time, and when the
first request and the last answer were, by the system's monotonic clock.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import sys
import time
from typing import cast

import uvloop

WORDS = ("yes", "no", "circle", "red", "teal", "black", "rectangle", "triangle")


def _saying(word: str) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": word}}
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
    return json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}).encode()


ANSWERS = tuple(_saying(word) for word in WORDS)


def answer(body: bytes) -> bytes:
    return ANSWERS[hashlib.sha256(body[-400:]).digest()[0] % len(ANSWERS)]


class Stats:
    """What this process was asked, on its own clock."""

    def __init__(self) -> None:
        self.requests = self.in_flight = self.peak = 0
        self.first = self.last = 0.0

    def began(self) -> None:
        self.requests += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        self.first = self.first or time.monotonic()

    def ended(self) -> None:
        self.in_flight -= 1
        self.last = time.monotonic()

    def told(self) -> bytes:
        times = {"first": self.first, "last": self.last, "seconds": self.last - self.first}
        return json.dumps({"requests": self.requests, "peak": self.peak} | times).encode()


class Server(asyncio.Protocol):
    latency = 0.02
    stats = Stats()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.received = cast(asyncio.Transport, transport), b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end]
            length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
            stop = end + 4 + (int(length[1]) if length else 0)
            if len(self.received) < stop:
                return
            body, self.received = self.received[end + 4 : stop], self.received[stop:]
            if head.startswith(b"GET /stats"):
                self.reply(self.stats.told())
            elif head.startswith(b"GET /reset"):
                self.reply(self.stats.told())
                Server.stats = Stats()
            elif head.startswith(b"GET"):
                self.reply(json.dumps({"object": "list", "data": [{"id": "stub"}]}).encode())
            else:
                self.stats.began()
                asyncio.get_running_loop().call_later(self.latency, self.answer, body)

    def answer(self, body: bytes) -> None:
        self.reply(answer(body))
        self.stats.ended()

    def reply(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.transport.write(head + body)


async def main() -> None:
    Server.latency = float(sys.argv[1])
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
