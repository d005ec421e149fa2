from __future__ import annotations

from tests.integration.ingest import make_ingest as make_ingest
from tests.integration.rollups import writer as writer
