"""Commands for clusters start fast, and say what to install where the client is missing."""

import subprocess
import sys

import pytest

from assay_api.errors import Failed
from assay_runner.cluster.client import connect


@pytest.mark.parametrize("module", ["submit", "status", "logs", "results"])
def test_the_kubernetes_client_is_imported_only_when_a_cluster_is_asked(module):
    script = f"import sys, assay_runner.cli.{module}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & {"kubernetes", "boto3", "torch", "aiohttp"}


def test_without_the_client_one_sentence_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(Failed, match=r"need the Kubernetes client; pip install 'assay\[cluster\]'") as caught:
        connect(None)
    assert caught.value.exit_code == 1


def test_without_a_kubeconfig_one_sentence_says_what_to_set(monkeypatch, tmp_path):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(Failed, match=r"There is no kubeconfig at .*none; set KUBECONFIG"):
        connect(None)


CONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
contexts:
  - {name: plain, context: {cluster: c, user: u}}
  - {name: mine, context: {cluster: c, user: u, namespace: research}}
"""


def test_a_context_brings_its_namespace(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'none'}:{tmp_path / 'config'}")
    (tmp_path / "config").write_text(CONFIG)
    assert (connect("mine").namespace, connect("plain").namespace) == ("research", "default")
    with pytest.raises(Failed, match=r"leads to no cluster: .*other"):
        connect("other")


@pytest.mark.parametrize(
    ("text", "sentence"), [("{", "is no valid YAML"), ("", "leads to no cluster"), (CONFIG, "leads to no cluster")]
)
def test_a_broken_kubeconfig_is_named(monkeypatch, tmp_path, text, sentence):
    (tmp_path / "config").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(Failed, match=sentence):
        connect(None)


def test_a_server_that_is_not_there_is_named(monkeypatch, tmp_path):
    (tmp_path / "config").write_text(CONFIG)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(Failed, match=r"https://127\.0\.0\.1:1 cannot be reached \(connection refused\)"):
        connect("mine").job("research", "x")
