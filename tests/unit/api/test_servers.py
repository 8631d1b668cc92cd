"""What a job may say to a server is the runtime's to decide, and what could move a number is known of the server."""

import pytest

from assay_api.errors import SpecError
from assay_api.permissions import needed_switches
from assay_api.servers import Server, ServerRef, refused_argument
from assay_api.sidecar import VARIABLE, Sidecar
from support.control_plane import evaljob


def server(**fields):
    return Server.model_validate({"image": "vllm:1", "args": ["--model", "$(MODEL)"], **fields})


def asked(*args):
    return ServerRef.model_validate({"name": "vllm", "args": list(args)})


@pytest.mark.parametrize(
    ("allowed", "args", "refused"),
    [
        ([], [], None),
        ([], ["--seed", "1"], "--seed"),
        (["--seed"], ["--seed", "1"], None),
        (["--seed"], ["--seed=1", "--host=0.0.0.0"], "--host"),
        (["--seed"], ["--see", "1"], "--see"),
        (["-c"], ["-c/etc/passwd"], "-c/etc/passwd"),
        (["--seed"], ["--seed", "1", "--"], "--"),
        (["--bias"], ["--bias", "-0.5"], None),
        (["--bias"], ["--bias", "-inf"], "-inf"),
        (["*"], ["--trust-remote-code"], None),
    ],
)
def test_an_option_is_allowed_by_its_whole_name(allowed, args, refused):
    assert refused_argument(server(allowedArgs=allowed), args) == refused


@pytest.mark.parametrize("option", ["--trust-remote-code", "--trust_remote_code", "--trust-remote-code=true"])
def test_a_server_that_is_to_run_a_models_code_needs_the_switch_for_it(option):
    model = {"backend": "openai", "name": "m", "server": {"name": "vllm", "args": [option]}}
    assert needed_switches(evaljob(model=model).spec) == {"remoteCode": "spec.model.server.args"}


def test_image_command_arguments_and_variables_are_a_servers_identity_and_nothing_else_is():
    plain = Sidecar.of(asked("--seed", "1"), server())
    assert plain.identity == {
        "name": "vllm",
        "image": "vllm:1",
        "command": [],
        "args": ["--model", "$(MODEL)", "--seed", "1"],
    }
    for changes in ({"image": "vllm:2"}, {"command": ["x"]}, {"args": ["--y"]}, {"env": [{"name": "A", "value": "1"}]}):
        assert Sidecar.of(asked("--seed", "1"), server(**changes)).identity != plain.identity
    placed = {"port": 9000, "readiness": {"timeoutSeconds": 9}, "resources": {"limits": {"cpu": 4}}}
    assert Sidecar.of(asked("--seed", "1"), server(**placed)).identity == plain.identity


def test_no_value_of_a_variable_is_told():
    told = Sidecar.of(asked(), server(env=[{"name": "TOKEN", "value": "hf_secret"}])).encode()
    assert b"hf_secret" not in told


def test_a_worker_reads_what_the_operator_wrote():
    told = Sidecar.of(asked("--seed", "1"), server(port=9001))
    read = Sidecar.read({VARIABLE: told.encode().decode()})
    assert read == told and read.url == "http://127.0.0.1:9001/v1"
    assert Sidecar.read({}) is None
    with pytest.raises(SpecError, match="run operator and workers in the same version"):
        Sidecar.read({VARIABLE: '{"schema": "assay/server/v2"}'})
