"""Which approval lets an open run go on, judged by real keys: its own as it was taken, any other as it is now."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from controlplane.adapters.approvals import ApprovalFiles
from controlplane.adapters.signing import SshSigner
from controlplane.domain.approval import Approval, approve, as_told
from controlplane.domain.chain import link
from controlplane.domain.errors import RefusedError
from controlplane.domain.receipt import Receipt
from controlplane.usecases.approval_guard import judge_approval
from tests.fakes.chains import make_keys, receipt, write_signers
from tests.fakes.evidence_builder import COLLECTED

PLAN, HOUR = "sha256:p", timedelta(hours=1)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("keys"))


class Site:
    """Ben approved a plan at noon and its run began at once; the allowed signers are written as time goes on."""

    def __init__(self, keys: Path, folder: Path) -> None:
        self.keys, self.folder = keys, folder
        self.given = self.approves("ben", hours=0)
        self.chain: list[Receipt] = [link(receipt(1, told=as_told(self.given)), None)]
        self.run = self.chain[0].run

    def allows(self, **lines: str) -> None:
        write_signers(self.folder / "allowed_signers", self.keys, **lines)

    def approves(self, who: str, hours: int = 3) -> Approval:
        """Leave an approval by that key, as whoever can write the folder can, whatever the allowed signers say."""
        made = approve(PLAN, approver=f"{who}@example.org", requester=None, now=COLLECTED + hours * HOUR)
        return ApprovalFiles(self.folder, SshSigner(self.keys / who, None)).add(made)

    def begins_step(self, named: Approval, hours: int) -> None:
        step = receipt(2, minute=60 * hours, told=as_told(named)).model_copy(update={"run": self.run})
        self.chain.append(link(step, self.chain[-1]))

    def judged(self, hours: int) -> str | None:
        """Return why ann may not go on with the run, where another person has to approve."""
        store = ApprovalFiles(self.folder, SshSigner(self.keys / "ann", self.folder / "allowed_signers"))
        now = COLLECTED + hours * HOUR
        return judge_approval(PLAN, demanded="other", operator="ann@desk", approvals=store, chain=self.chain, run=self.run, now=now)[1]


@pytest.fixture
def site(keys: Path, tmp_path: Path) -> Site:
    return Site(keys, tmp_path)


def _refused(site: Site, hours: int) -> str:
    with pytest.raises(RefusedError) as refused:
        site.judged(hours)
    return str(refused.value)


def test_what_the_run_took_covers_it_after_it_expired_and_its_key_ended(site: Site) -> None:
    site.allows(ann="", ben='valid-before="20260102130000Z"')
    assert site.judged(48) is None


@pytest.mark.parametrize("ben", [None, 'valid-before="20260102110000Z"'])
def test_what_it_took_does_not_cover_it_where_its_key_was_not_allowed_then(site: Site, ben: str | None) -> None:
    site.allows(ann="", **({} if ben is None else {"ben": ben}))
    assert _refused(site, 1).endswith("Have the plan approved again by one of the site's allowed signers. Nothing was changed.")


def test_another_one_takes_a_key_that_is_allowed_now_and_not_as_the_run_began(site: Site) -> None:
    site.allows(ann="", ben='valid-before="20260102130000Z"', eve='valid-after="20260102140000Z"')
    site.approves("ben")
    assert "valid-before" in _refused(site, 4)
    site.approves("eve")
    assert site.judged(4) is None


def test_another_one_is_nobodys_own_and_covers_the_run_from_the_step_that_names_it(site: Site) -> None:
    site.allows(ann="", eve="")
    site.approves("ann")
    assert site.judged(4) == "site.yml demands another person's approval, and ann@example.org approved it alone"
    given = site.approves("eve")
    ApprovalFiles(site.folder, SshSigner(None, None)).use(PLAN, site.run)
    assert f"its approval expired at {given.expires_at}" in str(site.judged(48))
    site.approves("eve")
    site.begins_step(given, hours=5)
    assert site.judged(48) is None
    site.allows(ann="", eve='valid-before="20260102180000Z"')
    assert site.judged(48) is None
    site.allows(ann="", eve='valid-before="20260102160000Z"')
    assert "valid-before" in _refused(site, 48)


@pytest.mark.parametrize("outcome", ["done", "refused"])
def test_another_one_that_is_named_beside_the_run_covers_it_unless_that_entry_was_refused(site: Site, outcome: str) -> None:
    given = site.approves("eve")
    entry = {"capability": "plan.approval", "plan": "", "step": "*", "host": "*", "told": {**(as_told(given) or {}), "run": site.run}}
    for phase in ("intent", "result"):
        more = {"outcome": outcome} if phase == "result" else {}
        site.chain.append(link(receipt(2, phase, minute=240, **entry, **more), site.chain[-1]))
    site.allows(ann="", eve='valid-before="20260102180000Z"')
    if outcome == "done":
        assert site.judged(8) is None
    else:
        assert "valid-before" in _refused(site, 8)


def test_one_that_says_it_was_given_as_the_runs_own_was_is_another_by_whose_key_it_is(site: Site) -> None:
    site.allows(ann="")
    site.approves("ann", hours=0)
    assert "ann@example.org approved it alone" in str(site.judged(1))
