"""Media inside archives are read where they lie, and what is wrong with an archive is the medium's error."""

import io
import json
import tarfile
import zipfile

import pytest

from assay_api.errors import SpecError
from assay_runner.data import archives
from assay_runner.data.archives import Member
from assay_runner.data.documents import Documents, stage
from assay_runner.data.source import DatasetSpec, load
from assay_runner.media import MediaError
from assay_runner.store.file import FileStore
from support.documents import png


def make_zip(path, files, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in files.items():
            file.writestr(name, data)


def make_tar(path, files, mode="w"):
    with tarfile.open(path, mode) as file:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


MAKERS = {"images.zip": make_zip, "images.tar": make_tar}
FILES = {f"./deep/{number}.png": png(number) for number in range(3)}


def rows(folder, names, **media):
    (folder / "d.jsonl").write_text("".join(json.dumps({"p": name}) + "\n" for name in names))
    spec = DatasetSpec("d.jsonl", None, "test", {}, media or {"image": "{{ p }}"}, folder)
    return list(load(spec).rows)


@pytest.mark.parametrize("archive", MAKERS)
def test_an_archive_is_like_a_folder(tmp_path, archive):
    MAKERS[archive](tmp_path / archive, FILES)
    kind = archive.partition(".")[2]
    by_path, by_chain = rows(tmp_path, [f"{archive}/deep/1.png", f"{kind}://deep/1.png::{archive}"])
    [by_template] = rows(tmp_path, ["1"], image=archive + "/deep/{{ p }}.png")
    assert [doc["image"].read() for doc in (by_path, by_chain, by_template)] == [png(1)] * 3
    assert by_path["image"].source == Member(tmp_path / archive, "deep/1.png")


@pytest.mark.parametrize("archive", MAKERS)
def test_members_stay_in_place_or_are_staged_under_one_fingerprint(tmp_path, archive):
    MAKERS[archive](tmp_path / archive, FILES)
    names = [f"{archive}/deep/{number}.png" for number in range(3)]
    local, portable = FileStore(tmp_path / "a"), FileStore(tmp_path / "b")
    here = stage(local, rows(tmp_path, names), "d", in_place=True)
    there = stage(portable, rows(tmp_path, names), "d", in_place=False)
    assert here == there
    assert [doc["image"].source for doc in Documents(local, here)] == [
        Member(tmp_path / archive, f"deep/{number}.png") for number in range(3)
    ]
    (tmp_path / archive).rename(tmp_path / "away")
    assert [doc["image"].read() for doc in Documents(portable, there)] == [png(number) for number in range(3)]
    with pytest.raises(MediaError, match="cannot be read"):
        Documents(local, here).read(0, 1)[0]["image"].read()


def test_an_archive_that_was_replaced_is_noticed(tmp_path):
    make_zip(tmp_path / "images.zip", FILES)
    [doc] = rows(tmp_path, ["images.zip/deep/1.png"])
    (tmp_path / "images.zip").unlink()
    make_zip(tmp_path / "images.zip", {"deep/1.png": png(7)}, zipfile.ZIP_STORED)
    with pytest.raises(MediaError, match="no longer the file that was planned"):
        doc["image"].read()


@pytest.mark.parametrize(("archive", "cut"), [("images.zip", 300), ("images.tar", 2600)])
def test_what_is_not_there_is_named(tmp_path, archive, cut):
    MAKERS[archive](tmp_path / archive, FILES)
    with pytest.raises(SpecError, match=f"document 0.*{archive} holds no deep/9.png"):
        rows(tmp_path, [f"{archive}/deep/9.png"])
    (tmp_path / archive).write_bytes((tmp_path / archive).read_bytes()[:cut])
    with pytest.raises(SpecError, match=r"cannot be read \("):
        rows(tmp_path, [f"{archive}/deep/2.png"])


def test_a_damaged_member_is_noticed_by_its_checksum(tmp_path):
    make_zip(tmp_path / "images.zip", {"a.png": png(1)}, zipfile.ZIP_STORED)
    data = bytearray((tmp_path / "images.zip").read_bytes())
    data[60] ^= 1
    (tmp_path / "images.zip").write_bytes(data)
    with pytest.raises(SpecError, match="Bad CRC-32"):
        rows(tmp_path, ["images.zip/a.png"])


def test_links_and_ways_out_of_an_archive_name_nothing(tmp_path):
    (tmp_path / "secret.png").write_bytes(png(9))
    with tarfile.open(tmp_path / "images.tar", "w") as file:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "../secret.png"
        file.addfile(link)
    with pytest.raises(SpecError, match=r"holds no link\.png"):
        rows(tmp_path, ["images.tar/link.png"])
    with pytest.raises(SpecError, match="leads out of"):
        rows(tmp_path, ["images.tar/../../secret.png"])


def test_a_compressed_tar_is_refused_with_what_to_do(tmp_path):
    make_tar(tmp_path / "images.tar.gz", FILES, "w:gz")
    with pytest.raises(SpecError, match=r"compressed as a whole; unpack it to a \.tar, or make a \.zip"):
        rows(tmp_path, ["images.tar.gz/deep/1.png"])


def test_a_member_beyond_the_limit_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_MEMBER", 1000)
    make_zip(tmp_path / "images.zip", {"a.png": png(1) + bytes(1000)})
    with pytest.raises(SpecError, match=r"more than 1,000 can be"):
        rows(tmp_path, ["images.zip/a.png"])
