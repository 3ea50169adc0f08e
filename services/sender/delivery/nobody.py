"""What is left of a message whose person was erased: its cost and its outcome, of nobody. Pure."""

from services.sender.model import Happening, Message, State


def anonymise(message: Message, now: int) -> list[Happening]:
    """Take from a message all that leads to a person; what waits to be sent is called off.

    Returns what is to be published. The message's own id stays, by which statuses that come later
    still count.
    """
    message.contact_id = message.home_id = message.occurrence_id = message.traceparent = ""
    message.body = b""
    # Meta's ids hold the person's number.
    message.wamid = message.context_wamid = ""
    if message.state not in {State.PLANNED, State.HELD}:
        return []
    message.state, message.gate, message.reason = State.CANCELLED, "person", "erased"
    return [Happening("message_suppressed", message, now)]
