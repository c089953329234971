"""Receipts, approvals and plans as files, signed with a real key: what was altered, lost or signed by a stranger is seen."""

from __future__ import annotations

import errno
import json
import subprocess
from pathlib import Path

import pytest

from controlplane.adapters.approvals import ApprovalFiles
from controlplane.adapters.plan_files import JsonPlanFiles, PlanFolder
from controlplane.adapters.receipts import ReceiptFiles
from controlplane.adapters.run_locks import HostLocks
from controlplane.adapters.signatures import signature_of
from controlplane.adapters.signing import SshSigner
from controlplane.domain.approval import approve
from controlplane.domain.chain import chain_faults, link
from controlplane.domain.digest import digest_of
from controlplane.domain.errors import InputInvalidError, RefusedError, RunFailedError
from controlplane.domain.receipt import Receipt
from controlplane.domain.signers import APPROVALS, RECEIPTS
from tests.fakes.evidence_builder import COLLECTED
from tests.fakes.ports import FakeClock
from tests.fakes.site import FakeSite


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys `ann` and `eve`, and `signers` that names only ann's."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ann", "eve"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True)
    (folder / "signers").write_text(f"ann@example.org {(folder / 'ann.pub').read_text()}")
    return folder


def _signer(keys: Path, who: str = "ann") -> SshSigner:
    return SshSigner(keys / who, keys / "signers")


def _receipt(number: int, phase: str = "intent", **other: object) -> Receipt:
    key = f"CAP-20260102-120000__storage.fstab__R{number:04x}"
    plain = {"seq": 0, "previous": None, "key": key, "run": key, "phase": phase, "at": "2026-01-02T12:00:00Z", "site": "lab", "host": "mint-data"}
    plain |= {"capability": "storage.fstab", "step": "mint-data/010", "plan": "sha256:p", "policy": "sha256:q", "operator": "ann@desk"}
    return Receipt.model_validate(plain | other)


def _chain(folder: Path, signer: SshSigner) -> ReceiptFiles:
    store = ReceiptFiles(folder / "receipts", signer)
    for number in (1, 2):
        store.append(_receipt(number))
        store.append(_receipt(number, "result", outcome="done"))
    return store


def _faults(store: ReceiptFiles) -> list[str]:
    return [fault.reason for fault in (*chain_faults(store.load()), *store.signature_faults())]


def test_a_chain_of_signed_receipts_holds(tmp_path: Path, keys: Path) -> None:
    store = _chain(tmp_path, _signer(keys))

    assert [name for name, _ in store.load()] == [
        "000001-CAP-20260102-120000__storage.fstab__R0001.intent.json",
        "000002-CAP-20260102-120000__storage.fstab__R0001.result.json",
        "000003-CAP-20260102-120000__storage.fstab__R0002.intent.json",
        "000004-CAP-20260102-120000__storage.fstab__R0002.result.json",
    ]
    assert [receipt.seq for _, receipt in store.load()] == [1, 2, 3, 4]
    assert _faults(store) == []
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "receipts").glob("*.json")} == {0o600}


def _path(folder: Path, number: int) -> Path:
    return next((folder / "receipts").glob(f"{number:06d}-*.json"))


def _alter(path: Path) -> None:
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"host": "other"}))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_an_altered_receipt_does_not_fit_its_signature(tmp_path: Path, keys: Path, number: int) -> None:
    store = _chain(tmp_path, _signer(keys))
    _alter(_path(tmp_path, number))

    assert "does not fit its signature" in _faults(store)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_altered_receipt_breaks_the_chain_without_signers_too(tmp_path: Path, number: int) -> None:
    store = _chain(tmp_path, SshSigner(None, None))
    _alter(_path(tmp_path, number))

    assert "does not name the receipt before it: one of the two was altered" in _faults(store)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_missing_receipt_is_seen(tmp_path: Path, keys: Path, number: int) -> None:
    store = _chain(tmp_path, _signer(keys))
    _path(tmp_path, number).unlink()

    assert _faults(store)[0] == f"has number {number + 1} where {number} was due: a receipt is missing"


def test_receipts_in_another_order_are_seen(tmp_path: Path, keys: Path) -> None:
    store = _chain(tmp_path, _signer(keys))
    second, third = _path(tmp_path, 2), _path(tmp_path, 3)
    second.rename(second.with_name(second.name.replace("000002", "000009")))
    third.rename(third.with_name(third.name.replace("000003", "000002")))

    assert _faults(store)[0] == "has number 3 where 2 was due: a receipt is missing"


def test_a_strangers_signature_is_named(tmp_path: Path, keys: Path) -> None:
    _chain(tmp_path, SshSigner(keys / "eve", None))

    assert _faults(ReceiptFiles(tmp_path / "receipts", _signer(keys))) == ["is signed by a key that signers does not name"] * 4


def test_a_missing_signature_is_named(tmp_path: Path, keys: Path) -> None:
    store = _chain(tmp_path, _signer(keys))
    signature_of(_path(tmp_path, 4)).unlink()

    assert _faults(store) == ["has no signature"]


def test_a_result_without_intent_and_a_second_result_are_faults(tmp_path: Path) -> None:
    store = ReceiptFiles(tmp_path / "receipts", SshSigner(None, None))
    store.append(_receipt(1, "result", outcome="done"))
    store.append(_receipt(1, "result", outcome="done"))
    last = store.append(_receipt(2))
    again = link(_receipt(2), last)
    (tmp_path / "receipts" / again.file_name()).write_text(again.model_dump_json(indent=2) + "\n")

    key = "CAP-20260102-120000__storage.fstab__R000"
    assert _faults(store) == [
        f"is the result of {key}1, which has no intent",
        f"is the result of {key}1, which has no intent",
        f"closes {key}1 a second time",
        f"opens {key}2 a second time",
    ]


def test_an_intent_whose_key_is_on_record_already_is_not_written(tmp_path: Path) -> None:
    store = _chain(tmp_path, SshSigner(None, None))

    with pytest.raises(RefusedError) as refused:
        store.append(_receipt(2))

    assert str(refused.value) == (
        "CAP-20260102-120000__storage.fstab__R0002 is on record already: two runs that began in one second drew one key. It was not begun. "
        "Run the same command again."
    )
    assert (len(store.load()), _faults(store)) == (4, [])
    store.append(_receipt(3))
    assert _faults(store) == []


def test_a_receipt_that_shows_is_signed_even_when_the_key_fails(tmp_path: Path, keys: Path) -> None:
    store = ReceiptFiles(tmp_path / "receipts", SshSigner(keys / "missing", keys / "signers"))

    with pytest.raises(RefusedError, match=r"missing could not sign 000001-"):
        store.append(_receipt(1))

    assert list((tmp_path / "receipts").glob("*.json")) == []


def test_a_kill_between_signature_and_receipt_leaves_a_chain_that_holds(tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _chain(tmp_path, _signer(keys))

    def killed(*_args: object, **_more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("controlplane.adapters.receipts.write_durably", killed)
        with pytest.raises(KeyboardInterrupt):
            store.append(_receipt(3))

    assert _faults(store) == []
    store.append(_receipt(3))
    assert _faults(store) == []


def test_what_is_no_receipt_stops_the_reading_by_its_name(tmp_path: Path) -> None:
    store = _chain(tmp_path, SshSigner(None, None))
    _path(tmp_path, 2).write_text("{")

    with pytest.raises(RunFailedError, match=r"000002-.*: is no receipt. The chain can't be followed past it"):
        store.load()


def test_a_folder_that_cannot_be_written_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "receipts").write_text("a file")

    with pytest.raises(RunFailedError, match=r"the intent of CAP-.* could not be written to .*receipts"):
        ReceiptFiles(tmp_path / "receipts", SshSigner(None, None)).append(_receipt(1))


def test_an_approval_is_by_whoever_signed_it_whatever_its_text_says(tmp_path: Path, keys: Path) -> None:
    store = ApprovalFiles(tmp_path, _signer(keys))
    store.add(approve("sha256:aa", approver="somebody@else", requester="x", now=COLLECTED))

    held = store.find("sha256:aa", at=COLLECTED)

    assert held is not None
    assert held.approver == "ann@example.org"
    assert store.signs_as() == "ann@example.org"
    assert ApprovalFiles(tmp_path, _signer(keys, "eve")).signs_as() is None
    assert store.find("sha256:bb", at=COLLECTED) is None


def test_an_approval_serves_one_run(tmp_path: Path, keys: Path) -> None:
    store = ApprovalFiles(tmp_path, _signer(keys))
    store.add(approve("sha256:aa", approver="a", requester="x", now=COLLECTED))
    store.use("sha256:aa", "RUN1")
    store.use("sha256:aa", "RUN1")

    with pytest.raises(RefusedError, match=r"was used by RUN1 a moment ago. Nothing was changed"):
        store.use("sha256:aa", "RUN2")
    held = store.find("sha256:aa", at=COLLECTED)
    assert held is not None
    assert held.used_by == "RUN1"
    store.add(approve("sha256:aa", approver="a", requester="x", now=COLLECTED))
    again = store.find("sha256:aa", at=COLLECTED)
    assert again is not None
    assert again.used_by is None


def test_an_altered_approval_is_refused(tmp_path: Path, keys: Path) -> None:
    store = ApprovalFiles(tmp_path, _signer(keys))
    store.add(approve("sha256:aa", approver="a", requester="x", now=COLLECTED))
    path = tmp_path / "aa.json"
    path.write_text(path.read_text().replace("2026-01-03", "2027-01-03"))

    with pytest.raises(RefusedError, match=r"aa.json does not fit its signature"):
        store.find("sha256:aa", at=COLLECTED)


def test_a_signed_receipt_never_passes_as_an_approval(tmp_path: Path, keys: Path) -> None:
    signer, path = _signer(keys), tmp_path / "x.json"
    path.write_bytes(b"{}")
    signer.sign(path, b"{}", RECEIPTS)

    assert signer.fault(path, b"{}", RECEIPTS) is None
    assert signer.fault(path, b"{}", APPROVALS) == "does not fit its signature"


def test_an_expired_or_foreign_namespace_in_the_allowed_signers_counts(tmp_path: Path, keys: Path) -> None:
    signers = tmp_path / "signers"
    signers.write_text(f'ann@example.org namespaces="{RECEIPTS}" {(keys / "ann.pub").read_text()}')
    path = tmp_path / "x.json"
    path.write_bytes(b"{}")
    SshSigner(keys / "ann", None).sign(path, b"{}", APPROVALS)

    assert SshSigner(keys / "ann", signers).fault(path, b"{}", APPROVALS) is not None


def test_a_plan_file_comes_back_as_it_went(tmp_path: Path) -> None:
    plan = FakeSite().plan()
    JsonPlanFiles().write(str(tmp_path / "plan.json"), plan)
    PlanFolder(tmp_path / "plans").keep(plan)

    assert JsonPlanFiles().read(str(tmp_path / "plan.json")) == plan
    assert PlanFolder(tmp_path / "plans").get(plan.plan) == plan


@pytest.mark.parametrize(
    ("old", "new"),
    [("DATA0001", "DATA0002"), ('"destructive": true', '"destructive": false'), ('"data_disk_format": true', '"data_disk_format": false')],
)
def test_a_plan_that_was_altered_on_disk_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "plan.json"
    JsonPlanFiles().write(str(path), FakeSite().plan())
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))

    with pytest.raises(InputInvalidError, match=r"was altered after it was made"):
        JsonPlanFiles().read(str(path))


@pytest.mark.parametrize(
    ("content", "told"), [("{", "is no plan"), ("[]", "is no plan"), ('{"plan": 1}', "is no plan"), (None, "can't be read: No such file")]
)
def test_what_is_no_plan_is_a_usage_error(tmp_path: Path, content: str | None, told: str) -> None:
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(InputInvalidError, match=told):
        JsonPlanFiles().read(str(path))


def test_every_fault_of_a_plan_file_is_listed_with_its_field(tmp_path: Path) -> None:
    body = FakeSite().plan().model_dump(mode="json")
    del body["site"]
    body["steps"][0]["host"] = "A b"
    body["bounds"] = 3
    body["binds"]["facts"]["\x1b[2J"] = 1
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(body))

    with pytest.raises(InputInvalidError) as refused:
        JsonPlanFiles().read(str(path))

    assert [fault.field for fault in refused.value.faults] == ["binds.facts.\\x1b[2J", "bounds", "site", "steps.0.host"]
    assert all(fault.message.endswith("this is no plan. Make one with 'controlplane plan --out FILE'") for fault in refused.value.faults)


@pytest.mark.parametrize(("content", "line"), [('{"plan": "x",\n\n,', 3), ("[" * 100_000, 0)])
def test_a_plan_file_that_is_no_json_says_at_which_line(tmp_path: Path, content: str, line: int) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content)

    with pytest.raises(InputInvalidError, match="is no plan: Invalid JSON") as refused:
        JsonPlanFiles().read(str(path))

    assert [fault.line for fault in refused.value.faults] == [line]


def _full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_plan_that_can_not_be_written_is_no_bug_and_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = FakeSite().plan()
    with pytest.raises(InputInvalidError) as refused:
        JsonPlanFiles().write("/proc/x.json", plan)
    assert str(refused.value) == "/proc/x.json: can't be written (No such file or directory): name a file in a folder of yours"

    monkeypatch.setattr("controlplane.adapters.plan_files.write_durably", _full)
    with pytest.raises(InputInvalidError, match=r"can't be written \(No space left on device\): name a file in a folder of yours"):
        JsonPlanFiles().write(str(tmp_path / "plan.json"), plan)


def test_a_plan_that_can_not_be_kept_is_no_bug_and_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.adapters.plan_files.write_durably", _full)
    told = r"can't be written \(No space left on device\), and nothing is begun whose plan is not kept\. .* run the same command again\."
    with pytest.raises(RunFailedError, match=told):
        PlanFolder(tmp_path).keep(FakeSite().plan())


def test_a_plan_with_one_key_twice_is_refused_by_the_key(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    JsonPlanFiles().write(str(path), FakeSite().plan())
    path.write_text(path.read_text().replace('"role":', '"role": "another", "role":', 1))

    with pytest.raises(InputInvalidError, match=r"is no plan: the key 'role' is there twice"):
        JsonPlanFiles().read(str(path))


@pytest.mark.parametrize("host", ["../../x", "-oProxyCommand=id", "all", "mint\ndata", "mint-d\u0430ta", "{{ x }}"])
def test_a_plan_whose_host_could_be_a_path_or_an_option_is_no_plan(tmp_path: Path, host: str) -> None:
    plan = FakeSite().plan()
    body = plan.model_dump(mode="json", exclude={"plan"})
    for step in body["steps"]:
        step["host"] = host
        step.pop("runs_on", None)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"plan": digest_of(body), **body}))

    with pytest.raises(InputInvalidError, match=r"steps\.0\.host: .* is no host name: .*: this is no plan\. Make one with"):
        JsonPlanFiles().read(str(path))


def test_a_plan_that_is_gone_is_told_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match=r"aa.json is gone"):
        PlanFolder(tmp_path).get("sha256:aa")


def test_a_second_run_on_a_host_is_refused_by_holder_and_since_when_and_let_in_afterwards(tmp_path: Path) -> None:
    one, other = HostLocks(tmp_path, FakeClock()), HostLocks(tmp_path, FakeClock())

    with one.hold(("a", "b"), operator="ann@desk"):
        with (
            pytest.raises(RefusedError, match=r"b is being changed by ann@desk, process \d+, since 2026-01-02T12:00:0"),
            other.hold(("b",), operator="bob"),
        ):
            pass
        with other.hold(("c",), operator="bob"):
            pass
    with other.hold(("a", "b"), operator="bob"):
        pass


def test_the_locks_of_two_copies_of_a_site_are_told_apart_and_one_folder_is_the_same_by_any_way(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "one")
    one, link, two = (HostLocks(tmp_path / name / "state" / "locks", FakeClock()).place for name in ("one", "link", "two"))
    assert (one == link, one == two, len(one)) == (True, False, 16)
    # A store takes no such name.
    assert HostLocks(tmp_path / "a\udcff\nb", FakeClock()).place.isalnum()
