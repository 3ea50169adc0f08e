"""The sender's settings."""

from typing import Annotated

from pydantic import Field, SecretStr

from chassis.settings import ServiceSettings


class SenderSettings(ServiceSettings):
    """Each field is the environment variable of the same name, upper case."""

    cloud_api_url: str = "https://graph.facebook.com"
    """Where Meta's Graph API answers."""

    cloud_api_version: Annotated[str, Field(pattern=r"^v\d+\.\d+$")] = "v26.0"
    """The version of the Graph API that is called."""

    cloud_api_token: SecretStr
    """Token of a system user that may send messages and manage templates."""

    profile_target: str
    """gRPC target of profile: `dns:///profile:50051`."""

    segment_target: str
    """gRPC target of segment."""

    ingest_target: str
    """gRPC target of ingest."""

    call_timeout_s: Annotated[float, Field(gt=0, le=300)] = 30.0
    """How long a call to Meta may take before its message is unknown."""

    send_concurrency: Annotated[int, Field(ge=1, le=2000)] = 200
    """Calls to Meta under way at once in this process."""

    unknown_deadline_s: Annotated[int, Field(ge=1)] = 86_400
    """How long a message of which nobody knows whether it was sent waits for a status before it
    counts as failed."""

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
