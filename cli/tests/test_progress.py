"""How far a backfill is, as people are told."""

from datetime import timedelta

from cli.segments import progress
from merhaba.segment.v1 import Backfill


def test_a_backfill_is_told_with_what_is_known_of_it() -> None:
    found = Backfill(phase=Backfill.PHASE_HISTORY)
    assert progress(found) == "reading history"
    found.passed_count, found.total_count = 430, 1_000
    assert progress(found) == "reading history, 43%"
    found.remaining_duration.FromTimedelta(timedelta(seconds=75.4))
    assert progress(found) == "reading history, 43%, 1 min 15 s to go"
    found.phase = Backfill.PHASE_MEMBERS
    found.remaining_duration.FromTimedelta(timedelta(seconds=9))
    assert progress(found) == "finding members, 43%, 9 s to go"
