"""Messages as pictures: the bubble that a person sees, as PNG."""

from services.sender.wording.bubble.painting import draw

__all__ = ["draw"]
