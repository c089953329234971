"""How the release site is governed: the pack that is verified around a release, loops and gaps, and when production may be changed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import yaml

from controlplane.domain.windows import DAYS

PACK = "storefront"
# The release's own loop, and one that is none of its business.
LOOP, ELSEWHERE = "LOOP-STOREFRONT-RELEASES-20260102", "LOOP-SECOND-SHOP-20260105"
# One gap of each.
GAP, OTHER_GAP = "GAP-OP-101", "GAP-OP-102"
ALWAYS = {"start": "00:00", "end": "00:00"}


def shut_now() -> dict[str, Any]:
    """Return a window that is not open, however long a test takes: it is days away."""
    return {"days": [DAYS[time.gmtime(time.time() + 3 * 86400).tm_wday]], "start": "01:00", "end": "02:00"}


def write_governance(site: Path, host: str) -> None:
    """Write gates.yml and the registers: the gap of the release's loop may be closed once a run of the pack shows the host's data disk mounted."""
    loops = {
        LOOP: {"title": "Quote page, order intake and artwork are released as one stack", "status": "open", "opened": "2026-01-02"},
        ELSEWHERE: {"title": "A second shop opens", "status": "open", "opened": "2026-01-05"},
    }
    gaps = {
        GAP: {"title": "Nothing shows that the storefront's data have a disk of their own", "status": "open", "loops": [LOOP], "filed": "2026-01-02"},
        OTHER_GAP: {"title": "The second shop has no staging", "status": "open", "loops": [ELSEWHERE], "filed": "2026-01-05"},
    }
    finding = {"title": "Data of the storefront may lie on the boot disk", "severity": "high", "status": "open", "gaps": [GAP], "checks": ["D240"]}
    written = {
        "gates.yml": {"packs": {PACK: {"checks": ["D235", "D239", "D240"]}}},
        "registers/loops.yml": {"loops": loops},
        "registers/gaps.yml": {"gaps": gaps},
        "registers/findings.yml": {"findings": {"STOR-101": {**finding, "hosts": [host]}}},
    }
    (site / "registers").mkdir()
    for name, held in written.items():
        (site / name).write_text(yaml.safe_dump(held, sort_keys=False))
