"""Bundles: the same bytes wherever the folder lies, and nothing but the planned files comes out."""

import base64

import pytest
import zstandard

from assay_api.base import canonical, sha256
from assay_api.errors import SpecError
from assay_api.plan import CodePin
from assay_runner.store.file import FileStore
from assay_runner.tasks.bundle import fetch, make_bundle, put_bundle, unpack


def bundle(**files: str) -> tuple[CodePin, bytes]:
    content = {name.replace("__", "/"): text.encode() for name, text in files.items()}
    return forged(content)


def forged(content: dict[str, bytes]) -> tuple[CodePin, bytes]:
    digests = {path: sha256(data) for path, data in content.items()}
    plain = {path: base64.b64encode(data).decode() for path, data in content.items()}
    data = zstandard.ZstdCompressor().compress(canonical({"schema": "assay/code/v1", "files": plain}))
    return CodePin(fingerprint=sha256(canonical(digests)), files=digests), data


def test_equal_files_make_equal_bundles_wherever_they_lie(tasks):
    files = {"utils_py": "x = 1\n", "t_yaml": "task: t\n", "_default": "y: 1\n"}
    one, other = tasks.folder(name="a/one", **files), tasks.folder(name="b/other", **files)
    assert make_bundle(one) == make_bundle(other)
    (other / "utils.py").write_text("x = 2\n")
    assert make_bundle(one)[0].fingerprint != make_bundle(other)[0].fingerprint


def test_code_and_small_files_travel_and_nothing_else(tasks):
    folder = tasks.folder(utils_py="x = 1\n", words="a\n")
    tasks.folder(name="mine/sub", deep_py="y = 1\n")
    tasks.folder(name="mine/__pycache__", utils_py="")
    tasks.folder(name="mine/.git", config="secret")
    (folder / "big.json").write_bytes(b" " * (1 << 20) + b"1")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    pin, _ = make_bundle(folder)
    assert set(pin.files) == {"0/utils.py", "0/words", "0/sub/deep.py"}


def test_what_is_too_large_to_travel_is_refused(tasks):
    folder = tasks.folder()
    (folder / "table.py").write_bytes(b"#" * ((20 << 20) + 1))
    with pytest.raises(SpecError, match="larger than 20 MiB"):
        make_bundle(folder)


def test_a_bundle_comes_out_of_the_store_as_it_went_in(tasks, tmp_path):
    store = FileStore(tmp_path / "store")
    pin, data = make_bundle(tasks.folder(utils_py="x = 1\n"))
    assert (put_bundle(store, pin, data, tmp_path) / "0" / "utils.py").read_text() == "x = 1\n"
    assert (fetch(store, pin, tmp_path) / "0" / "utils.py").read_text() == "x = 1\n"


def test_a_bundle_that_is_gone_or_changed_is_refused(tasks, tmp_path):
    store = FileStore(tmp_path / "store")
    pin, data = make_bundle(tasks.folder(utils_py="x = 1\n"))
    with pytest.raises(SpecError, match="gone"):
        fetch(store, pin, tmp_path)
    other, _ = bundle(**{"0__utils.py": "x = 2\n"})
    with pytest.raises(SpecError, match="not those that were planned"):
        unpack(other, data, tmp_path / "out")
    for place in range(0, len(data), 7):
        broken = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            unpack(pin, broken, tmp_path / "out")
        except SpecError:
            continue
        # A flipped bit that changes no content (in the frame's own header) may pass; the content is then the planned one.
        assert (tmp_path / "out" / "0" / "utils.py").read_text() == "x = 1\n"


@pytest.mark.parametrize("path", ["../out.py", "0/../../out.py", "/tmp/out.py", "0/a\0b.py"])
def test_a_file_that_leaves_the_bundle_is_refused(tmp_path, path):
    pin, data = forged({path: b"x = 1\n"})
    with pytest.raises(SpecError, match="leaves the bundle"):
        unpack(pin, data, tmp_path / "inside")
    assert not (tmp_path / "out.py").exists()


def test_a_bomb_is_no_bundle(tmp_path):
    data = zstandard.ZstdCompressor().compress(b'{"files": {"a": "' + b"A" * (200 << 20))
    with pytest.raises(SpecError, match="no bundle"):
        unpack(CodePin(fingerprint="", files={}), data, tmp_path)
