"""The limit of the reduce case: read, hash, decompress and parse record files, and nothing else.

`python -m benchmarks.parse_records FOLDER PART PARTS` does every PARTS-th file from PART on and prints seconds of its own.
"""

from __future__ import annotations

import hashlib
import io
import sys
import time
from pathlib import Path

import msgspec
import zstandard


def main(folder: Path, part: int, parts: int) -> None:
    began = time.monotonic()
    decode = msgspec.json.Decoder().decode_lines
    for path in sorted(folder.rglob("chunks/*/*/*.jsonl.zst"))[part::parts]:
        data = path.read_bytes()
        hashlib.sha256(data).hexdigest()
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as text:
            decode(text.read())
    print(time.monotonic() - began)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
