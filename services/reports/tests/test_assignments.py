"""A person counts once in an experiment, where they were assigned first, whoever they turn out to
be."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.ids import fresh_id
from services.reports.experiments import recipients
from services.reports.experiments.model import Experiment
from services.reports.experiments.recipients import Recipients
from services.reports.tests.events import DAY, HOUR, NOON, merged, outcome, ref

LATE = datetime.fromtimestamp((NOON + 30 * DAY) / 1000, UTC)


async def window(_conversion_id: str) -> timedelta:
    return timedelta(days=1)


@pytest.mark.timeout(600)
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    planned=st.lists(
        st.tuples(
            st.sampled_from(["ann", "bob", "cem", "dee"]),
            st.integers(0, 9),
            st.sampled_from("ab"),
            st.sampled_from(["sent", "failed", "suppressed", "held_out", "planned"]),
        ),
        min_size=1,
        max_size=7,
    ),
    together=st.sets(st.sampled_from(["bob", "cem"])),
    at_once=st.integers(1, 3),
    data=st.data(),
)
async def test_a_merged_person_counts_once_where_they_were_assigned_first(
    planned, together, at_once, data, pool, feed, monkeypatch
) -> None:
    monkeypatch.setattr(recipients, "_CHUNK", at_once)
    run, events = fresh_id("c"), []
    for n, (who, at, variant, became) in enumerate(planned):
        about = ref(f"{run}/{n}", run, variant)
        about.propensity = 0.5
        events.append(outcome("planned", NOON + at * HOUR, run + who, about))
        events.append(outcome(became, NOON + at * HOUR + (n * 17) % 5, run + who, about))
    for batch in (shuffled := data.draw(st.permutations(events)))[::2], shuffled[1::2]:
        await feed("message", batch)
    if together:
        await feed(
            "contact", [merged(NOON, f"{run}ann", f"{run}{who}") for who in sorted(together)]
        )

    by_person = defaultdict(list)
    for n, (who, at, variant, became) in enumerate(planned):
        arm = "held" if became == "held_out" else variant
        person = "ann" if who in together else who
        by_person[person].append((at, f"{run}/{n}", arm, became))
    assigned, treated, held = Counter(), 0, 0
    for theirs in by_person.values():
        # What a gate refused assigned nobody, unless there is nothing else
        *_, arm, _ = min([one for one in theirs if one[-1] != "suppressed"] or theirs)
        if arm == "held":
            held += 1
            continue
        treated += 1
        decided = [became in ("sent", "failed") for *_, own, became in theirs if own == arm]
        assigned[arm] += any(decided)

    facts = Recipients(pool, lambda: LATE, window)
    found, _, _ = await facts.gathered(
        Experiment(campaign_id=run, goal="conversion_rate", window_ms=DAY)
    )
    assert {variant: n for (variant, _), n in found.assigned.items()} == +assigned
    assert {variant: line.n for (variant, _), line in found.lines.items()} == +assigned
    assert (found.treated.n, found.held.n) == (treated, held)
