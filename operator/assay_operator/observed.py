"""Everything one decision is made from, at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from assay_api.evaljob import EvalJob
from assay_api.runtime import ClusterEvalRuntime
from assay_api.status import EvalJobStatus, ProgressStatus
from assay_operator.baselines import Baselines
from assay_operator.names import FINALIZER, Step
from assay_operator.pace import poll_seconds
from assay_operator.views import JobView, PodView, WorkloadView


@dataclass(frozen=True, slots=True)
class Observed:
    """One EvalJob and all that belongs to it."""

    job: EvalJob
    status: EvalJobStatus
    uid: str
    generation: int
    deleting: bool = False
    namespace_ends: bool = False
    """Its namespace is being removed, and waits for pods that only their Job's removal lets go."""
    finalizers: tuple[str, ...] = ()
    version: str = ""
    """Resource version of the object."""
    runtime: ClusterEvalRuntime | None = None
    jobs: Mapping[Step, JobView] = field(default_factory=dict)
    pods: tuple[PodView, ...] = ()
    answering: float = float("inf")
    """For how many seconds the API server has answered every call of this operator."""
    complaints: Mapping[str, str] = field(default_factory=dict)
    """uid of a pod or Job → the last warning event about it, where its status says nothing."""
    progress: ProgressStatus | None = None
    """As a worker told it, when one was asked."""
    workload: WorkloadView | None = None
    poll_seconds: float = poll_seconds(0)
    """When to look again at what sends no event."""
    baselines: Baselines = field(default_factory=dict)
    """EvalJobs that the gates name; looked at until the job is planned."""

    @property
    def finalizer(self) -> bool:
        """Whether the operator's finalizer is on the object."""
        return FINALIZER in self.finalizers

    def of(self, step: Step) -> tuple[PodView, ...]:
        """The pods that the step's present Job has made. A label alone is no proof: anybody can write one."""
        job, namespace = self.jobs.get(step), self.job.metadata.namespace
        if job is None:
            return ()
        return tuple(pod for pod in self.pods if (pod.owner, pod.namespace) == (job.uid, namespace))
