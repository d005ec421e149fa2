"""All detectors there are."""

from __future__ import annotations

from streams.core.detect.cusum import Cusum
from streams.core.detect.detector import Detector
from streams.core.detect.deviation import Deviation
from streams.core.detect.flapping import Flapping
from streams.core.detect.flat_line import FlatLine
from streams.core.detect.joint import Joint
from streams.core.detect.new_state import NewState
from streams.core.detect.peers import Peers
from streams.core.detect.range_novelty import RangeNovelty
from streams.core.detect.rate_of_change import RateOfChange
from streams.core.detect.resets import Resets
from streams.core.detect.silence import Silence

DETECTORS: tuple[type[Detector], ...] = (
    Cusum,
    Deviation,
    Flapping,
    FlatLine,
    Joint,
    NewState,
    Peers,
    RangeNovelty,
    RateOfChange,
    Resets,
    Silence,
)
