"""What a hypervisor shows of a machine stands beside what the machine says of itself, and doubt about one is no doubt about the other."""

from __future__ import annotations

from typing import Any

from controlplane.adapters.machine_views import only_machines, questions, with_machines
from controlplane.domain.evidence import Evidence, ProbeRecord, Reader, Unreached
from controlplane.domain.evidence_shapes import SHAPES
from tests.fakes.evidence_builder import COLLECTED_TEXT, EvidenceBuilder, desired_mint_data
from tests.fakes.machine_builder import born, declared_machine, unborn

DESIRED = {"mint-data": desired_mint_data(machine=declared_machine())}


def hypervisor(machines: dict[str, Any] | None, **record: Any) -> Evidence:
    probe = ProbeRecord(**({"status": "ok", "error": None, "seconds": 0.2, "data": machines} | record))
    return Evidence(host="kvm1", collected_at=COLLECTED_TEXT, asked={}, probes={"machines": probe})


def joined(own: Evidence | Unreached, kvm1: Evidence | Unreached) -> Evidence | Unreached:
    return with_machines({"mint-data": own, "kvm1": kvm1}, ["mint-data"], DESIRED, collected_at=COLLECTED_TEXT)["mint-data"]


def test_one_question_names_every_machine_of_a_hypervisor_and_what_it_is_made_from() -> None:
    assert questions(DESIRED) == {
        "kvm1": {
            "uri": "qemu:///system",
            "wanted": {
                "mint-data": {
                    "image": "debian-12.qcow2",
                    "image_storage": "default",
                    "templates": [],
                    "storages": ["default"],
                    "volumes": ["mint-data-boot", "mint-data-DATA0001"],
                    "networks": ["default"],
                }
            },
        }
    }
    assert only_machines(questions(DESIRED)["kvm1"])["only"] == ["machines"]


def test_a_site_without_machines_asks_no_hypervisor() -> None:
    assert questions({"mint-data": desired_mint_data()}) == {}


def test_a_host_that_answers_has_its_machine_beside_its_own_evidence() -> None:
    seen = joined(EvidenceBuilder().build("mint-data"), hypervisor({"mint-data": born()}))
    assert isinstance(seen, Evidence)
    assert (seen.reached, Reader(seen).machine["state"], Reader(seen).identity["euid"]) == (True, "running", 0)


def test_a_host_that_is_not_there_yet_is_known_by_its_hypervisor_alone() -> None:
    seen = joined(Unreached(host="mint-data", reason="no route"), hypervisor({"mint-data": unborn()}))
    assert isinstance(seen, Evidence)
    assert (seen.reached, Reader(seen).machine["exists"]) == (False, False)
    assert {seen.probes[name].error for name in SHAPES} == {"the host was not reached: no route"}
    assert not seen.unconnected


def test_that_no_connection_came_about_is_still_known_beside_what_the_hypervisor_shows() -> None:
    nobody = Unreached(host="mint-data", reason="no route", unconnected=True)
    assert joined(nobody, hypervisor({"mint-data": born()})).unconnected
    assert joined(nobody, Unreached(host="kvm1", reason="timed out")).unconnected


def test_a_hypervisor_that_was_not_reached_is_doubt_about_the_machine_and_about_nothing_else() -> None:
    seen = joined(EvidenceBuilder().build("mint-data"), Unreached(host="kvm1", reason="timed out"))
    assert isinstance(seen, Evidence)
    assert (seen.probes["machine"].status, seen.probes["machine"].error) == ("failed", "the hypervisor kvm1 was not reached: timed out")
    assert seen.probes["mounts"].status == "ok"


def test_where_neither_answers_nothing_is_known_and_both_reasons_are_told() -> None:
    nobody = Unreached(host="mint-data", reason="no route")
    told = "no route; the hypervisor kvm1 was not reached: timed out"
    assert joined(nobody, Unreached(host="kvm1", reason="timed out")) == Unreached(host="mint-data", reason=told)


def test_what_an_api_shows_of_a_machine_stands_beside_its_own_evidence_in_the_same_way() -> None:
    seen = {"mint-data": Unreached(host="mint-data", reason="no route")}
    found = ProbeRecord(status="ok", seconds=0.1, data=unborn(backend="proxmox", networks=None))
    joint = with_machines(seen, ["mint-data"], DESIRED, collected_at=COLLECTED_TEXT, through_api={"mint-data": found})["mint-data"]
    assert isinstance(joint, Evidence)
    assert (Reader(joint).machine["backend"], Reader(joint).machine["networks"]) == ("proxmox", None)
    failed = ProbeRecord(status="failed", seconds=0.1, error="the hypervisor pve1: no")
    lost = with_machines(seen, ["mint-data"], DESIRED, collected_at=COLLECTED_TEXT, through_api={"mint-data": failed})["mint-data"]
    assert lost == Unreached(host="mint-data", reason="no route; the hypervisor pve1: no")


def test_a_failed_probe_and_a_machine_that_the_answer_leaves_out_are_doubt() -> None:
    own = EvidenceBuilder().build("mint-data")
    failed = joined(own, hypervisor(None, status="failed", error="virsh is not there"))
    silent = joined(own, hypervisor({}))
    assert isinstance(failed, Evidence)
    assert isinstance(silent, Evidence)
    assert failed.probes["machine"].error == "the hypervisor kvm1: virsh is not there"
    assert silent.probes["machine"].error == "the hypervisor kvm1 said nothing of mint-data"
