"""Whatever happens, in whatever order: one plan, no doubled child, no lost ending, and in the end a result or a reason."""

from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from assay_operator.conditions import is_true
from assay_operator.decide import Decision
from assay_operator.names import Step
from support.control_plane import PLAN, World, ended, evaljob, planned, runtime

STEPS = st.sampled_from([Step.PLAN, Step.WORK, Step.REDUCE])


class AnyHistory(RuleBasedStateMachine):
    """One EvalJob under a cluster, users and operators that do anything they may do."""

    def __init__(self):
        super().__init__()
        self.world = World(job=evaljob(activeDeadlineSeconds=100_000))
        self.stale = None
        self.plan = None
        self.ending = None
        self.injected = False

    # --- operators: one that lives, one that dies on the way, one that has slept

    @rule()
    def reconcile(self):
        self.world.reconcile()

    @rule(step=STEPS, code=st.sampled_from([0, 0, 1]))
    def a_step_is_started_and_ends(self, step, code):
        self.world.reconcile()
        self.world.work()
        self.injected |= bool(code)
        self.world.end(step, code=code, message=ended("Failed", "No.", code)) if code else self.world.finish(step)
        self.world.reconcile()

    @rule(survives=st.integers(0, 2))
    def reconcile_and_die(self, survives):
        self.world.reconcile(survives=survives)

    @precondition(lambda self: self.world.exists)
    @rule()
    def look(self):
        self.stale = self.world.observe()

    @precondition(lambda self: self.stale is not None and self.world.exists and not self.world.deleting)
    @rule()
    def act_on_what_was_seen_long_ago(self):
        self.world.act(*self.stale)

    # --- the cluster

    @rule()
    def work(self):
        self.world.work()

    @rule(step=STEPS)
    def finish(self, step):
        self.world.finish(step)

    @rule()
    def collect_ended_pods(self):
        self.world.lose_pods()

    @rule(step=STEPS)
    def somebody_removes_a_job(self, step):
        job = self.world.jobs.get(step)
        if job is not None:
            self.world.jobs.pop(step)
            self.world._drop_pods(step)

    @rule(step=STEPS, code=st.sampled_from([1, 64, 137]))
    def fail(self, step, code):
        self.injected = True
        self.world.end(step, code=code, message=ended("Failed", "No.", code))

    @rule()
    def pods_are_preempted(self):
        for name, pod in list(self.world.pods.items()):
            if pod.step == Step.WORK and pod.phase == "Running":
                del self.world.pods[name]

    @rule(index=st.integers(0, 4), answers=st.booleans())
    def a_node_stops_answering_or_answers_again(self, index, answers):
        for name, pod in self.world.pods.items():
            if pod.step == Step.WORK and pod.index == str(index):
                self.world.pods[name] = replace(pod, unreachable=not answers)

    # --- users and the platform team

    @rule(suspend=st.booleans())
    def suspend(self, suspend):
        self.world.change(suspend=suspend)

    @rule(replicas=st.integers(1, 5))
    def scale(self, replicas):
        self.world.change(replicas=replicas)

    @rule()
    def runtime_goes(self):
        self.world.runtime = None

    @rule()
    def runtime_comes(self):
        self.world.runtime = runtime()

    @rule(seconds=st.sampled_from([1, 10, 1000]))
    def time_passes(self, seconds):
        self.world.pass_time(seconds)

    # --- what must hold at any moment

    @invariant()
    def the_plan_never_changes(self):
        plan = self.world.status.plan
        assert self.plan is None or plan == self.plan
        self.plan = plan

    @invariant()
    def an_ending_is_never_lost(self):
        conditions = self.world.status.conditions
        complete, failed = is_true(conditions, "Complete"), is_true(conditions, "Failed")
        assert not (complete and failed)
        ending = "Complete" if complete else "Failed" if failed else None
        assert self.ending is None or ending == self.ending
        self.ending = ending

    @invariant()
    def work_follows_a_plan_and_reduction_follows_work(self):
        made = self.world.made
        if Step.WORK in made:
            assert Step.PLAN in made[: made.index(Step.WORK)]
        if Step.REDUCE in made:
            assert Step.WORK in made[: made.index(Step.REDUCE)]

    @invariant()
    def a_failure_is_never_made_up(self):
        assert self.injected or not is_true(self.world.status.conditions, "Failed") or self.world.now.day > 1

    def teardown(self):
        """Given a working cluster, the job ends, and stays as it ended."""
        world = self.world
        world.runtime = runtime()
        world.change(suspend=False)
        for _ in range(40):
            world.reconcile()
            world.work()
            for step in (Step.PLAN, Step.WORK, Step.REDUCE):
                world.finish(step)
        self.an_ending_is_never_lost()
        assert self.ending is not None, world.status
        if not self.injected and self.ending == "Complete":
            assert world.status.plan.digest == PLAN and world.status.results
        world.settle()
        assert not [job for job in world.jobs.values() if not job.finished and not job.suspended]


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=500, stateful_step_count=50, suppress_health_check=list(HealthCheck))


def test_two_operators_that_act_at_once_make_each_child_once():
    world = World()
    first, second = world.observe(), world.observe()
    for seen in (first, second):
        assert isinstance(world.act(*seen), Decision)
    assert world.made == [Step.PLAN]
    world.end(Step.PLAN, message=planned())
    first, second = world.observe(), world.observe()
    world.act(*first)
    status = world.status
    world.act(*second)
    assert world.made == [Step.PLAN, Step.WORK] and world.status == status
