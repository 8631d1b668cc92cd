from __future__ import annotations

import msgpack
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from assay_api.base import sha256
from assay_api.errors import Corrupt, SpecError
from assay_runner.data import blocks
from assay_runner.data.blocks import Block, BlockEntry, DataIndex, cut, fingerprint, pack, unpack
from assay_runner.media import from_bytes
from support.documents import DOCS, png, questions

inline = lambda medium: medium.read()  # noqa: E731


def entry_of(block: Block, data: bytes) -> BlockEntry:
    return BlockEntry(key=f"data/blocks/{sha256(data)}", start=0, stop=len(block.rows), digest=block.digest)


@given(st.lists(DOCS, min_size=1, max_size=20))
def test_a_block_comes_back_exactly(docs):
    [block] = cut(docs, "source", inline)
    data = pack(block)
    assert unpack(data, entry_of(block, data), "block") == block


@given(st.lists(DOCS, min_size=1, max_size=5), st.data())
def test_any_flipped_byte_of_a_block_is_detected(docs, data):
    [block] = cut(docs, "source", inline)
    good = pack(block)
    place = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Corrupt, match=r"^block-7 "):
        unpack(bytes(bad), entry_of(block, good), "block-7")


def test_an_index_that_points_at_another_sound_block_is_detected():
    one, other = (next(cut([{"a": number}], "source", inline)) for number in (1, 2))
    data = pack(other)
    lying = entry_of(other, data).model_copy(update={"digest": one.digest})
    with pytest.raises(Corrupt, match="does not hold the documents"):
        unpack(data, lying, "block")


def test_a_medium_swapped_inside_a_block_is_detected():
    block = next(cut([{"m": from_bytes(png(1))}], "source", inline))
    [digest] = block.media
    block.media[digest] = png(2)
    data = pack(block)
    with pytest.raises(Corrupt, match="holds a medium that is not what"):
        unpack(data, entry_of(block, data), "block")


@pytest.mark.parametrize(
    "content",
    [
        {"schema": "assay/block/v2", "rows": [], "media": []},
        {"schema": "assay/block/v1", "rows": [b"x"], "media": [], "extra": 1},
        {"schema": "assay/block/v1", "rows": ["x"], "media": []},
        {"schema": "assay/block/v1", "rows": [b"x"], "media": [[b"short", b""]]},
        {"schema": "assay/block/v1", "rows": [b"x"], "media": [[b"d" * 32, 7]]},
        {"schema": "assay/block/v1", "rows": [b"x"], "media": msgpack.ExtType(5, b"")},
        ["rows"],
    ],
)
def test_a_block_of_another_shape_is_refused(content):
    data = zstandard.compress(msgpack.packb(content))
    entry = BlockEntry(key=f"data/blocks/{sha256(data)}", start=0, stop=1, digest="0" * 64)
    with pytest.raises(Corrupt, match="no block of documents"):
        unpack(data, entry, "block")


def test_a_bomb_is_refused_before_it_is_unpacked():
    zeros = zstandard.ZstdCompressor().compressobj(size=20 << 24)
    data = b"".join(zeros.compress(bytes(1 << 24)) for _ in range(20)) + zeros.flush()
    assert len(data) < 1 << 20
    entry = BlockEntry(key=f"data/blocks/{sha256(data)}", start=0, stop=1, digest="0" * 64)
    with pytest.raises(Corrupt, match="claims to hold more than"):
        unpack(data, entry, "block")


def test_a_frame_that_does_not_tell_its_size_is_refused():
    frame = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    data = frame.compress(b"x" * 1000) + frame.flush()
    entry = BlockEntry(key=f"data/blocks/{sha256(data)}", start=0, stop=1, digest="0" * 64)
    with pytest.raises(Corrupt, match="claims to hold more than"):
        unpack(data, entry, "block")


def test_blocks_end_after_256_rows():
    assert [len(block.rows) for block in cut(questions(600), "source", inline)] == [256, 256, 88]


def test_blocks_end_at_4_mib_of_rows_and_small_media():
    docs = [{"image": from_bytes(png(n, padding=900_000))} for n in range(12)]
    sizes = [len(block.rows) for block in cut(docs, "source", inline)]
    assert sizes == [5, 5, 2]
    assert sizes == [len(block.rows) for block in cut(docs, "source", lambda medium: None)]


def test_a_medium_is_held_once_in_a_block():
    [block] = cut([{"image": from_bytes(png(1))}] * 200, "source", inline)
    assert len(block.media) == 1


def test_a_document_beyond_all_measure_is_refused_by_number(monkeypatch):
    monkeypatch.setattr(blocks, "LARGEST_DOCUMENT", 1 << 20)
    with pytest.raises(SpecError, match=r"^mmlu: document 1 has 2 MiB; a document may have 1 MiB"):
        list(cut([{"a": ""}, {"a": "x" * (2 << 20)}], "mmlu", inline))


def index(*sizes: int, **changed):
    bounds = [sum(sizes[:n]) for n in range(len(sizes) + 1)]
    entries = tuple(
        BlockEntry(key=f"data/blocks/{n:064x}", start=bounds[n], stop=bounds[n + 1], digest=f"{n:064x}")
        for n in range(len(sizes))
    )
    found = fingerprint((entry.stop - entry.start, entry.digest) for entry in entries)
    return {"fingerprint": found, "documents": bounds[-1], "blocks": entries} | changed


def test_a_sound_index_is_read_back():
    sound = DataIndex(**index(256, 3))
    assert DataIndex.decode(sound.encode(), "index") == sound


@pytest.mark.parametrize(
    "wrong",
    [
        index(2, 3, documents=6),
        index(2, 3, blocks=index(2, 3)["blocks"][::-1]),
        index(2, 3, blocks=index(2)["blocks"], documents=2),
        index(2, 3, fingerprint="0" * 64),
        index(2, 3, blocks=index(1, 4)["blocks"]),
        index(0),
    ],
)
def test_an_index_that_contradicts_itself_is_refused(wrong):
    with pytest.raises(ValidationError):
        DataIndex(**wrong)


def test_an_index_cannot_name_an_object_outside_the_blocks():
    with pytest.raises(ValidationError):
        BlockEntry(key="data/blocks/../../plan.json", start=0, stop=1, digest="0" * 64)
