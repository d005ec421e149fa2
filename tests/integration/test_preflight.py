"""A worker that starts before its database or its topic are ready waits, and says for what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from sinks.timescale.migrate import migrate
from streams.preflight import missing
from streams.settings import Settings
from tests.databases import empty_database
from tests.integration.ingest import ingest, load
from tests.waiting import eventually

pytestmark = pytest.mark.stack


@pytest.fixture
def bare_database() -> Iterator[str]:
    with empty_database() as dsn:
        yield dsn


def test_each_lack_is_named_with_what_to_do(bare_database: str, stack: Settings) -> None:
    settings = stack.model_copy(
        update={
            "writer_url": None,
            "database_url": SecretStr(bare_database),
            "readings_topic": f"no.{uuid4()}",
        }
    )
    assert "run `streamgauge migrate`" in missing(settings)
    migrate(bare_database)
    other = settings.model_copy(update={"rollup_levels": "1m,1h"})
    assert "keeps rollups of 1m, 15m, 1h, 1d, and not of 1m, 1h: run `streamgauge migrate`" in missing(other)
    assert "run `streamgauge topics apply`" in missing(settings)
    away = settings.model_copy(update={"kafka": "127.0.0.1:9"})
    assert "Kafka at 127.0.0.1:9 does not answer" in missing(away)
    away = settings.model_copy(update={"database_url": SecretStr("postgresql://127.0.0.1:9/x")})
    assert "the database does not answer" in missing(away)


def test_an_early_worker_waits_and_then_works(
    bare_database: str, database: str, stack: Settings, tmp_path: Path
) -> None:
    with ingest(database, tmp_path, 1, {}) as run:
        worker = run.worker(STREAMGAUGE_DATABASE_URL=bare_database)
        eventually(lambda: worker.said("run `streamgauge migrate`"), "the worker to say what it waits for")
        migrate(bare_database)
        run.publish(load(1000))
        eventually(lambda: worker.said("Holding"), "the worker to begin")
        assert worker.stop() == 0
