"""Limits and habits of Meta's that a script may move. Pure."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Rate = Annotated[float, Meta(ge=0, le=1)]


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The defaults are what Meta documents for everybody; what Meta decides by measures of its
    own (caps, experiments, pacing) is off until it is asked for."""

    pair_interval_s: Annotated[float, Meta(ge=0)] = 6.0
    """Real seconds that one message to a person costs; 0 turns the pair limit off."""
    pair_burst: Annotated[int, Meta(ge=1)] = 45
    window_error: Literal["sync", "async"] = "sync"
    """Whether 131047 answers the call or comes as a failed status."""
    limit_error: Literal["sync", "async"] = "sync"
    """The same for 131048, which is the messaging limit and the number with a bad name."""

    marketing_cap: Annotated[int, Meta(ge=0, le=100)] = 0
    """Marketing messages that one person gets outside the window in 24 real hours, after which
    131049; 0: no cap."""
    not_on_whatsapp: Rate = 0.0
    """Share of numbers, by the seed, that end in 131026."""
    experiment: Rate = 0.0
    """Share of people, by the seed, whom no marketing reaches: 130472."""
    us_marketing: bool = True
    """Whether numbers of +1 get marketing. Meta stopped that in April 2025: 131049."""
    broken_links: tuple[str, ...] = ()
    """Media links that begin so cannot be fetched: 131053."""

    review_delay_s: Annotated[float, Meta(ge=0)] = 0.0
    """Simulated seconds that a new or changed template waits for its decision."""
    reject_templates: frozenset[str] = frozenset()
    """Names of templates that will be rejected."""
    reject_reason: str = "PROMOTIONAL"
    template_limit: Annotated[int, Meta(ge=1)] = 6000
    """Of one account: 250 for a business that is not verified."""
    template_creations_per_hour: Annotated[int, Meta(ge=1)] = 100
    """Of one account."""
    pacing_after: Annotated[int, Meta(ge=0)] = 0
    """A marketing template whose quality is not yet known is held back after so many messages;
    0: never."""
    pacing_delay_s: Annotated[float, Meta(ge=0)] = 1800.0
    """Simulated seconds from the first held message to the decision."""
    quality_after: Annotated[int, Meta(ge=1)] = 200
    """Deliveries without which quality is unknown."""
    yellow_share: Rate = 0.02
    """Blocks and reports per delivery, from which on quality is medium."""
    red_share: Rate = 0.04
    """The same for low, which pauses a template and flags a number."""

    management_per_hour: Annotated[int, Meta(ge=1)] = 5000
    """Calls per account and hour that are not messages, after which 80007."""
    nights: bool = True
    """Whether people sleep."""
    webhook_version: Annotated[int, Meta(ge=20, le=30)] = 25
    """Of payloads: before 24 each priced status names a conversation."""
