"""What is remembered is bounded."""

from __future__ import annotations

from streams.core.wire.memo import ENTRY_BYTES, Memo


def test_a_full_memo_forgets_everything_and_goes_on() -> None:
    memo: Memo[str, int] = Memo(most_bytes=2 * ENTRY_BYTES + 10)
    for number, name in enumerate("abc"):
        assert memo.remember(name, number, 4) == number

    assert memo == {"c": 2}
    memo.remember("d", 3, 6)
    assert memo == {"c": 2, "d": 3}
