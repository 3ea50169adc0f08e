"""What a conversion is. Pure."""

from typing import Final

import msgspec

from services.reports.model import ORDERS, Anchor

BUILT_IN: Final = ORDERS
WINDOW_MS: Final = 7 * 86_400_000


class Conversion(msgspec.Struct, kw_only=True):
    """An event of a contact that counts as success. Expressions are CEL over `event`."""

    conversion_id: str = ""
    name: str
    version: int = 1
    event_name: str
    condition: str = ""
    value: str = ""
    """Gives units of the currency."""
    currency: str = ""
    key: str = ""
    """Gives what it is about; without one every event counts."""
    reversal_event_name: str = ""
    """What undoes the one of the same key."""
    anchor: Anchor = "delivered"
    """What a person has to have done with a message for it to bring one."""
    window_ms: int = WINDOW_MS
    """How long after that."""
    create_time: int = 0
    update_time: int = 0
