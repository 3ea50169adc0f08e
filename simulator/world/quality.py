"""Quality: how many of those who get messages block or report their sender. Pure."""

from dataclasses import dataclass
from typing import Literal

from simulator.rules import Rules

Score = Literal["UNKNOWN", "GREEN", "YELLOW", "RED"]

# Deliveries after which half of a judgement is forgotten: Meta looks at recent weeks only.
_KEPT = 0.5 ** (1 / 2000)


@dataclass(slots=True)
class Feedback:
    """Of one template, or of one number."""

    delivered: float = 0.0
    against: float = 0.0
    """Blocks and reports; both fade as deliveries follow."""
    told: Score = "UNKNOWN"
    """The score that was told last."""
    since: float = 0.0
    """When it was told, Unix time."""

    def deliver(self) -> None:
        self.delivered = self.delivered * _KEPT + 1
        self.against *= _KEPT

    def complain(self) -> None:
        self.against += 1

    def score(self, rules: Rules) -> Score:
        """What it is by now."""
        if self.delivered < rules.quality_after:
            return "UNKNOWN"
        share = self.against / self.delivered
        if share >= rules.red_share:
            return "RED"
        return "YELLOW" if share >= rules.yellow_share else "GREEN"

    def forget(self) -> None:
        """Begin anew, as after a pause; what was told stays told."""
        self.delivered = self.against = 0.0
