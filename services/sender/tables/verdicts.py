"""What the gates said, between the contract, the model and the store."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from merhaba.sender.v1 import GateValue
from merhaba.sender.v1 import GateVerdict as GateVerdictProto
from services.sender.delivery.sentences import explanation
from services.sender.gates import GateVerdict, Verdict
from services.sender.wire import stamp

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[GateVerdict]).decode
_VERDICTS: Final = {
    Verdict.PASS: GateVerdictProto.VERDICT_PASS,
    Verdict.WAIT: GateVerdictProto.VERDICT_WAIT,
    Verdict.REFUSE: GateVerdictProto.VERDICT_REFUSE,
    Verdict.SKIPPED: GateVerdictProto.VERDICT_SKIPPED,
}


def verdict_proto(verdict: GateVerdict, language: str = "") -> GateVerdictProto:
    """What one gate says, its reason put in words of a language."""
    return GateVerdictProto(
        gate=verdict.gate,
        verdict=_VERDICTS[verdict.verdict],
        reason=verdict.reason,
        explanation=explanation(verdict, language),
        values=[
            GateValue(name=name, value_json=msgspec.json.encode(_shown(name, value)))
            for name, value in verdict.values.items()
        ],
        next_time=stamp(verdict.next_time),
    )


def _shown(name: str, value: Any) -> Any:
    """Moments as RFC 3339, null for never; everything else as it is."""
    if not name.endswith("_time"):
        return value
    moment = stamp(value)
    return moment and moment.ToJsonString()


def pack(verdicts: Sequence[GateVerdict]) -> bytes:
    """Verdicts as they are stored with a message."""
    return _encode(verdicts)


def unpack(packed: bytes) -> list[GateVerdict]:
    """What `pack` made; none of what was never decided."""
    return _decode(packed) if packed else []
