"""What can go wrong at the front door. Each is a reason of `merhaba.ingest.v1.ErrorReason`."""

from datetime import timedelta

from chassis.failures import Busy, Conflict, Invalid, NotFound, Refused, Unavailable


class UrlNotAllowed(Invalid):
    """A link's target may not be led to."""

    def __init__(self, index: int, scheme: str, host: str) -> None:
        super().__init__(
            f"links[{index}].url: give an absolute http or https address without a user name",
            index=str(index),
            scheme=scheme,
            host=host,
        )


class EventNotAccepted(Invalid):
    """Events of this kind are not the business's to publish."""

    def __init__(self, name: str, accepted: str) -> None:
        super().__init__(
            f"{name or 'an event without a body'} is not taken here; taken are {accepted}",
            name=name,
            accepted=accepted,
        )


class LogUnavailable(Unavailable):
    """The log cannot make anything durable now."""

    def __init__(self) -> None:
        super().__init__("the event log takes nothing now; nothing was accepted, try again")


class LogNotFinished(Unavailable):
    """Consumers have not yet finished entries of the log that are to be erased."""

    def __init__(self, entries: int) -> None:
        super().__init__(
            "consumers have not finished everything that is to be erased; repeat the call with the"
            " same request_id",
            entries=str(entries),
        )


class LagTooHigh(Busy):
    """Consumers are too far behind to take more."""

    def __init__(self, lag: timedelta, limit: timedelta, retry_after: timedelta) -> None:
        super().__init__(
            "what was accepted before is not yet read; nothing was accepted, wait and try again",
            retry_after,
            lag_seconds=str(round(lag.total_seconds())),
            limit_seconds=str(round(limit.total_seconds())),
        )


class WebhookNotFound(NotFound):
    """No such webhook is in the archive."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(
            "no such webhook, or it is past its retention; list them first", webhook_id=webhook_id
        )


class DeadLetterNotFound(NotFound):
    """No such dead letter waits."""

    def __init__(self, dead_letter_id: str) -> None:
        super().__init__(
            "no such dead letter waits; list them first", dead_letter_id=dead_letter_id
        )


class WriteKeyNotFound(NotFound):
    """There is no such write key."""

    def __init__(self, write_key_id: str) -> None:
        super().__init__("no such write key; list them first", write_key_id=write_key_id)


class WriteKeyNameTaken(Refused):
    """Another write key has the name."""

    def __init__(self, name: str) -> None:
        super().__init__("another write key has this name; choose a new one", name=name)


class ImportNotFound(NotFound):
    """No such import."""

    def __init__(self, import_id: str) -> None:
        super().__init__("no such import; start it, or list them", import_id=import_id)


class ImportNotRunning(Refused):
    """The import ended."""

    def __init__(self, import_id: str, state: str) -> None:
        super().__init__(
            f"the import is {state}; start it anew, nothing happens twice",
            import_id=import_id,
            state=state,
        )


class ImportOffsetMismatch(Conflict):
    """Chunks are missing before this one."""

    def __init__(self, import_id: str, offset_bytes: int) -> None:
        super().__init__(
            f"chunks are missing before this one; go on at byte {offset_bytes}",
            import_id=import_id,
            offset_bytes=str(offset_bytes),
        )
