"""Media of a report: each once, the very bytes, within the room, and a reason for every one that is missing."""

import base64

from assay_api.errors import Corrupt
from assay_runner.media import from_bytes, from_file
from assay_runner.report.media import CHANGED, GONE, TOO_MUCH, UNKNOWN, embed, references
from support.documents import png


def reference(medium):
    return references([{"role": "user", "content": [medium.reference()]}])[0]


def finder(*media):
    asked = []

    def find(task, document, wanted):
        asked.append((task, document))
        return {medium.sha256: medium for medium in media if medium.sha256 in wanted}

    return find, asked


def test_a_medium_is_read_and_embedded_once_with_the_bytes_it_has():
    medium = from_bytes(png(1))
    find, asked = finder(medium)
    found = embed([("t", 0, [reference(medium)]), ("t", 1, [reference(medium)])], find)
    assert base64.b64decode(found[medium.sha256].data) == png(1) and asked == [("t", 0)]


def test_the_room_is_shared_by_tasks_and_filled_in_the_order_of_samples():
    first, large, third, other = (from_bytes(png(n, padding)) for n, padding in enumerate((0, 5000, 0, 900)))
    find, asked = finder(first, large, third, other)
    wanted = [("t", 0, [reference(first)]), ("t", 1, [reference(large)]), ("t", 2, [reference(third)])]
    found = embed([*wanted, ("u", 0, [reference(other)])], find, room=2000)
    assert [found[one.sha256].data is not None for one in (first, large, third, other)] == [True, False, True, True]
    assert found[large.sha256].why == TOO_MUCH and ("t", 1) not in asked


def test_data_that_cannot_be_read_is_said_and_not_asked_for_again():
    media = [from_bytes(png(n)) for n in range(3)]
    asked = []

    def gone(task, document, wanted):
        asked.append(document)
        raise Corrupt("gone")

    found = embed([("t", n, [reference(medium)]) for n, medium in enumerate(media)], gone)
    assert {one.why for one in found.values()} == {GONE} and asked == [0]


def test_a_medium_that_is_not_what_its_digest_says_is_not_shown(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(1))
    medium = from_file(path)
    path.write_bytes(png(2))
    liar = from_bytes(png(3)).reference() | {"sha256": "0" * 64}
    find, _ = finder(medium)
    found = embed([("t", 0, [reference(medium), *references([{"content": [liar]}])])], find)
    assert found[medium.sha256].why == CHANGED and found["0" * 64].why == UNKNOWN


def test_malformed_references_are_passed_over():
    good = from_bytes(png(1)).reference()
    bad = [good | {"sha256": 5}, good | {"size": -1}, good | {"size": "1"}, {"type": "image"}, "x", None]
    assert len(references([{"content": [good, *bad]}, "x", {"content": "text"}])) == 1 and references("x") == ()
