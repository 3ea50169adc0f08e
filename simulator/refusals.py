"""Meta's refusals: codes, titles, HTTP statuses and the error envelope."""

from typing import Any

# code: (HTTP status, title), as in Meta's table of error codes.
CODES: dict[int, tuple[int, str]] = {
    0: (401, "AuthException"),
    1: (400, "API Unknown"),
    2: (503, "API Service"),
    3: (500, "API Method"),
    4: (400, "API Too Many Calls"),
    10: (403, "API Permission Denied"),
    33: (400, "Parameter value is not valid"),
    100: (400, "Invalid parameter"),
    104: (401, "An access token is required to request this resource"),
    190: (401, "Access token has expired"),
    200: (403, "API Permission"),
    368: (403, "Temporarily blocked for policies violations"),
    80007: (400, "Rate limit issues"),
    130403: (400, "User is blocked by the business"),
    130429: (400, "Rate limit hit"),
    130472: (400, "User's number is part of an experiment"),
    130497: (403, "Business account is restricted from messaging users in this country."),
    131000: (500, "Something went wrong"),
    131005: (403, "Access denied"),
    131008: (400, "Required parameter is missing"),
    131009: (400, "Parameter value is not valid"),
    131016: (500, "Service unavailable"),
    131021: (400, "Recipient cannot be sender"),
    131026: (400, "Message undeliverable"),
    131030: (400, "Recipient phone number not in allowed list"),
    131031: (403, "Account has been locked"),
    131037: (400, "Display name approval required"),
    131042: (400, "Business eligibility payment issue"),
    131045: (500, "Incorrect certificate"),
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
    131052: (400, "Media download error"),
    131053: (400, "Media upload error"),
    131055: (400, "Method not allowed"),
    131056: (400, "(Business Account, Consumer Account) pair rate limit hit"),
    131057: (500, "Account in maintenance mode"),
    131062: (400, "Recipient is not supported for this message"),
    131063: (400, "Marketing templates are disabled on Cloud API"),
    131064: (400, "Message failed to reach messaging limit"),
    132000: (400, "Number of parameters does not match the expected number of params"),
    132001: (404, "Template name does not exist in the translation"),
    132005: (400, "Translated text too long"),
    132007: (400, "Template format character policy violated"),
    132012: (400, "Parameter format does not match format in the created template"),
    132015: (400, "Template is paused"),
    132016: (400, "Template is disabled"),
    132018: (400, "Template parameter is not valid"),
    132068: (400, "Flow is in blocked state"),
    132069: (400, "Flow is in throttled state"),
    133004: (503, "Server temporarily unavailable"),
    133005: (400, "Two step verification PIN mismatch"),
    133010: (400, "Phone number is not registered"),
    133016: (400, "Registration or deregistration failed because of too many attempts"),
    134011: (400, "Terms of service are not accepted"),
    134100: (400, "Only marketing messages are supported"),
    134101: (400, "Template is being synchronised"),
    134102: (400, "Template is unavailable for use"),
    135000: (400, "Generic user error"),
    137000: (400, "Recipient identity key hash mismatch"),
    139100: (400, "Failed to block some users"),
}
THROTTLES = frozenset({4, 80007, 130429, 131048, 131056})
_SUBCODES = {4: 2446079, 80007: 2446079, 130429: 2494055}
_TRANSIENT = frozenset({2, 4, 80007})

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
        self.subcode = _SUBCODES.get(code) if subcode is None else subcode
        self.user_title = user_title
        super().__init__(f"{self.message}: {details}")

    def envelope(self, trace_id: str) -> dict[str, Any]:
        """The body of the answer; `trace_id` stands as fbtrace_id."""
        error: dict[str, Any] = {"message": self.message, "type": self.kind, "code": self.code}
        if self.user_title is not None:
            error["is_transient"] = False
            error["error_user_title"] = self.user_title
            error["error_user_msg"] = self.details
        elif self.details:
            error["error_data"] = {"messaging_product": "whatsapp", "details": self.details}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.code in _TRANSIENT:
            error["is_transient"] = True
        error["fbtrace_id"] = trace_id
        return {"error": error}


def bad_token(details: str = "Cannot parse access token") -> Refused:
    """The bearer token is not ours, or not any more."""
    return Refused(190, status=401, message=f"Invalid OAuth access token - {details}")


def no_token() -> Refused:
    """There is no token at all."""
    return Refused(104, message="An access token is required to request this resource")


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
        "error_data": {"details": _FAILURE_DETAILS.get(code, title)},
        "href": ERROR_CODES_PAGE,
    }


WINDOW_CLOSED = (
    "Message failed to send because more than 24 hours have passed since the customer last "
    "replied to this number."
)
SPAM_LIMIT = (
    "Message failed to send because there are restrictions on how many messages can be sent from "
    "this phone number. This may be because too many previous messages were blocked or flagged "
    "as spam."
)
_FAILURE_DETAILS = {
    130472: "Failed to send message because this user's phone number is part of an experiment",
    131026: "Message Undeliverable.",
    131047: WINDOW_CLOSED,
    131048: SPAM_LIMIT,
    131049: "In order to maintain a healthy ecosystem engagement, the message failed to be "
    "delivered.",
    131050: "This recipient has chosen to stop receiving marketing messages on WhatsApp from "
    "your business.",
    131053: "The media could not be fetched, or is not of a type that this message can have.",
    132015: "Template is paused due to low quality so it cannot be sent in a template message.",
}
