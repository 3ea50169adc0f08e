import base64
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from chassis.ids import derived_id


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=4))
def test_a_derived_id_is_the_base_32_of_a_hash_of_what_it_names(parts: list[str]) -> None:
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).digest()
    plain = base64.b32encode(digest).decode().rstrip("=").lower()
    assert derived_id("seg", *parts) == f"seg_{plain}"
