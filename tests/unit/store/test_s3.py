"""Lost, refused, cut and late answers: what S3Store says of a write is true, or it says that it does not know."""

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay_runner.store.base import NotFoundInStore, StoreDenied, StoreUnavailable
from assay_runner.store.s3 import S3Store
from assay_runner.store.s3_client import make_client
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


def test_a_plain_refusal_needs_no_second_look(s3, server, memory):
    memory.objects[MARKER] = b"rival"
    assert s3.put_if_absent("marker", b"mine") is False
    assert [request.method for request in server.requests] == ["PUT"]


@pytest.mark.parametrize("fault", [Fault.CONFLICT])
def test_a_conflict_leaves_no_doubt_so_equal_bytes_of_a_rival_stay_the_rivals(s3, server, memory, fault):
    memory.objects[MARKER] = b"same"
    server.plan(fault)
    assert s3.put_if_absent("marker", b"same") is False


def test_a_doubt_that_reading_cannot_settle_is_unavailable(s3, server):
    server.plan(Fault.DROP_AFTER, None, *[Fault.DROP_BEFORE] * 4)
    with pytest.raises(StoreUnavailable, match=r"s3://bucket/runs/marker could not be read at .* \(4 tries\)"):
        s3.put_if_absent("marker", b"mine")


def test_an_object_said_to_exist_and_not_to_exist_is_unavailable(s3, server):
    server.plan(Fault.DROP_BEFORE, error(412, "PreconditionFailed"))
    with pytest.raises(StoreUnavailable, match="both that it exists and that it does not"):
        s3.put_if_absent("marker", b"mine")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
        f"s3://bucket/runs/object could not be written at {server.endpoint}: it answered 503 SlowDown (4 tries)."
    )
    assert len(puts(server)) == 4
    assert pauses == [0.125, 0.25, 0.5]


def test_pauses_never_exceed_their_bound(server, _client, pauses):
    store = S3Store("bucket", "", _client, tries=12, pause=pauses.append, jitter=lambda: 1.0)
    server.plan(*[Fault.ERROR_BEFORE] * 20)
    with pytest.raises(StoreUnavailable):
        store.get("object")
    assert len(pauses) == 11
    assert max(pauses) == 8.0


def test_an_unreachable_server_is_named(credentials):
    client = make_client("http://user:pass@127.0.0.1:9", "us-east-1", {}, connect_seconds=1)
    with pytest.raises(StoreUnavailable, match=r"at http://127\.0\.0\.1:9: it cannot be reached; check spec\.storage"):
        S3Store("bucket", "", client, tries=2, pause=lambda _: None).get("object")


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
        (error(403, "RequestTimeTooSkewed"), "clock is off"),
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
        S3Store("bucket", "", make_client(server.endpoint, None, {}), tries=1).get("k")
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
