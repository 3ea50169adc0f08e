"""One contact on its ways in journeys, while what these look at changes. Pure."""

from services.segment.engine.actions import RESTRICTED
from services.segment.engine.journeys.model import Start
from services.segment.engine.journeys.moves import Moves, Started
from services.segment.engine.journeys.rules import JourneyRules, Name
from services.segment.engine.journeys.trail import Cause, Trail
from services.segment.engine.model import Happening
from services.segment.engine.state import ContactState


class Ways:
    """Has those in journeys look at what changed, and puts the contact into others."""

    __slots__ = ("_contact_id", "_moves", "_now", "_rules", "_state", "touched")

    def __init__(self, rules: JourneyRules, contact_id: str, state: ContactState, now: int) -> None:
        self._rules = rules
        self._contact_id = contact_id
        self._state = state
        self._now = now
        self._moves: Moves | None = None
        self.touched: set[Name] = set()
        """What changed since those in journeys looked."""

    @property
    def moves(self) -> Moves:
        """Made when they are asked for: nearly nobody is in a journey."""
        if self._moves is None:
            self._moves = Moves(self._rules, self._contact_id, self._state, self._now)
        return self._moves

    @property
    def trail(self) -> Trail | None:
        """What follows from the moves, if there were any."""
        return None if self._moves is None else self._moves.trail

    def start(self, order: Start, instant: int, happening: Happening | None = None) -> Started:
        """Start a journey, once everybody is where the instant has them be."""
        state = self._state
        if state.restricted:
            return Started("", RESTRICTED)
        self.go_on(instant, happening)
        state.clock = at = max(instant, state.clock)
        return self.moves.start(order, at, instant, _told_by(happening))

    def go_on(
        self, instant: int, happening: Happening | None = None, everybody: bool = False
    ) -> None:
        """Move those in journeys who have something to look at."""
        state = self._state
        if state.journeys.instances:
            state.clock = at = max(instant, state.clock)
            touched = None if everybody else self.touched
            self.moves.look(touched, at, _told_by(happening))
        self.touched.clear()


def _told_by(happening: Happening | None) -> Cause | None:
    return None if happening is None else Cause(happening.received, happening.traceparent)
