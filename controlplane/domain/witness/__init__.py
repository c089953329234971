"""The second witness: plain questions that a live machine answers through testinfra, not through the collector.

Rules:
- What the first witness is sure of is put to the second: MET, and a drift, waived or not. What it does not know stays UNKNOWN, whatever another says.
- Where the two disagree, or the second could not see, the verdict is UNKNOWN.
- Where the machine declines to tell (a database that wants a password, an image without a client), the evidence alone speaks; the reason says so.
- The questions use the machine's own tools (findmnt, df, docker, systemctl), not the collector's reading of /proc, /sys and Docker's socket.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controlplane.domain.checks.case import Case
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Evidence, Unobserved
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.values import Value
from controlplane.domain.witness import baseline, databases, docker, storage
from controlplane.domain.witness.ask import Ask, Asked, How, Told, agrees


class Question(Value):
    """One command on one host, and the answer that agrees with the finding: `Ask` says how the two are compared."""

    host: str
    check: str
    surface: str
    argv: tuple[str, ...]
    expect: str
    how: How = "is"
    ends: tuple[int, ...] = (0,)
    pick: str = ""
    declines: tuple[str, ...] = ()

    def agrees(self, said: str | None) -> bool:
        """Say whether this answer confirms the finding."""
        if said is None:
            return False
        if not self.pick:
            return agrees(self.how, self.expect, said)
        picked = [line.removeprefix(self.pick) for line in said.splitlines() if line.startswith(self.pick)]
        return len(picked) == 1 and agrees(self.how, self.expect, picked[0].strip())

    def due(self) -> str:
        """Return how a message names the answer that was expected."""
        words = {"within": "nothing but ", "at_most": "at most ", "at_least": "at least "}
        return f"{words.get(self.how, '')}{self.expect!r}"


class Answer(Value):
    """What the machine said; `said` is None when it could not be asked, with the reason in `error`."""

    question: Question
    said: str | None
    error: str | None

    @property
    def declined(self) -> str:
        """In which words the machine would not tell, empty where it told or could not be asked."""
        told = " ".join((self.said or self.error or "").split())
        return told if any(word in told for word in self.question.declines) and not self.question.agrees(self.said) else ""

    @property
    def contradicts(self) -> bool:
        """Say whether the machine says otherwise: one that could not be asked, or declined, does not."""
        return self.said is not None and not self.question.agrees(self.said) and not self.declined


_ASK: dict[str, tuple[Callable[[Told], Asked], ...]] = {
    "mount": (storage.mounted,),
    "fstab": (storage.entry,),
    "boot.usage": (storage.boot_usage,),
    "disk.usage": (storage.disk_usage,),
    "boot.guard": (storage.guard,),
    "reboot.proof": (storage.reboot,),
    "retired": (storage.retired,),
    "tmp": (storage.tmp,),
    "docker.data_root": (docker.data_root,),
    "docker.containerd_root": (docker.containerd_root,),
    "docker.log": (docker.log,),
    "docker.hygiene_timer": (docker.hygiene_timer,),
    "budget": (docker.budget,),
    "service": (docker.service, databases.postgres),
    "redis": (databases.redis,),
    "unlisted": (docker.unlisted,),
    "write_surface": (docker.surface,),
    "writable_layer": (docker.layers,),
    "release": (docker.release,),
    "baseline.packages": (baseline.packages,),
    "baseline.unit": (baseline.unit,),
    "baseline.time": (baseline.time,),
    "baseline.network": (baseline.network,),
    "baseline.nameservers": (baseline.nameservers,),
    "baseline.docker": (baseline.docker,),
    "hook.backup": (baseline.hook("backup"),),
    "hook.monitoring": (baseline.hook("monitoring"),),
}
# No question of the host itself: a machine is its hypervisor's, and a register is a file of the site.
UNASKED = frozenset({"machine", "register"})


def questions_for(desired: DesiredHost, evidence: Evidence, findings: Sequence[Finding]) -> tuple[Question, ...]:
    """Return the questions that can be put about those of this host's findings that are no UNKNOWN."""
    case = Case(desired, evidence)
    return tuple(
        Question(host=desired.host, check=finding.check, surface=finding.surface, **ask._asdict())
        for finding in findings
        if finding.host == desired.host and finding.verdict is not Verdict.UNKNOWN
        for ask in _asks(finding, Told(case, "", finding.verdict is Verdict.MET))
    )


def _asks(finding: Finding, told: Told) -> list[Ask]:
    kind, _, named = finding.surface.partition(":")
    if kind.startswith("budget."):
        kind, _, named = finding.surface.partition(".")
    asked: list[Ask] = []
    for ask in _ASK.get(kind, ()):
        try:
            asked += ask(told._replace(named=named))
        except Unobserved:
            continue  # what this verdict does not rest on: nothing was seen that could be confirmed
    return asked


def judge_answers(findings: Sequence[Finding], answers: Sequence[Answer]) -> tuple[Finding, ...]:
    """Return the findings with every verdict that the second witness does not share turned into UNKNOWN."""
    told: dict[tuple[str, str, str], list[str]] = {}
    declined: dict[tuple[str, str, str], list[str]] = {}
    for answer in answers:
        question = answer.question
        key = (question.host, question.check, question.surface)
        if question.agrees(answer.said):
            continue
        if answer.declined:
            declined.setdefault(key, []).append(answer.declined)
            continue
        seen = f"could not be asked ({answer.error})" if answer.said is None else f"says {answer.said!r} where {question.due()} was due"
        told.setdefault(key, []).append(f"{question.argv[0]} {seen}")
    return tuple(_doubted(finding, told.get(_key(finding)), declined.get(_key(finding))) for finding in findings)


def contradicted(findings: Sequence[Finding], answers: Sequence[Answer]) -> tuple[Finding, ...]:
    """Return those of the findings of which the second witness says otherwise; any other doubt is that nobody could see."""
    keys = {(one.question.host, one.question.check, one.question.surface) for one in answers if one.contradicts}
    return tuple(finding for finding in findings if _key(finding) in keys)


def _key(finding: Finding) -> tuple[str, str, str]:
    return finding.host, finding.check, finding.surface


def _doubted(finding: Finding, doubts: list[str] | None, declined: list[str] | None) -> Finding:
    if finding.verdict is Verdict.UNKNOWN:
        return finding
    if doubts:
        reason = f"two witnesses disagree: evidence says {finding.reason!r}, but live {'; '.join(doubts)}"
        return finding.model_copy(update={"verdict": Verdict.UNKNOWN, "reason": reason})
    if declined:
        return finding.model_copy(update={"reason": f"{finding.reason}; by the evidence alone, the second witness was told {declined[0]!r}"})
    return finding
