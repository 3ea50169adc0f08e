"""ReachService over gRPC."""

from typing import Any, Final

from chassis.clock import Clock, milliseconds_of
from chassis.failures import FieldInvalid
from merhaba.profile.v1 import (
    BatchGetReachRequest,
    BatchGetReachResponse,
    Consent,
    JoinedContact,
    ReachColumn,
    ReachServiceServicer,
)
from merhaba.profile.v1 import Reach as WireReach
from services.profile.contract import asked
from services.profile.person import attributes
from services.profile.person.directory import Directory
from services.profile.person.model import Contact
from services.profile.person.reach import Columns, Reach, reached
from services.profile.tables.reads import Reads

_MOST: Final = 2_000
_MOST_NAMES: Final = 100
_AT_ONCE: Final = 250
"""Read and told before other calls have their turn."""
_FIELDS: Final = ("consents", "zone", "language", "absorbed_contact_ids")


class ReachApi(ReachServiceServicer):
    """How people can be reached."""

    def __init__(self, directory: Directory, reads: Reads, clock: Clock) -> None:
        self._directory = directory
        self._reads = reads
        self._clock = clock

    async def BatchGetReach(
        self, request: BatchGetReachRequest, context: Any
    ) -> BatchGetReachResponse:
        """Tell how many contacts can be reached."""
        reader = self._reads.reader()
        asked.batch(request.contact_ids, "contact_ids", _MOST)
        names = list(request.attribute_names)
        _check(names)
        ids = [asked.known_id(one) for one in request.contact_ids]
        columns = Columns(names)
        nothing = [b""] * len(names)
        now = milliseconds_of(self._clock.now())
        kinds: dict[Reach, int] = {}
        places: list[int] = []
        heard: list[int] = []
        said: list[int] = []
        told: list[list[bytes]] = []
        joined: list[JoinedContact] = []
        known: list[str] = []
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            found = await self._directory.find(part, columns.part)
            for position, one in enumerate(found, start):
                if one is None:
                    places.append(-1)
                    heard.append(0)
                    said.append(0)
                    told.append(nothing)
                    continue
                reach, last_message_time, consent_time = reached(one, now)
                places.append(kinds.setdefault(reach, len(kinds)))
                heard.append(last_message_time)
                said.append(consent_time)
                told.append(columns.of(one, reach))
                known.append(one.contact_id)
                if one.absorbed or one.contact_id != ids[position]:
                    joined.append(_joined(position, one))
        async with reader.read(known, [*_FIELDS, *names]):
            return BatchGetReachResponse(
                reaches=map(_wire, kinds),
                places=places,
                last_message_times=heard,
                marketing_consent_times=said,
                columns=[ReachColumn(values_json=column) for column in zip(*told, strict=True)],
                joined=joined,
            )


def _joined(position: int, found: Contact) -> JoinedContact:
    return JoinedContact(
        position=position, contact_id=found.contact_id, absorbed_contact_ids=found.absorbed
    )


def _check(names: list[str]) -> None:
    if len(names) > _MOST_NAMES:
        raise FieldInvalid("attribute_names", f"at most {_MOST_NAMES}", limit=str(_MOST_NAMES))
    for index, name in enumerate(names):
        if not attributes.well_named(name.removeprefix("traits.")):
            raise FieldInvalid(f"attribute_names[{index}]", "no name of an attribute or trait")


def _wire(reach: Reach) -> WireReach:
    return WireReach(
        restricted=reach.restricted,
        reachable=reach.reachable,
        market=reach.market,
        phone_number_id=reach.phone_number_id,
        language=reach.language,
        zone=reach.zone,
        consents={purpose: Consent.State.ValueType(state) for purpose, state in reach.consents},
    )
