"""Manifests that are wrong in one place each, for whoever has to refuse them: the API server, and the models on a laptop."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from assay_api import evaljob, evalschedule, gates, pods, runtime, servers, texts

JOB: dict[str, Any] = {
    "apiVersion": "assay.dev/v1alpha1",
    "kind": "EvalJob",
    "metadata": {"name": "job"},
    "spec": {"model": {"backend": "transformers", "name": "tiny"}, "tasks": [{"name": "easy_vqa"}]},
}
RUNTIME: dict[str, Any] = {
    "apiVersion": "assay.dev/v1alpha1",
    "kind": "ClusterEvalRuntime",
    "metadata": {"name": "offer"},
    "spec": {"images": {"default": "assay-runner:0.1.0"}},
}
SCHEDULE: dict[str, Any] = {
    "apiVersion": "assay.dev/v1alpha1",
    "kind": "EvalSchedule",
    "metadata": {"name": "nightly"},
    "spec": {"cron": {"schedule": "0 3 * * *"}, "template": {"spec": JOB["spec"]}},
}
WATCH: dict[str, Any] = {"uri": "s3://train/run-7"}


def changed(manifest: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A copy with fields of its spec set; `a__b` is field b of a, and None takes a field away."""
    out = copy.deepcopy(manifest)
    for path, value in fields.items():
        *folders, last = path.split("__")
        at = out["spec"]
        for folder in folders:
            at = at.setdefault(folder, {})
        if value is None:
            del at[last]
        else:
            at[last] = value
    return out


@dataclass(frozen=True)
class Wrong:
    """A manifest, and words of the sentence that refuses it."""

    what: str
    manifest: dict[str, Any]
    words: tuple[str, ...]
    laptop: tuple[str, ...] | None = None
    """Words of the models' sentence where those are others; none: only a cluster can refuse it."""


def job(what: str, *words: str, laptop: tuple[str, ...] | None = None, **fields: Any) -> Wrong:
    return Wrong(what, changed(JOB, **fields), words, laptop)


def offer(what: str, *words: str, laptop: tuple[str, ...] | None = None, **fields: Any) -> Wrong:
    return Wrong(what, changed(RUNTIME, **fields), words, laptop)


def schedule(what: str, *words: str, laptop: tuple[str, ...] | None = None, **fields: Any) -> Wrong:
    return Wrong(what, changed(SCHEDULE, **fields), words, laptop)


ENDPOINT = {"url": "http://server/v1"}
HOST_PATH = {"name": "host", "hostPath": {"path": "/"}}
PRIVILEGES: dict[str, Any] = {
    "template__volumes": [HOST_PATH],
    "template__volumeMounts": [{"name": "host", "mountPath": "/host"}],
    "template__securityContext": {"privileged": True},
    "template__podSecurityContext": {"runAsUser": 0},
    "template__serviceAccountName": "cluster-admin",
    "template__automountServiceAccountToken": True,
    "template__image": "evil:latest",
    "template__command": ["sh"],
    "template__containers": [{"name": "evil", "image": "evil:latest"}],
    "template__initContainers": [{"name": "evil", "image": "evil:latest"}],
    "template__runtimeClassName": "none",
    "template__imagePullSecrets": [{"name": "others"}],
    "template__hostNetwork": True,
    "template__hostPID": True,
    "template__priorityClassName": "system-node-critical",
    "template__nodeName": "node-1",
    "template__affinity": {"nodeAffinity": {}},
    "template__annotations": {"container.apparmor.security.beta.kubernetes.io/runner": "unconfined"},
    "template__spec": {"volumes": [HOST_PATH]},
    "podTemplate": {"volumes": [HOST_PATH]},
    "image": "evil:latest",
    "images": {"default": "evil:latest"},
    "serviceAccountName": "cluster-admin",
    "securityContext": {"runAsUser": 0},
    "volumes": [HOST_PATH],
    "storage": {"uri": "s3://b", "hostPath": "/"},
    "allowed": {"taskCode": True},
    "namespaces": ["*"],
}
"""Fields by which the author of a job could get more than is theirs, if only they existed."""


def _field(path: str) -> str:
    return "spec." + path.replace("__", ".") + (".hostPath" if path == "storage" else "")


NOT_THE_USERS = [job(f"a job with {_field(path)}", _field(path), **{path: value}) for path, value in PRIVILEGES.items()]

RESERVED = pods.VARIABLE_IS_THE_USERS.sentence
LABELS = pods.LABELS_ARE_THE_USERS.sentence
JOBS = [
    job("a field that does not exist", "spec.replica", replica=4),
    job("no model", "spec.model", model=None),
    job("no tasks", "spec.tasks", tasks=None),
    job("an empty list of tasks", "spec.tasks", tasks=[]),
    job("a task twice", "spec.tasks[1]", "Duplicate", laptop=("listed twice",), tasks=[{"name": "a"}, {"name": "a"}]),
    job("a task without a name", "spec.tasks[0].name", tasks=[{"limit": 3}]),
    job("a task's name that is a path", "spec.tasks[0].name", tasks=[{"name": "../secrets"}]),
    job("too many tasks", "spec.tasks", "256", tasks=[{"name": f"t{n}"} for n in range(257)]),
    job("a limit of nothing", "spec.tasks[0].limit", tasks=[{"name": "a", "limit": 0}]),
    job("more examples than fit", "spec.tasks[0].numFewshot", tasks=[{"name": "a", "numFewshot": 257}]),
    job("no repeats", "spec.tasks[0].repeats", tasks=[{"name": "a", "repeats": 0}]),
    job("a misspelt setting", "generation.temprature", tasks=[{"name": "a", "generation": {"temprature": 1}}]),
    job("a negative temperature", "generation.temperature", tasks=[{"name": "a", "generation": {"temperature": -1}}]),
    job("sampling of nothing", "generation.top_p", tasks=[{"name": "a", "generation": {"top_p": 0}}]),
    job("too many ends", "generation.until", tasks=[{"name": "a", "generation": {"until": ["x"] * 17}}]),
    job("an unknown backend", "spec.model.backend", "sglang", model__backend="vlm"),
    job("a model without a name", "spec.model.name", model__name=None),
    job("a model's name of nothing", "spec.model.name", model__name=""),
    job("a model's name without end", "spec.model.name", "1024", model__name="m" * 1025),
    job("too many arguments", "spec.model.args", "64", model__args={f"a{n}": 1 for n in range(65)}),
    job("openai without an endpoint", "spec.model", evaljob.OPENAI_HAS_ENDPOINT.sentence, model__backend="openai"),
    job(
        "an endpoint for transformers",
        "spec.model",
        evaljob.OTHERS_HAVE_NO_ENDPOINT.sentence,
        model__endpoint=ENDPOINT,
    ),
    job(
        "an endpoint that is no web address",
        "spec.model.endpoint.url",
        model={"backend": "openai", "name": "m", "endpoint": {"url": "ftp://x"}},
    ),
    job(
        "an endpoint without time",
        "spec.model.endpoint.timeoutSeconds",
        model={"backend": "openai", "name": "m", "endpoint": {**ENDPOINT, "timeoutSeconds": 0}},
    ),
    job(
        "a key in the clear",
        "endpoint.apiKey",
        model={"backend": "openai", "name": "m", "endpoint": {**ENDPOINT, "apiKey": "k"}},
    ),
    *(
        job(
            what,
            "spec.model",
            rule.sentence,
            model={"backend": backend, "name": "m", "server": {"name": "vllm"}, **more},
        )
        for what, rule, backend, more in (
            ("a server for transformers", evaljob.OTHERS_HAVE_NO_SERVER, "transformers", {}),
            ("an endpoint and a server", evaljob.ENDPOINT_OR_SERVER, "openai", {"endpoint": ENDPOINT}),
            ("a model's name that a server takes for an option", evaljob.SERVED_IS_NO_OPTION, "openai", {"name": "-x"}),
            ("a revision that is an option", evaljob.SERVED_IS_NO_OPTION, "openai", {"revision": "--code"}),
        )
    ),
    *(
        job(
            what,
            f"spec.model.server{field}",
            *words,
            model={"backend": "openai", "name": "m", "server": {"name": "vllm"} | server},
        )
        for what, field, words, server in (
            ("a server that cannot be", ".name", (), {"name": "VLLM"}),
            ("too many arguments of a server", ".args", ("32",), {"args": ["--a"] * 33}),
            ("an argument without end", ".args[0]", ("1024",), {"args": ["--" + "a" * 1023]}),
            ("a value without an option", "", (servers.ARGUMENTS_START_WITH_AN_OPTION.sentence,), {"args": ["a"]}),
            ("a server's image from a job", ".image", (), {"image": "evil:1"}),
            ("a server's variables from a job", ".env", (), {"env": [{"name": "A", "value": "x"}]}),
        )
    ),
    job("a source of nothing", "spec.taskSources[0]", evaljob.SOURCE_IS_ONE.sentence, taskSources=[{}]),
    job(
        "a source of two kinds",
        "spec.taskSources[0]",
        evaljob.SOURCE_IS_ONE.sentence,
        taskSources=[{"uri": "s3://tasks", "configMapRef": {"name": "tasks"}}],
    ),
    job(
        "a source relative to a manifest",
        "spec.taskSources[0].uri",
        "pods cannot read a relative folder; use s3://",
        laptop=(),
        taskSources=[{"uri": "my-tasks"}],
    ),
    job("too many sources", "spec.taskSources", "16", taskSources=[{"uri": "s3://tasks"}] * 17),
    job("a storage of another kind", "spec.storage.uri", "s3://", storage={"uri": "gs://bucket"}),
    job("a storage without address", "spec.storage.uri", storage={"region": "eu-1"}),
    job("a secret in the clear", "spec.storage.secretKey", storage={"uri": "s3://b", "secretKey": "k"}),
    job("a negative seed", "spec.seed", seed=-1),
    job("a seed that does not fit", "spec.seed", "4294967295", seed=2**32),
    *(
        job(
            what,
            f"spec.gates[0]{field}",
            *words,
            laptop=laptop,
            gates=[{"name": "g", "task": "t", "metric": "m"} | gate],
        )
        for what, field, words, laptop, gate in (
            ("a gate without a criterion", "", (gates.ONE_CRITERION.sentence,), None, {}),
            ("a gate with two", "", (gates.ONE_CRITERION.sentence,), None, {"minimum": 0.1, "maximum": 0.2}),
            (
                "a baseline without a difference that matters",
                "",
                (gates.BASELINE_HAS_DIFFERENCE.sentence,),
                None,
                {"baseline": {"evalJob": "base"}},
            ),
            (
                "a difference without a baseline",
                "",
                (gates.BASELINE_HAS_DIFFERENCE.sentence,),
                None,
                {"minimum": 0.1, "smallestDifference": 0.1},
            ),
            (
                "a difference of nothing",
                ".smallestDifference",
                (),
                None,
                {"baseline": {"evalJob": "base"}, "smallestDifference": 0},
            ),
            (
                "a baseline of nothing",
                ".baseline",
                (gates.ONE_BASELINE.sentence,),
                None,
                {"baseline": {}, "smallestDifference": 0.1},
            ),
            (
                "a baseline of two kinds",
                ".baseline",
                (gates.ONE_BASELINE.sentence,),
                None,
                {"baseline": {"run": "s3://a/b/c/d", "evalJob": "base"}, "smallestDifference": 0.1},
            ),
            (
                "a baseline relative to a manifest",
                ".baseline.run",
                ("pods cannot read a relative folder",),
                (),
                {"baseline": {"run": "runs/default/base/1"}, "smallestDifference": 0.1},
            ),
            ("a gate's name that cannot be", ".name", (), None, {"name": "A gate", "minimum": 0.1}),
        )
    ),
    job(
        "a gate twice",
        "spec.gates[1]",
        "Duplicate",
        laptop=("gate g is listed twice",),
        gates=[{"name": "g", "task": "t", "metric": "m", "minimum": 0.1}] * 2,
    ),
    job(
        "too many gates",
        "spec.gates",
        "32",
        gates=[{"name": f"g{n}", "task": "t", "metric": "m", "minimum": 0.1} for n in range(33)],
    ),
    job(
        "a job that is its own baseline",
        "spec.gates",
        evaljob.NOT_ITS_OWN_BASELINE.sentence,
        laptop=(evaljob.NOT_ITS_OWN_BASELINE.sentence,),
        gates=[
            {
                "name": "g",
                "task": "t",
                "metric": "m",
                "smallestDifference": 0.1,
                "baseline": {"evalJob": JOB["metadata"]["name"]},
            }
        ],
    ),
    job("no replicas", "spec.replicas", replicas=0),
    job("too many replicas", "spec.replicas", "1000", replicas=1001),
    job("replicas in words", "spec.replicas", "integer", replicas="three"),
    job("chunks of nothing", "spec.chunkSize", chunkSize=0),
    job("more errors than samples", "spec.errorPolicy.maxErrorRate", errorPolicy={"maxErrorRate": 1.5}),
    job("tries without end", "spec.errorPolicy.retries", errorPolicy={"retries": 101}),
    job("suspend in words", "spec.suspend", "boolean", suspend="later"),
    job("a deadline before the start", "spec.activeDeadlineSeconds", activeDeadlineSeconds=0),
    job("a deadline in ten years", "spec.activeDeadlineSeconds", activeDeadlineSeconds=10 * 366 * 86400),
    job("a negative time to live", "spec.ttlSecondsAfterFinished", ttlSecondsAfterFinished=-1),
    job("an unknown reclaim policy", "spec.reclaimPolicy", "Retain", reclaimPolicy="Recycle"),
    job("a queue that cannot be", "spec.queueName", queueName="GPU queue"),
    job("a runtime that cannot be", "spec.runtimeRef.name", runtimeRef={"name": "Big_GPUs"}),
    job(
        "a variable with both values",
        "spec.template.env[0]",
        pods.VARIABLE_HAS_ONE_VALUE.sentence,
        template__env=[{"name": "A", "value": "x", "secretKeyRef": {"name": "s", "key": "k"}}],
    ),
    job(
        "a variable without value",
        "spec.template.env[0]",
        pods.VARIABLE_HAS_ONE_VALUE.sentence,
        template__env=[{"name": "A"}],
    ),
    job("a variable that cannot be", "spec.template.env[0].name", template__env=[{"name": "1A", "value": "x"}]),
    job(
        "a variable twice",
        "spec.template.env[1]",
        "Duplicate",
        laptop=("variable A is listed twice",),
        template__env=[{"name": "A", "value": "x"}, {"name": "A", "value": "y"}],
    ),
    job(
        "a variable from the pod",
        "spec.template.env[0].valueFrom",
        template__env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
    ),
    *(
        job(f"the variable {name}", "spec.template.env[0]", RESERVED, template__env=[{"name": name, "value": "x"}])
        for name in (
            "ASSAY_INDEX",
            "AWS_ENDPOINT_URL_S3",
            "LD_PRELOAD",
            "PYTHONPATH",
            "NVIDIA_VISIBLE_DEVICES",
            "HOME",
            "PATH",
            "TMPDIR",
            "OPENAI_API_KEY",
            "POD_NAME",
        )
    ),
    *(
        job(f"the label {key}", "spec.template.labels", LABELS, template__labels={key: "x"})
        for key in (
            "assay.dev/job",
            "app.kubernetes.io/managed-by",
            "batch.kubernetes.io/job-name",
            "kueue.x-k8s.io/queue-name",
            "job-name",
            "controller-uid",
        )
    ),
    job(
        "a label that cannot be",
        "spec.template.labels",
        texts.A_KEY_IS_A_NAME,
        laptop=("spec.template.labels",),
        template__labels={"a b": "x"},
    ),
    job("a label's value that cannot be", "spec.template.labels.team", template__labels={"team": "a b"}),
    job(
        "a node's label that cannot be",
        "spec.template.nodeSelector",
        texts.A_KEY_IS_A_NAME,
        laptop=("spec.template.nodeSelector",),
        template__nodeSelector={"-pool": "x"},
    ),
    job(
        "an amount in words",
        "spec.template.resources.limits.memory",
        template__resources={"limits": {"memory": "lots"}},
    ),
    job("a negative amount", "spec.template.resources.limits.cpu", template__resources={"limits": {"cpu": -1}}),
    job("claimed devices", "spec.template.resources.claims", template__resources={"claims": [{"name": "gpu"}]}),
    job(
        "a toleration that compares nothing",
        "spec.template.tolerations[0]",
        pods.EXISTS_HAS_NO_VALUE.sentence,
        template__tolerations=[{"key": "gpu", "operator": "Exists", "value": "x"}],
    ),
    job(
        "a toleration of everything by accident",
        "spec.template.tolerations[0]",
        pods.EVERY_KEY_EXISTS.sentence,
        template__tolerations=[{"value": "x"}],
    ),
    job(
        "seconds that never count",
        "spec.template.tolerations[0]",
        pods.SECONDS_BEFORE_NO_EXECUTE.sentence,
        template__tolerations=[{"key": "gpu", "tolerationSeconds": 5}],
    ),
]

RUNTIMES = [
    offer("no images", "spec.images", images=None),
    offer("no default image", "spec.images.default", images={"vllm": "runner-vllm:1"}),
    offer("an image of nothing", "spec.images.default", images={"default": ""}),
    offer("an image for an unknown backend", "spec.images.llama", images={"default": "a", "llama": "b"}),
    offer("an unknown backend", "spec.backends[0]", "vllm", backends=["llama"]),
    offer("a cap of nothing", "spec.caps.maxReplicas", caps={"maxReplicas": 0}),
    offer("an unknown permission", "spec.allowed.everything", allowed={"everything": True}),
    offer("namespaces by a pattern", "spec.namespaces[0]", namespaces=["team-*"]),
    offer("a cache without a volume", "spec", runtime.CACHE_IS_A_VOLUME.sentence, cache={"volumeName": "weights"}),
    offer(
        "a cache at no absolute folder",
        "spec.cache.mountPath",
        podTemplate__volumes=[{"name": "weights"}],
        cache={"volumeName": "weights", "mountPath": "cache"},
    ),
    offer(
        "a mount without a volume",
        "spec.podTemplate",
        runtime.MOUNTS_HAVE_VOLUMES.sentence,
        podTemplate__volumeMounts=[{"name": "data", "mountPath": "/data"}],
    ),
    offer("a volume without a name", "spec.podTemplate.volumes[0]", "name", podTemplate__volumes=[{"emptyDir": {}}]),
    *(
        offer(what, "spec.servers", "vllm", field, *words, servers={"vllm": {"image": "vllm:1", **server}})
        for what, field, words, server in (
            ("a server on the port of the metrics", "", (servers.PORT_IS_FREE.sentence,), {"port": 9090}),
            ("a server on a privileged port", ".port", ("1024",), {"port": 80}),
            (
                "a server that is never waited for",
                ".readiness.timeoutSeconds",
                (),
                {"readiness": {"timeoutSeconds": 0}},
            ),
            ("readiness without a path", ".readiness.path", (), {"readiness": {"path": "health"}}),
            ("an allowed argument that is no option", ".allowedArgs[0]", (), {"allowedArgs": ["model"]}),
            (
                "a variable of a server without value",
                ".env[0]",
                (pods.VARIABLE_HAS_ONE_VALUE.sentence,),
                {"env": [{"name": "A"}]},
            ),
        )
    ),
    offer(
        "a server that mounts what is no volume",
        "spec",
        runtime.SERVERS_MOUNT_VOLUMES.sentence,
        servers={"vllm": {"image": "vllm:1", "volumeMounts": [{"name": "x", "mountPath": "/x"}]}},
    ),
    offer("a server without an image", "spec.servers", "image", servers={"vllm": {}}),
    offer(
        "a server's name that cannot be",
        "spec.servers",
        "a server's name has at most 63",
        laptop=("spec.servers",),
        servers={"V_LLM": {"image": "vllm:1"}},
    ),
    offer(
        "a variable without value",
        "spec.podTemplate.env[0]",
        pods.VARIABLE_HAS_ONE_VALUE.sentence,
        podTemplate__env=[{"name": "A"}],
    ),
]

SCHEDULES = [
    schedule("a schedule of neither kind", "spec", evalschedule.TRIGGER_IS_ONE.sentence, cron=None),
    schedule("a schedule of both kinds", "spec", evalschedule.TRIGGER_IS_ONE.sentence, watch=WATCH),
    *(
        schedule(f"the cron expression {text!r}", "spec.cron.schedule", cron__schedule=text)
        for text in ("", "* * * *", "60 * * * *", "0 24 * * *", "0 0 0 * *", "0 0 * 13 *", "0 0 * * 8", "*/0 * * * *",
                     "0 0 L * *", "@reboot", "every day", "0 0 * * * *")
    ),
    schedule("a time zone that cannot be", "spec.cron.timeZone", cron__timeZone="../etc/passwd"),
    schedule("an unknown policy", "spec.concurrencyPolicy", "Forbid", concurrencyPolicy="Queue"),
    schedule("a deadline of nothing", "spec.startingDeadlineSeconds", startingDeadlineSeconds=0),
    schedule(
        "a deadline for checkpoints",
        "spec",
        evalschedule.DEADLINE_IS_OF_CRON.sentence,
        cron=None,
        watch=WATCH,
        startingDeadlineSeconds=60,
    ),
    schedule("a history that is none", "spec.successfulJobsHistoryLimit", successfulJobsHistoryLimit=-1),
    schedule("a watch of another kind of store", "spec.watch.uri", cron=None, watch={"uri": "gs://train"}),
    schedule("a pattern of a path", "spec.watch.pattern", cron=None, watch={**WATCH, "pattern": "a/*"}),
    schedule("a watch that never rests", "spec.watch.pollSeconds", cron=None, watch={**WATCH, "pollSeconds": 0}),
    schedule("a template without a spec", "spec.template.spec", template={}),
    schedule(
        "a template's wrong job",
        "spec.template.spec.model",
        evaljob.OPENAI_HAS_ENDPOINT.sentence,
        template__spec__model__backend="openai",
    ),
    schedule(
        "a template with Assay's own label",
        "spec.template.metadata.labels",
        LABELS,
        template__metadata={"labels": {"assay.dev/schedule": "x"}},
    ),
    Wrong(
        "a name that is too long for its jobs",
        {**SCHEDULE, "metadata": {"name": "n" * 53}},
        (evalschedule.NAME_IS_SHORT.sentence,),
        ("metadata.name", "52"),
    ),
]  # fmt: skip

WRONG = [*NOT_THE_USERS, *JOBS, *RUNTIMES, *SCHEDULES]
