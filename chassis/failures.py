"""The closed vocabulary of failures. The class of a failure is its reason; its facts are metadata.

A service derives its own: `class ContactNotFound(NotFound)`; what any service may answer is here,
after the kinds. `chassis.rpc` turns kinds into gRPC statuses in one place, and `chassis.streams`
reads from them what is worth another try.
"""

import re
from datetime import datetime, timedelta


class Failure(Exception):
    """Something that a caller can act on. The message says what to do next.

    `facts` are the varying parts as strings; they travel to the caller as error metadata, so they
    never hold anything personal or secret.
    """

    def __init__(self, message: str, **facts: str) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    @property
    def reason(self) -> str:
        """The class name as the contract's `ErrorReason` spells it: `CONTACT_NOT_FOUND`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).upper()


class NotFound(Failure):
    """What was named does not exist."""


class Invalid(Failure):
    """The request can never succeed as it is."""


class Conflict(Failure):
    """Somebody else changed it first: read again and repeat the whole step."""


class Refused(Failure):
    """The state of things forbids it; change that first."""


class AlreadyExists(Failure):
    """What was to be made is there already."""


class Denied(Failure):
    """The caller may not do this."""


class Busy(Failure):
    """A limit is reached; wait as told."""

    def __init__(self, message: str, retry_after: timedelta, **facts: str) -> None:
        super().__init__(message, **facts)
        self.retry_after = retry_after


class Unavailable(Failure):
    """Something this depends on does not answer; the same call may succeed later."""


class Unimplemented(Failure):
    """The contract promises it, and it does not exist yet."""


class FieldInvalid(Invalid):
    """A field is missing, malformed or out of its bounds."""

    def __init__(self, field: str, problem: str, **facts: str) -> None:
        super().__init__(f"{field}: {problem}", field=field, problem=problem, **facts)


class BatchTooLarge(Invalid):
    """More items than one call may carry."""

    def __init__(self, field: str, limit: int, given: int) -> None:
        super().__init__(
            f"{field}: {given} in one call; send at most {limit}, and the rest in another",
            limit=str(limit),
            given=str(given),
        )


class RequestIdReused(Invalid):
    """The request id was used for another request."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "this request_id was used for another request; choose a new one",
            request_id=request_id,
        )


class TokenInvalid(Invalid):
    """The page token or cursor is not one of this query."""

    def __init__(self, field: str) -> None:
        super().__init__(
            f"{field}: not of this query; begin without one, or repeat the query it came from",
            field=field,
        )


class CursorExpired(Refused):
    """The log was trimmed beyond the cursor. `oldest_time` is where it begins now."""

    def __init__(self, oldest: datetime) -> None:
        super().__init__(
            "the log no longer holds what follows the cursor; begin without one",
            oldest_time=oldest.isoformat(),
        )


class EtagMismatch(Conflict):
    """What is to be changed was changed since it was read. `etag` is the present one."""

    def __init__(self, etag: str) -> None:
        super().__init__("it was changed since you read it; read it again", etag=etag)


class Misconfigured(Exception):
    """A setting is missing or wrong. The text names the setting; the process ends with it."""
