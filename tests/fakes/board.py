"""A site for its board: one host whose Docker lies on the boot disk, one that is fine, a stateless one, one that can't be reached."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from controlplane.domain.board import (
    Board,
    BoardDoubts,
    BoardGate,
    BoardGovernance,
    BoardLink,
    BoardPoint,
    BoardPromotion,
    BoardTrend,
    BoardWave,
)
from controlplane.domain.desired import DesiredHost, DesiredState
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.finding import Verdict
from controlplane.domain.inventory import Inventory, InventoryHost
from controlplane.domain.site_view import SiteView
from controlplane.usecases.draw_board import draw_offline
from tests.fakes.evidence_builder import BOOT, DATA, GB, MINIO, POSTGRES, EvidenceBuilder, bind, container, desired_mint_data, device
from tests.fakes.interruption import Interruption
from tests.fakes.ports import FakeAnchors, FakeClock, FakeReceipts

OLD_ROOT = "/var/lib/docker"
HOSTILE = "<script>alert('1')</script>\"'&]]>\u202egnp\x00\x1b[31m\ud800<img src=x onerror=alert(2)>"


def volume(name: str, destination: str) -> dict[str, Any]:
    """Return a mount of a named volume below the old root."""
    at = f"{OLD_ROOT}/volumes/{name}/_data"
    return bind(at, destination, type="volume", name=name)


def astray() -> EvidenceBuilder:
    """Return `mint-data` with Docker's roots and two services on the boot disk, an unlisted container, and an old root that awaits its purge."""
    builder = EvidenceBuilder()
    probes = builder.probes
    builder.boot_path(
        OLD_ROOT, "/var/lib/containerd", "/srv/exports", "/opt/old-docker", *(f"{OLD_ROOT}/volumes/{name}/_data" for name in ("pg", "s3"))
    )
    probes["docker_info"]["root"] = OLD_ROOT
    probes["docker_config"] |= {"containerd_root": "/var/lib/containerd", "daemon_json": None}
    builder.container(POSTGRES)["mounts"] = [volume("pg", "/var/lib/postgresql/data")]
    builder.container(MINIO)["mounts"] = [volume("s3", "/data")]
    probes["docker_containers"].append(container("exporter", [bind("/srv/exports", "/exports")]))
    probes["usage"]["/"] |= {"free": 12 * GB, "available": 9_500_000_000}
    probes["target_state"]["retired"] = [retired("/opt/old-docker")]
    return builder


def retired(path: str) -> dict[str, Any]:
    """Return one retired path."""
    plain: dict[str, Any] = {"path": path, "run": "CAP-20260101-000000__docker.data_root__Rabcd", "retired_at": "2026-01-01T00:00:00Z"}
    plain |= {"size": 34 * GB, "entries": 9000, "exists": True, "recorded": "x", "fingerprint": "x", "unreadable": None, "purging": None}
    return plain | {"replaced_by": "/mnt/data/docker"}


def on_lvm(machine_id: str = "m2") -> EvidenceBuilder:
    """Return a healthy host with `/` in a partition and its data on LVM."""
    builder = EvidenceBuilder()
    probes = builder.probes
    probes["identity"]["machine_id"] = machine_id
    moved = {BOOT: "254:1", DATA: "253:0"}
    probes["block"]["254:1"] = device("vda1", 50 * GB, partition_of=BOOT)
    probes["block"][BOOT]["partitions"] = ["254:1"]
    probes["block"]["253:0"] = device("dm-0", 100 * GB, slaves=[DATA], dm_name="vg-data", dm_uuid="LVM-x")
    for number, upper in moved.items():
        probes["signatures"][upper] = probes["signatures"][number]
    for one in (*probes["mounts"], *probes["paths"].values()):
        one["dev"] = moved.get(one["dev"], one["dev"])
    return builder


def board_site(*more: DesiredHost, has_signers: bool = False) -> SiteView:
    """Return the site; `more` are further hosts."""
    hosts = [desired_mint_data(), desired_mint_data(host="mint-fine"), desired_mint_data(host="mint-lost")]
    hosts = sorted([*hosts, DesiredHost(host="mint-apps", tier="boot-only", data="boot"), *more], key=lambda one: one.host)
    return SiteView(
        name="mint",
        folder="inventory/mint",
        desired=DesiredState(hosts=tuple(hosts)),
        inventory=Inventory(hosts=tuple(InventoryHost(name=one.host) for one in hosts)),
        policy_digest="sha256:9f2c1d0e5b7a4c3d8e6f1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d7e8f9a0b1c2d",
        approval="self",
        retention=timedelta(days=7),
        max_age=timedelta(hours=1),
        has_signers=has_signers,
    )


def board_evidence() -> dict[str, Evidence | Unreached]:
    """Return what the hosts showed."""
    apps = EvidenceBuilder()
    apps.probes["identity"]["machine_id"] = "m3"
    lost = Unreached(host="mint-lost", reason="ssh: connect to host 10.0.0.9 port 22: No route to host")
    return {"mint-data": astray().build(), "mint-fine": on_lvm().build("mint-fine"), "mint-apps": apps.build("mint-apps"), "mint-lost": lost}


def governance(text: str = "") -> BoardGovernance:
    """Return one of everything; `text` is added wherever a person or a file gave text, and stands for files that can't be read."""
    met, drifted, unknown = Verdict.MET, Verdict.DRIFTED, Verdict.UNKNOWN
    points = tuple(BoardPoint(at=f"2025-12-{20 + day}T06:00:00Z", verdict=verdict) for day, verdict in enumerate([drifted, unknown, met, met]))
    gates = (
        BoardGate(phase="entry", what=f"D235 to D239 pass{text}", verdict=met, reason="3 runs"),
        BoardGate(phase="exit", what="paths not boot-backed", verdict=drifted, reason=f"Docker's root still lies on vda{text}"),
    )
    return BoardGovernance(
        waves=(
            BoardWave(id="W8B", goal=f"placement{text}", state="open", mutation="controlled", hosts=("mint-data",), window="sat 22:00", gates=gates),
        ),
        promotions=(BoardPromotion(check="D235", host="mint-data", mode="report", streak=2, wanted=3, held_by=(f"GAP-OP-942 has no loop{text}",)),),
        trends=(BoardTrend(check="D235", host="mint-data", points=points),),
        links=(BoardLink(stor="STOR-003", title=f"Redis{text}", checks=("D236",), fault=f"no gap{text}"),),
        doubts=BoardDoubts(waves=(text,), links=(text,), releases=(text,)) if text else BoardDoubts(),
    )


def drawn(
    site: SiteView | None = None,
    seen: Mapping[str, Evidence | Unreached] | None = None,
    *,
    receipts: FakeReceipts | None = None,
    anchors: FakeAnchors | None = None,
    **given: Any,
) -> Board:
    """Return the board of the site, or of another."""
    trail = receipts or FakeReceipts(Interruption())
    shown = board_evidence() if seen is None else seen
    return draw_offline(site or board_site(), hosts=(), clock=FakeClock(), seen=shown, receipts=trail, anchors=anchors or FakeAnchors(), **given)


def hostile_board() -> Board:
    """Return a board whose every name and reason is hostile, as far as a host or a file could give it."""
    site = board_site()
    wanted = desired_mint_data(host=f"h{HOSTILE}", tier=HOSTILE)
    site = site.model_copy(update={"name": HOSTILE, "policy_digest": HOSTILE})
    site = site.model_copy(update={"desired": DesiredState(hosts=(*site.desired.hosts, wanted))})
    site = site.model_copy(update={"inventory": Inventory(hosts=(*site.inventory.hosts, InventoryHost.model_construct(name=wanted.host)))})
    builder = astray()
    probes = builder.probes
    probes["identity"]["machine_id"] = HOSTILE
    builder.boot_path(f"/srv/{HOSTILE}", f"/opt/{HOSTILE}")
    probes["docker_containers"].append(container(HOSTILE, [bind(f"/srv/{HOSTILE}", f"/{HOSTILE}")]))
    probes["target_state"]["retired"] = [retired(f"/opt/{HOSTILE}")]
    for entry in probes["block"].values():
        entry["serial"] = HOSTILE
    probes["mounts"][1]["fstype"] = HOSTILE
    seen = board_evidence() | {wanted.host: builder.build(wanted.host), "mint-lost": Unreached(host="mint-lost", reason=HOSTILE)}
    return drawn(site, seen, governance=governance(HOSTILE))
