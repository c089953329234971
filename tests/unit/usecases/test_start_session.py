"""session start: what it compares with is what was seen last of each host, and a host that is not seen mends nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.adapters.session_files import SessionFile
from controlplane.domain.errors import RunFailedError
from controlplane.domain.finding import AuditReport, Verdict
from controlplane.domain.registers import Registers
from controlplane.domain.session import SessionStart
from controlplane.usecases.start_session import start_session
from tests.fakes.evidence_builder import healthy_probes
from tests.fakes.waves import FakeWaveSite

LARGE = {"path": "/tmp/dump", "size": 50_000_000}


class Sessions:
    """What the last session saw, in memory."""

    def __init__(self, site: FakeWaveSite) -> None:
        self.site = site
        self.held: AuditReport | None = None
        self.name = "state/session.json"

    def last(self) -> AuditReport | None:
        return self.held

    def keep(self, report: AuditReport) -> None:
        self.site.world.touch("keep the session")
        self.held = report

    def start(self, *hosts: str) -> SessionStart:
        return start_session(self.site.site(), self.site.wave_ports, self, hosts=hosts)


def surfaces(found: SessionStart, what: str) -> list[tuple[str, str]]:
    return [(one.host, one.surface) for one in getattr(found, what)]


@pytest.fixture
def sessions() -> Sessions:
    site = FakeWaveSite(hosts=("mint-apps", "mint-data"), registers=Registers())
    for host in site.hosts.values():
        host.probes = healthy_probes()
    return Sessions(site)


def let_drift(sessions: Sessions, host: str) -> None:
    sessions.site.hosts[host].probes["tmp"] = {"files": [LARGE], "truncated": False}


def test_a_session_of_some_hosts_forgets_nothing_of_the_others(sessions: Sessions) -> None:
    let_drift(sessions, "mint-data")
    sessions.start()
    sessions.start("mint-apps")
    assert surfaces(sessions.start(), "drifted") == []

    sessions.start("mint-apps")
    sessions.site.hosts["mint-data"].probes = healthy_probes()
    assert surfaces(sessions.start(), "mended") == [("mint-data", "tmp:/tmp/dump")]


def test_what_was_seen_of_a_host_that_the_policy_no_longer_names_is_forgotten(sessions: Sessions) -> None:
    sessions.start()
    state = sessions.site.view.desired
    left = state.model_copy(update={"hosts": tuple(one for one in state.hosts if one.host != "mint-data")})
    sessions.site.view = sessions.site.view.model_copy(update={"desired": left})
    sessions.start()
    assert sessions.held is not None
    assert {one.host for one in sessions.held.hosts} | {one.host for one in sessions.held.findings} == {"mint-apps"}
    assert sessions.held.summary.met == len(sessions.held.findings)


def test_a_session_is_the_first_only_where_no_receipt_tells_of_another(sessions: Sessions) -> None:
    first = sessions.start()
    assert (first.since, first.lost) == (None, None)
    sessions.held = None
    lost = sessions.start()
    told = f"state/session.json is gone, or {first.receipt} was cut off before it kept what it saw: nothing is compared."
    assert (lost.since, str(lost.lost).startswith(told)) == (None, True)
    again = sessions.start()
    assert (again.since, again.lost) == (lost.report.judged_at, None)


def test_where_the_last_session_can_not_be_read_none_begins(sessions: Sessions, tmp_path: Path) -> None:
    sessions.start()
    asked, receipts = sessions.site.evidence.asked, len(sessions.site.receipts.chain)
    file = tmp_path / "session.json"
    file.write_text("{")
    with pytest.raises(RunFailedError) as told:
        start_session(sessions.site.site(), sessions.site.wave_ports, SessionFile(file), hosts=())
    assert str(told.value).startswith(f"{file} is not what a session wrote, so nobody knows what the last session saw. Nothing was changed.")
    assert (sessions.site.evidence.asked, len(sessions.site.receipts.chain), file.read_text()) == (asked, receipts, "{")
    file.unlink()
    file.mkdir()
    with pytest.raises(RunFailedError, match=r"can't be read \(Is a directory\)"):
        SessionFile(file).last()
    assert SessionFile(tmp_path / "none.json").last() is None


def test_a_wave_that_goes_on_without_its_file_is_among_the_open_ones(sessions: Sessions) -> None:
    sessions.site.open()
    sessions.site.governance = replace(sessions.site.governance, waves={})
    [row] = sessions.start().waves
    assert (row["wave"], row["state"], row["next"]) == ("W1", "open", 'controlplane wave abort W1 --reason "..."    (or bring waves/W1.yml back)')


def test_a_host_that_is_not_reached_mended_nothing(sessions: Sessions) -> None:
    let_drift(sessions, "mint-data")
    sessions.start()
    sessions.site.evidence.unreached["mint-data"] = "no route"

    found = sessions.start()

    assert surfaces(found, "mended") == []
    assert {one.verdict for one in found.drifted} == {Verdict.UNKNOWN}


def test_of_a_session_that_was_cut_off_anywhere_the_next_one_tells_all(sessions: Sessions) -> None:
    sessions.start()
    let_drift(sessions, "mint-data")
    before = sessions.held
    cut = 0
    while True:
        sessions.held = before
        sessions.site.arm(cut + 1)
        try:
            sessions.start()
            break
        except KeyboardInterrupt:
            cut += 1
        assert surfaces(sessions.start(), "drifted") == [("mint-data", "tmp:/tmp/dump")]
    assert "keep the session" in sessions.site.world.places
    assert cut == len(sessions.site.world.places)
