"""Names that producers send, as small integers: given out here, and only within the limits."""

from __future__ import annotations

from collections.abc import Iterable

from streams.core.limits import Limits
from streams.core.rejection import Reason, Refused
from streams.core.series import SeriesKey, SeriesTable

ANONYMOUS = 0
"""The producer of readings that name none and come without a message key: always ``""``."""

_CHARS_PER_NAME = 64


class Names:
    """Interns series and producers; a name over the limits is refused before it is remembered.

    >>> names = Names(Limits(max_name_chars=8))
    >>> names.series_index("default", "pump-1", "rpm", {"unit": "/min"}.items())
    0
    >>> names.producers[names.producer_of_key(b"plc-1")]
    'plc-1'
    >>> names.producer_index("a-rather-long-name")
    Traceback (most recent call last):
        ...
    streams.core.rejection.Refused: producer has 18 characters, 8 are allowed: a-rather…
    """

    def __init__(self, limits: Limits, series: SeriesTable | None = None) -> None:
        self.series = SeriesTable() if series is None else series
        self.producers: list[str] = [""]
        self.size = 0
        """How many names there are, a long one counted as several."""
        self._limits = limits
        self._counted_series = len(self.series)
        self._producer_index: dict[str, int] = {"": ANONYMOUS}

    def series_index(
        self, tenant: str, source: str, metric: str, attributes: Iterable[tuple[str, str]] = ()
    ) -> int:
        """Return the integer of a series. Raises :class:`Refused`: ``bad_name``, ``bad_attributes``."""
        self._check_length("tenant", tenant)
        self._check_length("source", source)
        self._check_length("metric", metric)
        pairs = tuple(sorted(attributes))
        if len(pairs) > self._limits.max_attributes:
            raise Refused(
                Reason.BAD_ATTRIBUTES,
                f"{len(pairs)} attributes, {self._limits.max_attributes} are allowed",
            )
        for name, text in pairs:
            self._check_length("attribute name", name, Reason.BAD_ATTRIBUTES)
            self._check_length(f"attribute {name!r}", text, Reason.BAD_ATTRIBUTES)
        index = self.series.intern(SeriesKey(tenant, source, metric, pairs))
        if len(self.series) > self._counted_series:
            self._counted_series = len(self.series)
            self._count(len(tenant) + len(source) + len(metric) + sum(len(n) + len(t) for n, t in pairs))
        return index

    def producer_index(self, name: str) -> int:
        """Return the integer of a producer. Raises :class:`Refused`: ``bad_name``."""
        index = self._producer_index.get(name)
        if index is None:
            self._check_length("producer", name)
            index = self._producer_index[name] = len(self.producers)
            self.producers.append(name)
            self._count(len(name))
        return index

    def producer_of_key(self, key: bytes | None) -> int:
        """Return the integer of the producer whom a message key stands for.

        A key that is no printable text, a binary number for instance, is named by its hex digits.
        """
        if not key:
            return ANONYMOUS
        try:
            name = key.decode()
        except UnicodeDecodeError:
            return self.producer_index(key.hex())
        return self.producer_index(name if name.isprintable() else key.hex())

    def _count(self, characters: int) -> None:
        self.size += 1 + characters // _CHARS_PER_NAME

    def _check_length(self, what: str, text: str, reason: Reason = Reason.BAD_NAME) -> None:
        most = self._limits.max_name_chars
        if len(text) > most:
            raise Refused(reason, f"{what} has {len(text)} characters, {most} are allowed: {text[:most]}…")
