"""Settings of the front door, read from the environment."""

from typing import Annotated, Final

from pydantic import Field, SecretStr

from chassis.settings import HttpSettings

TOPICS: Final = (
    *("raw", "raw.retry", "inbound.message", "inbound.status", "inbound.track"),
    *("contact", "signal", "message"),
)
"""Every topic of the suite: whose lag is told, and what is trimmed here."""


class IngestSettings(HttpSettings):
    """What the front door needs."""

    app_secrets: SecretStr
    """Secrets of the Meta apps that post here: `secret,secret`, or `name:secret` for a name in the
    archive. Several may hold at once, for several apps and while one is rotated."""

    verify_token: SecretStr
    """What Meta sends back when the webhook's address is set."""

    write_keys: SecretStr = SecretStr("")
    """Keys of the business's own sources, `name:key,name:key`, beside those that are made at run
    time."""

    archive_index_key: SecretStr
    """Key of the archive's blind indexes; as long as the archive is kept, so is it."""

    archive_retention_days: Annotated[int, Field(ge=1)] = 30
    """How long posted webhooks are kept."""

    raw_retention_s: Annotated[int, Field(ge=1)] = 60
    """How long posted webhooks stay in the log once the archive has them."""

    link_key: SecretStr
    """What signs the tokens of short links: a random text of at least 16 characters. Several, with
    commas between them, while one is rotated: the first signs, all of them open what they signed.
    """

    link_days: Annotated[int, Field(ge=1, le=3_650)] = 90
    """How long a link leads somewhere when its maker says nothing, and then to the end of the day
    in UTC."""

    public_url: str = "http://localhost:8080"
    """Where people reach the HTTP door; short links begin with it."""

    portfolio_id: str = ""
    """The business portfolio that all accounts belong to: business-scoped user ids are the same
    person in all of it. Empty: each WhatsApp Business Account stands for itself."""

    default_region: Annotated[str, Field(pattern="^[A-Z]{2}$")] = "TR"
    """Country (ISO 3166) of phone numbers that name none."""

    http_head_s: Annotated[float, Field(gt=0)] = 10.0
    """How long a client may take to send the head of a request, in seconds."""

    http_body_s: Annotated[float, Field(gt=0)] = 10.0
    """How long a client may take to send a body, in seconds."""

    http_connections: Annotated[int, Field(ge=1)] = 10_000
    """The most connections that one process keeps open; one more is answered 503 and closed."""

    memory_limit: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of the log's memory from which on nothing more is accepted."""

    append_limit_s: Annotated[float, Field(ge=0)] = 2.0
    """How long the log may take to write, in seconds: the 99th percentile of a minute, and a write
    that is under way. Beyond it nothing more is accepted; 0: it may take any time."""

    lag_limit_s: Annotated[float, Field(ge=0)] = 10_800.0
    """Age of the oldest entry that a service has not read, in seconds, from which on nothing more
    is accepted; 0: any age will do. With less than `LOG_RETENTION_S` a new service closes the door
    while it reads what is there."""

    write_key_limit: Annotated[int, Field(ge=0)] = 0
    """Items a second that one write key may send, over all replicas, unless it has a limit of its
    own; 0: any number."""

    write_key_burst_s: Annotated[float, Field(gt=0)] = 10.0
    """How many seconds' worth of its limit a write key may send at once."""
