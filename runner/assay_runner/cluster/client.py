"""The cluster behind the few questions that the commands ask of it.

The official client finds the cluster, proves who the user is and secures the connection; the requests themselves are
plain JSON, because its typed models take half a second to import. Nothing is retried here: who waits, decides for how long.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import yaml

from assay_api.errors import Failed
from assay_api.evaljob import GROUP, VERSION
from assay_runner import __version__
from assay_runner.cluster.answers import ApiRefused, ApiUnavailable, refusal

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

MANAGER = "assay-cli"
"""Field manager of what this command applies."""
CONTAINER = "runner"

_CONNECT_SECONDS = 10.0
_READ_SECONDS = 30.0
_NAMESPACE_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_APPLY = "application/apply-patch+yaml"

Raw = dict[str, Any]


class Cluster:
    """One cluster, as one user.

    Args:
        api: an `ApiClient` of the official client.
        namespace: the user's current one.
    """

    def __init__(self, api: Any, namespace: str) -> None:
        self._api, self.namespace = api, namespace

    def job(self, namespace: str, name: str) -> Raw | None:
        """The EvalJob, or None when there is none of that name."""
        return self._get_or_none(_jobs(namespace, name))

    def jobs(self, namespace: str) -> list[Raw]:
        """The first EvalJobs of a namespace."""
        return _items(self._json("GET", _jobs(namespace), {"limit": "500"}))

    def apply(self, namespace: str, manifest: Mapping[str, Any]) -> Raw:
        """Create or change an EvalJob so that it has the fields of `manifest`, by server-side apply.

        Raises:
            ApiRefused: 400 and 422 for a wrong manifest, 409 for fields that another tool has set.
        """
        # A date that YAML made of an unquoted text becomes a text again.
        body = json.dumps(manifest, default=str).encode()
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        return self._json("PATCH", _jobs(namespace, manifest["metadata"]["name"]), query, body, _APPLY)

    def delete(self, namespace: str, name: str, uid: str) -> None:
        """Ask for the deletion of the EvalJob of this name and uid; what belongs to it follows in the background."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        try:
            self._json("DELETE", _jobs(namespace, name), {}, json.dumps(options).encode(), "application/json")
        except ApiRefused as refused:
            if refused.code != 404:
                raise

    def runtime(self, name: str) -> Raw | None:
        """The ClusterEvalRuntime, or None when there is none."""
        return self._get_or_none(f"/apis/{GROUP}/{VERSION}/clusterevalruntimes/{quote(name, safe='')}")

    def pods(self, namespace: str, selector: str) -> list[Raw]:
        """The pods whose labels match."""
        return _items(self._json("GET", f"{_core(namespace)}/pods", {"labelSelector": selector}))

    def log(
        self, namespace: str, pod: str, *, follow: bool, since: str | None = None, container: str = CONTAINER
    ) -> Iterator[str]:
        """Lines of a pod's log, each with its time in front; with `follow`, until the container ends.

        Args:
            since: only lines from the second of this time on.
        """
        query = {"container": container, "timestamps": "true"}
        query |= {"follow": "true"} if follow else {}
        query |= {"sinceTime": since} if since else {}
        answer = self._send("GET", f"{_core(namespace)}/pods/{quote(pod, safe='')}/log", query, stream=True)
        try:
            yield from _lines(answer)
        except _faults() as error:
            raise ApiUnavailable(f"The log of pod {pod} broke off ({_reason(error)}).") from error
        finally:
            answer.close()

    def _get_or_none(self, path: str) -> Raw | None:
        try:
            return self._json("GET", path, {})
        except ApiRefused as refused:
            if refused.code == 404:
                return None
            raise

    def _json(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None = None, kind: str | None = None
    ) -> Raw:
        answer = self._send(method, path, query, body, kind)
        try:
            data: Raw = json.loads(answer.data)
        except ValueError as error:
            raise ApiUnavailable(f"The API server {self._server} sent no JSON.") from error
        return data

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | None = None,
        kind: str | None = None,
        *,
        stream: bool = False,
    ) -> BaseHTTPResponse:
        import urllib3

        headers = {"Accept": "application/json, */*", "User-Agent": f"assay/{__version__}"}
        headers |= {"Content-Type": kind} if kind else {}
        headers |= {one["key"]: one["value"] for one in self._api.configuration.auth_settings().values()}
        try:
            answer: BaseHTTPResponse = self._api.rest_client.pool_manager.request(
                method,
                f"{self._server}{path}?{urlencode(query)}",
                headers=headers,
                body=body,
                preload_content=not stream,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
            )
            if not 200 <= answer.status < 300:
                raise refusal(answer.status, answer.data, self._server)
        except _faults() as error:
            if isinstance(error.args[0] if error.args else None, ssl.SSLCertVerificationError):
                raise Failed(
                    f"The certificate of the API server {self._server} is not trusted; correct the kubeconfig."
                ) from error
            raise ApiUnavailable(f"The API server {self._server} cannot be reached ({_reason(error)}).") from error
        return answer

    @property
    def _server(self) -> str:
        return str(self._api.configuration.host).rstrip("/")


def connect(context: str | None) -> Cluster:
    """The cluster of the user's kubeconfig (`KUBECONFIG`, else ~/.kube/config), or the one this process runs in.

    Raises:
        Failed: the client is not installed, or the configuration leads to no cluster.
    """
    try:
        from kubernetes import client, config
    except ModuleNotFoundError as error:
        raise Failed("Commands for clusters need the Kubernetes client; pip install 'assay[cluster]'.") from error
    files = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    settings = client.Configuration()
    try:
        if any(Path(file).expanduser().is_file() for file in files.split(os.pathsep) if file):
            namespace = _load(files, context, settings)
        elif "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(settings)
            namespace = _NAMESPACE_IN_POD.read_text().strip() if _NAMESPACE_IN_POD.is_file() else "default"
        else:
            raise Failed(f"There is no kubeconfig at {files}; set KUBECONFIG, or log in to a cluster.")
    except yaml.YAMLError as error:
        raise Failed(f"The kubeconfig {files} is no valid YAML; correct it.") from error
    except (config.ConfigException, OSError, ValueError) as error:
        raise Failed(f"The kubeconfig {files} leads to no cluster: {str(error).rstrip('.')}.") from error
    return Cluster(client.ApiClient(settings), namespace)


def _load(files: str, context: str | None, settings: Any) -> str:
    """Fill `settings` from a kubeconfig; the namespace of the chosen context."""
    from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

    merged = KubeConfigMerger(files)
    loader = KubeConfigLoader(
        config_dict=merged.config, active_context=context, config_base_path=None, config_persister=merged.save_changes
    )
    loader.load_and_set(settings)
    return str(loader.current_context["context"].get("namespace") or "default")


def _jobs(namespace: str, name: str | None = None) -> str:
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{quote(namespace, safe='')}/evaljobs"
    return f"{path}/{quote(name, safe='')}" if name else path


def _core(namespace: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}"


def _items(answer: Raw) -> list[Raw]:
    return list(answer.get("items") or [])


def _lines(answer: BaseHTTPResponse) -> Iterator[str]:
    rest = b""
    for part in answer.stream(65536):
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


def _faults() -> tuple[type[Exception], ...]:
    import urllib3.exceptions

    return (urllib3.exceptions.HTTPError, OSError)


def _reason(error: BaseException) -> str:
    """The innermost cause, which says it best: "connection refused" rather than the client's account of it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror.lower()
        seen = seen.__cause__ or seen.__context__
    return str(error).rpartition(": ")[2].rstrip(".") or type(error).__name__
