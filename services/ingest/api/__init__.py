"""IngestService: what the business tells by gRPC, and the log as it is appended."""

from services.ingest.api.acceptance import Acceptance
from services.ingest.api.imports import ImportCalls
from services.ingest.api.ingest_api import IngestApi

__all__ = ["Acceptance", "ImportCalls", "IngestApi"]
