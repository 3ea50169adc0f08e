"""Meta's refusals: codes, titles, HTTP statuses and the error envelope."""

from typing import Any

# code: (HTTP status, title), as in Meta's table of error codes.
CODES: dict[int, tuple[int, str]] = {
    1: (400, "API Unknown"),
    2: (503, "API Service"),
    100: (400, "Invalid parameter"),
    130429: (400, "Rate limit hit"),
    130472: (400, "User's number is part of an experiment"),
    131000: (500, "Something went wrong"),
    131008: (400, "Required parameter is missing"),
    131009: (400, "Parameter value is not valid"),
    131016: (500, "Service unavailable"),
    131026: (400, "Message undeliverable"),
    131042: (400, "Business eligibility payment issue"),
    131047: (400, "Re-engagement message"),
    131048: (400, "Spam rate limit hit"),
    131049: (
        400,
        "This message was not delivered to maintain healthy ecosystem engagement.",
    ),
    131050: (
        400,
        "Unable to deliver the message. This recipient has chosen to stop receiving marketing "
        "messages on WhatsApp from your business",
    ),
    131051: (400, "Unsupported message type"),
    131053: (400, "Media upload error"),
    131055: (400, "Method not allowed"),
    131056: (400, "(Business Account, Consumer Account) pair rate limit hit"),
    131062: (400, "Recipient is not supported for this message"),
    132000: (400, "Number of parameters does not match the expected number of params"),
    132001: (404, "Template name does not exist in the translation"),
    132012: (400, "Parameter format does not match format in the created template"),
    132015: (400, "Template is paused"),
    132016: (400, "Template is disabled"),
    132018: (400, "Template parameter is not valid"),
    134100: (400, "Only marketing messages are supported"),
}

ERROR_CODES_PAGE = "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/"


class Refused(Exception):
    """A Graph call is answered with an error.

    `code` and `details` are what a caller builds on; `envelope` is the body of the answer.
    """

    def __init__(
        self,
        code: int,
        details: str = "",
        *,
        status: int | None = None,
        message: str | None = None,
        kind: str = "OAuthException",
        subcode: int | None = None,
        user_title: str | None = None,
    ) -> None:
        known_status, title = CODES.get(code, (400, "Unknown error"))
        self.code = code
        self.details = details
        self.status = known_status if status is None else status
        self.message = f"(#{code}) {title}" if message is None else message
        self.kind = kind
        self.subcode = subcode
        self.user_title = user_title
        super().__init__(f"{self.message}: {details}")

    def envelope(self, trace_id: str) -> dict[str, Any]:
        """The body of the answer; `trace_id` stands as fbtrace_id."""
        error: dict[str, Any] = {"message": self.message, "type": self.kind, "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.user_title is not None:
            error["is_transient"] = False
            error["error_user_title"] = self.user_title
            error["error_user_msg"] = self.details
        elif self.details:
            error["error_data"] = {"messaging_product": "whatsapp", "details": self.details}
        error["fbtrace_id"] = trace_id
        return {"error": error}


def bad_token() -> Refused:
    """The bearer token is missing or not ours."""
    return Refused(
        190,
        status=401,
        message="Invalid OAuth access token - Cannot parse access token",
    )


def unknown_object(method: str, object_id: str) -> Refused:
    """No number, account, template or media has this id, or it cannot do this."""
    return Refused(
        100,
        subcode=33,
        kind="GraphMethodException",
        message=f"Unsupported {method.lower()} request. Object with ID '{object_id}' does not "
        "exist, cannot be loaded due to missing permissions, or does not support this operation. "
        "Please read the Graph API documentation at "
        "https://developers.facebook.com/docs/graph-api",
    )


def template_fault(subcode: int, title: str, details: str) -> Refused:
    """A template cannot be created, changed or deleted like this."""
    return Refused(100, details, subcode=subcode, message="Invalid parameter", user_title=title)


def missing(field: str) -> Refused:
    """131008: a field that must be there is not."""
    return Refused(131008, f"The parameter {field} is required.")


def invalid(field: str, why: str) -> Refused:
    """131009: a field has a value that cannot be used."""
    return Refused(131009, f"{field}: {why}")


def failure_of(code: int) -> dict[str, Any]:
    """The errors[] item of a `failed` status."""
    title = CODES[code][1] if code in CODES else "Something went wrong"
    return {
        "code": code,
        "title": title,
        "message": title,
        "error_data": {"details": FAILURE_DETAILS.get(code, title)},
        "href": ERROR_CODES_PAGE,
    }


FAILURE_DETAILS = {
    131026: "Message Undeliverable.",
    131047: "Message failed to send because more than 24 hours have passed since the customer "
    "last replied to this number.",
    131049: "In order to maintain a healthy ecosystem engagement, the message failed to be "
    "delivered.",
    131050: "This recipient has chosen to stop receiving marketing messages on WhatsApp from "
    "your business.",
}
