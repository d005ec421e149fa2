"""All detectors there are."""

from __future__ import annotations

from streams.core.detect.cusum import Cusum
from streams.core.detect.detector import Detector
from streams.core.detect.deviation import Deviation
from streams.core.detect.flat_line import FlatLine
from streams.core.detect.range_novelty import RangeNovelty
from streams.core.detect.rate_of_change import RateOfChange
from streams.core.detect.silence import Silence

DETECTORS: tuple[type[Detector], ...] = (Cusum, Deviation, FlatLine, RangeNovelty, RateOfChange, Silence)
