"""Lance datasets, blobs among them, are read like Parquet."""

import lance
import pyarrow as pa
import pytest

from assay_api.errors import SpecError
from assay_runner.data.source import DatasetSpec, load
from support.documents import png


def write(path, rows, *, blobs):
    metadata = {"lance-encoding:blob": "true"} if blobs else None
    schema = pa.schema([("id", pa.int64()), pa.field("picture", pa.large_binary(), metadata=metadata)])
    table = pa.table({"id": list(range(rows)), "picture": [png(number) for number in range(rows)]}, schema=schema)
    lance.write_dataset(table, str(path), mode="append" if path.exists() else "create")


def read(folder, path, split="test"):
    return list(load(DatasetSpec(path, None, split, {}, {"image": "{{ picture }}"}, folder)).rows)


@pytest.mark.parametrize("blobs", [False, True])
def test_rows_come_in_order_with_their_bytes(tmp_path, blobs):
    write(tmp_path / "d.lance", 150, blobs=blobs)
    docs = read(tmp_path, "d.lance")
    assert [(doc["id"], doc["image"].read()) for doc in docs] == [(number, png(number)) for number in range(150)]


def test_splits_are_folders_beside_each_other_and_parts_are_read_in_order(tmp_path):
    (tmp_path / "set").mkdir()
    write(tmp_path / "set/test.lance", 3, blobs=True)
    write(tmp_path / "set/test.lance", 2, blobs=True)
    write(tmp_path / "set/train.lance", 7, blobs=False)
    assert [doc["id"] for doc in read(tmp_path, "./set")] == [0, 1, 2, 0, 1]
    assert len(read(tmp_path, "./set", "train")) == 7
    with pytest.raises(SpecError, match="its splits are: test, train"):
        read(tmp_path, "./set", "dev")


def test_a_folder_that_is_none_is_refused(tmp_path):
    (tmp_path / "d.lance").mkdir()
    with pytest.raises(SpecError, match="no readable Lance dataset"):
        read(tmp_path, "d.lance")
