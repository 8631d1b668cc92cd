"""Media that rows name by their S3 addresses come from a real server."""

import json

import pytest

from assay_api.errors import SpecError
from assay_runner.data.source import DatasetSpec, load
from assay_runner.store.open import open_store
from support.documents import png
from support.s3 import s3_server, s3_store

__all__ = ["s3_server", "s3_store"]


def test_rows_name_objects_of_a_bucket(s3_store, tmp_path, monkeypatch):
    settings = s3_store()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", settings.endpoint_url)
    store = open_store(settings.uri, settings)
    for number in range(20):
        store.put(f"pics/{number}.png", png(number))

    def rows(names, image):
        (tmp_path / "d.jsonl").write_text("".join(json.dumps({"p": name}) + "\n" for name in names))
        return list(load(DatasetSpec("d.jsonl", None, "test", {}, {"image": image}, tmp_path)).rows)

    docs = rows(range(20), settings.uri + "/pics/{{ p }}.png")
    assert [doc["image"].read() for doc in docs] == [png(number) for number in range(20)]
    with pytest.raises(SpecError, match=r"document 1: s3://.*/pics/x\.png is not there"):
        rows([0, "x"], settings.uri + "/pics/{{ p }}.png")
