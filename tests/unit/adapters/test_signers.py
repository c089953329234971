"""Allowed signers with roles and times: who may approve, operate and author, and what was signed while it was allowed stays good."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.approvals import ApprovalFiles
from controlplane.adapters.proposal_files import ProposalFiles
from controlplane.adapters.receipts import ReceiptFiles
from controlplane.adapters.signatures import Judged, signature_of
from controlplane.adapters.signing import SshSigner
from controlplane.domain.approval import approve
from controlplane.domain.errors import InputInvalidError, RefusedError
from controlplane.domain.gates.proposal import seal
from controlplane.domain.receipt import ChainFault
from controlplane.domain.signers import APPROVALS, HEADS, PROPOSALS, RECEIPTS, ROLES
from tests.fakes.chains import faults, grow, make_keys, receipt, write_signers
from tests.fakes.evidence_builder import COLLECTED

OPERATOR, APPROVER, AUTHOR = (f'namespaces="{",".join(ROLES[role])}"' for role in ("operator", "approver", "author"))
PROPOSAL = seal(kind="demote", site="lab", made_at="", requester="ann@desk", reason="", file="gates.yml", file_digest="", policy="", changes=())


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def team(keys: Path, tmp_path: Path) -> Path:
    """Ann operates, ben approves, eve authors."""
    return write_signers(tmp_path / "allowed_signers", keys, ann=OPERATOR, ben=APPROVER, eve=AUTHOR)


def test_the_roles_share_no_namespace() -> None:
    names = [name for role in ROLES.values() for name in role]
    assert sorted(names) == sorted({APPROVALS, RECEIPTS, HEADS, PROPOSALS})


def test_a_file_without_namespaces_gives_every_role_to_every_key(keys: Path, tmp_path: Path) -> None:
    signer = SshSigner(keys / "ann", keys / "signers")
    grow(ReceiptFiles(tmp_path / "receipts", signer), 2)
    approvals = ApprovalFiles(tmp_path / "approvals", signer)
    assert approvals.add(approve("sha256:aa", approver="a", requester=None, now=COLLECTED)).approver == "ann@example.org"
    ProposalFiles(signer).write(str(tmp_path / "p.json"), PROPOSAL)

    assert faults(tmp_path / "receipts", signer) == ()
    assert approvals.find("sha256:aa", at=COLLECTED) is not None
    assert ProposalFiles(signer).author(str(tmp_path / "p.json"), at=COLLECTED) == "ann@example.org"


@pytest.mark.parametrize(("who", "told"), [("ben", "is signed by ben@example.org, who is no operator"), ("eve", "who is no operator")])
def test_a_key_that_may_not_operate_writes_no_receipt(keys: Path, team: Path, tmp_path: Path, who: str, told: str) -> None:
    with pytest.raises(RefusedError) as refused:
        grow(ReceiptFiles(tmp_path / "receipts", SshSigner(keys / who, team)), 1)

    assert told in str(refused.value)
    assert f"the namespaces of that key in allowed_signers lack {RECEIPTS}" in str(refused.value)
    assert [path.name for path in (tmp_path / "receipts").iterdir()] == [".lock"]


@pytest.mark.parametrize("who", ["ann", "eve"])
def test_a_key_that_may_not_approve_writes_no_approval_and_its_signature_counts_as_none(keys: Path, team: Path, tmp_path: Path, who: str) -> None:
    made = approve("sha256:aa", approver="a", requester=None, now=COLLECTED)
    with pytest.raises(RefusedError, match=rf"aa.json was not written, because it is signed by {who}@example.org, who is no approver"):
        ApprovalFiles(tmp_path / "approvals", SshSigner(keys / who, team)).add(made)
    assert not (tmp_path / "approvals").exists()

    ApprovalFiles(tmp_path / "approvals", SshSigner(keys / who, None)).add(made)
    with pytest.raises(RefusedError, match=rf"aa.json is signed by {who}@example.org, who is no approver.*Nothing was changed"):
        ApprovalFiles(tmp_path / "approvals", SshSigner(keys / "ben", team)).find("sha256:aa", at=COLLECTED)


def test_a_proposal_needs_an_author(keys: Path, team: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "p.json")
    with pytest.raises(RefusedError, match=r"is signed by ann@example.org, who is no author"):
        ProposalFiles(SshSigner(keys / "ann", team)).write(path, PROPOSAL)
    assert not Path(path).exists()

    ProposalFiles(SshSigner(keys / "eve", team)).write(path, PROPOSAL)
    reader = ProposalFiles(SshSigner(keys / "ann", team))
    assert reader.author(path, at=COLLECTED) == "eve@example.org"
    signature_of(Path(path)).unlink()
    with pytest.raises(RefusedError, match=r"the proposal .*p.json has no signature. Nothing was changed. Have one of the site's authors propose it"):
        reader.author(path, at=COLLECTED)


def test_what_is_swapped_after_its_signature_was_judged_is_not_what_is_believed(keys: Path, team: Path, tmp_path: Path) -> None:
    """Ben approved until tomorrow and eve proposed; whoever can write the folder puts something else there in between."""
    signed, path = ApprovalFiles(tmp_path, SshSigner(keys / "ben", team)), tmp_path / "aa.json"
    made = signed.add(approve("sha256:aa", approver="ben", requester=None, now=COLLECTED))
    swapping = SshSigner(None, team)
    judged = swapping.judged

    def swap(of: Path, *what: Any, **more: Any) -> Judged:
        told: Judged = judged(of, *what, **more)
        of.write_text(of.read_text().replace("2026-01-03", "2036-01-03"))
        return told

    swapping.judged = swap  # type: ignore[method-assign, assignment]
    found = ApprovalFiles(tmp_path, swapping).find("sha256:aa", at=COLLECTED)
    assert (found and found.expires_at, "2036-01-03" in path.read_text()) == (made.expires_at, True)

    path = tmp_path / "p.json"
    ProposalFiles(SshSigner(keys / "eve", team)).write(str(path), PROPOSAL)
    eves, reader = path.read_bytes(), ProposalFiles(SshSigner(None, team))
    path.write_text(seal(**{**PROPOSAL.model_dump(exclude={"proposal"}), "reason": "another"}).model_dump_json(indent=2))
    assert reader.read(str(path)).reason == "another"
    path.write_bytes(eves)
    with pytest.raises(RefusedError, match=r"p.json does not fit its signature. Nothing was changed"):
        reader.author(str(path), at=COLLECTED)
    assert reader.read(str(path)) == PROPOSAL
    assert reader.author(str(path), at=COLLECTED) == "eve@example.org"


def test_two_lines_of_one_person_give_one_key_two_roles(keys: Path, tmp_path: Path) -> None:
    team = tmp_path / "allowed_signers"
    public = (keys / "ann.pub").read_text()
    team.write_text(f"# a comment\nann@example.org {OPERATOR} {public}\nann@example.org {APPROVER} {public}")
    signer = SshSigner(keys / "ann", team)

    grow(ReceiptFiles(tmp_path / "receipts", signer), 2)
    ApprovalFiles(tmp_path, signer).add(approve("sha256:aa", approver="a", requester=None, now=COLLECTED))

    assert faults(tmp_path / "receipts", signer) == ()


def test_a_key_that_expired_breaks_no_receipt_that_it_signed_before(keys: Path, tmp_path: Path) -> None:
    signer = SshSigner(keys / "ann", keys / "signers")
    grow(ReceiptFiles(tmp_path / "receipts", signer), 4)

    later = write_signers(tmp_path / "allowed_signers", keys, ann='valid-before="20260102120330Z"')

    # The receipts are of 12:02 to 12:05; the key was allowed to half past 12:03.
    told = "is signed by a key that allowed_signers does not allow at that time: verify time 2026-01-02T12:0{}:00 > valid-before 2026-01-02T12:03:30"
    assert [fault.reason for fault in faults(tmp_path / "receipts", SshSigner(None, later))] == [told.format(4), told.format(5)]


def test_a_key_is_judged_in_utc_wherever_that_is_done(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = SshSigner(keys / "ann", keys / "signers")
    grow(ReceiptFiles(tmp_path / "receipts", signer), 4)
    later = write_signers(tmp_path / "allowed_signers", keys, ann='valid-before="20260102120330"')

    monkeypatch.setenv("TZ", "Pacific/Auckland")

    assert [fault.file[:6] for fault in faults(tmp_path / "receipts", SshSigner(None, later))] == ["000003", "000004"]


def test_an_expired_key_can_not_date_its_receipt_back(keys: Path, tmp_path: Path) -> None:
    """Ann's key ended; ben goes on; whoever has ann's key writes a receipt of a time at which it was allowed."""
    ann, ben = (SshSigner(keys / name, keys / "signers") for name in ("ann", "ben"))
    grow(ReceiptFiles(tmp_path / "receipts", ann), 2)
    last = ReceiptFiles(tmp_path / "receipts", ben).append(receipt(2, minute=600))
    forged = receipt(3, minute=4, seq=4, previous=last.digest())
    path = tmp_path / "receipts" / forged.file_name()
    path.write_text(forged.model_dump_json(indent=2) + "\n")
    SshSigner(keys / "ann", None).sign(path, path.read_bytes(), RECEIPTS)
    later = write_signers(tmp_path / "allowed_signers", keys, ann='valid-before="20260102130000Z"', ben="")

    told = "says 2026-01-02T12:04:00Z, and number 3 before it 2026-01-02T22:00:00Z already: it was dated back"
    assert faults(tmp_path / "receipts", SshSigner(None, later)) == (ChainFault(file=path.name, reason=told),)


def test_a_receipt_of_a_key_that_ended_is_refused_before_it_is_written(keys: Path, tmp_path: Path) -> None:
    team = write_signers(tmp_path / "allowed_signers", keys, ann='valid-before="20260102120330Z"')
    store = ReceiptFiles(tmp_path / "receipts", SshSigner(keys / "ann", team))
    grow(store, 2)

    with pytest.raises(RefusedError, match=r"was not written, because it is signed by a key that allowed_signers does not allow at that time"):
        grow(store, 2, first=2)
    assert len(store.load()) == 2


def test_an_approval_is_judged_at_its_use_and_a_key_that_ends_later_takes_nothing_back(keys: Path, tmp_path: Path) -> None:
    team = write_signers(tmp_path / "allowed_signers", keys, ann='valid-before="20260102130000Z"')
    ApprovalFiles(tmp_path, SshSigner(keys / "ann", None)).add(approve("sha256:aa", approver="a", requester=None, now=COLLECTED))
    store = ApprovalFiles(tmp_path, SshSigner(None, team))

    assert store.find("sha256:aa", at=COLLECTED) is not None
    with pytest.raises(RefusedError, match=r"does not allow at that time"):
        store.find("sha256:aa", at=COLLECTED + timedelta(hours=2))


def test_nothing_is_written_unsigned_where_the_site_names_signers(keys: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"signers says who may sign, and there is no key. Name a signing_key in site.yml"):
        grow(ReceiptFiles(tmp_path, SshSigner(None, keys / "signers")), 1)
    assert list(tmp_path.glob("*.json")) == []


def test_allowed_signers_that_can_not_be_read_are_an_error_of_the_input(keys: Path, tmp_path: Path) -> None:
    grow(ReceiptFiles(tmp_path / "receipts", SshSigner(keys / "ann", None)), 2)

    with pytest.raises(InputInvalidError, match=r"missing: can't be read \(No such file or directory\): it names the keys of those who may sign"):
        faults(tmp_path / "receipts", SshSigner(None, tmp_path / "missing"))


def test_a_line_that_ssh_can_not_read_is_told(keys: Path, tmp_path: Path) -> None:
    grow(ReceiptFiles(tmp_path / "receipts", SshSigner(keys / "ann", None)), 1)
    team = write_signers(tmp_path / "allowed_signers", keys, ann="approver")

    (found,) = faults(tmp_path / "receipts", SshSigner(None, team))

    assert "is signed by a key that allowed_signers does not name (" in found.reason
    assert "bad options: unknown key option" in found.reason


def test_options_that_a_blank_parts_are_told_by_their_line(keys: Path, tmp_path: Path) -> None:
    grow(ReceiptFiles(tmp_path / "receipts", SshSigner(keys / "ann", None)), 1)
    team = write_signers(tmp_path / "allowed_signers", keys, ann=f'valid-before="20300101" namespaces="{RECEIPTS}"')

    (found,) = faults(tmp_path / "receipts", SshSigner(None, team))

    assert found.reason == f"is signed by a key that allowed_signers does not name ({team}:1: invalid key)"


@pytest.fixture
def agent(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An ssh-agent that holds ann's key."""
    socket = tmp_path / "agent"
    said = subprocess.run(["ssh-agent", "-s", "-a", str(socket)], capture_output=True, text=True, check=True).stdout
    pid = int(said.split("SSH_AGENT_PID=")[1].split(";")[0])
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    try:
        subprocess.run(["ssh-add", "-q", str(keys / "ann")], check=True)
        yield
    finally:
        os.kill(pid, signal.SIGTERM)


@pytest.mark.usefixtures("agent")
def test_an_agent_signs_for_a_public_key(keys: Path, tmp_path: Path) -> None:
    (tmp_path / "ann.pub").write_text((keys / "ann.pub").read_text())
    signer = SshSigner(tmp_path / "ann.pub", keys / "signers")

    grow(ReceiptFiles(tmp_path / "receipts", signer), 2)

    assert faults(tmp_path / "receipts", signer) == ()
    assert signer.own_principal() == "ann@example.org"
