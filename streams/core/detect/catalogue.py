"""All detectors there are."""

from __future__ import annotations

from streams.core.detect.detector import Detector
from streams.core.detect.deviation import Deviation
from streams.core.detect.range_novelty import RangeNovelty

DETECTORS: tuple[type[Detector], ...] = (Deviation, RangeNovelty)
