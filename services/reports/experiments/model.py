"""What an experiment is. Pure."""

from typing import Final, Literal, get_args

import msgspec

Kind = Literal["fixed_split", "bandit"]
State = Literal["running", "decided", "stopped"]
Goal = Literal[
    "delivery_rate",
    "read_rate",
    "reply_rate",
    "click_rate",
    "conversion_rate",
    "revenue",
    "engagement_frequency",
]
Harm = Literal["opt_out_rate", "block_rate", "failure_rate", "withheld_rate"]

GOALS: Final[tuple[Goal, ...]] = get_args(Goal)
"""What a variant can be better by, per recipient: more is better."""
HARMS: Final[tuple[Harm, ...]] = get_args(Harm)
"""What guards watch, per recipient: more is worse."""
SALES: Final = ("conversion_rate", "revenue")
"""Goals that are conversions, which can be compared with those held out."""
AMOUNTS: Final = ("revenue", "engagement_frequency")
"""Goals that are no shares."""
HORIZON_MS: Final = 4 * 3_600_000
"""What a recipient did counts until then after the message left, and recipients count from then on.
So everybody counts once, for good, with the same chance, whenever one looks; a variant whose
recipients are younger does not look worse. Conversions have their own window."""
EXPLORATION: Final = 0.05
"""The least share of a variant in a bandit that names none."""


def exploration(wished: float, variants: int) -> float:
    """The least share of a variant in a bandit; without a wish the usual one."""
    return wished or min(EXPLORATION, 1 / variants)


class Guard(msgspec.Struct, frozen=True):
    """What must not get worse."""

    harm: Harm
    maximum: float | None = None
    """The rate that must not be exceeded."""
    maximum_increase: float | None = None
    """By what share of the baseline's it may be worse."""


class Experiment(msgspec.Struct, kw_only=True):
    """A question put to a campaign's variants."""

    experiment_id: str = ""
    campaign_id: str
    name: str = ""
    version: int = 1
    kind: Kind = "fixed_split"
    state: State = "running"
    state_reason: str = ""
    goal: Goal = "read_rate"
    conversion_id: str = ""
    window_ms: int = HORIZON_MS
    """How long after its message what a recipient does counts."""
    guards: tuple[Guard, ...] = ()
    variants: tuple[str, ...] = ()
    """In the order of the campaign."""
    baseline: str = ""
    alpha: float = 0.05
    minimum_effect: float = 0.0
    automatic_winner: bool = False
    exploration_share: float = 0.0
    adjusts_history: bool = False
    winner: str = ""
    create_time: int = 0
    decide_time: int = 0
    weights: dict[str, float] = {}
    """As they were last set from here; empty while they never were."""

    @property
    def etag(self) -> str:
        """Changes with every change of the definition or state."""
        return str(self.version)
