"""Someone who waits is told each thing once."""

import re
from datetime import UTC, datetime

from assay_runner.cluster.display import Display
from assay_runner.cluster.job import Job
from assay_runner.cluster.story import Story
from support.evaljobs import complete, condition, evaljob, running

NOW = datetime(2026, 3, 1, 12, 2, 0, tzinfo=UTC)
ACCEPTED = condition("Accepted", reason="Accepted", message="Runtime default takes it.")


def told(story, **status):
    return story.news(Job.of(evaljob(running(**status))), NOW)


def test_conditions_and_notes_are_told_when_they_change_and_only_then():
    story = Story()
    quiet = {"summary": {"note": ""}}
    assert told(story, conditions=[condition("Accepted", "False", "RuntimeNotFound", "There is no x.")], **quiet) == [
        "not Accepted: There is no x."
    ]
    assert told(story, conditions=[ACCEPTED], **quiet) == ["Accepted: Runtime default takes it."]
    assert told(story, conditions=[ACCEPTED], **quiet) == []
    assert told(story, conditions=[condition("Planned", reason="Planned")], **quiet) == ["Planned"]
    waits = {"summary": {"note": "The image cannot be pulled."}}
    assert told(story, conditions=[ACCEPTED], **waits) == ["The image cannot be pulled."]
    assert told(story, conditions=[ACCEPTED], **waits) == told(story, conditions=[ACCEPTED], **quiet) == []


def test_a_note_that_repeats_a_condition_is_not_told_twice():
    refused = condition("Accepted", "False", "RuntimeNotFound", "There is no x.")
    assert told(Story(), conditions=[refused], summary={"note": "There is no x."}) == ["not Accepted: There is no x."]


def test_how_the_job_ended_and_steps_to_come_are_not_news():
    conditions = [condition("Complete", message="Done."), condition("Reduced", "False", "Waiting")]
    assert told(Story(), conditions=conditions, summary={}) == []


def test_a_pipe_gets_a_line_of_progress_every_five_seconds_when_it_changed(capsys):
    time = [0.0]
    display = Display(live=False, clock=lambda: time[0], now=lambda: NOW)
    for second in range(12):
        time[0] = float(second)
        done = min(1000 * second, 7000)
        display.show(Job.of(evaljob(running(progress={"samplesDone": done, "samplesTotal": 9673}, summary={}))))
    lines = [line for line in capsys.readouterr().err.splitlines() if re.match(r"[0-9,]+/", line)]
    assert [line.partition("/")[0] for line in lines] == ["0", "5,000", "7,000"]


def test_a_terminal_gets_news_above_a_picture_that_moves(capsys):
    with Display(live=True, now=lambda: NOW) as display:
        display.show(Job.of(evaljob(running())))
    assert "Accepted: Runtime default takes it." in capsys.readouterr().err
    with Display(live=True, whole=True, now=lambda: NOW) as display:
        display.show(Job.of(evaljob(complete())))
