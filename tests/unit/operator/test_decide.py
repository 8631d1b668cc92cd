"""The life of an EvalJob, decision by decision."""

from dataclasses import replace

import pytest

from assay_api.status import ProgressStatus
from assay_operator.actions import CreateJob, DeleteEvalJob, DeleteJob, SetFinalizer, SetJob, SetWorkload
from assay_operator.conditions import find
from assay_operator.decide import decide
from assay_operator.names import Step
from assay_operator.summary import shortened
from assay_operator.views import ServerView, WorkloadView
from support.control_plane import PLAN, RESULTS, START, World, ended, evaljob, planned, running, runtime

DATA = {"volumes": [{"name": "d", "emptyDir": {}}], "volumeMounts": [{"name": "d", "mountPath": "/data"}]}
SERVED = {"backend": "openai", "name": "m", "server": {"name": "sglang", "args": ["--tp", "2", "--host=0.0.0.0"]}}


def condition(world: World, kind: str):
    return find(world.status.conditions, kind)


def test_a_job_is_planned_worked_on_and_reduced():
    world = World()
    assert world.reconcile().actions == (CreateJob(Step.PLAN),)
    assert world.status.phase == "Planning"
    world.finish(Step.PLAN)
    assert world.reconcile().actions == (CreateJob(Step.WORK),)
    assert (world.status.phase, world.status.plan.digest) == ("Running", PLAN)
    world.work()
    world.reconcile()
    assert condition(world, "Running").status == "True" and world.status.summary.workers == "3/3"
    world.finish(Step.WORK)
    assert world.reconcile().actions == (CreateJob(Step.REDUCE),)
    assert world.status.phase == "Reducing" and world.status.summary.done == "100/100"
    world.finish(Step.REDUCE)
    world.reconcile()
    status = world.status
    assert status.phase == "Complete" and condition(world, "Complete").status == "True"
    assert status.results[0].value == "0.9994" and status.results_digest == RESULTS
    assert status.results_uri.endswith("/results.json")
    assert status.summary.score == "exact_match 0.9994 ± 0.0005" and status.progress.errors == 2
    assert world.made == [Step.PLAN, Step.WORK, Step.REDUCE]


@pytest.mark.parametrize("step", [Step.PLAN, Step.REDUCE])
def test_a_pod_that_was_stranded_by_its_node_is_replaced_by_the_same_job(step):
    world = World()
    world.reconcile()
    if step is Step.REDUCE:
        world.finish(Step.PLAN)
        world.reconcile()
        world.finish(Step.WORK)
        world.reconcile()
    job = world.jobs[step]
    lost = world.add_pod(step, phase="Pending", running=False, stranded=True)
    world.pass_time(59)
    assert not world.reconcile().actions, "it may be about to start"
    world.pass_time(1)
    assert world.reconcile().actions == (SetJob(job.name, job.uid, None, suspend=True),)
    assert not world.reconcile().actions, "the Job stays suspended until the pod goes"
    world.work()
    assert lost.name not in world.pods
    assert world.reconcile().actions == (SetJob(job.name, job.uid, None, suspend=False),)
    world.work()
    world.finish(step)
    world.settle()
    assert world.made.count(step) == 1 and (step is Step.PLAN or world.status.phase == "Complete")


def test_a_decision_for_nothing_new_changes_nothing():
    world = running()
    before = world.status
    decision = world.reconcile()
    assert decision.actions == () and decision.status == before


@pytest.mark.parametrize(
    ("spec", "offer", "reason", "words"),
    [
        ({}, None, "RuntimeNotFound", ["spec.runtimeRef.name", "no ClusterEvalRuntime default"]),
        ({}, {"namespaces": ["other"]}, "NamespaceNotAllowed", ["not open to namespace research"]),
        ({}, {"backends": ["openai"]}, "BackendNotAllowed", ["spec.model.backend", "use openai"]),
        ({"replicas": 9}, {"caps": {"maxReplicas": 4}}, "TooManyReplicas", ["spec.replicas", "at most 4"]),
        (
            {"taskSources": [{"configMapRef": {"name": "t"}}]},
            {},
            "TaskCodeNotAllowed",
            ["spec.taskSources", "allowed.taskCode is off"],
        ),
        (
            {"model": {"backend": "transformers", "name": "m", "args": {"trust_remote_code": True}}},
            {},
            "RemoteCodeNotAllowed",
            ["trust_remote_code"],
        ),
        (
            {"model": SERVED},
            {"servers": {"vllm": {"image": "v:1"}, "tgi": {"image": "t:1"}}},
            "ServerNotFound",
            ["spec.model.server.name", "has no server sglang, it has tgi, vllm"],
        ),
        ({"model": SERVED}, {}, "ServerNotFound", ["it has none"]),
        (
            {"model": SERVED},
            {"servers": {"sglang": {"image": "s:1", "allowedArgs": ["--tp"]}}},
            "ServerArgumentNotAllowed",
            ["spec.model.server.args", "does not let jobs set --host, it allows --tp"],
        ),
        ({"storage": None}, {}, "StorageMissing", ["spec.storage.uri"]),
        ({"storage": {"uri": "file:///data"}}, {}, "StorageNotShared", ["/data is on no volume"]),
        (
            {"storage": {"uri": "file:///database"}},
            {"podTemplate": DATA},
            "StorageNotShared",
            ["/database"],
        ),
    ],
)
def test_what_only_the_cluster_knows_is_refused_before_any_pod(spec, offer, reason, words):
    world = World(job=evaljob(**spec), runtime=None if offer is None else runtime(**offer))
    assert world.reconcile().actions == ()
    accepted = condition(world, "Accepted")
    assert (accepted.status, accepted.reason, world.status.phase) == ("False", reason, "Pending")
    for word in words:
        assert word in accepted.message
    assert world.status.summary.note


def test_a_folder_on_a_volume_of_the_runtime_is_storage_for_all_pods():
    offer = runtime(podTemplate=DATA)
    world = World(job=evaljob(storage={"uri": "file:///data/runs"}), runtime=offer)
    assert world.reconcile().actions == (CreateJob(Step.PLAN),)


def test_a_job_goes_on_by_itself_when_its_runtime_appears():
    world = World(runtime=None)
    world.reconcile()
    world.runtime = runtime()
    assert world.reconcile().actions == (CreateJob(Step.PLAN),)
    assert condition(world, "Accepted").status == "True"


def test_a_runtime_that_goes_away_does_not_stop_workers_but_nothing_new_is_started():
    world = running()
    world.runtime = None
    assert world.reconcile().actions == ()
    assert world.status.phase == "Running" and condition(world, "Accepted").reason == "RuntimeNotFound"
    world.finish(Step.WORK)
    assert world.reconcile().actions == ()
    world.runtime = runtime()
    assert world.reconcile().actions == (CreateJob(Step.REDUCE),)


def test_replicas_may_change_while_the_job_runs():
    world = running()
    job = world.jobs[Step.WORK]
    world.change(replicas=5)
    assert world.reconcile().actions == (SetJob(job.name, job.uid, 5, suspend=False),)
    world.change(replicas=1)
    world.reconcile()
    assert world.jobs[Step.WORK].parallelism == 1


def test_suspending_stops_the_workers_and_resuming_starts_them_again():
    world = running()
    world.change(suspend=True)
    world.reconcile()
    world.work()
    world.reconcile()
    assert world.jobs[Step.WORK].suspended and not world.pods.keys() - {"plan-2"}
    assert world.status.phase == "Suspended" and condition(world, "Suspended").status == "True"
    world.change(suspend=False)
    world.settle()
    assert world.status.phase == "Running" and not world.jobs[Step.WORK].suspended
    assert world.made == [Step.PLAN, Step.WORK]


def test_a_job_that_is_resumed_with_other_settings_of_its_pods_gets_a_new_work_job():
    world = running()
    world.change(suspend=True)
    world.settle()
    world.change(template=evaljob(template={"labels": {"a": "b"}}).spec.template)
    world.settle()
    assert world.made == [Step.PLAN, Step.WORK]
    world.change(suspend=False)
    world.settle()
    assert world.made == [Step.PLAN, Step.WORK, Step.WORK] and world.status.phase == "Running"


def test_a_suspended_job_starts_nothing():
    world = World(job=evaljob(suspend=True))
    world.settle()
    assert world.made == [] and world.status.phase == "Suspended"
    world.change(suspend=False)
    world.reconcile()
    assert world.made == [Step.PLAN]


def test_a_storage_whose_creations_are_not_exclusive_is_told_with_what_was_seen():
    world = World()
    world.reconcile()
    world.reconcile()
    reason = "The store ignores the condition."
    world.end(Step.PLAN, message=planned(storage_mode="fallback", storage_reason=reason))
    world.reconcile()
    told = condition(world, "Planned")
    assert (told.status, world.status.plan.storage_mode) == ("True", "fallback")
    assert told.message.endswith(f"Storage mode fallback, since creations are not exclusive there: {reason}")


def test_a_spec_that_is_corrected_while_planning_is_planned_anew():
    world = World()
    world.settle()
    world.change(seed=7)
    world.settle()
    assert world.made == [Step.PLAN, Step.PLAN] and world.status.phase == "Planning"


def test_what_defines_the_numbers_cannot_be_changed_afterwards_and_the_job_says_so():
    world = running()
    world.change(seed=7)
    world.reconcile()
    accepted = condition(world, "Accepted")
    assert (accepted.status, accepted.reason) == ("False", "SpecChanged") and "as planned" in accepted.message
    assert world.status.phase == "Running"


def test_workers_start_at_the_planners_last_word_before_its_job_has_counted_the_pod():
    world = World()
    world.reconcile()
    world.add_pod(Step.PLAN, phase="Succeeded", running=False, exit_code=0, message=planned())
    assert not world.jobs[Step.PLAN].finished
    assert world.reconcile().actions == (CreateJob(Step.WORK),)
    assert world.status.plan.digest == PLAN


def test_a_plan_that_was_told_stays_when_the_spec_is_changed_before_its_job_has_counted_the_pod():
    world = World()
    world.reconcile()
    world.add_pod(Step.PLAN, phase="Succeeded", running=False, exit_code=0, message=planned())
    world.change(seed=7)
    assert not any(isinstance(action, DeleteJob) for action in world.reconcile().actions)
    world.reconcile()
    assert world.status.plan.digest == PLAN and condition(world, "Accepted").reason == "SpecChanged"


def test_a_report_that_was_lost_is_made_again():
    world = World()
    world.reconcile()
    world.finish(Step.PLAN)
    world.lose_pods()
    world.settle()
    assert world.made == [Step.PLAN, Step.PLAN]
    world.finish(Step.PLAN)
    world.settle()
    assert world.status.phase == "Running"


def test_a_planner_that_reports_nothing_is_not_run_again_and_again():
    world = World()
    world.reconcile()
    world.end(Step.PLAN, message="some log line")
    world.settle()
    assert condition(world, "Failed").reason == "ReportMissing" and world.made == [Step.PLAN]


@pytest.mark.parametrize(
    ("step", "end", "reason", "words"),
    [
        (Step.PLAN, {"code": 64, "message": ended("SpecError", "There is no task x.", 64)}, "SpecError", "no task x"),
        (Step.PLAN, {"code": 1, "message": ended("StoreDenied", "The key is wrong.")}, "StoreDenied", "key is wrong"),
        (Step.PLAN, {"code": 1, "message": "a\nTraceback: boom"}, "ContainerFailed", "exit code 1: Traceback: boom"),
        (Step.WORK, {"code": 137, "reason": "OOMKilled"}, "OutOfMemory", "raise resources.limits.memory"),
        (Step.WORK, {"code": 64, "message": ended("SpecError", "Bad model.", 64)}, "SpecError", "Bad model"),
        (Step.REDUCE, {"code": 1, "message": ended("Corrupt", "A marker lies.")}, "Corrupt", "A marker lies"),
    ],
)
def test_a_failure_says_what_the_pod_said(step, end, reason, words):
    world = World()
    for earlier in (Step.PLAN, Step.WORK, Step.REDUCE):
        world.reconcile()
        if earlier is step:
            break
        world.finish(earlier)
    world.work()
    world.end(step, **end)
    world.reconcile()
    failed = condition(world, "Failed")
    assert (failed.status, failed.reason, world.status.phase) == ("True", reason, "Failed")
    assert words in failed.message and words in world.status.summary.note


def test_a_wrong_spec_ends_the_job_at_the_planners_first_word():
    world = World()
    world.settle()
    message = ended("SpecError", "There is no task x.", 64)
    world.add_pod(Step.PLAN, phase="Failed", running=False, exit_code=64, message=message)
    world.reconcile()
    assert condition(world, "Failed").reason == "SpecError" and world.jobs[Step.PLAN].suspended


def test_errors_beyond_what_is_tolerated_fail_the_job_at_the_first_try():
    world = running()
    world.finish(Step.WORK)
    world.reconcile()
    message = ended("TooManyErrors", "9 of 100 samples failed.")
    world.add_pod(Step.REDUCE, phase="Failed", running=False, exit_code=1, message=message)
    world.reconcile()
    assert condition(world, "Failed").reason == "TooManyErrors"
    assert world.jobs[Step.REDUCE].suspended


def test_the_deadline_ends_the_job_and_stops_its_pods():
    world = World(job=evaljob(activeDeadlineSeconds=60))
    world.settle()
    world.pass_time(59)
    world.reconcile()
    assert world.status.phase == "Planning"
    world.pass_time(1)
    world.settle()
    assert condition(world, "Failed").reason == "DeadlineExceeded" and world.jobs[Step.PLAN].suspended
    assert not world.pods


def test_time_in_suspension_does_not_count_towards_the_deadline():
    world = World(job=evaljob(activeDeadlineSeconds=60))
    world.reconcile()
    world.change(suspend=True)
    world.settle()
    world.pass_time(3600)
    world.reconcile()
    world.change(suspend=False)
    world.reconcile()
    assert world.status.phase == "Planning"


def test_a_finished_job_is_removed_after_its_time_to_live():
    world = running()
    world.change(ttl_seconds_after_finished=100)
    world.finish(Step.WORK)
    world.reconcile()
    world.finish(Step.REDUCE)
    assert world.reconcile().requeue == 100
    world.pass_time(99)
    assert world.reconcile().requeue == 1
    world.pass_time(1)
    assert DeleteEvalJob() in world.reconcile().actions and not world.exists


def test_waiting_workers_are_counted_with_the_reason():
    world = running()
    message = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available."
    for name, pod in list(world.pods.items())[-2:]:
        world.pods[name] = replace(pod, phase="Pending", running=False, unschedulable=message)
    world.reconcile()
    assert world.status.summary.note == ("2 of 3 workers wait: 0/2 nodes are available: 2 Insufficient nvidia.com/gpu.")
    assert world.status.summary.workers == "1/3" and world.status.workers.waiting == 2
    assert condition(world, "Running").status == "True"


def test_a_job_in_a_queue_waits_for_quota_and_leaves_suspension_to_the_queue():
    world = World(job=evaljob(queueName="gpus"))
    world.reconcile()
    world.finish(Step.PLAN)
    world.reconcile()
    world.jobs[Step.WORK] = replace(world.jobs[Step.WORK], suspended=True)
    world.workload = WorkloadView("job-x", reason="Pending", message="couldn't assign flavors")
    assert world.reconcile().actions == ()
    assert world.status.phase == "Queued" and "couldn't assign" in condition(world, "QuotaReserved").message
    world.workload = replace(world.workload, quota_reserved=True, reason="QuotaReserved")
    world.jobs[Step.WORK] = replace(world.jobs[Step.WORK], suspended=False)
    world.work()
    assert world.reconcile().actions == ()
    assert world.status.phase == "Running" and condition(world, "QuotaReserved").status == "True"
    world.change(suspend=True)
    assert world.reconcile().actions == (SetWorkload("job-x", active=False),)
    world.change(suspend=False)
    assert world.reconcile().actions == (SetWorkload("job-x", active=True),)


def test_a_deleted_job_without_a_wish_for_its_records_needs_nothing():
    world = running()
    world.delete()
    world.settle()
    assert not world.exists and not world.jobs and not world.pods


def test_a_run_that_is_to_go_with_its_job_is_removed_after_its_pods():
    world = World(job=evaljob(reclaimPolicy="Delete"))
    assert SetFinalizer(present=True) in world.reconcile().actions
    world.finish(Step.PLAN)
    world.reconcile()
    world.work()
    world.delete()
    world.reconcile()
    assert all(job.deleting for job in world.jobs.values())
    world.work()
    world.reconcile()
    assert list(world.jobs) == [Step.DELETE] and world.exists
    world.finish(Step.DELETE)
    world.settle()
    assert not world.exists


def test_the_plan_of_a_run_is_the_first_one_that_was_told():
    world = running()
    world.add_pod(Step.PLAN, phase="Succeeded", running=False, exit_code=0, message=planned(plan="c" * 64))
    world.reconcile()
    assert world.status.plan.digest == PLAN


def test_a_refused_job_may_stop_and_shrink_but_never_grow_or_start():
    world = running()
    world.runtime = runtime(caps={"maxReplicas": 2})
    world.change(replicas=900)
    assert world.reconcile().actions == () and condition(world, "Accepted").reason == "TooManyReplicas"
    world.change(suspend=True)
    world.settle()
    assert world.jobs[Step.WORK].suspended
    world.change(suspend=False)
    world.settle()
    assert world.jobs[Step.WORK].suspended and world.jobs[Step.WORK].parallelism == 3
    world.change(replicas=2)
    world.settle()
    assert not world.jobs[Step.WORK].suspended and world.jobs[Step.WORK].parallelism == 2


def test_words_of_pods_that_the_present_job_has_not_made_count_for_nothing():
    world = running()
    world.finish(Step.WORK)
    world.reconcile()
    lie = ended("Corrupt", "Believe me.")
    for state in ({"owner": "another-job"}, {"namespace": "elsewhere"}):
        world.add_pod(Step.REDUCE, phase="Failed", running=False, exit_code=1, message=lie, **state)
        world.reconcile()
        assert world.status.phase == "Reducing"


def test_the_verdict_of_a_job_counts_before_its_last_pod_is_gone():
    from assay_operator.views import job_view

    for told in ("SuccessCriteriaMet", "Complete"):
        assert job_view({"status": {"conditions": [{"type": told, "status": "True"}]}}).complete
    for told in ("FailureTarget", "Failed"):
        assert job_view({"status": {"conditions": [{"type": told, "status": "True", "reason": "x"}]}}).failure == "x"


def test_a_job_that_was_queued_after_its_users_pause_is_left_to_the_queue():
    world = World(job=evaljob(queueName="gpus", suspend=True))
    world.settle()
    world.pass_time(10)
    world.change(suspend=False)
    world.reconcile()
    world.pass_time(10)
    world.finish(Step.PLAN)
    world.reconcile()
    world.jobs[Step.WORK] = replace(world.jobs[Step.WORK], suspended=True)
    assert world.reconcile().actions == ()


def test_a_storage_that_is_changed_while_planning_is_planned_into():
    world = World()
    world.settle()
    world.change(storage=evaljob(storage={"uri": "s3://other/runs"}).spec.storage)
    world.settle()
    assert world.made == [Step.PLAN, Step.PLAN]


def test_a_plan_that_was_written_before_the_spec_was_changed_stays_and_the_change_is_told():
    world = World()
    world.settle()
    world.finish(Step.PLAN)
    world.change(seed=7)
    world.settle()
    assert world.made == [Step.PLAN, Step.WORK] and condition(world, "Accepted").reason == "SpecChanged"


def test_a_queued_job_that_is_resumed_with_other_settings_of_its_pods_gets_a_new_work_job():
    world = World(job=evaljob(queueName="gpus"))
    world.reconcile()
    world.finish(Step.PLAN)
    world.reconcile()
    world.change(suspend=True, template=evaljob(template={"labels": {"a": "b"}}).spec.template)
    world.workload = WorkloadView("job-x", active=False)
    world.jobs[Step.WORK] = replace(world.jobs[Step.WORK], suspended=True, active=0)
    world.reconcile()
    world.change(suspend=False)
    assert world.reconcile().actions == (DeleteJob(world.jobs[Step.WORK].name, world.jobs[Step.WORK].uid),)


def test_workers_that_run_without_committing_are_told_of_with_the_last_failure():
    world = running()
    world.pass_time(119)
    world.reconcile()
    assert world.status.summary.note == ""
    world.pass_time(61)
    world.reconcile()
    assert world.status.summary.note == "No sample was committed for 3 min; see: assay logs job"
    gone = ended("BackendFailed", "The endpoint has accepted no connection for 127 s.")
    world.add_pod(Step.WORK, phase="Failed", running=False, exit_code=1, message=gone)
    world.reconcile()
    assert world.status.summary.note.endswith("had ended with: The endpoint has accepted no connection for 127 s.")
    assert world.status.phase == "Running"


def crashed(restarts: int = 1, **state) -> ServerView:
    down = {"waiting": "CrashLoopBackOff", "exit_code": 1, "message": "Loading\nno such model"}
    return ServerView(image="s:1", restarts=restarts, **down | state)


def serve(world: World, *servers: ServerView) -> None:
    """Give each worker its server."""
    pods = [pod for pod in world.pods.values() if pod.step == Step.WORK]
    for pod, server in zip(pods, servers, strict=True):
        world.pods[pod.name] = replace(pod, index="0", server=server)


def test_a_server_that_ended_is_told_of_while_others_serve_and_when_none_does():
    world, well = running(), ServerView(running=True, started=START)
    serve(world, crashed(), well, well)
    world.reconcile()
    assert condition(world, "Running").status == "True"
    sentence = "the server beside worker 0 ended with exit code 1, 2 times so far: no such model."
    assert world.status.summary.note == f"1 of 3 workers wait: {sentence}"
    serve(world, crashed(), crashed(), crashed())
    world.reconcile()
    told = condition(world, "Running")
    assert (told.status, told.reason, told.message) == ("False", "ServerFailed", sentence)


def test_servers_that_only_ever_end_fail_the_job_once_all_were_started_again_five_times():
    world = running()
    serve(world, *3 * [crashed(5)])
    world.pass_time(179)
    world.reconcile()
    assert condition(world, "Failed") is None
    world.pass_time(1)
    serve(world, crashed(5), crashed(5), crashed(4))
    world.reconcile()
    assert condition(world, "Failed") is None, "one may still serve"
    serve(world, *3 * [crashed(5)])
    world.reconcile()
    assert condition(world, "Failed").reason == "ServerFailed" and "no such model" in condition(world, "Failed").message


def test_a_server_that_ends_now_and_then_in_a_long_run_fails_nothing():
    world = running()
    world.pass_time(7200)
    told = ProgressStatus(samplesDone=5, samplesTotal=100)
    world.act(replace(world.observe()[0], progress=told), world.version)
    serve(world, *3 * [crashed(9)])
    world.pass_time(60)
    world.reconcile()
    assert condition(world, "Failed") is None and condition(world, "Running").reason == "ServerFailed"
    serve(world, *3 * [crashed(9, waiting=None, running=True, started=world.now)])
    world.pass_time(600)
    world.reconcile()
    assert condition(world, "Failed") is None, "it loads its model"


def test_without_a_worker_there_is_no_speed_and_no_end_in_sight():
    world = running()
    told = ProgressStatus(samplesDone=5, samplesTotal=100, samplesPerSecond=5)
    world.act(replace(world.observe()[0], progress=told), world.version)
    world.reconcile()
    assert world.status.progress.eta is not None
    for pod in list(world.pods.values()):
        world.pods[pod.name] = replace(pod, phase="Failed", running=False, exit_code=1)
    world.reconcile()
    left = world.status.progress
    assert (left.samples_done, left.samples_per_second, left.eta) == (5, None, None)


def test_samples_that_are_committed_and_time_in_suspension_end_a_stall():
    world = running()
    world.pass_time(600)
    world.reconcile()
    assert "10 min" in world.status.summary.note
    seen, _ = world.observe()
    moved = decide(replace(seen, progress=ProgressStatus(samplesDone=5, samplesTotal=100)), world.now).status
    assert moved.summary.note == "" and moved.progress.last_commit_time == world.now
    world.change(suspend=True)
    world.settle()
    world.pass_time(3600)
    world.change(suspend=False)
    world.settle()
    assert world.status.phase == "Running" and world.status.summary.note == ""


def test_a_long_note_keeps_what_is_wrong_and_what_to_do():
    note = f"s3://evals/{'x' * 300}/plan.json could not be read: the secret key does not belong to the access key; correct it."
    assert shortened(note).startswith("s3://evals/") and shortened(note).endswith("access key; correct it.")
    assert len(shortened(note)) <= 204 and shortened("short") == "short"
