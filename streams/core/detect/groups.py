"""Series beside each other: machines of a kind, and the metrics of a machine, by closed buckets of time.

Buckets are closed once all of their readings are released, whatever partitions those came by. So
what is found depends on the rows of buckets alone: not on flushes, and not on which worker has which series.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streams.core.batch import NEVER_US, Bools, Float64, Int64
from streams.core.detect.episodes import Episode
from streams.core.detect.joint import Joint
from streams.core.detect.memory import Field, Parts, Rows, SeriesState, Snapshot
from streams.core.detect.peers import FEWEST, Peers, unlike
from streams.core.detect.records import Records
from streams.core.detect.sentinel import REASONS as REASONS_OF_ONE
from streams.core.detect.sentinel import WARM_UP_US, part_of

MOST_METRICS = 16
"""So many metrics of a node are looked at together: those that were introduced first."""

REASONS = (
    *REASONS_OF_ONE,
    (Peers.name, "difference from the group"),
    (Joint.name, "all metrics of the node"),
)
"""Of all episodes, by number: the detector, and what it looked at."""

_UNUSUAL_PEER, _UNUSUAL_NODE = range(len(REASONS_OF_ONE), len(REASONS))


class Named(NamedTuple):
    """A series by name. What stands before the first slash of its source is the node that it belongs to."""

    series: int
    tenant: str
    source: str
    metric: str

    @property
    def node(self) -> tuple[str, str]:
        """Its node: a machine with all of its parts.

        >>> Named(7, "default", "web-1/cpu=0", "load").node
        ('default', 'web-1')
        """
        return self.tenant, self.source.partition("/")[0]

    @property
    def group(self) -> tuple[str, str, str]:
        """What it has in common with its peers: the metric, and the part of the node."""
        return self.tenant, self.source.partition("/")[2], self.metric


class GroupsTold(NamedTuple):
    """The episodes that a bucket began, as they were then, and those that are over."""

    begun: list[Episode]
    ended: list[Episode]


class Groups:
    """Judges the mean values of buckets, bucket by bucket.

    Series are introduced before they are shown, always in the same order. Episodes of a node are told of that
    one of its series which is farthest from its mean.

    >>> groups, random = Groups(), np.random.default_rng(1)
    >>> groups.introduce([Named(number, "default", f"web-{number}", "load") for number in range(6)])
    >>> found = []
    >>> for minute in range(2000):
    ...     load = random.normal(size=6) + 8.0 * (np.arange(6) == 3) * (minute > 1900)
    ...     found += groups.update(minute * 60_000_000, np.arange(6), load).begun
    >>> [(episode.series, REASONS[episode.reason][0]) for episode in found]
    [(3, 'peers')]
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, ...], int] = {}
        self._metrics_of: list[int] = []
        self._group_of = self._node_of = self._column_of = np.empty(0, np.int64)
        self._peers, self._joint = Peers(calibrated=False), Joint(MOST_METRICS, calibrated=False)
        self._peer_records = Records(2.0, 3.0, _UNUSUAL_PEER)
        self._node_records = Records(2.0, 2.0, _UNUSUAL_NODE)
        first = Field((), np.int64, NEVER_US)
        self._since = SeriesState({"first_us": first})
        self._nodes = SeriesState({"first_us": first, "metrics": Field((), np.int64)})
        self._known = SeriesState({"last": Field((MOST_METRICS,), np.float64)})
        self._of_series = Parts({"peers": self._peers, "records": self._peer_records, "since": self._since})
        self._of_node = Parts(
            {"joint": self._joint, "records": self._node_records, "nodes": self._nodes, "known": self._known}
        )
        self._node_numbers: dict[tuple[str, str], int] = {}

    def introduce(self, named: list[Named]) -> None:
        """Make series known by their names."""
        if not named:
            return
        most = max(each.series for each in named) + 1
        if most > len(self._group_of):
            more = np.full(most - len(self._group_of), -1)
            self._group_of = np.append(self._group_of, more)
            self._node_of, self._column_of = np.append(self._node_of, more), np.append(self._column_of, more)
        for each in named:
            node = self._node_numbers.setdefault(each.node, len(self._node_numbers))
            if node == len(self._metrics_of):
                self._metrics_of.append(0)
            self._group_of[each.series] = self._numbers.setdefault(each.group, len(self._numbers))
            self._node_of[each.series], self._column_of[each.series] = node, self._metrics_of[node]
            self._metrics_of[node] += 1
        self._of_series.grow(len(self._group_of))
        self._of_node.grow(len(self._metrics_of))

    def update(self, bucket_us: int, series: Int64, mean: Float64) -> GroupsTold:
        """Judge the mean values of a bucket, which comes after all before; one a series."""
        finite = np.isfinite(mean)
        series, mean = series[finite], np.clip(mean[finite], -1e100, 1e100)
        told = GroupsTold([], [])
        self._beside_peers(bucket_us, series, mean, told)
        self._together(bucket_us, series, mean, told)
        return told

    def open(self) -> list[Episode]:
        """Return all episodes that are not over."""
        return [*self._peer_records.open(), *self._node_records.open()]

    def snapshot(self) -> Snapshot:
        """Return all that is remembered."""
        series, nodes = np.arange(len(self._group_of)), np.arange(len(self._metrics_of))
        return {
            **{f"series.{name}": array for name, array in self._of_series.snapshot(series).items()},
            **{f"node.{name}": array for name, array in self._of_node.snapshot(nodes).items()},
        }

    def restore(self, snapshot: Snapshot) -> None:
        """Go on where a snapshot was taken, once the same series were introduced in the same order."""
        for prefix, part in (("series.", self._of_series), ("node.", self._of_node)):
            arrays = part_of(snapshot, prefix)
            part.restore(np.arange(len(next(iter(arrays.values())))), arrays)

    def _beside_peers(self, bucket_us: int, series: Int64, mean: Float64, told: GroupsTold) -> None:
        group = self._group_of[series]
        with_peers = np.bincount(group)[group] >= FEWEST if len(group) else np.zeros(0, bool)
        series, mean, group = series[with_peers], mean[with_peers], group[with_peers]
        time_us = np.full(len(series), bucket_us)
        measured = self._peers.measure(series, time_us, unlike(group, mean)[:, None])
        ready = _ready(self._since, series, bucket_us)
        self._tell(self._peer_records, series, series, time_us, np.abs(measured.statistic[:, 0]), ready, told)

    def _together(self, bucket_us: int, series: Int64, mean: Float64, told: GroupsTold) -> None:
        some = self._column_of[series] < MOST_METRICS
        series, mean = series[some], mean[some]
        rows, column = self._node_of[series], self._column_of[series]
        nodes = np.unique(rows)
        told.ended.extend(self._begin_anew(nodes, rows, column))
        self._known["last"][rows, column] = mean
        nodes = nodes[self._nodes["metrics"][nodes] & (self._nodes["metrics"][nodes] - 1) != 0]
        time_us, signals = np.full(len(nodes), bucket_us), self._known["last"][nodes]
        measured = self._joint.measure(nodes, time_us, signals)
        apart = np.abs(signals - measured.expected) / np.maximum(measured.band, 1e-200)
        farthest = np.full((len(self._metrics_of), MOST_METRICS), -1)
        farthest[rows, column] = series
        apart[farthest[nodes] < 0] = -1.0
        which = farthest[nodes, apart.argmax(axis=1)]
        ready = _ready(self._nodes, nodes, bucket_us)
        self._tell(self._node_records, nodes, which, time_us, measured.statistic[:, 0], ready, told)

    def _begin_anew(self, nodes: Rows, rows: Rows, column: Int64) -> list[Episode]:
        """Forget nodes that have a metric they never had: nobody knows how it goes with the others.

        Returns their episodes, which are over.
        """
        seen = np.zeros(len(self._metrics_of), np.int64)
        np.bitwise_or.at(seen, rows, 1 << column)
        new = nodes[(seen[nodes] & ~self._nodes["metrics"][nodes]) != 0]
        metrics, last = self._nodes["metrics"][new] | seen[new], self._known["last"][new]
        ended = self._node_records.open_of(new)
        self._of_node.clear(new)
        self._nodes["metrics"][new], self._known["last"][new] = metrics, last
        return ended

    @staticmethod
    def _tell(
        records: Records,
        rows: Rows,
        series: Int64,
        time_us: Int64,
        statistic: Float64,
        ready: Bools,
        told: GroupsTold,
    ) -> None:
        found = records.update(rows, series, time_us, statistic, None, ready)
        told.begun.extend(records.open_of(rows[found.began]))
        told.ended.extend(found.ended)


def _ready(state: SeriesState, rows: Rows, bucket_us: int) -> Bools:
    """Tell which are known for long enough to be told of."""
    first_us = state["first_us"][rows]
    state["first_us"][rows] = np.where(first_us == NEVER_US, bucket_us, first_us)
    return bucket_us - state["first_us"][rows] >= WARM_UP_US
