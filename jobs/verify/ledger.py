"""Compares what producers wrote down before they sent it with what the database holds.

A ledger is a file of JSON lines, ``*.jsonl``, of one producer, who numbers its messages. Before it
sends a message it writes a line for each reading, ``{"message": 7, "index": 0, "tenant": …, "source": …,
"metric": …, "time": …, "value": …, "quality": …, "revision": …}``, and makes sure that the disk has it.
Once Kafka has acknowledged the message it adds ``{"message": 7, "partition": 2, "offset": 311}``, with
an offset of -1 where it was not told. ``index`` is the place in the message, ``time`` in microseconds since
1970, ``quality`` 0, 1 or 2, ``value`` null where there is none. Other fields are for people.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from jobs.verify.compare import Kind
from jobs.verify.snapshot import Connection, Stored
from sinks.timescale.times import timestamp
from streams.core.rejection import WHOLE_RECORD
from streams.errors import UserError

LEDGER_FAULTS = (Kind.LOST, Kind.UNLEDGERED, Kind.UNTRUE)

_TABLES = """
    CREATE TEMP TABLE ledgered (
        file integer, message integer, index integer, tenant text, source text, metric text, ts timestamptz,
        value double precision, quality smallint, revision integer
    );
    CREATE TEMP TABLE acknowledged (file integer, message integer, partition integer, "offset" bigint);
"""
_COPY_LEDGERED = "COPY ledgered FROM STDIN"
_COPY_ACKNOWLEDGED = "COPY acknowledged FROM STDIN"
_INDEX = "CREATE INDEX ON ledgered (source, metric, tenant, ts); ANALYZE ledgered; ANALYZE acknowledged"

# A message is due once the partition is stored beyond it. What another partition owns is due only
# when no forwarded reading can be on its way.
_COMPARE = """
    WITH refused AS (
        SELECT DISTINCT partition, "offset", index FROM dead_letters WHERE topic = %(topic)s
    ), sent AS (
        SELECT l.tenant, l.source, l.metric, l.ts, l.revision,
               reading.index IS NULL AND record.index IS NULL AND left_out.partition IS NULL
               AND CASE WHEN a."offset" < 0 THEN a.partition <> ALL (%(behind)s::int[])
                        ELSE a."offset" < p.next_offset END
               AND (coalesce(s.home_partition, a.partition) = a.partition
                    OR (%(behind)s::int[] = '{}' AND s.home_partition <> ALL (%(partitions)s::int[]))) AS due
        FROM ledgered AS l
        LEFT JOIN acknowledged AS a USING (file, message)
        LEFT JOIN refused AS reading
            ON (reading.partition, reading."offset", reading.index) = (a.partition, a."offset", l.index)
        LEFT JOIN refused AS record
            ON (record.partition, record."offset", record.index) = (a.partition, a."offset", %(whole_record)s)
        LEFT JOIN unnest(%(partitions)s::int[], %(starts)s::bigint[], %(ends)s::bigint[])
            AS left_out (partition, first, beyond)
            ON left_out.partition = a.partition AND a."offset" >= first AND a."offset" < beyond
        LEFT JOIN progress AS p ON p.topic = %(topic)s AND p.partition = a.partition
        LEFT JOIN series AS s USING (tenant, source, metric)
    ), said AS (
        SELECT tenant, source, metric, ts, coalesce(bool_or(due), false) AS due,
               coalesce(max(revision) FILTER (WHERE due), 0) AS revision
        FROM sent GROUP BY tenant, source, metric, ts
    ), stored AS (
        SELECT s.tenant, s.source, s.metric, r.ts, min(r.value) AS value, min(r.quality) AS quality
        FROM readings AS r JOIN series AS s USING (series_id)
        WHERE s.home_topic = %(topic)s
        GROUP BY s.tenant, s.source, s.metric, r.ts
    )
    INSERT INTO faults
    SELECT fault.kind, series.series_id, ts, concat_ws('/', tenant, source, metric) || fault.detail
    FROM said FULL OUTER JOIN stored USING (tenant, source, metric, ts)
    LEFT JOIN series USING (tenant, source, metric)
    CROSS JOIN LATERAL (VALUES
        ('lost', stored.value IS NULL AND said.due AND ts >= readings_kept_from(series.series_id),
         ': acknowledged, and neither stored nor refused'),
        ('unledgered', said.due IS NULL, ': stored, and in no ledger'),
        ('untrue',
         said.due IS NOT NULL AND stored.value IS NOT NULL AND NOT EXISTS (
             SELECT FROM ledgered AS l
             WHERE (l.source, l.metric, l.tenant, l.ts) = (said.source, said.metric, said.tenant, said.ts)
               AND (l.value, l.quality) = (stored.value, stored.quality) AND l.revision >= said.revision),
         format(': no ledger has value %%s, quality %%s, or a later revision was acknowledged',
                stored.value, stored.quality))
    ) AS fault (kind, is_so, detail)
    WHERE fault.is_so
"""
_COUNT = "SELECT kind, count(*) FROM faults WHERE kind = ANY(%s) GROUP BY kind"


class Ledgered(NamedTuple):
    """How many readings the ledgers have, and how many messages of theirs are acknowledged."""

    readings: int
    acknowledged: int


def load_ledgers(session: Connection, directory: Path) -> Ledgered:
    """Bring all ledgers of ``directory`` into ``session``; to be called after its moment is fixed.

    A last line that is not complete is of a producer that was ended there. Raises
    :class:`~streams.errors.UserError` for no ledger, or one that cannot be read.
    """
    files = sorted(directory.glob("*.jsonl"))
    if not files:
        raise UserError(f"no ledger in {directory}", hint="Its files end in .jsonl; see docs/cli.md.")
    session.execute(_TABLES)
    readings, acknowledged = [], []
    for number, file in enumerate(files):
        for line in _lines(file):
            try:
                if "offset" in line:
                    acknowledged.append((number, line["message"], line["partition"], line["offset"]))
                else:
                    readings.append((number, *_reading(line)))
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise UserError(f"{file}: {error!r} in {line}", hint="See docs/cli.md, verify.") from error
    _copy(session, _COPY_LEDGERED, readings)
    _copy(session, _COPY_ACKNOWLEDGED, acknowledged)
    session.execute(_INDEX)
    return Ledgered(len(readings), len(acknowledged))


def find_ledger_faults(
    session: Connection, topic: str, stored: Iterable[Stored], behind: Collection[int]
) -> dict[Kind, int]:
    """Compare, and return how many readings there are of each kind.

    What somebody decided to leave out of a partition is not lost, nor what may have been forwarded to
    it then. ``behind`` are the partitions whose log may get, or has, readings that are not looked at.
    """
    left_out = [(each.partition, *offsets) for each in stored for offsets in each.left_out or ()]
    arguments = {
        "topic": topic,
        "behind": list(behind),
        "whole_record": WHOLE_RECORD,
        "partitions": [partition for partition, _, _ in left_out],
        "starts": [start for _, start, _ in left_out],
        "ends": [end for _, _, end in left_out],
    }
    session.execute(_COMPARE, arguments)
    found: dict[str, int] = dict(session.execute(_COUNT, (list(LEDGER_FAULTS),)).fetchall())
    return {kind: found.get(kind.value, 0) for kind in LEDGER_FAULTS}


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    lines = file.read_bytes().split(b"\n")
    for line in lines[:-1]:
        try:
            yield orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise UserError(f"{file}: {error} in {line[:80]!r}", hint="See docs/cli.md, verify.") from error


def _reading(line: dict[str, Any]) -> tuple[Any, ...]:
    value = float("nan") if line["value"] is None else float(line["value"])
    return (
        int(line["message"]),
        int(line["index"]),
        line["tenant"],
        line["source"],
        line["metric"],
        timestamp(line["time"]),
        value,
        line["quality"],
        line["revision"],
    )


def _copy(session: Connection, statement: str, rows: list[tuple[Any, ...]]) -> None:
    with session.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for row in rows:
            copy.write_row(row)
