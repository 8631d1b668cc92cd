"""Each key is at most once waiting and once under work; what fails is tried again, later and later."""

import asyncio
from random import Random

from assay_operator.work_queue import FIRST_BACKOFF, LONGEST_BACKOFF, WorkQueue


def run(test):
    asyncio.run(asyncio.wait_for(test(), 10))


def queue():
    return WorkQueue(Random(0), asyncio.get_running_loop().time)


async def nothing_comes(waiting, seconds=0.05):
    try:
        await asyncio.wait_for(waiting.take(), seconds)
    except TimeoutError:
        return True
    return False


def test_a_key_that_is_added_again_and_again_is_taken_once():
    async def test():
        waiting = queue()
        for _ in range(3):
            waiting.add("a")
        assert len(waiting) == 1 and await waiting.take() == "a"
        waiting.done("a")
        assert await nothing_comes(waiting)

    run(test)


def test_how_long_a_key_has_waited_is_told_when_it_is_taken():
    async def test():
        now, waits = [100.0], []
        waiting = WorkQueue(Random(0), lambda: now[0], waits.append)
        waiting.add("a")
        now[0] = 101.0
        waiting.add("b")
        waiting.add("a")
        now[0] = 103.0
        assert waiting.oldest == 3.0
        assert [await waiting.take(), await waiting.take()] == ["a", "b"] and waits == [3.0, 2.0]
        assert waiting.oldest == 0.0

    run(test)


def test_what_comes_first_overtakes_what_can_wait_and_is_taken_once():
    async def test():
        now, waits = [100.0], []
        waiting = WorkQueue(Random(0), lambda: now[0], waits.append)
        for key in ("a", "b", "c"):
            waiting.add(key)
        now[0] = 102.0
        waiting.add("c", first=True)
        waiting.add("d", first=True)
        waiting.add("d")
        assert len(waiting) == 4 and waiting.oldest == 2.0
        assert [await waiting.take() for _ in range(4)] == ["c", "d", "a", "b"] and waits == [2.0, 0.0, 2.0, 2.0]
        assert await nothing_comes(waiting)
        waiting.add("a", first=True)
        waiting.add("a")
        waiting.add("e")
        waiting.done("a")
        assert [await waiting.take(), await waiting.take()] == ["a", "e"]

    run(test)


def test_who_takes_only_what_comes_first_leaves_the_rest_to_others():
    async def test():
        waiting, taken = queue(), []

        async def take(name, **options):
            taken.append((name, await waiting.take(**options)))

        async with asyncio.TaskGroup() as group:
            for name in ("quick", "quicker"):
                group.create_task(take(name, only_first=True))
            for name in ("patient", "more patient"):
                group.create_task(take(name))
            await asyncio.sleep(0)
            waiting.add("can wait")
            waiting.add("cannot", first=True)
            await asyncio.sleep(0.01)
            assert sorted(key for _, key in taken) == ["can wait", "cannot"], "nobody who could take one sleeps"
            waiting.add("cannot either", first=True)
            await asyncio.sleep(0.01)
            assert len(taken) == 3
            waiting.add("can wait too")
            waiting.add("nor can this", first=True)
        assert all("wait" not in key for name, key in taken if name.startswith("quick")), taken

    run(test)


def test_a_key_that_changes_while_it_is_under_work_is_taken_once_more_afterwards():
    async def test():
        waiting = queue()
        waiting.add("a")
        await waiting.take()
        waiting.add("a")
        waiting.add("a")
        assert await nothing_comes(waiting)
        waiting.done("a")
        assert await waiting.take() == "a"
        waiting.done("a")
        assert len(waiting) == 0

    run(test)


def test_another_look_comes_after_its_time_and_an_event_brings_it_forward():
    async def test():
        waiting, loop = queue(), asyncio.get_running_loop()
        waiting.add("a")
        await waiting.take()
        started = loop.time()
        waiting.done("a", again_in=0.1)
        assert await waiting.take() == "a" and loop.time() - started >= 0.1
        waiting.done("a", again_in=5.0)
        waiting.add("a")
        assert await asyncio.wait_for(waiting.take(), 0.5) == "a"
        waiting.done("a")
        assert await nothing_comes(waiting)

    run(test)


def test_the_earlier_of_two_delays_counts():
    async def test():
        waiting = queue()
        waiting.add_later("a", 5.0)
        waiting.add_later("a", 0.05)
        waiting.add_later("a", 9.0)
        assert await asyncio.wait_for(waiting.take(), 0.5) == "a"

    run(test)


def test_failures_are_counted_until_a_success_whatever_events_come_between():
    async def test():
        waiting = queue()
        pauses = [waiting._backoff(failures) for failures in range(1, 30)]
        assert FIRST_BACKOFF / 2 <= pauses[0] <= FIRST_BACKOFF and max(pauses) <= LONGEST_BACKOFF
        waiting.add("a")
        for _ in range(3):
            assert await waiting.take() == "a"
            waiting.add("a")
            waiting.done("a", failed=True)
        assert await nothing_comes(waiting, FIRST_BACKOFF)

    run(test)


def test_what_came_first_and_failed_or_is_undone_comes_first_again():
    async def test():
        for ending in ({"failed": True}, {"again_in": 0.01, "undone": True}, {"again_in": 0.01}):
            waiting = queue()
            waiting.add("urgent", first=True)
            assert await waiting.take() == "urgent"
            waiting.done("urgent", **ending)
            waiting.add("b")
            await asyncio.sleep(FIRST_BACKOFF + 0.05)
            first = "b" if ending == {"again_in": 0.01} else "urgent"
            assert await waiting.take() == first

    run(test)
