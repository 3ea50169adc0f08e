"""What files may declare: places, segments, templates, campaigns, journeys and triggers. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from google.protobuf.message import Message

from merhaba.segment.v1 import Journey, Place, Segment, Trigger
from merhaba.sender.v1 import Campaign, Template

MARK: Final = "apply:"
"""Labels of what was applied begin so; the rest says under which name."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A noun of the contracts, and which of its fields a file may say."""

    name: str
    noun: type[Message]
    key: str
    """The field that says which one it is; the business chooses it."""
    fields: Sequence[str]
    """Besides the key; of a oneof, the members."""
    oneof: str = ""
    """The oneof among them."""
    pauses: bool = False
    with_key: Sequence[str] = ()
    """Fields that say it together with the key."""
    with_key_maybe: Sequence[str] = ()
    """The same, for those of whom there is more than one."""

    @property
    def labelled(self) -> bool:
        """Whether labels say under which name it was applied; what has none is never archived."""
        return "labels" in self.fields

    def settable(self, message: Message) -> list[str]:
        """The fields that say what one is; of the oneof, the member that is set."""
        members: set[str] = set()
        if self.oneof:
            members = {one.name for one in self.noun.DESCRIPTOR.oneofs_by_name[self.oneof].fields}
            members -= {message.WhichOneof(self.oneof)}
        return [name for name in self.fields if name not in members]


_TEXTS: Final = ("display_name", "description", "labels")
PLACE: Final = Kind(
    "place",
    Place,
    "place_id",
    ("name", "latitude", "longitude", "radius_meters", "polygon_json", "labels"),
)
SEGMENT: Final = Kind("segment", Segment, "name", (*_TEXTS, "expression"))
JOURNEY: Final = Kind(
    "journey",
    Journey,
    "name",
    (*_TEXTS, "steps", "key", "goal", "exit_condition", "restart_duration"),
    pauses=True,
)
TRIGGER: Final = Kind(
    "trigger",
    Trigger,
    "name",
    (
        *_TEXTS,
        *(one.name for one in Trigger.DESCRIPTOR.oneofs_by_name["cause"].fields),
        *("condition", "delay_duration", "cancel_condition", "key", "period_duration"),
        *("max_per_period", "not_after_duration", "action"),
    ),
    oneof="cause",
    pauses=True,
)
TEMPLATE: Final = Kind(
    "template",
    Template,
    "name",
    (
        *("language", "waba_id", "category", "parameter_format", "components"),
        *("message_ttl_duration", "sub_category", "link_tracking_disabled"),
        "library_template_name",
    ),
    with_key=("language",),
    with_key_maybe=("waba_id",),
)
CAMPAIGN: Final = Kind(
    "campaign",
    Campaign,
    "name",
    (
        *("waba_id", "phone_number_ids", "audience", "variants", "hold_out_share"),
        *("ignores_global_control", "purpose", "not_after_time", "not_after_duration", "budget"),
        "ignores_marketing_endpoint",
    ),
)
KINDS: Final = (PLACE, SEGMENT, TEMPLATE, CAMPAIGN, JOURNEY, TRIGGER)
"""In the order in which they need each other."""


class Reference(NamedTuple):
    """Somewhere in a declaration where another thing is named and its id belongs."""

    message: Message
    field: str
    kind: str
    """`segment`, `journey` or `campaign`."""
    name: str
    line: int
