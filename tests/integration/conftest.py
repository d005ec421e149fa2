from __future__ import annotations

from tests.integration.ingest import make_ingest as make_ingest
