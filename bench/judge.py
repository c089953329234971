"""Judging 50 hosts from one evidence file to the printed report, against a bare json.load of that file: medians of one run, measured in turn.

Measured is all that `audit --evidence FILE` does once it has started and knows its site: reading, judging and printing, as text and with `-o json`,
which also shows the digest of each host's evidence. Run it as `python bench/judge.py [runs]`.
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from controlplane.adapters.evidence_files import EvidenceFiles  # noqa: E402 - found by the line above
from controlplane.cli.findings import print_report  # noqa: E402
from controlplane.cli.uncollected import uncollected  # noqa: E402
from controlplane.domain.desired import DesiredState  # noqa: E402
from controlplane.domain.evidence import Evidence, ProbeRecord  # noqa: E402
from controlplane.domain.finding import AuditReport  # noqa: E402
from controlplane.domain.inventory import Inventory, InventoryHost  # noqa: E402
from controlplane.domain.site_view import SiteView  # noqa: E402
from controlplane.usecases.audit import audit_offline  # noqa: E402
from tests.fakes.evidence_builder import BOOT, COLLECTED, COLLECTED_TEXT, DATA, GB, EvidenceBuilder, bind, container, desired_mint_data, mount, place  # noqa: E402

HOSTS = 50
# Judging alone is held to 3x. A digest costs what encoding all of the evidence once more costs: about 1x of reading it.
LIMITS = {"text": 3.0, "json": 4.5}
# As many as the collector asks systemd for.
PROPERTIES = [f"Property{number}" for number in range(21)]


def realistic(host: str) -> Evidence:
    """Return the evidence of a host with 15 containers, 40 mounts, 30 images and 12 block devices."""
    builder = EvidenceBuilder()
    probes = builder.probes
    for number in range(12):
        name = f"app-{number}"
        source, upper = f"/mnt/data/apps/{name}", f"/mnt/data/docker/overlay2/{name}/diff"
        probes["docker_containers"].append(container(name, [bind(source, "/srv/data"), bind(f"{source}/etc", "/etc/app", rw=False)], upper_dir=upper))
        probes["paths"] |= {path: place(path, DATA, "/mnt/data") for path in (source, f"{source}/etc", upper)}
    for number in range(37):
        probes["mounts"].append(mount(f"/mnt/data/docker/overlay2/{number:064x}/merged", f"0:{60 + number}", "overlay", source="overlay"))
    for number in range(30):
        image = {"id": f"sha256:{number:064x}", "tags": [f"registry.example.org/app-{number}:1.{number}"], "size": GB // 3, "containers": 1}
        probes["docker_images"].append(image)
        volume = {"name": f"{number:064x}", "driver": "local", "mountpoint": f"/mnt/data/docker/volumes/{number:064x}/_data"}
        probes["docker_volumes"].append(volume | {"options": {}, "anonymous": True, "in_use_by": []})
    for number in range(10):
        probes["block"][f"7:{number}"] = probes["block"][BOOT] | {"name": f"loop{number}", "serial": None}
    for unit in probes["units"].values():
        unit["properties"] = {name: f"{name} of docker.service in /var/lib/docker" for name in PROPERTIES}
    for one in probes["docker_containers"]:
        one |= {"id": f"{len(one['name']):064x}", "image_id": f"sha256:{7:064x}", "command": ["docker-entrypoint.sh", "server", "--config", "/etc/x"]}
    probes["identity"]["machine_id"] = host
    records = {name: ProbeRecord(status="ok", seconds=0.01, data=data) for name, data in probes.items()}
    return Evidence(host=host, collected_at=COLLECTED_TEXT, asked={}, probes=records)


def timed(act: Callable[[], Any]) -> float:
    """Return the CPU seconds that one call takes: nothing here waits, and what else runs on the machine must not count."""
    began = time.process_time()
    act()
    return time.process_time() - began


def measure(runs: int = 15) -> tuple[float, float, float, str]:
    """Return the median CPU seconds of a bare json.load, of an audit printed as text and as JSON, and what was judged."""
    names = [f"host-{number:02d}" for number in range(HOSTS)]
    hosts = tuple(desired_mint_data(host=name) for name in names)
    view = SiteView(
        name="bench",
        folder="bench",
        desired=DesiredState(hosts=hosts),
        inventory=Inventory(hosts=tuple(InventoryHost(name=name) for name in names)),
        policy_digest="sha256:0",
        approval="none",
        retention=timedelta(days=1),
        max_age=timedelta(hours=1),
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "evidence.json"
        EvidenceFiles().write(str(file), {name: realistic(name) for name in names})

        def bare() -> Any:
            with file.open("rb") as stream:
                return json.load(stream)

        def audit(output: str) -> AuditReport:
            with uncollected(), redirect_stdout(io.StringIO()):
                seen = EvidenceFiles().read(str(file))
                report = audit_offline(view, hosts=(), checks=(), clock=_At(), seen=seen, digests=output == "json")
                print_report(report, output)
            return report

        report = audit("json")
        assert report.summary.met == len(report.findings) > 20 * HOSTS, "the bench's hosts are healthy"
        assert all(seen.evidence_digest for seen in report.hosts), "the report shows digests"
        rows = [(timed(bare), timed(lambda: audit("text")), timed(lambda: audit("json"))) for _ in range(runs)]
        size = file.stat().st_size
    loads, as_text, as_json = (statistics.median(column) for column in zip(*rows, strict=True))
    return loads, as_text, as_json, f"audit of {HOSTS} hosts from {size / 1e6:.1f} MB of evidence, {len(report.findings)} findings"


class _At:
    """The clock a minute after the evidence."""

    def now(self) -> datetime:
        return COLLECTED + timedelta(minutes=1)


def main() -> int:
    """Print the rows of the table; exit 1 over the limit."""
    loads, as_text, as_json, what = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
    for output, ours in (("text", as_text), ("json", as_json)):
        limit = LIMITS[output]
        verdict = "ok" if ours / loads <= limit else "OVER"
        print(f"{what}, {output} | {ours * 1000:.1f} ms | json.load {loads * 1000:.1f} ms | {ours / loads:.2f}x | limit {limit:.1f}x | {verdict}")
    return 0 if as_text / loads <= LIMITS["text"] and as_json / loads <= LIMITS["json"] else 1


if __name__ == "__main__":
    sys.exit(main())
