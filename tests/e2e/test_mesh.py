"""The suite as it runs by itself: encrypted, closed to strangers, and with a record of changes."""

from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from chassis.rpc import Credentials, channel
from chassis.tls import TlsFiles
from cli.stack import Addresses
from merhaba.segment.v1 import (
    CreateSegmentRequest,
    ListSegmentsRequest,
    Segment,
    SegmentServiceStub,
)
from tests.e2e.command import merhaba


async def test_nobody_talks_to_a_service_in_the_clear_or_without_a_key(
    addresses: Addresses,
) -> None:
    trusted = TlsFiles(Path(addresses.ca_file))
    for credentials, code in (
        (addresses.api_token, grpc.StatusCode.UNAVAILABLE),
        (Credentials("another", trusted, "segment"), grpc.StatusCode.UNAUTHENTICATED),
    ):
        async with channel(addresses.grpc["segment"], credentials) as opened:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await SegmentServiceStub(opened).ListSegments(ListSegmentsRequest(), timeout=5)
        assert caught.value.code() == code


async def test_what_an_operator_changes_is_on_record(addresses: Addresses, data_folder) -> None:
    name = f"segment-{uuid4().hex[:8]}"
    async with addresses.channel("segment", purpose="trying") as opened:
        wanted = Segment(name=name, expression="traits.engagement ==")
        with pytest.raises(grpc.aio.AioRpcError):
            await SegmentServiceStub(opened).CreateSegment(
                CreateSegmentRequest(request_id=str(uuid4()), segment=wanted)
            )
    told = merhaba("audit", "--service", "segment", data=data_folder, COLUMNS="250")
    (row,) = [line for line in told.stdout.splitlines() if name in line]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[1:4] == ["laptop", "operator", "segment.v1.SegmentService/CreateSegment"]
    assert cells[4:] == [name, "INVALID_ARGUMENT", "trying"]
