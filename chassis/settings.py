"""Settings: frozen, typed, read from the environment once, documented per field."""

import socket
from typing import Annotated, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.failures import Misconfigured

S = TypeVar("S", bound="Settings")


class Settings(BaseSettings):
    """A service's settings; each field is the environment variable of the same name, upper case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class LogSettings(Settings):
    """Where the event log is and how it behaves. All services share these values."""

    redis_url: str
    """Redis with `appendonly yes`, `appendfsync always`, `maxmemory-policy noeviction`:
    `redis://host:6379/0`, `unix:///path.sock`, or `redis+cluster://host:6379` for a cluster."""

    log_namespace: str = "log"
    """Prefix of every key of the log, so that several suites can share one Redis."""

    log_shards: Annotated[int, Field(ge=1, le=1024)] = 2
    """Streams per topic and lane. Fixed when the log is first used."""

    log_linger_ms: Annotated[float, Field(ge=0, le=1000)] = 16.0
    """How long an entry is filled at most before it is written, in milliseconds."""

    log_pace_ms: Annotated[float, Field(ge=0, le=1000)] = 120.0
    """Shortest time between two reads of a consumer under load, in milliseconds: the longer, the
    larger its batches and the fewer its transactions."""

    log_claim_idle_ms: Annotated[int, Field(ge=100)] = 15_000
    """How long an entry may stay with a silent consumer before another takes it."""

    log_timeout_s: Annotated[float, Field(gt=0, le=60)] = 15.0
    """How long events may wait until they are written, in seconds; then their source is told that
    they were not, though they may have been."""

    log_wait_replicas: Annotated[int, Field(ge=0)] = 0
    """Replicas that must have a write before it counts as durable (`WAIT`)."""

    log_retention_s: Annotated[int, Field(ge=1)] = 7_200
    """How long entries stay after every group has had them."""

    instance: str = socket.gethostname()
    """Name of this replica in logs, metrics and consumer groups."""


class ServiceSettings(LogSettings):
    """What every service needs."""

    database_url: SecretStr
    """Postgres: `postgresql://user:password@host:5432/merhaba`."""

    database_pool_size: Annotated[int, Field(ge=1, le=200)] = 8
    """Connections of this process at most; Postgres must allow the sum over all processes."""

    tls_cert_file: str = ""
    """This service's certificate (PEM), which names it `spiffe://merhaba/<service>` and, for who
    calls it, by its plain name. With the next two: read again when they change."""

    tls_key_file: str = ""
    """The certificate's key (PEM, without a password)."""

    tls_ca_file: str = ""
    """The authority that the other services' certificates come from (PEM)."""

    plaintext: bool = False
    """Talk to the other services without TLS, and know them by API_TOKEN: for trying a single
    service and for tests. Otherwise a service without certificates does not start."""

    api_token: SecretStr = SecretStr("")
    """With PLAINTEXT: whoever carries it is a service of the suite. Else it is not looked at."""

    grpc_host: str = "0.0.0.0"  # noqa: S104 - a container listens on all of its own interfaces
    """Address the gRPC server listens on, with all of its ports."""

    grpc_port: Annotated[int, Field(ge=0, le=65535)] = 50051
    """Port for the other services, who show their certificates; 0 takes a free one."""

    api_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Port for people and tools, who carry an API key over TLS; none: they cannot call. Apart from
    the services' port, since gRPC either demands a certificate of who connects or asks for none.
    With PLAINTEXT they call GRPC_PORT."""

    health_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Port without TLS that answers health checks and nothing else: Kubernetes' probes have no
    certificates. None: health is told on the other ports only."""

    keys_file: str = ""
    """The API keys of people and tools, as `merhaba keys` writes them; read again when it changes.
    Empty: there are none."""

    calls_per_second: Annotated[int, Field(ge=0)] = 100
    """Calls a second that one API key may make, over all replicas, unless it has a number of its
    own; 0: any number. Bursts of ten seconds' worth pass."""

    audit_kept_days: Annotated[int, Field(ge=1)] = 730
    """How long the record of what people and tools had done is kept, in days."""

    reflection: bool = False
    """Answer gRPC reflection: for laptops; production keeps its inventory to itself."""

    drain_s: Annotated[float, Field(ge=0)] = 0.0
    """How long to keep serving after the health check says no, while load balancers notice."""

    grace_s: Annotated[float, Field(ge=0)] = 5.0
    """How long running calls may take to finish when stopping."""

    log_level: str = "INFO"
    """`DEBUG`, `INFO`, `WARNING` or `ERROR`."""

    otel_exporter_otlp_endpoint: str = ""
    """Where traces go (OTLP over gRPC), and metrics without `METRICS_PORT`; empty: nowhere."""

    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Port where Prometheus reads metrics (`/metrics`, without TLS); none: nowhere."""

    trace_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of new traces that are recorded. What fails is recorded in any case."""

    remember_days: Annotated[int, Field(ge=8)] = 30
    """How long a repeat of an event is recognised, in days; Meta repeats for seven."""

    @model_validator(mode="after")
    def _knows_its_callers(self) -> Self:
        if self.plaintext and not self.api_token.get_secret_value():
            raise ValueError("API_TOKEN: not set, and with PLAINTEXT services are known by it")
        if not self.plaintext and not (
            self.tls_cert_file and self.tls_key_file and self.tls_ca_file
        ):
            raise ValueError(
                "TLS_CERT_FILE, TLS_KEY_FILE and TLS_CA_FILE: set all three, or PLAINTEXT=true to"
                " talk without TLS"
            )
        return self


class HttpSettings(ServiceSettings):
    """What a service with an HTTP door needs besides."""

    http_host: str = "0.0.0.0"  # noqa: S104 - a container listens on all of its own interfaces
    """Address the HTTP server listens on."""

    http_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port of the HTTP server; 0 takes a free one."""

    http_reuse_port: bool = False
    """Share the port with other processes of the same service on this machine."""

    http_idle_s: Annotated[float, Field(gt=0)] = 75.0
    """How long a connection may wait for its next request, in seconds: longer than a proxy in front
    keeps it, so that none is closed while the proxy sends."""


def from_env(kind: type[S]) -> S:
    """Read the settings of `kind` from the environment.

    Raises `Misconfigured`, naming each setting that is missing or wrong, never its value.
    """
    try:
        return kind()
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in e['loc']).upper()}: ".removeprefix(": ")
            + ("not set" if e["type"] == "missing" else e["msg"].removeprefix("Value error, "))
            for e in error.errors(include_input=False, include_url=False)
        ]
        raise Misconfigured("; ".join(problems)) from None
