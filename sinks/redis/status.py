"""Which workers live and what they do, in Redis: seen by all, trusted by none.

Each worker's status is a key that expires. A set holds the names of the workers, so that reading
takes two round trips however much else the server holds.
"""

from __future__ import annotations

import logging
from typing import Any

import orjson
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

PATIENCE_S = 0.05
"""How long a connect may take, and how long a reply: nothing waits for Redis."""

_PREFIX = "streamgauge:status"
_OWNERS = f"{_PREFIX}:owners"


class RedisStatusBoard:
    """Keeps statuses in Redis (:class:`~sinks.protocols.StatusBoard`).

    ``failures`` counts the calls that Redis did not answer; only a change is logged.
    """

    def __init__(self, url: str) -> None:
        self.failures = 0
        self._available = True
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=PATIENCE_S,
            socket_connect_timeout=PATIENCE_S,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    def publish(self, owner: str, status: dict[str, Any], ttl_s: float) -> None:
        """Show ``status`` as the owner's for ``ttl_s`` seconds; does nothing while Redis is away."""
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.set(_key(owner), orjson.dumps(status), px=max(1, round(ttl_s * 1000)))
                pipeline.sadd(_OWNERS, owner)
                pipeline.execute()
        except redis.RedisError as error:
            self._failed(error)
        else:
            self._answered()

    def read(self) -> list[dict[str, Any]]:
        """Return the statuses that have not expired, by owner; none while Redis is away."""
        try:
            found = self._read()
        except redis.RedisError as error:
            self._failed(error)
            return []
        self._answered()
        return found

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _read(self) -> list[dict[str, Any]]:
        owners = sorted(map(str, self._redis.smembers(_OWNERS)))
        if not owners:
            return []
        texts = dict(zip(owners, self._redis.mget([_key(owner) for owner in owners]), strict=True))
        expired = [owner for owner, text in texts.items() if text is None]
        if expired:
            self._redis.srem(_OWNERS, *expired)
        return [orjson.loads(text) for text in texts.values() if text is not None]

    def _failed(self, error: redis.RedisError) -> None:
        self.failures += 1
        if self._available:
            log.warning("Redis does not answer; worker status is not shown until it does: %s", error)
        self._available = False

    def _answered(self) -> None:
        if not self._available:
            log.info("Redis answers again; worker status is shown")
        self._available = True


def _key(owner: str) -> str:
    return f"{_PREFIX}:{owner}"
