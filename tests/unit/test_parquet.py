from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest

from jobs.archive.parquet import (
    READING,
    Account,
    Readings,
    packed,
    read_names,
    read_readings,
    write_readings,
)

NAMES = {3: ("pump-1", "rpm"), 7: ("pump-2", "rpm"), 9: ("pump-2", "état")}
NUMBERS = {name: number for number, name in NAMES.items()}


def readings(count: int, seed: int = 1) -> Readings:
    random = np.random.default_rng(seed)
    made = np.zeros(count, READING)
    made["series_id"] = np.sort(random.choice(list(NAMES), count))
    made["time_us"] = 1_760_000_000_000_000 + np.arange(count) * 1_000_000 + random.integers(0, 999, count)
    made["value"] = random.choice([0.0, -0.0, np.nan, 1e308, 5e-324, 21.5], count)
    made["quality"] = random.integers(0, 3, count)
    made["late"] = random.random(count) < 0.5
    return made


def test_what_is_read_is_what_was_written_bit_by_bit() -> None:
    parts, file = [readings(500), readings(1), readings(700, seed=2)], BytesIO()
    write_readings(file, "acme", parts, NAMES)
    found = np.concatenate(list(read_readings(file, NUMBERS)))
    assert found.tobytes() == np.concatenate(parts).tobytes()
    assert read_names(file) == sorted(NUMBERS)


def test_an_account_is_the_same_however_readings_are_cut_and_another_for_any_other() -> None:
    whole = readings(1000)

    def content(parts: list[Readings]) -> object:
        account = Account()
        assert sum(map(len, account.of(parts))) == sum(map(len, parts))
        return account.content()

    expected = content([whole])
    assert content(list(packed([whole[:1], whole[1:400], whole[400:]], 250))) == expected
    for name, other in (("value", 22.5), ("quality", 9), ("late", None), ("time_us", 5), ("series_id", 1)):
        changed = whole.copy()
        changed[name][500] = not changed[name][500] if other is None else other
        assert content([changed]) != expected, name


def test_an_account_says_between_which_times_and_values() -> None:
    made = readings(3)
    made["value"] = [np.nan, 4.0, -2.0]
    account = Account()
    list(account.of([made]))
    content = account.content()
    assert (content.readings, content.lowest, content.highest) == (3, -2.0, 4.0)
    assert (content.first_us, content.last_us) == (made["time_us"].min(), made["time_us"].max())
    made["value"] = np.nan
    account = Account()
    list(account.of([made]))
    assert np.isnan(account.content().lowest)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_reading_takes_a_few_bytes(noise: float) -> None:
    count = 100_000
    made = np.zeros(count, READING)
    made["series_id"] = 3
    made["time_us"] = 1_760_000_000_000_000 + np.arange(count) * 1_000_000
    made["value"] = np.round(20 + 5 * np.sin(np.arange(count) / 3600), 2) + noise * np.random.default_rng(
        1
    ).random(count)
    file = BytesIO()
    write_readings(file, "acme", [made], NAMES)
    assert file.tell() / count < 1 + 7 * noise
