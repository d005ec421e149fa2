"""Every setting of the program in one validated object.

A value comes from, in this order: the environment (``STREAMGAUGE_KAFKA``, …), ``streamgauge.toml``
in the working directory, the local stack that is running, the default.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from streams.core.levels import level_name, parse_levels

ROLE_URLS = ("writer_url", "reader_url")
YEAR_S = 365 * 86_400
PROJECT_ROOT = Path(__file__).resolve().parent.parent


def state_dir() -> Path:
    """Return where this checkout keeps its stack's data, logs and process ids."""
    return Path(os.environ.get("STREAMGAUGE_STATE_DIR") or PROJECT_ROOT / ".streamgauge")


def stack_addresses(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the addresses of the local stack, as ``streamgauge stack up`` left them.

    ``given`` is what the environment and the file say. The stack's roles belong to its own
    database: where ``database_url`` is given, its ``writer_url`` and ``reader_url`` are not taken,
    or readings would go into two databases.
    """
    try:
        found = json.loads((state_dir() / "stack.json").read_text())
    except (OSError, ValueError):
        return {}
    known = {name: value for name, value in found.get("env", {}).items() if name in Settings.model_fields}
    if given.get("database_url", known.get("database_url")) != known.get("database_url"):
        known = {name: value for name, value in known.items() if name not in ROLE_URLS}
    return known


class LocalStackSource(PydanticBaseSettingsSource):
    """Addresses of the local stack as a source of settings."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return stack_addresses(self.current_state)


class Settings(BaseSettings):
    """Settings of the program; each field's description is its documentation."""

    model_config = SettingsConfigDict(
        env_prefix="STREAMGAUGE_",
        env_ignore_empty=True,
        toml_file="streamgauge.toml",
        extra="forbid",
        frozen=True,
    )

    kafka: str = Field(default="localhost:9092", description="Kafka bootstrap servers, host:port[,host:port]")
    schema_registry_url: str | None = Field(
        default=None, description="Confluent-compatible schema registry, if any"
    )
    database_url: SecretStr = Field(
        default=SecretStr("postgresql://localhost:5432/streamgauge"),
        description="TimescaleDB as the owner, who migrates",
    )
    writer_url: SecretStr | None = Field(
        default=None, description="TimescaleDB as the workers; default: database_url"
    )
    reader_url: SecretStr | None = Field(
        default=None, description="TimescaleDB as analysts; default: database_url"
    )
    redis_url: SecretStr = Field(
        default=SecretStr("redis://localhost:6379/0"), description="Redis, for what may be lost: live status"
    )

    group: str = Field(default="streamgauge", description="Kafka consumer group of the ingest workers")
    readings_topic: str = Field(default="telemetry.readings", description="topic that readings arrive on")
    readings_partitions: int = Field(
        default=8, ge=1, description="partitions of that topic when it is created"
    )
    replication_factor: int = Field(
        default=1, ge=1, description="replication of topics when they are created"
    )

    dead_letters_topic: str = Field(
        default="telemetry.dead-letters", description="topic that each dead letter is told on"
    )
    rollup_levels: str = Field(
        default="1m,15m,1h,1d",
        description="levels of rollups from the lowest on, of an hour at most, each a multiple of the one"
        " before, and a day of the last. `streamgauge migrate` makes them",
    )
    rollups_topic: str = Field(
        default="telemetry.rollups",
        description="topic that closed buckets are told on, each revision of them",
    )
    rollups_told: str = Field(
        default="1h,1d", description="of which levels closed buckets are told: any of rollup_levels; none"
    )
    detect: bool = Field(
        default=False, description="whether detectors look at what is released, and tell of anomalies"
    )
    detect_except: str = Field(
        default="",
        description="metrics that they do not look at, with commas; * stands for any letters. Where it"
        " is changed detectors begin anew",
    )
    detect_series: int = Field(
        default=20_000,
        ge=1,
        description="series of a partition that are looked at, at most; each takes 3 kB of a worker. Where it"
        " is changed detectors begin anew",
    )
    anomalies_topic: str = Field(
        default="telemetry.anomalies",
        description="topic that episodes are told on: when they begin, get worse, and end",
    )
    outbox_warn_s: float = Field(
        default=60.0, gt=0, description="who looks is warned when a message waits longer than this to be sent"
    )

    flush_rows: int = Field(
        default=100_000,
        ge=1,
        description="a flush holds about this many readings at most, up to twice as many of one fetch",
    )
    parallel_rows: int = Field(
        default=32_768,
        ge=2,
        description="a flush of so many readings, of several partitions, is stored over two connections",
    )
    flush_ms: int = Field(
        default=30,
        ge=1,
        description="flushes begin so far apart, and brokers gather records for as long, for up to"
        " 100 ms under load: less shows readings sooner, more costs less CPU",
    )
    session_timeout_s: float = Field(default=10.0, gt=0, description="Kafka session timeout of a worker")

    max_message_bytes: int = Field(
        default=1_048_576, ge=65_536, description="a larger record is a dead letter"
    )
    max_readings_per_message: int = Field(
        default=100_000, ge=100, description="a record with more is a dead letter"
    )
    max_name_chars: int = Field(
        default=200, ge=1, description="tenant, source, metric, producer: longer is refused"
    )
    max_attributes: int = Field(default=32, ge=0, description="attributes of one series at most")
    max_future_s: float = Field(
        default=3600.0,
        gt=0,
        description="an event time further ahead of the record's Kafka timestamp is refused",
    )
    max_series_per_tenant: int = Field(
        default=1_000_000, ge=1, description="series beyond this are dead letters"
    )
    poison_after: int = Field(
        default=3, ge=1, description="a record that kills so many workers, alone, is a dead letter"
    )
    memory_mb: int = Field(
        default=64, ge=1, description="a worker remembers recent readings in this much, to know repeats"
    )

    lateness_s: float = Field(
        default=10.0,
        ge=0,
        le=YEAR_S,
        description="what is this much earlier than its producer's latest is waited for",
    )
    producer_idle_s: float = Field(
        default=60.0,
        gt=0,
        le=YEAR_S,
        description="a producer that sends nothing for so long is not waited for",
    )
    producer_lag_s: float = Field(
        default=300.0,
        ge=0,
        le=YEAR_S,
        description="nor is one whose event times are so far behind the others'",
    )
    reorder_mb: int = Field(
        default=64, ge=1, description="a worker holds readings back in this much, until their order is known"
    )

    archive_url: str = Field(
        default="",
        description="where readings are archived before they are dropped: a directory, or what fsspec takes,"
        " such as s3://bucket/prefix; none",
    )
    compress_after_days: int = Field(
        default=7,
        ge=1,
        description="the Community edition of TimescaleDB compresses chunks that are older than this",
    )

    metrics_host: str = Field(default="127.0.0.1", description="where /metrics, /healthz and /readyz listen")
    metrics_port: int = Field(
        default=0, ge=0, le=65535, description="their port; 0 takes a free one and logs it"
    )
    log_format: str = Field(
        default="auto", pattern="^(auto|human|json)$", description="auto: human on a terminal"
    )
    log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="least level logged"
    )

    @model_validator(mode="after")
    def _levels_fit(self) -> Self:
        levels = set(map(level_name, parse_levels(self.rollup_levels)))
        if unknown := set(self.rollups_told.split(",")) - levels - {"none"}:
            raise ValueError(
                f"rollups_told names {', '.join(sorted(unknown))}, which rollup_levels does not:"
                f" {self.rollup_levels}"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (
            init_settings,
            env_settings,
            TomlConfigSettingsSource(settings_cls),
            LocalStackSource(settings_cls),
        )

    @property
    def rollup_widths_us(self) -> tuple[int, ...]:
        """Widths of the levels of rollups, microseconds."""
        return parse_levels(self.rollup_levels)

    @property
    def owner_dsn(self) -> str:
        """Connection string of the owner."""
        return self.database_url.get_secret_value()

    @property
    def writer_dsn(self) -> str:
        """Connection string of the workers."""
        return (self.writer_url or self.database_url).get_secret_value()

    @property
    def reader_dsn(self) -> str:
        """Connection string of analysts."""
        return (self.reader_url or self.database_url).get_secret_value()
