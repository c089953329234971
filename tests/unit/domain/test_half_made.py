"""A machine that an interrupted run left half made is finished only as what it was begun, and what is refused says how to go on."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.capabilities.proposal import Proposal
from controlplane.domain.finding import Verdict
from controlplane.domain.machines import BootDisk, MachineDisk
from tests.fakes.machine_builder import GB, KEY, MIB, RUN, birth_of, born, declared_machine, profile, unborn
from tests.unit.domain.test_vm_provision import changes, judged, pool, propose

AWAY = (
    f"take it away: 'controlplane rollback {RUN}' does where it was never started, else 'virsh shutdown mint-data' and 'virsh undefine mint-data' "
    "on kvm1; look at what its volumes hold, remove them with 'virsh vol-delete' (mint-data-boot, mint-data-DATA0001, mint-data-seed), "
    "and plan again"
)
BEGUN = f"run {RUN} left mint-data half made"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFgVY2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5"


def test_a_machine_that_its_run_left_half_made_and_that_is_declared_otherwise_by_now_is_refused() -> None:
    left = born(made=False, state="shut off", autostart=False, cores=1, memory=512 * MIB)
    begun, by_hand = f"run {RUN} left mint-data half made, and it has", "change that on kvm1 yourself, or write machines.yml as it was"
    assert (propose(left).drafts, propose(left).refusals) == (
        (),
        (
            f"{begun} 1 core, declared are 2: {by_hand}",
            f"{begun} {512 * MIB} bytes of memory, declared are {2048 * MIB}: {by_hand}",
        ),
    )


def test_what_is_still_to_be_made_of_a_half_made_machine_is_no_difference() -> None:
    left = born(made=False, state="shut off", autostart=False, disks=[])
    assert (propose(left).refusals, [draft.changes[0].target for draft in propose(left).drafts]) == ((), ["mint-data-boot in default"])


@pytest.mark.parametrize(
    ("other", "parts"),
    [
        ({"address": "192.0.2.11/24", "gateway": "192.0.2.1"}, "address, gateway"),
        ({"nameservers": ("192.0.2.53",)}, "nameservers"),
        ({"profile": profile(user="admin")}, "user"),
        ({"profile": profile(ssh_keys=(OTHER_KEY,))}, "ssh_keys"),
        ({"profile": profile(ssh_keys=(KEY, OTHER_KEY))}, "ssh_keys"),
        ({"profile": profile(boot=BootDisk(image="debian-12.qcow2", size=9 * GB))}, "boot.size"),
    ],
)
def test_what_a_half_made_machine_was_born_with_is_refused_where_another_is_declared_by_now(other: dict[str, Any], parts: str) -> None:
    left = born(made=False, state="shut off", autostart=False)
    told = f"{BEGUN}, begun with another value of {parts} than machines.yml has by now: write machines.yml as it was, or {AWAY}"
    assert (propose(left, **other).refusals, propose(left, **other).drafts) == ((told,), ())
    assert OTHER_KEY.split()[1] not in told
    # What is finished is judged by what it is, and this is no part of it.
    assert propose(born(), **other) == Proposal()


def test_an_image_of_another_name_in_another_storage_is_another_birth_too() -> None:
    boot = BootDisk(image="debian-13.qcow2", size=8 * GB, storage="fast")
    left = born(made=False, storages={**pool(), "fast": pool()["default"]}, images={"debian-13.qcow2": GB})
    [told] = propose(left, profile=profile(boot=boot)).refusals
    assert "begun with another value of boot.source, boot.storage than" in told


def test_what_stands_behind_a_key_and_their_order_make_no_other_birth() -> None:
    other = declared_machine(profile=profile(ssh_keys=(OTHER_KEY, " ".join([*KEY.split()[:2], "ann@desk"]))))
    left = born(made=False, birth=birth_of(declared_machine(profile=profile(ssh_keys=(KEY, OTHER_KEY)))))
    assert (birth_of(other), propose(left, profile=other.profile).refusals) == (left["birth"], ())


def test_a_half_made_machine_that_does_not_say_what_it_was_born_with_is_a_doubt() -> None:
    told = f"{BEGUN}, and what it was born with is not on record there: write machines.yml as it was, or {AWAY}"
    assert propose(born(made=False, birth=None)).refusals == (told,)


@pytest.mark.parametrize("key", ["birth", "defined"])
def test_evidence_that_is_older_than_the_question_is_unknown_for_a_half_made_machine_and_good_for_all_else(key: str) -> None:
    def older(**other: Any) -> dict[str, Any]:
        return {name: value for name, value in born(**other).items() if name != key}

    born_with = f"what mint-data, which run {RUN} left half made, was born with was not collected"
    told = f"could not be observed: {born_with}: its evidence is older than that question"
    assert propose(older(made=False)) == Proposal(refusals=(told,))
    assert propose(older()) == propose(born()) == Proposal()
    assert (judged(older()).verdict, judged(older(cores=1)).verdict) == (Verdict.MET, Verdict.DRIFTED)
    assert judged(older(made=False)) == judged(born(made=False))
    unmade = {name: value for name, value in unborn().items() if name != key}
    assert changes(propose(unmade)) == changes(propose(unborn())) != []


def test_no_key_is_in_what_a_hypervisor_is_told_of_a_birth() -> None:
    told = birth_of(declared_machine())
    assert [part.partition("=")[0] for part in told.split()][:5] == ["address", "gateway", "nameservers", "user", "ssh_keys"]
    assert (KEY.split()[1] in told, "ops" in told, len(told) < 300) == (False, False, True)


def test_a_disk_that_a_half_made_machines_definition_does_not_have_is_refused_with_the_way_on() -> None:
    both = {"DATA0001": MachineDisk(size=4 * GB), "DATA0002": MachineDisk(size=4 * GB)}
    left = born(made=False, state="shut off", autostart=False)
    [told] = propose(left, disks=both).refusals
    later = "take it out of policy.yml and machines.yml, have the machine finished, and declare it again: a finished one is given it"
    assert told.startswith(f"{BEGUN}, and its definition has no disk DATA0002: {later}, or take it away: ")
    assert propose(left, disks=both).drafts == ()
    # One of a finished machine is added, and a volume that the definition names is made.
    assert changes(propose(born(), disks=both))[0].partition(":")[0] == "volume mint-data-DATA0002 in default"
    named = born(made=False, defined={"DATA0001": "default", "DATA0002": "default"})
    assert propose(named, disks=both).refusals == ()
    assert changes(propose(named, disks=both))[0].partition(":")[0] == "volume mint-data-DATA0002 in default"


def test_a_disk_of_the_definition_that_belongs_elsewhere_or_to_nobody_is_refused() -> None:
    left = born(made=False, disks=born()["disks"][:1], storages={**pool(), "big": pool()["default"]})
    [told] = propose(left, disks={"DATA0001": MachineDisk(size=4 * GB, storage="big")}).refusals
    assert told.startswith(f"{BEGUN}, and its disk DATA0001 belongs in default, declared is big: declare that one, or take it away: ")
    [told] = propose(left | {"defined": {"DATA0001": "default", "OLD": "default"}}).refusals
    lost = "and its definition has a disk OLD that is not there and not declared, so it would not start: declare it again"
    assert told.startswith(f"{BEGUN}, {lost}, or take it away: ")
