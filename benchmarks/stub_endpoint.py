"""A chat endpoint with a set latency and as little of its own work as possible: `python -m benchmarks.stub_endpoint LATENCY`.

Prints its port. The answer is one of a few words, chosen by a hash of the request, so a run against it is repeatable.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys

WORDS = ("yes", "no", "circle", "red", "teal", "black", "rectangle", "triangle")


def answer(body: bytes) -> bytes:
    word = WORDS[hashlib.sha256(body).digest()[0] % len(WORDS)]
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": word}}
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
    return json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}).encode()


class Server(asyncio.Protocol):
    latency = 0.02

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.received = transport, b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end]
            lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            stop = end + 4 + (int(lengths[0]) if lengths else 0)
            if len(self.received) < stop:
                return
            body, self.received = self.received[end + 4 : stop], self.received[stop:]
            if head.startswith(b"GET"):
                self.reply(json.dumps({"object": "list", "data": [{"id": "stub"}]}).encode())
            else:
                asyncio.get_running_loop().call_later(self.latency, self.reply, answer(body))

    def reply(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.transport.write(head + body)


async def main() -> None:
    Server.latency = float(sys.argv[1])
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
