"""The few calls that the operator makes of the API server, over plain JSON.

Everything is written by server-side apply under a fixed field manager, so that writing twice is writing once. Typed
models are left out on purpose: a field of a newer Kubernetes must survive being read and written.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.exceptions import ApiException

from assay_api.evaljob import GROUP, VERSION

Json = dict[str, Any]

_SECONDS = 20.0
_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_APPLY, _MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
_PAGE, _PAGE_OF_METADATA = 100, 500
"""Objects of one page: a pod, once read, takes 50 KB."""
_METHODS = {
    "get": "GET", "list": "GET", "patch": "PATCH", "create": "POST", "update": "PUT", "delete": "DELETE",
}  # fmt: skip


class ApiError(Exception):
    """The API server refused, or could not be reached (`status` 0)."""

    def __init__(self, status: int, reason: str, message: str, causes: Sequence[str] = ()) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message, self.causes = status, reason, message, tuple(causes)


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, by where the API server keeps it."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """As written in manifests."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        parts += ["namespaces", namespace] if namespace else []
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/" + "/".join(quote(part, safe="") for part in parts)


EVALJOBS = Resource(GROUP, VERSION, "evaljobs", "EvalJob")
EVALSCHEDULES = Resource(GROUP, VERSION, "evalschedules", "EvalSchedule")
RUNTIMES = Resource(GROUP, VERSION, "clusterevalruntimes", "ClusterEvalRuntime")
JOBS = Resource("batch", "v1", "jobs", "Job")
PODS = Resource("", "v1", "pods", "Pod")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace")
EVENTS = Resource("", "v1", "events", "Event")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
WORKLOADS = Resource("kueue.x-k8s.io", "v1beta1", "workloads", "Workload")


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list call found, as of `version`."""

    items: tuple[Json, ...]
    version: str


OnCall = Callable[[str, str, int, float], None]
"""Verb as in roles, plural name of the resource, status (0 when there was no answer), seconds."""


class ApiServer:
    """The API server, for one operator process."""

    def __init__(
        self,
        client: ApiClient,
        on_call: OnCall = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_call` is told of every call."""
        self._client, self._on_call, self._clock = client, on_call, clock
        self._silent = clock()
        """When a call was last left without an answer, or this process began."""

    @property
    def answering(self) -> float:
        """For how many seconds, as far as this process knows, every call has been answered."""
        return self._clock() - self._silent

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Json | None:
        """The object, or None when there is none."""
        try:
            return await self._call("get", resource, resource.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> Listing:
        """All objects that the selectors allow; of each its metadata alone, when that is enough."""
        items: list[Json] = []
        version = ""
        async for page in self.pages(resource, namespace, labels=labels, fields=fields, metadata_only=metadata_only):
            items += page.items
            version = version or page.version
        return Listing(tuple(items), version)

    async def pages(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[Listing]:
        """The same, page by page: of thousands of objects no more than one page is in memory at a time."""
        accept = _METADATA if metadata_only else _JSON
        query = {"limit": str(_PAGE_OF_METADATA if metadata_only else _PAGE)}
        query |= {"labelSelector": labels} if labels else {}
        query |= {"fieldSelector": fields} if fields else {}
        while True:
            page = await self._call("list", resource, resource.path(namespace), query=query, accept=accept)
            meta = page.get("metadata") or {}
            yield Listing(tuple(page.get("items") or ()), meta.get("resourceVersion", ""))
            if not meta.get("continue"):
                return
            query["continue"] = meta["continue"]

    async def apply(self, resource: Resource, body: Json, *, manager: str, subresource: str | None = None) -> Json:
        """Server-side apply; fields of this manager are taken over from others."""
        meta = body["metadata"]
        path = resource.path(meta.get("namespace"), meta["name"], subresource)
        query = {"fieldManager": manager, "force": "true"}
        return await self._call("patch", resource, path, query=query, body=body, content=_APPLY)

    async def merge(self, resource: Resource, namespace: str, name: str, patch: Json) -> Json:
        """JSON merge patch."""
        return await self._call("patch", resource, resource.path(namespace, name), body=patch, content=_MERGE)

    async def create(self, resource: Resource, body: Json) -> Json:
        """Create an object; 409 when there is one of this name."""
        return await self._call("create", resource, resource.path(body["metadata"]["namespace"]), body=body)

    async def replace(self, resource: Resource, body: Json) -> Json:
        """Write the object over the version that `body` was read from; 409 when it has changed since."""
        meta = body["metadata"]
        return await self._call("update", resource, resource.path(meta["namespace"], meta["name"]), body=body)

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """Remove exactly this object, its children in the background; fine when it is gone already."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        try:
            await self._call("delete", resource, resource.path(namespace, name), body=options)
        except ApiError as error:
            # 409: another object bears the name now.
            if error.status not in (404, 409):
                raise

    async def _call(
        self,
        verb: str,
        resource: Resource,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content: str = _JSON,
        accept: str = _JSON,
    ) -> Json:
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content
        status, started = 0, self._clock()
        try:
            method, url, headers, _, _ = await self._client.param_serialize(
                method=_METHODS[verb], resource_path=path, header_params=headers, auth_settings=["BearerToken"]
            )
            address = f"{url}?{urlencode(query)}" if query else url
            response = await self._client.call_api(method, address, headers, body, _request_timeout=_SECONDS)
            data = await response.read()
            status = response.status
        except ApiException as error:
            status, data = error.status or 0, (error.body or "").encode() if isinstance(error.body, str) else b""
            raise _refusal(status, error.reason or "", data) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, type(error).__name__, str(error) or "no answer") from error
        finally:
            if status == 0:
                self._silent = self._clock()
            self._on_call(verb, resource.plural, status, self._clock() - started)
        if not 200 <= status < 300:
            raise _refusal(status, response.reason or "", data)
        try:
            answer: Json = json.loads(data)
        except ValueError as error:
            raise ApiError(status, "NoJson", "the answer is no JSON; is a proxy in between?") from error
        return answer


def _refusal(status: int, reason: str, data: bytes) -> ApiError:
    try:
        told = json.loads(data)
    except ValueError:
        return ApiError(status, reason, data.decode(errors="replace")[:300])
    causes = [str(cause.get("reason", "")) for cause in (told.get("details") or {}).get("causes") or []]
    return ApiError(status, told.get("reason") or reason, told.get("message") or "", causes)
