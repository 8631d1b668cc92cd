"""Lost, refused, cut and late answers: what S3Store says of a write is true, or it says that it does not know."""

import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay_runner.store.base import NotFoundInStore, StoreDenied, StoreUnavailable
from assay_runner.store.s3 import S3Store
from assay_runner.store.s3_client import make_client
from assay_runner.store.s3_tries import Tries
from support.faulty_s3 import Fault, MemoryS3, Reply, error

LOST_AFTER = (Fault.DROP_AFTER, Fault.SILENCE_AFTER, Fault.ERROR_AFTER, Fault.GARBAGE_AFTER)
BEFORE = (Fault.DROP_BEFORE, Fault.SLOW_DOWN, Fault.ERROR_BEFORE, Fault.CONFLICT)
MARKER = "runs/marker"


def puts(server):
    return [request for request in server.requests if request.method == "PUT"]


@pytest.mark.parametrize("fault", [*LOST_AFTER, *BEFORE])
def test_one_lost_or_failed_answer_does_not_change_what_a_creation_says(s3, server, memory, fault):
    server.plan(fault)
    assert s3.put_if_absent("marker", b"mine") is True
    assert memory.objects[MARKER] == b"mine"
    server.plan(fault)
    assert s3.put_if_absent("marker", b"later") is False
    assert memory.objects[MARKER] == b"mine"


@pytest.mark.parametrize("fault", LOST_AFTER)
def test_a_refusal_after_a_lost_answer_to_a_lost_race_is_not_taken_for_success(s3, server, memory, fault):
    memory.objects[MARKER] = b"rival"
    server.plan(fault)
    assert s3.put_if_absent("marker", b"mine") is False


def test_a_plain_refusal_is_believed_when_the_object_is_there(s3, server, memory):
    memory.objects[MARKER] = b"rival"
    assert s3.put_if_absent("marker", b"mine") is False
    assert [request.method for request in server.requests] == ["PUT", "HEAD"]


def test_a_refusal_without_an_object_is_taken_for_a_fault(s3, server, memory):
    server.plan(Fault.PRECONDITION, method="PUT")
    assert s3.put_if_absent("marker", b"mine") is True
    assert memory.objects[MARKER] == b"mine"


@pytest.mark.parametrize("fault", [Fault.PRECONDITION, Fault.PRECONDITION_AFTER])
def test_a_412_to_a_request_without_a_condition_is_a_fault(s3, server, memory, fault):
    for operation in (lambda: s3.put("k", b"x"), lambda: s3.get("k"), lambda: [*s3.list("")], lambda: s3.delete("k")):
        server.plan(fault)
        operation()


@pytest.mark.parametrize("fault", [Fault.CONFLICT])
def test_a_conflict_leaves_no_doubt_so_equal_bytes_of_a_rival_stay_the_rivals(s3, server, memory, fault):
    memory.objects[MARKER] = b"same"
    server.plan(fault)
    assert s3.put_if_absent("marker", b"same") is False


def test_a_doubt_that_reading_cannot_settle_is_unavailable(s3, server):
    server.plan(Fault.DROP_AFTER, None, *[Fault.DROP_BEFORE] * 4)
    with pytest.raises(StoreUnavailable, match=r"s3://bucket/runs/marker could not be read at .* \(4 tries in 0 s\)"):
        s3.put_if_absent("marker", b"mine")


@pytest.mark.parametrize("first", [Fault.DROP_BEFORE, Fault.PRECONDITION])
def test_an_object_said_to_exist_and_not_to_exist_is_unavailable(s3, server, first):
    server.plan(first, *[Fault.PRECONDITION] * 9, method="PUT")
    with pytest.raises(StoreUnavailable, match="both that it exists and that it does not"):
        s3.put_if_absent("marker", b"mine")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    faults=st.lists(
        st.sampled_from([None, *BEFORE, Fault.DROP_AFTER, Fault.ERROR_AFTER, Fault.GARBAGE_AFTER]), max_size=8
    ),
    there=st.sampled_from([None, b"rival"]),
)
def test_whatever_goes_wrong_true_and_false_are_certain(s3, server, faults, there):
    server.upstream = memory = MemoryS3(objects={MARKER: there} if there else {})
    server.plan(*faults)
    try:
        created = s3.put_if_absent("marker", b"mine")
    except StoreUnavailable:
        return
    assert created is (there is None)
    assert memory.objects[MARKER] == (b"mine" if created else b"rival")


def test_racing_writers_under_faults_agree_on_one_winner(s3, server, memory):
    lock, count = threading.Lock(), 0

    def every_third(request):
        nonlocal count
        with lock:
            count += 1
            return {0: Fault.DROP_AFTER, 1: Fault.ERROR_BEFORE, 2: None}[count % 3]

    server.script = every_third
    said = {}

    def create(number):
        try:
            said[number] = s3.put_if_absent("marker", f"writer {number}".encode())
        except StoreUnavailable:
            said[number] = None

    threads = [threading.Thread(target=create, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winner = memory.objects[MARKER].decode()
    assert len(said) == 12
    assert [f"writer {n}" for n, created in said.items() if created] in ([winner], [])
    assert said[int(winner.split()[1])] is not False


@pytest.mark.parametrize("fault", [Fault.TRUNCATE_AFTER, Fault.DROP_BEFORE, Fault.SILENCE_AFTER, Fault.GARBAGE_AFTER])
def test_a_read_is_repeated_until_it_is_whole(s3, server, memory, fault):
    memory.objects["runs/object"] = bytes(range(256)) * 400
    server.plan(fault, fault)
    assert s3.get("object") == memory.objects["runs/object"]
    assert len(server.requests) == 3


def test_a_read_that_is_never_whole_is_unavailable(s3, server, memory):
    memory.objects["runs/object"] = b"x" * 100_000
    server.plan(*[Fault.TRUNCATE_AFTER] * 4)
    with pytest.raises(StoreUnavailable, match="object could not be read"):
        s3.get("object")


@pytest.mark.parametrize("fault", [*LOST_AFTER, *BEFORE])
def test_a_plain_write_is_repeated_until_it_is_answered(s3, server, memory, fault):
    server.plan(fault, fault)
    s3.put("object", b"x")
    assert memory.objects == {"runs/object": b"x"}


def test_a_listing_survives_faults_on_every_page(s3, server, memory):
    memory.page = 2
    memory.objects = {f"runs/{n}": b"" for n in range(7)} | {"runs-of-others/1": b"", "runs/folder/": b""}
    faults = [Fault.TRUNCATE_AFTER, None, Fault.DROP_BEFORE, None, Fault.SLOW_DOWN, None, Fault.GARBAGE_AFTER, None]
    server.plan(*faults)
    assert list(s3.list("")) == [str(n) for n in range(7)]


def test_a_listing_that_promises_more_without_saying_where_ends(s3, server):
    page = b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"
    server.plan(Reply(200, page))
    with pytest.raises(StoreUnavailable, match="completely"):
        list(s3.list(""))


def test_tries_are_bounded_counted_by_us_alone_and_spread_out(s3, server, pauses):
    server.plan(*[Fault.SLOW_DOWN] * 20)
    with pytest.raises(StoreUnavailable) as caught:
        s3.put("object", b"x")
    assert str(caught.value) == (
        f"s3://bucket/runs/object could not be written at {server.endpoint}: it answered 503 SlowDown (4 tries in 0 s); "
        "run the same command again when the server is well."
    )
    assert len(puts(server)) == 4
    assert pauses == [0.125, 0.25, 0.5]


def test_pauses_never_exceed_their_bound(server, _client, pauses):
    store = S3Store("bucket", "", _client, tries=Tries(most=12, pause=pauses.append, jitter=lambda: 1.0))
    server.plan(*[Fault.ERROR_BEFORE] * 20)
    with pytest.raises(StoreUnavailable):
        store.get("object")
    assert len(pauses) == 11
    assert max(pauses) == 16.0


def test_no_try_is_begun_after_the_patience_is_spent(s3, server, _client):
    now = [0.0]
    tries = Tries(patience=100, pause=lambda seconds: None, clock=lambda: now[0])
    store = S3Store("bucket", "", _client, tries=tries)

    def forty_seconds_each(request):
        now[0] += 40
        return Fault.ERROR_BEFORE

    server.script = forty_seconds_each
    with pytest.raises(StoreUnavailable, match=r"it answered 500 InternalError \(3 tries in 120 s\); run the same"):
        store.get("object")


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("7", 7.0),
        ("100000", 60.0),
        ("Wed, 01 Jan 2020 00:00:09 GMT", 9.0),
        ("Tue, 31 Dec 2019 23:59:00 GMT", 0.0),
        ("soon", None),
    ],
)
@pytest.mark.parametrize("status", [503, 429])
def test_a_wish_to_be_asked_later_is_granted_within_bounds_and_spread_out(s3, server, pauses, asked, granted, status):
    told = {"Retry-After": asked, "Date": "Wed, 01 Jan 2020 00:00:00 GMT"}
    server.plan(replace(error(status, "SlowDown"), headers=told))
    s3.put("object", b"x")
    assert pauses == [0.125 + (granted or 0.0)]


@pytest.mark.parametrize("fault", [Fault.DRIP_AFTER, Fault.DRIP_BODY_AFTER])
def test_a_server_that_drips_is_given_up_on(s3, server, memory, _client, fault):
    memory.objects["runs/object"] = b"x" * 1000
    store = S3Store("bucket", "runs", _client, tries=Tries(most=2, pause=lambda _: None, answer=0.4))
    server.plan(fault, None)
    assert store.get("object") == b"x" * 1000
    server.plan(fault, fault)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"its answer took longer than 0 s \(2 tries in [01] s\)"):
        store.get("object")
    assert time.monotonic() - began < 5


def test_a_server_that_takes_bytes_slowly_gets_all_of_them(credentials, server, memory):
    """A connection's timeout must bound a silence while bytes go out, not the time that they take."""
    client = make_client(server.endpoint, "us-east-1", {}, connect_seconds=0.5, read_seconds=5)
    server.plan(Fault.SLOW_UPLOAD)
    data = bytes(24 << 20)
    S3Store("bucket", "runs", client, tries=Tries(most=1)).put("object", data)
    assert memory.objects["runs/object"] == data


def test_where_the_clocks_differ_the_server_s_counts_also_when_it_is_set_meanwhile(credentials, server, memory):
    tries = Tries(most=2, pause=lambda _: None)
    store = S3Store("bucket", "runs", make_client(server.endpoint, "us-east-1", {}), tries=tries)
    memory.objects["runs/there"] = b"x"
    for hours in (-5, 24 * 400, 0):
        for operation in (lambda: store.put("new", b"x"), lambda: store.get("there"), lambda: [*store.list("")]):
            server.clock_ahead = timedelta(hours=hours)
            operation()
            before = len(server.requests)
            operation()
            assert len(server.requests) == before + 1
            server.clock_ahead += timedelta(days=2)
        # The answer to a HEAD has no room for a reason.
        server.plan(error(412, "PreconditionFailed"))
        assert store.put_if_absent("there", b"x") is False


def test_where_uploads_in_parts_are_unknown_a_large_object_goes_up_whole(s3, server, memory, tmp_path, monkeypatch):
    monkeypatch.setattr("assay_runner.store.s3.WHOLE", 1000)
    server.script = lambda request: error(501, "NotImplemented") if request.method == "POST" else None
    data = bytes(range(256)) * 8
    (tmp_path / "large").write_bytes(data)
    s3.put_file("file", tmp_path / "large")
    s3.put("bytes", data)
    assert s3.put_if_absent("once", data) is True
    assert s3.put_if_absent("once", data + b"x") is False
    assert memory.objects == {f"runs/{key}": data for key in ("file", "bytes", "once")}


def test_a_clock_that_cannot_be_followed_is_named(s3, server):
    server.plan(*[replace(error(403, "RequestTimeTooSkewed"), headers={"Date": "never"})] * 4)
    with pytest.raises(StoreUnavailable, match=r"clock and the server's are far apart.*; set the clock"):
        s3.get("object")


def test_secrets_that_a_server_repeats_are_not_shown(s3, server):
    server.plan(error(403, "AccessDenied", "Authorization: AWS4 no X-Amz-Security-Token=abc123; Signature=00ff, sorry"))
    with pytest.raises(StoreDenied) as caught:
        s3.get("object")
    assert "Signature=…" in str(caught.value)
    for secret in ("abc123", "00ff"):
        assert secret not in str(caught.value)


def test_an_unreachable_server_is_named(credentials):
    client = make_client("http://user:pass@127.0.0.1:9", "us-east-1", {}, connect_seconds=1)
    with pytest.raises(
        StoreUnavailable,
        match=r"at http://127\.0\.0\.1:9: it cannot be reached \(2 tries in . s\); check spec",
    ):
        S3Store("bucket", "", client, tries=Tries(most=2, pause=lambda _: None)).get("object")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (error(404, "NoSuchBucket"), "the bucket does not exist; create it"),
        (error(403, "InvalidAccessKeyId"), "does not know the access key; check AWS_ACCESS_KEY_ID"),
        (error(403, "SignatureDoesNotMatch"), "the secret key does not belong"),
        (
            error(403, "AccessDenied", "User: u is not authorized."),
            r"\(User: u is not authorized\); grant s3:GetObject",
        ),
        (error(400, "ExpiredToken"), "expired; renew"),
        (error(400, "AuthorizationHeaderMalformed"), "set spec.storage.region"),
        (error(501, "NotImplemented"), "501 NotImplemented"),
        (error(400, "EntityTooLarge"), "lower spec.chunkSize"),
        (Reply(405, b"<html>no</html>"), "it answered 405"),
    ],
)
def test_a_refusal_is_not_repeated_and_says_what_to_set(s3, server, reply, words):
    for operation in (
        lambda: s3.get("k"),
        lambda: s3.put("k", b""),
        lambda: s3.put_if_absent("k", b""),
        lambda: [*s3.list("")],
    ):
        server.plan(reply)
        server.requests.clear()
        with pytest.raises(StoreDenied, match=words) as caught:
            operation()
        assert len(server.requests) == 1
        assert server.endpoint in str(caught.value)
        assert "hush-hush" not in str(caught.value)


def test_only_a_read_takes_a_bare_404_for_a_missing_object(s3, server):
    server.plan(Reply(404))
    with pytest.raises(NotFoundInStore):
        s3.get("k")
    for operation in (lambda: s3.put("k", b""), lambda: list(s3.list(""))):
        server.plan(Reply(404))
        with pytest.raises(StoreDenied, match="it answered 404"):
            operation()


def test_the_404_page_of_a_web_server_is_no_missing_object(s3, server):
    server.plan(Reply(404, b"<html>nothing here</html>", {"Content-Type": "text/html"}))
    with pytest.raises(StoreDenied, match="it answered 404"):
        s3.get("k")


def test_without_credentials_the_sentence_says_what_to_set(credentials, monkeypatch, server):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    client = make_client(server.endpoint, None, {})
    with pytest.raises(StoreDenied, match="no AWS credentials were found; set AWS_ACCESS_KEY_ID"):
        S3Store("bucket", "", client).get("k")
    assert server.requests == []


def test_a_missing_profile_and_a_missing_token_file_are_named(credentials, monkeypatch, server):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/no/such/token")
    with pytest.raises(StoreDenied, match="name the file /no/such/token, which cannot be read"):
        S3Store("bucket", "", make_client(server.endpoint, None, {}), tries=Tries(most=1)).get("k")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StoreDenied, match="AWS_PROFILE names a profile"):
        make_client(server.endpoint, None, {})


def test_requests_name_bucket_in_the_path_and_carry_no_checksums_that_clones_refuse(s3, server):
    s3.put_if_absent("a b", b"x")
    request = puts(server)[0]
    assert request.path == "/bucket/runs/a%20b"
    assert request.headers["If-None-Match"] == "*"
    assert not [name for name in request.headers if "checksum" in name.lower() or "trailer" in name.lower()]
    assert request.body == b"x"
