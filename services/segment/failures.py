"""What can be wrong with what is asked of this service. Each class is a reason of the contract."""

from chassis.failures import Invalid, NotFound, Refused, Unavailable
from expressions import ExpressionError


class ExpressionInvalid(Invalid):
    """An expression does not parse or check."""

    def __init__(self, field: str, error: ExpressionError) -> None:
        super().__init__(
            f"{field}: {error}",
            field=field,
            **error.facts,
        )


class SegmentCycle(Invalid):
    """A segment would use itself."""

    def __init__(self, path: list[str]) -> None:
        super().__init__(
            f"the segment would use itself: {' uses '.join(path)}; take one use out",
            path=",".join(path),
        )


class ServiceUnavailable(Unavailable):
    """Another service did not answer."""

    def __init__(self, service: str) -> None:
        super().__init__(f"{service} does not answer; ask again soon", service=service)


class PlaceNotFound(NotFound):
    """There is no such place."""

    def __init__(self, place_id: str) -> None:
        super().__init__("there is no such place; list them first", place_id=place_id)


class NameTaken(Refused):
    """Another one has the name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the name {name} is taken, perhaps by an archived one", name=name)


class ReferenceNotFound(Refused):
    """Something that is named is not there."""

    def __init__(self, field: str, kind: str, name: str) -> None:
        super().__init__(
            f"{field}: there is no {kind} {name}; make it first", field=field, kind=kind, name=name
        )


class ContactNotFound(NotFound):
    """Nobody is, or no longer is, that contact."""

    def __init__(self, contact_id: str) -> None:
        super().__init__("nobody is that contact, as far as known here", contact_id=contact_id)


class HistoryTooShort(Refused):
    """Less history is kept than the question needs."""


class SegmentNotFound(NotFound):
    """There is no such segment."""

    def __init__(self, segment_id: str) -> None:
        super().__init__("there is no such segment; list them first", segment_id=segment_id)


class SegmentArchived(Refused):
    """The segment has ended."""

    def __init__(self, segment_id: str) -> None:
        super().__init__("the segment is archived; make another one", segment_id=segment_id)


class SegmentNotEvaluated(Refused):
    """The segment's expression no longer compiles."""

    def __init__(self, segment_id: str) -> None:
        super().__init__(
            "its expression no longer compiles, so nobody enters or leaves; correct it",
            segment_id=segment_id,
        )


class SegmentInUse(Refused):
    """Others use the segment."""

    def __init__(self, segment_id: str, users: list[str]) -> None:
        super().__init__(
            f"used by {', '.join(users)}; change or archive those first",
            segment_id=segment_id,
            users=",".join(users),
        )


class BackfillNotFound(NotFound):
    """There is no such backfill."""

    def __init__(self, backfill_id: str) -> None:
        super().__init__("there is no such backfill; list them first", backfill_id=backfill_id)


class BackfillRunning(Refused):
    """The members of a new segment are not known yet."""

    def __init__(self, segment_id: str, backfill_id: str) -> None:
        super().__init__(
            "the segment's first backfill runs; ask again when GetBackfill says it completed",
            segment_id=segment_id,
            backfill_id=backfill_id,
        )


class TriggerNotFound(NotFound):
    """There is no such trigger."""

    def __init__(self, trigger_id: str) -> None:
        super().__init__("there is no such trigger; list them first", trigger_id=trigger_id)


class TriggerArchived(Refused):
    """The trigger has ended."""

    def __init__(self, trigger_id: str) -> None:
        super().__init__("the trigger is archived; make another one", trigger_id=trigger_id)


class OccurrenceNotFound(NotFound):
    """There is no such occurrence."""

    def __init__(self, occurrence_id: str) -> None:
        super().__init__(
            "there is no such occurrence; list them first", occurrence_id=occurrence_id
        )


class JourneyNotFound(NotFound):
    """There is no such journey."""

    def __init__(self, journey_id: str) -> None:
        super().__init__("there is no such journey; list them first", journey_id=journey_id)


class JourneyArchived(Refused):
    """The journey has ended."""

    def __init__(self, journey_id: str) -> None:
        super().__init__("the journey is archived; make another one", journey_id=journey_id)


class JourneyPaused(Refused):
    """Nobody starts while the journey is paused."""

    def __init__(self, journey_id: str) -> None:
        super().__init__("the journey is paused; resume it first", journey_id=journey_id)


class JourneyInUse(Refused):
    """Others start the journey."""

    def __init__(self, journey_id: str, users: list[str]) -> None:
        super().__init__(
            f"started by {', '.join(users)}; change or archive those first",
            journey_id=journey_id,
            users=",".join(users),
        )


class UnknownStep(Invalid):
    """A step leads to one that is not there."""

    def __init__(self, field: str, step_id: str) -> None:
        super().__init__(
            f"{field}: there is no step {step_id}; add it, or correct the name",
            field=field,
            step_id=step_id,
        )


class StepCycle(Invalid):
    """Steps lead in a circle in which nothing waits."""

    def __init__(self, path: list[str]) -> None:
        super().__init__(
            f"nothing waits from {' to '.join(path)}; put a wait in between",
            path=",".join(path),
        )


class InstanceNotFound(NotFound):
    """Nobody is or was in a journey as that instance."""

    def __init__(self, instance_id: str) -> None:
        super().__init__("there is no such instance; list them first", instance_id=instance_id)
