"""Media at addresses: fetched where the task allows it, from a real HTTP server of this machine, and staged."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest

from assay_api.errors import Failed, SpecError
from assay_runner.data import remote
from assay_runner.data.documents import Documents, stage
from assay_runner.data.remote import ahead, allowed, is_prefix
from assay_runner.data.source import DatasetSpec, load
from assay_runner.store.file import FileStore
from support.documents import png


@pytest.fixture
def site(monkeypatch):
    """A server; `site.pages` maps a path to (status, headers, body) or to a list of them, one after the other."""
    monkeypatch.setattr(remote, "_http", remote._http.__wrapped__)
    monkeypatch.setattr("urllib3.Retry.sleep", lambda self, response=None: None)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            page = pages.get(self.path, (404, {}, b"nothing"))
            status, headers, body = page.pop(0) if isinstance(page, list) else page
            self.send_response(status)
            for name, value in {"Content-Length": len(body), **headers}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            return

    pages, asked = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    server.pages, server.asked = pages, asked
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


def rows(folder, data, image="{{ p }}", allow=()):
    (folder / "d.jsonl").write_text("".join(json.dumps({"p": name}) + "\n" for name in data))
    return list(load(DatasetSpec("d.jsonl", None, "test", {}, {"image": image}, folder, tuple(allow))).rows)


def page(data):
    return 200, {}, data


def test_a_template_of_an_address_fetches_each_row_and_keeps_the_order(site, tmp_path):
    site.pages |= {f"/pics/{number}.png": page(png(number)) for number in range(50)}
    docs = rows(tmp_path, list(range(50)), site.url + "/pics/{{ p }}.png")
    assert [doc["image"].read() for doc in docs] == [png(number) for number in range(50)]


def test_addresses_in_the_data_need_the_tasks_leave(site, tmp_path):
    site.pages["/pics/a.png"] = page(png(1))
    [doc] = rows(tmp_path, [site.url + "/pics/a.png"], allow=[site.url + "/pics/"])
    assert doc["image"].read() == png(1)
    site.asked.clear()
    for allow in ((), (site.url + "/other/",)):
        with pytest.raises(SpecError, match=r"document 0: .* no address that the task allows in its data \(media_from"):
            rows(tmp_path, [site.url + "/pics/a.png"], allow=allow)
    assert site.asked == []


def test_data_cannot_climb_out_of_what_is_allowed():
    prefix = "https://a.example/pics/"
    assert allowed("https://a.example/pics/1.png?size=2", [prefix])
    for way in ("../secret", "%2e%2e/secret", "x/%2E./secret", "..%5csecret"):
        assert not allowed(prefix + way, [prefix])
    assert not allowed("https://a.example.evil/pics/1.png", [prefix])


@pytest.mark.parametrize(
    "text", ["https://", "https://host", "https://{{ h }}/x/", "ftp://host/", "host/x/", "s3://bucket"]
)
def test_what_leaves_the_host_open_is_no_prefix(text, tmp_path):
    assert not is_prefix(text)
    with pytest.raises(SpecError, match="media_from"):
        rows(tmp_path, ["x"], allow=[text])


def test_a_template_that_leaves_the_host_to_the_data_is_refused(tmp_path):
    with pytest.raises(SpecError, match=r"media\.image.*leaves the host to the data"):
        rows(tmp_path, ["x"], "https://{{ p }}/1.png")


def test_what_is_fetched_is_staged_even_where_files_stay_in_place(site, tmp_path):
    large = png(1) + bytes(3 << 20)
    site.pages |= {"/small.png": page(png(2)), "/large.png": page(large)}
    store = FileStore(tmp_path / "store")
    pin = stage(store, rows(tmp_path, ["small", "large"], site.url + "/{{ p }}.png"), "d", in_place=True)
    site.pages.clear()
    assert [doc["image"].read() for doc in Documents(store, pin)] == [png(2), large]


def test_passing_faults_are_tried_again(site, tmp_path):
    site.pages["/a.png"] = [(503, {"Retry-After": "0"}, b""), (429, {}, b""), page(png(1))]
    [doc] = rows(tmp_path, ["a"], site.url + "/{{ p }}.png")
    assert doc["image"].read() == png(1)


def test_redirects_are_followed(site, tmp_path):
    site.pages |= {"/a.png": (302, {"Location": "/elsewhere/b.png"}, b""), "/elsewhere/b.png": page(png(3))}
    [doc] = rows(tmp_path, ["a"], site.url + "/{{ p }}.png")
    assert doc["image"].read() == png(3)


def test_what_is_not_there_is_the_datas_mistake_and_a_server_that_is_away_is_not(site, tmp_path):
    with pytest.raises(SpecError, match=r"document 0: http.*/a\.png cannot be fetched \(HTTP 404\)"):
        rows(tmp_path, ["a"], site.url + "/{{ p }}.png")
    site.pages["/b.png"] = (503, {}, b"")
    with pytest.raises(Failed, match=r"cannot be fetched \(HTTP 503\); plan again"):
        rows(tmp_path, ["b"], site.url + "/{{ p }}.png")
    with pytest.raises(Failed, match=r"127\.0\.0\.1:9/a\.png cannot be fetched \(.*refused"):
        rows(tmp_path, ["a"], "http://127.0.0.1:9/{{ p }}.png")


def test_a_body_that_ends_early_or_never_is_no_medium(site, tmp_path, monkeypatch):
    site.pages["/short.png"] = (200, {"Content-Length": 10_000}, png(1))
    with pytest.raises(Failed, match="cannot be fetched"):
        rows(tmp_path, ["short"], site.url + "/{{ p }}.png")
    monkeypatch.setattr(remote, "LARGEST", 10_000)
    site.pages["/endless.png"] = page(png(1) + bytes(1 << 20))
    with pytest.raises(SpecError, match="more than 10,000 bytes"):
        rows(tmp_path, ["endless"], site.url + "/{{ p }}.png")


def test_a_key_in_an_address_stays_out_of_errors(site, tmp_path):
    keyed = site.url.replace("//", "//me:hush@") + "/{{ p }}.png?token=hush"
    for image, data in ((keyed, "a"), ("{{ p }}", keyed)):
        with pytest.raises(SpecError) as error:
            rows(tmp_path, [data], image)
        assert "hush" not in str(error.value) and "/" in str(error.value)


def test_data_uris_hold_their_medium(tmp_path):
    encoded = base64.b64encode(png(4)).decode()
    docs = rows(tmp_path, [f"data:image/png;base64,{encoded}", f"data:,{quote(png(5))}"])
    assert [doc["image"].read() for doc in docs] == [png(4), png(5)]
    for bad in ("data:image/png;base64", "data:image/png;base64,@@@", "data:text/plain,hello"):
        with pytest.raises(SpecError, match="document 0"):
            rows(tmp_path, [bad])


def test_calls_ahead_keep_the_order_and_tell_the_first_fault():
    assert list(ahead(lambda value: value * 2, range(100))) == [value * 2 for value in range(100)]
    found = ahead(lambda value: 1 // (3 - value), range(100))
    assert [next(found) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(found)
