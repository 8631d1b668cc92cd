from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_runner.data.hashing import decode, digest, encode
from assay_runner.media import Media, from_bytes, from_file
from support.documents import DOCS, content, png


def restored(doc):
    held = {}

    def medium(kind, mime, sha256, size):
        return Media(kind, mime, sha256.hex(), size, held[sha256.hex()])

    def collect(value):
        if isinstance(value, Media):
            held[value.sha256] = value.read()
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            collect(inner)

    collect(doc)
    return decode(encode(doc), medium)


@given(DOCS)
def test_a_document_comes_back_exactly(doc):
    assert content(restored(doc)) == content(doc)


@given(DOCS, DOCS)
def test_documents_have_equal_digests_exactly_when_they_are_equal(one, other):
    assert (digest(one) == digest(other)) == (content(one) == content(other))


@given(st.integers())
def test_integers_of_any_size_survive(number):
    assert restored({"n": number}) == {"n": number}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"a": True}),
        ({"a": "1"}, {"a": b"1"}),
        ({"a": 0.0}, {"a": -0.0}),
        ({"a": None}, {}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": []}, {"a": {}}),
        ({"a": 2**64}, {"a": -(2**64)}),
    ],
)
def test_what_a_task_could_tell_apart_has_another_digest(one, other):
    assert digest(one) != digest(other)


def test_the_encoding_is_fixed_for_ever():
    doc = {
        "n": None,
        "t": True,
        "i": [0, -1, 127, 128, -33, 65536, 2**63, 2**70, -(2**70)],
        "f": [0.1, -0.0, 1e300, float("inf")],
        "s": "é" * 20,
        "b": b"\x00" * 300,
        "d": {"": []},
        "m": Media("image", "image/png", "ab" * 32, 385, b""),
    }
    assert encode({"a": 1, "m": doc["m"]}).hex() == (
        "82a16101a16dc73601" + "94a5696d616765a9696d6167652f706e67c420" + "ab" * 32 + "cd0181"
    )
    assert digest(doc) == "a98a76bfc99837fa54395103aaeaa5a30dae5c979cecc3c5fa4ca02be1410c5f"


def test_a_medium_counts_by_its_content_not_by_its_place(tmp_path):
    (tmp_path / "x.png").write_bytes(png(1))
    assert (
        digest({"m": from_file(tmp_path / "x.png")})
        == digest({"m": from_bytes(png(1))})
        != digest({"m": from_bytes(png(2))})
    )


@pytest.mark.parametrize("value", [{1}, object(), (1, 2), 1j])
def test_what_is_not_plain_is_refused(value):
    with pytest.raises(TypeError):
        encode({"a": value})


@pytest.mark.parametrize(
    "row", [b"", b"\x01", b"\x81\xa1a", b"\x81\xa1a\xd4\x09\x00", b"\x81\xa1a\x01\x01", b"\xff" * 40]
)
def test_bytes_that_are_no_document_are_refused(row):
    with pytest.raises(ValueError):
        decode(row, lambda *_: pytest.fail("no medium is named"))
