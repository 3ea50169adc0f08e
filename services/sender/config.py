"""The sender's settings."""

from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from chassis.settings import ServiceSettings


class SenderSettings(ServiceSettings):
    """Each field is the environment variable of the same name, upper case."""

    cloud_api_url: str = "https://graph.facebook.com"
    """Where Meta's Graph API answers."""

    cloud_api_version: Annotated[str, Field(pattern=r"^v\d+\.\d+$")] = "v26.0"
    """The version of the Graph API that is called."""

    cloud_api_token: SecretStr
    """Token of a system user that may send messages and manage templates."""

    cloud_api_tokens: SecretStr = SecretStr("")
    """Further tokens, comma-separated, each with the name by which a number's `credential_name`
    calls it: `brand:EAAB…,other:EAAC…`. CLOUD_API_TOKEN is called `default`."""

    media_timeout_s: Annotated[float, Field(gt=0, le=600)] = 60.0
    """How long fetching a file by its URL, or putting one on Meta, may take."""

    media_inside: bool = False
    """Let files be fetched from addresses inside our own network, and without TLS: for laptops and
    tests, since whoever sends messages could read everything there."""

    reads_kept_days: Annotated[int, Field(ge=1)] = 730
    """How long the record of who read contents of messages is kept, in days."""

    profile_target: str
    """gRPC target of profile: `dns:///profile:50051`."""

    segment_target: str
    """gRPC target of segment."""

    ingest_target: str
    """gRPC target of ingest."""

    call_timeout_s: Annotated[float, Field(gt=0, le=300)] = 30.0
    """How long a call to Meta may take before its message is unknown."""

    template_sync_hours: Annotated[float, Field(gt=0, le=168)] = 6.0
    """How often all templates are read from Meta, beside at the start and when webhooks ask for
    it."""

    send_concurrency: Annotated[int, Field(ge=1, le=2000)] = 200
    """Calls to Meta under way at once in this process."""

    stopped_text_tr: str = (
        "Tamam, size artık kampanya mesajı göndermeyeceğiz. Yeniden almak için BAŞLA yazın."
    )
    """What people whose language is Turkish are answered, once, when a keyword (DUR, İPTAL, …) ends
    offers. Empty: nothing."""

    resumed_text_tr: str = "Kampanya mesajlarımızı yeniden alacaksınız. Durdurmak için DUR yazın."
    """The same when a keyword (BAŞLA, …) lets offers come again."""

    stopped_text_en: str = "You will get no more offers from us. Write START to get them again."
    """The same as `stopped_text_tr` for everybody else."""

    resumed_text_en: str = "You will get our offers again. Write STOP to end them."
    """The same as `resumed_text_tr` for everybody else."""

    @field_validator("cloud_api_tokens")
    @classmethod
    def _named(cls, value: SecretStr) -> SecretStr:
        _tokens_of(value.get_secret_value())
        return value

    def tokens(self) -> dict[str, str]:
        """Access tokens by the names of their credentials."""
        more = _tokens_of(self.cloud_api_tokens.get_secret_value())
        return {"default": self.cloud_api_token.get_secret_value(), **more}


def _tokens_of(text: str) -> dict[str, str]:
    """Raises ValueError, which tells no token, when it is something else."""
    found: dict[str, str] = {}
    for number, one in enumerate(filter(None, (part.strip() for part in text.split(","))), 1):
        name, colon, token = one.partition(":")
        if not colon or not name or not token or name == "default" or name in found:
            raise ValueError(f"number {number}: write it as name:token, with a name of its own")
        found[name] = token
    return found
