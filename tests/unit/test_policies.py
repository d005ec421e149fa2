from __future__ import annotations

from typing import Any

import pytest

from jobs.retention.policies import EVERYTHING, remove_policy
from streams.errors import UsageError


def test_the_policy_for_everything_stays() -> None:
    session: Any = None
    with pytest.raises(UsageError, match="stays"):
        remove_policy(session, EVERYTHING, EVERYTHING)
