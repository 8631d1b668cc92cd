"""The floor of the endpoint case, an aiohttp loop without tasks, scoring or records.

`python -m benchmarks.bare_loop PORT N IN_FLIGHT` prints requests per second.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import aiohttp


async def main(port: int, count: int, in_flight: int) -> None:
    spec = find_spec("easy_vqa")
    assert spec and spec.origin
    data = Path(spec.origin).parent / "data" / "test"
    questions = iter(json.loads((data / "questions.json").read_text())[:count])
    url = f"http://127.0.0.1:{port}/v1/chat/completions"

    async def one(session: aiohttp.ClientSession) -> None:
        for question, _, image in questions:
            coded = base64.b64encode((data / "images" / f"{image}.png").read_bytes()).decode()
            content = [
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{coded}"}},
                {"type": "text", "text": question},
            ]
            body = json.dumps({"model": "stub", "max_tokens": 8, "messages": [{"role": "user", "content": content}]})
            async with session.post(url, data=body, headers={"content-type": "application/json"}) as response:
                json.loads(await response.read())

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as session:
        began = time.monotonic()
        await asyncio.gather(*(one(session) for _ in range(in_flight)))
        print(count / (time.monotonic() - began))


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:4])))
