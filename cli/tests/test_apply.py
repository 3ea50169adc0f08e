"""`merhaba apply` as somebody of marketing runs it, against a running service."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.apply import files
from cli.tests.running import Ended, ran
from merhaba.segment.v1 import (
    ArchiveSegmentRequest,
    CreateSegmentRequest,
    DateCause,
    ListSegmentsRequest,
    ListTriggersRequest,
    Segment,
    Trigger,
    UpdateSegmentRequest,
)
from services.segment.tests.conftest import TOKEN, migrated, suite  # noqa: F401 - fixtures

CART = """\
# The first to buy again
kind: segment
name: loyal
display_name: Sadık müşteriler
expression: |
  events("order_completed").within("90d").count() >= 3
  && segment("reachable")
---
kind: segment
name: reachable
expression: consent("marketing")
---
kind: trigger
name: thanks
segment: loyal
delay_duration: 2h
action:
  send:
    campaign_id: cmp_thanks
    parameters:
      total: traits.order_total
"""


async def apply(suite: Any, *arguments: str, said: str = "") -> Ended:  # noqa: F811
    """Exit code, output and errors of a command."""
    return await ran("apply", *arguments, said=said, SEGMENT_TARGET=suite.target, API_TOKEN=TOKEN)


def written(folder: Path, text: str, name: str = "a.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


async def segments(suite: Any) -> dict[str, Segment]:  # noqa: F811
    found = await suite.segments.ListSegments(ListSegmentsRequest())
    return {one.name: one for one in found.segments}


async def triggers(suite: Any) -> dict[str, Trigger]:  # noqa: F811
    found = await suite.triggers.ListTriggers(ListTriggersRequest())
    return {one.name: one for one in found.triggers}


async def test_what_is_declared_is_made_in_the_order_it_needs_and_a_second_run_does_nothing(
    suite: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    file = written(tmp_path, CART)
    code, output, errors = await apply(suite, "-f", file, "--plan")
    assert (code, errors) == (0, "")
    signs = [line for line in output.splitlines() if line.startswith("+")]
    assert signs == ["+ segment reachable", "+ segment loyal", "+ trigger thanks"]
    assert "    checked when there is segment loyal" in output
    assert "    delay_duration: 7200s" in output
    assert output.endswith("3 to make; 0 unchanged\n")
    assert await segments(suite) == {}
    code, output, errors = await apply(suite, "-f", file, "--yes")
    assert (code, errors) == (0, "")
    assert output.splitlines()[-3:] == [
        *("made segment reachable", "made segment loyal", "made trigger thanks"),
    ]
    found = await segments(suite)
    assert found["loyal"].display_name == "Sadık müşteriler"
    assert list(found["loyal"].labels) == ["apply:default"]
    made = (await triggers(suite))["thanks"]
    assert made.segment.segment_id == found["loyal"].segment_id
    assert dict(made.action.send.parameters) == {"total": "traits.order_total"}
    assert await apply(suite, "-f", file, "--yes") == (0, "nothing to do; 3 unchanged\n", "")
    assert (await segments(suite))["loyal"].etag == found["loyal"].etag


async def test_what_differs_is_shown_value_by_value_and_changed(
    suite: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    await apply(suite, "-f", written(tmp_path, CART), "--yes")
    other = CART.replace("2h", "1d").replace("total: traits", "sum: traits").replace("90d", "30d")
    other = other.replace("display_name: Sadık müşteriler\n", "") + "paused: true\n"
    code, output, errors = await apply(suite, "-f", written(tmp_path, other), said="y\n")
    assert (code, errors) == (0, "Do it? [y/N]:")
    lines = output.splitlines()
    assert lines[0] == "~ segment loyal"
    assert "    display_name: Sadık müşteriler → nothing" in lines
    assert "    delay_duration: 7200s → 86400s" in lines
    assert "    action.send.parameters.total: traits.order_total → nothing" in lines
    assert "    action.send.parameters.sum: traits.order_total" in lines
    assert "    paused: False → True" in lines
    assert "2 to change; 1 unchanged" in lines
    assert '.within("30d")' in (await segments(suite))["loyal"].expression
    found = (await triggers(suite))["thanks"]
    assert (found.state, found.delay_duration.seconds) == (Trigger.STATE_PAUSED, 86_400)
    assert await apply(suite, "-f", written(tmp_path, other)) == (
        *(0, "nothing to do; 3 unchanged\n", ""),
    )


async def test_who_is_asked_may_say_no(suite: Any, tmp_path: Path) -> None:  # noqa: F811
    code, _, errors = await apply(suite, "-f", written(tmp_path, CART), said="n\n")
    assert (code, errors.splitlines()[-1]) == (1, "Do it? [y/N]:Aborted.")
    assert await segments(suite) == {}


async def test_mistakes_are_told_at_their_line_and_nothing_is_changed(
    suite: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    await suite.segments.CreateSegment(
        CreateSegmentRequest(segment=Segment(name="old", expression="profile.age > 3"))
    )
    old = (await segments(suite))["old"]
    await suite.segments.ArchiveSegment(ArchiveSegmentRequest(segment_id=old.segment_id))
    wrong = """\
kind: segment
name: young
expression: |
  profile.age > 3
  && profile.ctiy == "Izmir"
---
kind: segment
name: old
expression: profile.age > 60
---
kind: trigger
name: late
event: order_completed
action: {send: {campaign_id: cmp_x, parameters: {a: profile.agee}}}
---
kind: trigger
name: lost
segment: nobody
action: {send: {campaign_id: cmp_x}}
---
kind: segment
name: good
expression: profile.age > 5
"""
    file = written(tmp_path, wrong)
    code, output, errors = await apply(suite, "-f", file, "--yes")
    assert code == 2
    assert "+ segment good" in output
    assert f"{file}:5: segment young: " in errors
    assert "did you mean `city`?" in errors
    assert f"{file}:8: segment old: the name is taken by an archived one" in errors
    assert f"{file}:14: trigger late: " in errors
    assert "unknown attribute `agee`" in errors
    assert f"{file}:18: trigger lost: there is no segment nobody" in errors
    assert errors.endswith("nothing was changed\n")
    assert await segments(suite) == {}


async def test_a_failure_on_the_way_says_what_was_done_and_what_was_not(
    suite: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    wrong = CART.replace("traits.order_total", "traits.nothing")
    code, output, errors = await apply(suite, "-f", written(tmp_path, wrong), "--yes")
    assert code == 3
    assert output.endswith("made segment reachable\nmade segment loyal\n")
    assert f"{tmp_path / 'a.yaml'}:21: trigger thanks: " in errors
    assert errors.endswith("done: 2 of 3; not done: trigger thanks\n")
    output = (await apply(suite, "-f", written(tmp_path, CART), "--yes"))[1]
    assert output.splitlines()[0] == "+ trigger thanks"
    assert output.endswith("1 to make; 2 unchanged\nmade trigger thanks\n")


async def test_what_somebody_changed_meanwhile_is_taken_back(
    suite: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    await apply(suite, "-f", written(tmp_path, CART), "--yes")
    reachable = (await segments(suite))["reachable"]
    change = Segment(segment_id=reachable.segment_id, expression="true")
    await suite.segments.UpdateSegment(UpdateSegmentRequest(segment=change))
    output = (await apply(suite, "-f", written(tmp_path, CART), "--yes"))[1]
    assert '    expression: true → consent("marketing")' in output
    assert (await segments(suite))["reachable"].expression == 'consent("marketing")'


async def test_only_what_was_applied_under_the_same_name_is_archived(
    suite: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    await suite.segments.CreateSegment(
        CreateSegmentRequest(segment=Segment(name="by-hand", expression="profile.age > 3"))
    )
    other = written(tmp_path, "kind: segment\nname: other\nexpression: 'true'\n", "other.yaml")
    await apply(suite, "-f", other, "--yes", "--as", "winter")
    journey = """\
---
kind: journey
name: welcome
exit_condition: segment("reachable")
steps: [{step_id: day, wait: {days: 1, time_of_day: 10:00}}]
---
kind: trigger
name: welcome
event: signed_up
action: {start: welcome}
"""
    code, _, errors = await apply(suite, "-f", written(tmp_path, CART + journey), "--yes")
    assert (code, errors) == (0, "")
    left = written(tmp_path, "kind: segment\nname: reachable\nexpression: 'true'\n")
    code, output, errors = await apply(suite, "-f", left, "--prune", "--yes")
    assert (code, errors) == (0, "")
    assert output.endswith("""\
- trigger thanks
- trigger welcome
- journey welcome
- segment loyal
1 to change, 4 to archive; 0 unchanged
changed segment reachable
archived trigger thanks
archived trigger welcome
archived journey welcome
archived segment loyal
""")
    assert sorted(await segments(suite)) == ["by-hand", "other", "reachable"]
    assert (await apply(suite, "-f", left, "--prune", "--yes"))[1] == (
        "nothing to do; 1 unchanged\n"
    )


# ---- files


FILES = {
    "kind: segmnt\nname: a\n": (
        "1: there is no kind segmnt: place, segment, template, campaign, journey, trigger"
    ),
    "name: a\n": "1: kind is missing: one of place, segment, template, campaign, journey, trigger",
    "- kind: segment\n": "1: write `kind: segment`, `name: …` and what it is",
    "kind: segment\nexpression: true\n": "1: name is missing: by it a segment is known",
    "kind: segment\nname: a\nexpresion: true\n": "3: Segment has no expresion; did you mean "
    "expression?",
    "kind: segment\nname: a\nsegment_id: x\n": "3: segment_id is not for files to say",
    "kind: segment\nname: a\nname: b\n": "3: name stands here twice",
    "kind: segment\nname: a\npaused: true\n": "3: only triggers and journeys are `paused: true` or "
    "`false`",
    "kind: segment\nname: a\n---\nkind: segment\nname: a\n": "4: segment a: declared before, at ",
    "kind: segment\nname: [a\n": "3: not YAML: expected ',' or ']', but got '<stream end>'",
    "kind: trigger\nname: a\nevent: x\nsegment: y\n": "4: event is said already; only one of both "
    "can be",
    "kind: trigger\nname: a\ndelay_duration: soon\n": "3: soon: not a duration; write for example "
    '"30m", "24h", "1h30m", "7d" or "2w"',
    "kind: trigger\nname: a\ndate:\n  leap_day: may_1\n": "4: leap_day is one of february_28, "
    "march_1",
    "kind: trigger\nname: a\naction: {send: [a]}\n": "3: write the fields of SendAction here, no "
    "list",
    "kind: place\nplace_id: a\nlatitude: north\n": "3: north: not a number",
    "kind: trigger\nname: a\nmax_per_period: 99999999999\n": "3: max_per_period cannot be that: ",
    "kind: place\nplace_id: a\nlabels: store\n": "3: labels is a list: begin each with `- `",
}


@pytest.mark.parametrize("text", FILES)
def test_what_a_file_cannot_say_is_told_at_its_line(text: str, tmp_path: Path) -> None:
    path = Path(written(tmp_path, text))
    _, (mistake,) = files.read([path])
    assert str(mistake).startswith(f"{path}:{FILES[text]}")


def test_texts_are_taken_as_they_are_written(tmp_path: Path) -> None:
    text = """\
kind: trigger
name: birthday
date: {attribute_name: birthday, time_of_day: 10:00, leap_day: march_1, day_offset: -1}
not_after_duration: 1h30m
max_per_period: 2
action: {set: {attribute_name: greeted, expression: true}}
"""
    (declared,), mistakes = files.read([Path(written(tmp_path, text))])
    assert not mistakes
    wanted = Trigger(
        name="birthday",
        date=DateCause(
            attribute_name="birthday",
            time_of_day="10:00",
            leap_day=DateCause.LEAP_DAY_MARCH_1,
            day_offset=-1,
        ),
        not_after_duration=timedelta(minutes=90),
        max_per_period=2,
        action={"set": {"attribute_name": "greeted", "expression": "true"}},
    )
    assert declared.message == wanted


def test_a_polygon_is_plain_yaml(tmp_path: Path) -> None:
    text = "kind: place\nplace_id: a\npolygon_json: {type: Polygon, coordinates: [[[29, 41.5]]]}\n"
    (declared,), _ = files.read([Path(written(tmp_path, text))])
    assert declared.message.polygon_json == b'{"type":"Polygon","coordinates":[[[29,41.5]]]}'


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    written(tmp_path, "kind: segment\nname: b\nexpression: 'true'\n", "b.yml")
    written(inner, "kind: segment\nname: a\nexpression: 'true'\n", "a.yaml")
    written(tmp_path, "not one of them", "notes.txt")
    declared, mistakes = files.read([tmp_path])
    assert ([one.name for one in declared], mistakes) == (["b", "a"], [])
