"""Which series are looked at: the one place where that is decided, by what is known of a metric.

Series of any kind have the same detectors today. Whoever adds some for counters or states chooses among
them here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """``left_out``: patterns of metrics that are not looked at, in which ``*`` stands for any letters.

    >>> Choice(("debug.*",)).watches("debug.heap"), Choice().watches("debug.heap")
    (False, True)
    >>> Choice(("cpu[0]",)).watches("cpu[0]"), Choice(("cpu[0]",)).watches("cpu0")
    (False, True)
    """

    left_out: tuple[str, ...] = ()

    @staticmethod
    def of(patterns: str) -> Choice:
        """Return the setting as it is written, with commas.

        >>> Choice.of("debug.*, uptime").left_out
        ('debug.*', 'uptime')
        """
        return Choice(tuple(sorted({pattern.strip() for pattern in patterns.split(",")} - {""})))

    def watches(self, metric: str) -> bool:
        """Tell whether series of a metric are looked at."""
        return not any(_fits(metric, pattern) for pattern in self.left_out)


def _fits(metric: str, pattern: str) -> bool:
    letters = ".*".join(map(re.escape, pattern.split("*")))
    return re.fullmatch(letters, metric, re.DOTALL) is not None
