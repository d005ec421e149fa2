"""Passwords never get through, whatever they contain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.masking import mask_secrets

PASSWORDS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'\\"), min_size=8, max_size=20
)


@given(PASSWORDS, st.sampled_from(["postgresql://owner", "redis://", "https://user"]))
def test_the_password_of_an_address_is_hidden(password: str, start: str) -> None:
    masked = mask_secrets(f"cannot connect to {start}:{password}@db:5432/x now")

    assert password not in masked
    assert masked == f"cannot connect to {start}:***@db:5432/x now"


@given(PASSWORDS)
def test_the_password_of_a_quoted_parameter_is_hidden(password: str) -> None:
    assert mask_secrets(f"host=db password='{password}' user=me") == "host=db password=*** user=me"


@pytest.mark.parametrize("text", ["kafka:9092", "postgresql://db/streamgauge", "http://host:80/a", "a@b:c"])
def test_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert mask_secrets(text) == text
