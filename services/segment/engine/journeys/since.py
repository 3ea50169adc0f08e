"""What is known of a contact without what happened before. Pure."""

from bisect import bisect_right
from collections.abc import Set as AbstractSet

from expressions import Facts, Timeline


def happened_since(facts: Facts, instant: int, names: AbstractSet[str]) -> Facts:
    """The facts with only those events of these names that happened after `instant`."""
    if not names:
        return facts
    timelines: dict[str, Timeline] = {}
    for name in names & facts.timelines.keys():
        whole = facts.timelines[name]
        first = bisect_right(whole.times, instant)
        if first < len(whole.times):
            timelines[name] = Timeline(whole.times[first:], whole.properties[first:])
    return Facts(facts.attributes, facts.consents, facts.segments, facts.zone, timelines)
