"""Numbers with units, as people read them."""

from __future__ import annotations

import math

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi")
_DECIMAL = ("", "k", "M", "G", "T")
_NAMES = {"Cel": "°C", "1": "", "m3/h": "m³/h"}
_LONGEST_S = ((86_400, "d"), (3_600, "h"), (60, "min"))


def quantity(value: float | None, unit: str | None, metric: str = "") -> str:
    """Return ``value`` in UCUM ``unit``; a share called utilization is told in percent.

    >>> quantity(1.5 * 2**30, "By"), quantity(0.0591, "1", "system.cpu.utilization")
    ('1.50 GiB', '5.91 %')
    >>> quantity(7200.0, "s"), quantity(23.5, "Cel"), quantity(12.0, "{process}")
    ('2 h', '23.5 °C', '12')
    """
    if value is None or math.isnan(value):
        return "–"
    unit = unit or ""
    if unit == "1" and metric.endswith("utilization"):
        return f"{number(100 * value)} %"
    if unit in ("By", "By/s"):
        return _scaled(value, 1024.0, _BINARY, "B" + unit[2:])
    if unit == "s" and abs(value) >= 120:
        size, name = next((size, name) for size, name in _LONGEST_S if abs(value) >= 2 * size)
        return f"{number(value / size)} {name}"
    name = "" if unit.startswith("{") else _NAMES.get(unit, unit)
    if abs(value) >= 1e6:
        return _scaled(value, 1000.0, _DECIMAL, name)
    return f"{number(value)} {name}".rstrip()


def compact(value: float | None, unit: str | None, metric: str = "") -> str:
    """Return the same in as few characters as will do.

    >>> compact(1.5 * 2**20, "By/s"), compact(0.0591, "1", "system.cpu.utilization")
    ('1.50M/s', '5.91%')
    """
    return quantity(value, unit, metric).replace(" ", "").replace("iB", "")


def number(value: float) -> str:
    """Return ``value`` with three significant digits, or whole from 1,000 on.

    >>> number(12.3456), number(0.0), number(2.0), number(45678.9), number(0.00012)
    ('12.3', '0', '2', '45,679', '0.00012')
    """
    if value == 0:
        return "0"
    if abs(value) >= 999.5:
        return f"{value:,.0f}"
    if abs(value) < 0.001:
        return f"{value:.2g}"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{value:.{min(max(digits, 0), 3)}f}" if not float(value).is_integer() else f"{value:.0f}"


def _scaled(value: float, step: float, prefixes: tuple[str, ...], name: str) -> str:
    power = 0
    while abs(value) >= step and power < len(prefixes) - 1:
        value /= step
        power += 1
    return f"{number(value)} {prefixes[power]}{name}".rstrip()
