"""A business number that nobody else has."""

from chassis.ids import fresh_id
from services.sender.model import Number


def number(throughput: float = 80.0) -> Number:
    """It sends so many messages a second."""
    return Number(
        phone_number_id=fresh_id("number"),
        waba_id="1",
        portfolio_id="",
        display_phone_number="",
        verified_name="",
        throughput_level="",
        throughput=throughput,
        messaging_limit="",
        quality_rating="",
        paused=False,
        state_reason="",
        create_time=0,
        update_time=0,
        sync_time=0,
        reply_share=0.2,
    )
