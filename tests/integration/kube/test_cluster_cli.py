"""The commands for clusters against a real API server. The operator's part, writing the status, is played by the tests."""

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import yaml

from support.evaljobs import complete, failed, judged, planned, running
from support.s3 import start_s3

EVALJOBS = "evaljobs.assay.dev"
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "beside"}}


@pytest.fixture(scope="module")
def api(served):
    return served


@pytest.fixture(scope="module")
def ns(api):
    with api.namespace() as name:
        yield name


@pytest.fixture
def cli(assay, api, ns):
    """Run `assay ARGS` in the tests' namespace as the cluster's administrator."""

    def run(*arguments, check=None, **env):
        return assay(*arguments, "-n", ns, env={"KUBECONFIG": api.kubeconfig, **env}, check=check)

    return run


@pytest.fixture
def manifest(tmp_path):
    """Write a manifest for a job of this name and return its path; keyword arguments are fields of spec."""

    def write(name, *others, namespace=None, **spec):
        job = {
            "apiVersion": "assay.dev/v1alpha1",
            "kind": "EvalJob",
            "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
            "spec": {
                # Where an operator runs, it will not run this job.
                "runtimeRef": {"name": "of-the-tests"},
                "model": {"backend": "transformers", "name": "tiny-vlm/model"},
                "tasks": [{"name": "easy_vqa"}],
                **spec,
            },
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text("---\n".join(json.dumps(document) + "\n" for document in (*others, job)))
        return path

    return write


@pytest.fixture
def report(api, ns):
    """Write a job's status, as the operator does, and return what the API server made of it."""

    def write(name, status):
        patch = json.dumps({"status": status})
        done = api.kubectl(
            "patch", EVALJOBS, name, "-n", ns, "--subresource=status", "--type=merge", "-p", patch, "-o", "json"
        )
        return json.loads(done.stdout)["status"]

    return write


class Started:
    """A command that goes on, its output in files."""

    def __init__(self, folder, *arguments, **env):
        self._out, self._err = folder / "stdout", folder / "stderr"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "assay_runner", *map(str, arguments)],
                cwd=folder, env={**os.environ, **env}, stdout=out, stderr=err,
            )  # fmt: skip

    @property
    def out(self):
        return self._out.read_text()

    @property
    def err(self):
        return self._err.read_text()

    def until(self, text, seconds=30):
        deadline = time.monotonic() + seconds
        while text not in self.err + self.out:
            assert self.process.poll() is None, f"ended without {text!r}:\n{self.out}{self.err}"
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.out}{self.err}"
            time.sleep(0.1)

    def end(self, code):
        assert self.process.wait(30) == code, self.out + self.err


@pytest.fixture
def start(api, ns, tmp_path):
    """Start `assay ARGS` in the tests' namespace; what is left running is killed."""
    started = []

    def begin(*arguments, **env):
        one = Started(tmp_path, *arguments, "-n", ns, KUBECONFIG=api.kubeconfig, **env)
        started.append(one)
        return one

    yield begin
    for one in started:
        one.process.kill()
        one.process.wait()


def test_a_job_is_created_changed_and_left_as_it_is(cli, manifest, api, ns):
    file = manifest("apply")
    first = cli("submit", file, check=0)
    assert first.stdout == f"evaljob/apply created in namespace {ns}\n"
    assert f"assay status apply --watch -n {ns}" in first.stderr
    assert cli("submit", file, check=0).stdout == f"evaljob/apply unchanged in namespace {ns}\n"
    assert cli("submit", manifest("apply", replicas=2), check=0).stdout == f"evaljob/apply changed in namespace {ns}\n"
    assert api.get(EVALJOBS, "apply", ns)["spec"]["replicas"] == 2


def test_the_command_owns_what_the_file_says_and_nothing_else(cli, manifest, api, ns):
    cli("submit", manifest("owned"), check=0)
    stored = json.loads(api.kubectl("get", EVALJOBS, "owned", "-n", ns, "-o", "json", "--show-managed-fields").stdout)
    fields = [entry for entry in stored["metadata"]["managedFields"] if entry["manager"] == "assay-cli"]
    assert [set(entry["fieldsV1"]["f:spec"]) for entry in fields] == [{"f:runtimeRef", "f:model", "f:tasks"}]
    assert stored["spec"]["replicas"] == 1


def test_other_objects_in_the_file_are_left_alone_and_mentioned(cli, manifest, api, ns):
    done = cli("submit", manifest("beside", CONFIG_MAP), check=0)
    assert "ConfigMap/beside is left alone; apply it with kubectl." in done.stderr
    assert "beside" not in api.names("configmaps", ns)


def test_a_wrong_manifest_is_refused_before_a_cluster_is_looked_for(assay, manifest):
    done = assay("submit", manifest("wrong", replicas=0), env={"KUBECONFIG": "/none"}, check=64)
    assert "spec.replicas" in done.stderr and "kubeconfig" not in done.stderr


def test_what_only_the_api_server_knows_is_refused_in_its_words(cli, manifest, report):
    cli("submit", manifest("fixed"), check=0)
    report("fixed", {"plan": planned()})
    done = cli("submit", manifest("fixed", seed=7), check=64)
    assert (
        done.stderr.startswith("assay: ") and "fixed.yaml: spec" in done.stderr and "Invalid value" not in done.stderr
    )


def test_a_field_that_another_tool_set_is_not_taken_over_in_silence(cli, manifest, api, ns):
    cli("submit", manifest("shared"), check=0)
    api.kubectl("patch", EVALJOBS, "shared", "-n", ns, "--type=merge", "-p", '{"spec": {"replicas": 4}}')
    done = cli("submit", manifest("shared", replicas=2), check=1)
    assert "spec.replicas was set by another tool to another value" in done.stderr
    assert api.get(EVALJOBS, "shared", ns)["spec"]["replicas"] == 4


def test_the_namespace_is_the_command_lines_else_the_files_else_the_kubeconfigs(assay, manifest, api, ns, tmp_path):
    view = api.kubectl("config", "view", "--raw", "--flatten", "--minify").stdout
    config = yaml.safe_load(view)
    config["contexts"][0]["context"]["namespace"] = ns
    (tmp_path / "config").write_text(json.dumps(config))
    env = {"KUBECONFIG": str(tmp_path / "config")}
    done = assay("submit", manifest("where"), env=env, check=0)
    assert done.stdout == f"evaljob/where created in namespace {ns}\n" and f"-n {ns}" not in done.stderr
    with api.namespace() as other, api.namespace() as third:
        file = manifest("where", namespace=other)
        assert f"created in namespace {other}" in assay("submit", file, env=env, check=0).stdout
        assert f"created in namespace {third}" in assay("submit", file, "-n", third, env=env, check=0).stdout
    gone = assay("submit", manifest("where"), "-n", "not-there", env=env, check=1)
    assert "There is no namespace not-there" in gone.stderr


def test_waiting_tells_each_thing_once_and_ends_with_the_results(start, manifest, report):
    waiting = start("submit", manifest("waited"), "--wait")
    waiting.until("created")
    report("waited", running())
    waiting.until("4,200/9,673 samples (43 %)")
    report("waited", complete())
    waiting.end(0)
    for once in (
        "Planned: 9,673 samples in 61 chunks.",
        "4,200/9,673",
        "9,673 samples scored.",
    ):
        assert waiting.err.count(once) == 1, waiting.err
    assert "exact_match" in waiting.out and "[0.9985, 1.0000]" in waiting.out and "results: s3://evals" in waiting.out


@pytest.mark.parametrize(("reason", "code"), [("SpecError", 64), ("OutOfMemory", 1)])
def test_the_exit_code_of_waiting_is_the_outcome(start, manifest, report, reason, code):
    name = f"fails-{code}"
    waiting = start("submit", manifest(name), "--wait")
    waiting.until("created")
    report(name, failed(reason, "Said by the operator."))
    waiting.end(code)
    assert f"evaljob/{name} failed: Said by the operator." in waiting.err and f"assay logs {name}" in waiting.err


def test_the_verdicts_on_gates_are_shown_and_are_the_exit_code_of_a_complete_job(start, manifest, report):
    waiting = start("submit", manifest("gated"), "--wait")
    waiting.until("created")
    report("gated", judged("passed", "failed", "cannot tell"))
    waiting.end(3)
    assert "gate gate-0: passed. About gate 0." in waiting.out and "results: s3://evals" in waiting.out
    assert "gate gate-1: failed. About gate 1." in waiting.out and "assay logs" not in waiting.err


def test_a_job_that_is_deleted_meanwhile_ends_the_wait(start, manifest, api, ns):
    waiting = start("submit", manifest("deleted"), "--wait")
    waiting.until("created")
    api.kubectl("delete", EVALJOBS, "deleted", "-n", ns)
    waiting.end(1)
    assert "evaljob/deleted was deleted before it ended." in waiting.err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stopping_to_wait_leaves_the_job_and_says_how_to_come_back(start, manifest, report, api, ns, how):
    name = f"left-{how.name.lower()}"
    waiting = start("submit", manifest(name), "--wait")
    waiting.until("created")
    report(name, running())
    waiting.until("Planned")
    waiting.process.send_signal(how)
    waiting.end(75)
    assert f"goes on. Come back with:\n  assay status {name} --watch -n {ns}" in waiting.err
    assert name in api.names(EVALJOBS, ns)


def test_an_api_server_that_blinks_is_waited_for(start, manifest, report, api, ns, tmp_path):
    config = yaml.safe_load(api.kubectl("config", "view", "--raw", "--flatten", "--minify").stdout)
    host, port = config["clusters"][0]["cluster"]["server"].removeprefix("https://").rsplit(":", 1)
    line = Line(host, int(port))
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{line.port}"
    (tmp_path / "config").write_text(json.dumps(config))
    with line:
        waiting = Started(
            tmp_path, "submit", manifest("blink"), "--wait", "-n", ns, KUBECONFIG=str(tmp_path / "config")
        )
        waiting.until("created")
    waiting.until("cannot be reached")
    report("blink", complete())
    with line:
        waiting.until("The API server answers again.")
        waiting.end(0)


class Line:
    """Passes connections on to an address while it is entered, and cuts them when it is left."""

    def __init__(self, host, port):
        self._target = (host, port)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._open = []
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def __exit__(self, *_):
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                near, far = listener.accept()[0], socket.create_connection(self._target)
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def test_a_finished_job_is_not_run_again_and_submitting_it_says_so(cli, manifest, report):
    file = manifest("finished")
    cli("submit", file, check=0)
    report("finished", complete())
    again = cli("submit", file, check=0)
    assert "a finished job is not run again" in again.stderr and "assay cancel finished" in again.stderr
    assert "exact_match" in cli("submit", file, "--wait", check=0).stdout


def test_status_shows_a_page_and_names_what_is_similar_to_what_is_missing(cli, manifest, report, ns):
    cli("submit", manifest("page-of-job"), check=0)
    report("page-of-job", running())
    page = cli("status", "page-of-job", check=0).stdout
    assert page.startswith(f"evaljob/page-of-job in namespace {ns}: Running for ")
    assert "4,200/9,673 samples (43 %)" in page and "2 running, 1 waiting, 1 preempted" in page
    assert f"There is no evaljob/page-of-jobs in namespace {ns}; did you mean page-of-job?" in (
        cli("status", "page-of-jobs", check=1).stderr
    )
    assert "kubectl get evaljobs --all-namespaces" in cli("status", "zzz", check=1).stderr


def test_watching_ends_with_the_job_and_its_exit_code(start, cli, manifest, report):
    cli("submit", manifest("watched"), check=0)
    watching = start("status", "watched", "--watch")
    report("watched", running())
    watching.until("4,200/9,673")
    report("watched", failed("OutOfMemory", "A worker needed more than 2Gi."))
    watching.end(1)
    assert "evaljob/watched in namespace" in watching.out and "A worker needed more than 2Gi." in watching.out


def test_a_user_without_permission_reads_which_one_is_missing(assay, api, ns, tmp_path):
    api.kubectl("create", "serviceaccount", "nobody", "-n", ns)
    config = yaml.safe_load(api.kubectl("config", "view", "--raw", "--flatten", "--minify").stdout)
    token = api.kubectl("create", "token", "nobody", "-n", ns).stdout.strip()
    config["users"][0]["user"] = {"token": token}
    (tmp_path / "config").write_text(json.dumps(config))
    done = assay("status", "x", "-n", ns, env={"KUBECONFIG": str(tmp_path / "config")}, check=1)
    assert 'nobody" cannot get resource "evaljobs"' in done.stderr and token not in done.stderr


@pytest.fixture
def on_s3(cli, manifest, report, api, ns):
    """Make a finished job whose results.json lies on a real S3 server; (the server, its bucket, the key)."""

    def make(name, data):
        server = start_s3()
        bucket = server.new_bucket()
        storage = {"uri": f"s3://{bucket}/runs", "endpointUrl": "http://only-in-pods:9000", "region": "us-east-1"}
        cli("submit", manifest(name, storage=storage), check=0)
        uid = api.get(EVALJOBS, name, ns)["metadata"]["uid"]
        key = f"runs/{ns}/{name}/{uid}/results.json"
        server.client().put_object(Bucket=bucket, Key=key, Body=data)
        report(name, complete(resultsUri=f"s3://{bucket}/{key}", resultsDigest=hashlib.sha256(data).hexdigest()))
        return server, bucket, key

    return make


def test_results_of_a_job_are_found_by_its_name(cli, manifest, report):
    cli("submit", manifest("with-results"), check=0)
    report("with-results", running())
    assert "evaljob/with-results has no results yet, it is Running." in cli("results", "with-results", check=1).stderr
    report("with-results", complete(resultsOmitted=3))
    table = cli("results", "with-results", check=0).stdout
    assert "exact_match" in table and "3 more rows are in results.json only" in table and "results: s3://" in table
    report("with-results", failed("TooManyErrors", "3 of 10 samples failed.") | {"results": None})
    assert (
        "There are no results: evaljob/with-results failed: 3 of 10" in cli("results", "with-results", check=1).stderr
    )


def test_results_json_is_fetched_with_the_users_credentials_and_checked(cli, on_s3):
    server, bucket, key = on_s3("fetched", b'{"schema": "x"}\n')
    assert cli("results", "fetched", "--json", check=0, **server.env).stdout == '{"schema": "x"}\n'
    server.client().put_object(Bucket=bucket, Key=key, Body=b'{"schema": "forged"}\n')
    forged = cli("results", "fetched", "--json", check=1, **server.env)
    assert "its SHA-256 differs from status.resultsDigest" in forged.stderr and forged.stdout == ""


def test_without_credentials_the_sentence_says_which_are_missing(cli, on_s3):
    server, _, _ = on_s3("no-key", b"{}")
    bare = server.env | {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    assert "no AWS credentials were found" in cli("results", "no-key", "--json", check=1, **bare).stderr


def test_cancelling_says_what_stays_and_leaves_no_object(cli, manifest, report, api, ns):
    cli("submit", manifest("cancelled"), check=0)
    report("cancelled", running())
    done = cli("cancel", "cancelled", check=0)
    assert "What evaljob/cancelled has stored stays at s3://evals/runs/" in done.stderr
    assert done.stdout == f"evaljob/cancelled deleted from namespace {ns}\n"
    assert "cancelled" not in api.names(EVALJOBS, ns)
    assert "There is no evaljob/cancelled" in cli("cancel", "cancelled", check=1).stderr


def test_cancelling_waits_for_what_the_operator_removes_first(start, manifest, cli, report, api, ns):
    cli("submit", manifest("reclaimed", reclaimPolicy="Delete"), check=0)
    report("reclaimed", running())
    hold = {"metadata": {"finalizers": ["assay.dev/of-the-tests"]}}
    api.kubectl("patch", EVALJOBS, "reclaimed", "-n", ns, "--type=merge", "-p", json.dumps(hold))
    cancelling = start("cancel", "reclaimed")
    cancelling.until("(reclaimPolicy Delete)")
    time.sleep(2)
    assert cancelling.process.poll() is None
    assert "still being deleted" in cli("submit", manifest("reclaimed"), check=1).stderr
    api.kubectl("patch", EVALJOBS, "reclaimed", "-n", ns, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    cancelling.end(0)


def gated_pod(name, uid):
    """A pod of the job's planner that no scheduler touches, so that it waits whether there are nodes or not."""
    metadata = {"name": f"{name}-1a2b3c4d-plan-x7k2p", "labels": {"assay.dev/job-uid": uid, "assay.dev/step": "plan"}}
    secure = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec = {
        "schedulingGates": [{"name": "assay.dev/of-the-tests"}],
        "containers": [{"name": "runner", "image": "none", "securityContext": secure}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def test_logs_say_why_there_are_none(cli, manifest, report, api, ns):
    cli("submit", manifest("silent"), check=0)
    assert "evaljob/silent has no pods yet; wait for them with assay logs silent --follow" in (
        cli("logs", "silent", check=1).stderr
    )
    uid = api.get(EVALJOBS, "silent", ns)["metadata"]["uid"]
    api.kubectl("create", "-n", ns, "-f", "-", input=json.dumps(gated_pod("silent", uid)))
    deadline = time.monotonic() + 20
    while "SchedulingGated" not in (said := cli("logs", "silent", check=0).stdout):
        assert time.monotonic() < deadline, said
    assert said.startswith("plan-x7k2p | (no log: SchedulingGated: ")
    assert "no pods for work yet" in cli("logs", "silent", "--step", "work", check=1).stderr
    api.kubectl("delete", "pod", "-n", ns, "-l", f"assay.dev/job-uid={uid}", "--force")
    report("silent", complete())
    assert "has no pods any more, and their logs went with them" in cli("logs", "silent", check=1).stderr


def test_following_ends_with_the_job(start, cli, manifest, report):
    cli("submit", manifest("followed"), check=0)
    following = start("logs", "followed", "--follow")
    time.sleep(2)
    assert following.process.poll() is None
    report("followed", complete())
    following.end(0)


def test_a_command_loads_nothing_that_evaluates(cli, manifest):
    """Half its second is the Kubernetes client; models, tables, pictures and stores would add several."""
    cli("submit", manifest("quick"), check=0)
    told = cli("status", "quick", check=0, PYTHONPROFILEIMPORTTIME="1").stderr
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in told.splitlines() if "|" in line}
    assert {"assay_runner", "kubernetes"} <= loaded
    assert not loaded & {
        "PIL",
        "aiohttp",
        "boto3",
        "botocore",
        "jinja2",
        "numpy",
        "pyarrow",
        "scipy",
        "torch",
        "transformers",
    }


def test_the_support_module_is_true_to_the_definitions(cli, manifest, report):
    """Statuses that the unit tests draw are statuses that the API server keeps as they are."""
    cli("submit", manifest("true-to-life"), check=0)
    for status in (running(), complete(), failed("OutOfMemory", "A worker needed more than 2Gi.")):
        kept = report("true-to-life", status)
        assert {name: kept.get(name) for name in status} == status | {
            name: kept[name] for name in ("summary", "progress", "workers", "results") if name in status
        }
        for name in ("summary", "progress", "workers"):
            assert kept[name].items() >= status.get(name, {}).items()
        for seen, drawn in zip(kept.get("results", []), status.get("results", []), strict=False):
            assert seen.items() >= drawn.items()
