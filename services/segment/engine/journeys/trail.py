"""What follows from a contact's moves, to be written and told. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from chassis.ids import derived_id
from services.segment.engine.actions import Deed, SetAction, WebhookAction
from services.segment.engine.journeys.model import Instance, InstanceRecord, Reached, Visit


class Cause(NamedTuple):
    """What a step follows from, for those who ask how long that took."""

    received: int
    traceparent: str = ""


class Trail:
    """Collects it, for one contact."""

    def __init__(self, contact_id: str) -> None:
        self.records: dict[str, InstanceRecord] = {}
        """Instances as they are now, by id."""
        self.visits: list[Visit] = []
        self.reached: list[Reached] = []
        self.deeds: list[Deed] = []
        self.cause: Cause | None = None
        """None: time alone."""
        self._contact_id = contact_id

    def order(
        self,
        one: Instance,
        action: WebhookAction | SetAction,
        parameters: Mapping[str, Any],
        due: int,
        latest: int | None,
    ) -> None:
        """The step it is in has something done outside, from when it fell due to the latest."""
        self.deeds.append(
            Deed(
                visit_id(one.instance_id, one.visits),
                "step",
                one.journey_id,
                self._contact_id,
                action,
                parameters,
                {
                    "journey_id": one.journey_id,
                    "instance_id": one.instance_id,
                    "step_id": one.step_id,
                    "visit": str(one.visits),
                    "key": one.key,
                },
                due,
                latest,
                "" if self.cause is None else self.cause.traceparent,
            )
        )

    def visited(self, one: Instance, outcome: str, instant: int) -> None:
        """The step it is in is over."""
        self.visits.append(
            Visit(
                one.instance_id,
                one.visits,
                one.journey_id,
                one.version,
                one.step_id,
                one.since,
                max(instant, one.since),
                outcome,
            )
        )

    def keep(
        self,
        one: Instance,
        state: str = "waiting",
        reason: str = "",
        end_time: int | None = None,
        started: bool = False,
    ) -> None:
        """It is elsewhere, or has ended."""
        before = self.records.get(one.instance_id)
        self.records[one.instance_id] = InstanceRecord(
            self._contact_id,
            one.instance_id,
            one.journey_id,
            one.version,
            one.key,
            one.origin_id,
            one.cause_id,
            one.start_time,
            one.parameters,
            state,
            reason,
            one.step_id,
            one.since,
            one.due,
            one.visits,
            end_time,
            started or (before is not None and before.started),
        )

    def tell(
        self,
        one: Instance,
        state: str,
        instant: int,
        campaign_id: str = "",
        parameters: Mapping[str, Any] | None = None,
        not_after_time: int | None = None,
    ) -> None:
        """Everybody is to hear where it is. What it has done bears the id of the visit."""
        visit = visit_id(one.instance_id, one.visits)
        self.reached.append(
            Reached(
                visit if state == "done" else derived_id("jny", visit, state),
                self._contact_id,
                one.journey_id,
                one.version,
                one.instance_id,
                one.step_id,
                state,
                instant,
                instant if self.cause is None else self.cause.received,
                "" if self.cause is None else self.cause.traceparent,
                campaign_id,
                parameters or {},
                not_after_time,
            )
        )


def visit_id(instance_id: str, number: int) -> str:
    """The id of a step that an instance does, the same after a crash."""
    return derived_id("vis", instance_id, str(number))
