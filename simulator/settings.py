"""What the simulator is told by its environment."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read once at start; each field is the environment variable of the same name."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    app_secret: SecretStr
    """Key of the HMAC-SHA256 signature that every webhook carries."""
    verify_token: SecretStr
    """Sent as hub.verify_token when a webhook address is set through control."""
    access_token: SecretStr
    """The bearer token that Graph calls must carry."""
    control_token: SecretStr
    """The bearer token that calls to /control/ must carry."""

    simulator_host: str = "127.0.0.1"
    """Address to listen on."""
    simulator_port: int = Field(default=0, ge=0, le=65535)
    """Port to listen on; 0 takes a free one, named in the ready line."""
    webhook_url: str = ""
    """Where webhooks are posted. Empty: none are sent until PUT /control/webhook."""

    simulator_seed: int = 1
    """Same seed, same people, same behaviour."""
    simulator_speed: float = Field(default=1.0, gt=0)
    """Simulated seconds of human (and retry) delay that pass in one real second."""
    simulator_hour: float | None = Field(default=None, ge=0, lt=24)
    """Hour of the day (UTC) at which people's lives begin; none: the real one. Runs that are to
    repeat exactly set it."""

    batch_webhooks: int = Field(default=20, ge=1, le=1000)
    """Most updates in one webhook POST."""
    webhook_linger_ms: float = Field(default=5.0, ge=0)
    """How long the first update of a POST waits for company, in real milliseconds."""
    webhook_concurrency: int = Field(default=8, ge=1)
    """Most webhook POSTs in flight at once."""
    webhook_timeout_s: float = Field(default=10.0, gt=0)
    """A POST without an answer after this many real seconds is repeated."""
    webhook_limit: int = Field(default=50_000, ge=1)
    """Most updates that wait for delivery; at the limit people and Graph calls wait."""

    pending_limit: int = Field(default=300_000, ge=1)
    """Most messages whose recipients have still something to do; above it Graph calls wait."""
    people_limit: int = Field(default=2_000_000, ge=1)
    """Most people that live in the world."""
    ledger_limit: int = Field(default=2_000_000, ge=10)
    """Most accepted messages remembered, at about a hundred bytes each; the oldest are forgotten
    first."""
    media_limit_bytes: int = Field(default=256 * 1024 * 1024, ge=1)
    """Most bytes of uploaded media kept; the oldest are forgotten first."""

    clickable_hosts: frozenset[str] = frozenset({"127.0.0.1", "localhost"})
    """Hosts (JSON list) whose links people really open; links elsewhere only count as tapped."""
