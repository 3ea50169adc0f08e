"""Roles of callers: what each may call here, and what it sees of a person in explanations. Pure.

The roles are those of profile, and see no more here than there: everything is denied that is not
named. `internal`, the suite's own services, may and sees everything. Who is in a segment is told to
whoever may ask for members, whatever the segment's rule looks at: that is what a segment is for.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from expressions import Expression

_SEGMENTS: Final = "merhaba.segment.v1.SegmentService/"
_TRIGGERS: Final = "merhaba.segment.v1.TriggerService/"
_JOURNEYS: Final = "merhaba.segment.v1.JourneyService/"
_CATALOG: Final = "merhaba.segment.v1.CatalogService/"


def _methods(service: str, *names: str) -> frozenset[str]:
    return frozenset(service + name for name in names)


_READ: Final = (
    _methods(_SEGMENTS, "GetSegment", "ListSegments", "ListSegmentDefinitions")
    | _methods(_SEGMENTS, "GetBackfill", "ListBackfills", "CheckMembership", "ExplainMembership")
    | _methods(_TRIGGERS, "GetTrigger", "ListTriggers")
    | _methods(_JOURNEYS, "GetJourney", "ListJourneys", "GetJourneyPicture", "GetStageMap")
    | _methods(_CATALOG, "GetPlace", "ListPlaces", "BatchGetCatalogItems", "ListCatalogItems")
)
_LISTS: Final = _methods(
    _SEGMENTS, "CheckExpression", "ListMembers", "StreamMembers", "WatchTransitions"
)


class Sight(NamedTuple):
    """What a role may call and see."""

    methods: frozenset[str]
    personal: bool
    """Attributes and traits that are personal."""
    events: bool
    """What a person did, and what was said in it."""


INTERNAL: Final = Sight(frozenset(), personal=True, events=True)
SIGHTS: Final[dict[str, Sight]] = {
    # People who answer a person: why somebody got what, no lists.
    "support": Sight(
        _READ
        | _methods(_TRIGGERS, "GetOccurrence", "ListOccurrences")
        | _methods(_JOURNEYS, "GetInstance", "ListInstances"),
        personal=True,
        events=True,
    ),
    # People who plan campaigns. They stop triggers and journeys, test triggers, and write none: an
    # action can carry any value to any address.
    "marketing": Sight(
        _READ
        | _LISTS
        | _methods(_SEGMENTS, "PreviewSegment", "CreateSegment", "UpdateSegment", "ArchiveSegment")
        | _methods(_TRIGGERS, "PauseTrigger", "ResumeTrigger", "TestTrigger")
        | _methods(_JOURNEYS, "PauseJourney", "ResumeJourney"),
        personal=False,
        events=False,
    ),
    # People who count. They ask no rules of their own: one that names a person would find it.
    "analytics": Sight(_READ | _LISTS, personal=False, events=False),
}


class Viewer:
    """One caller, and what it sees of what expressions look at."""

    def __init__(self, role: str, personal: Callable[[str], bool]) -> None:
        """`personal` knows attributes and traits by their names in expressions."""
        self._sight = INTERNAL if role == "internal" else SIGHTS[role]
        self._personal = personal

    @property
    def sees_all(self) -> bool:
        """Whether nothing of a person is kept from it."""
        return self._sight.personal and self._sight.events

    def sees(self, expression: Expression) -> bool:
        """Whether it may see all that an expression looks at. What people agreed to, and which
        segments they are in, everybody may."""
        if expression.events and not self._sight.events:
            return False
        return self._sight.personal or not any(map(self._personal, expression.attributes))
