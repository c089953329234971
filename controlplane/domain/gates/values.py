"""What gates.yml says: the site's own checks, packs of checks, modes, findings that are expected, and what a promotion takes."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from controlplane.domain.durations import Seconds
from controlplane.domain.faults import Place
from controlplane.domain.finding import Severity
from controlplane.domain.names import TIER, AsTuple, CheckId, HostName, Line, check_name
from controlplane.domain.registers.values import StorId
from controlplane.domain.site_paths import FilePath
from controlplane.domain.values import Value

Mode = Literal["report", "enforce"]
PackName = Annotated[str, AfterValidator(lambda text: check_name(text, TIER, "name of a pack"))]
# What a check of the site is judged on that looks at no machine.
SITE = "site"
_NO_HOST = f"is no host of policy.yml: name one, or {SITE} for a check that looks at no machine"


class SiteCheck(Value):
    """A check of the site's own: a pytest file below checks/. Where its tests take testinfra's `host` it is judged on each host, else on `site`."""

    title: Line = Field(description="One line that says what holds")
    severity: Severity = Field("medium", description="How much it matters")
    file: FilePath = Field(description="Its pytest file, such as checks/test_d204_secrets.py")


class Pack(Value):
    """Checks that run together, of this program and of the site."""

    checks: Annotated[tuple[CheckId, ...], AsTuple] = Field(min_length=1, description="Ids of its checks, in their order")


class Expected(Value):
    """A drift that is known: until its STOR finding's gaps are closed it does not count against a run in report mode."""

    check: CheckId = Field(description="Check that shows it")
    host: HostName = Field(description="Host on which it shows")
    surface: Line = Field(description="Surface, exactly")
    stor: StorId = Field(description="STOR finding that it belongs to")


class Promotion(Value):
    """What a check has to show before it may be enforced."""

    runs: int = Field(3, ge=1, le=100, description="Consecutive runs that pass")
    interval: Seconds = Field(86400, description="How far apart they have to be at least")


class Gates(Value):
    """All of gates.yml; a check without a mode is in report mode."""

    checks: dict[CheckId, SiteCheck] = Field(default={}, description="The site's own checks, by id")
    packs: dict[PackName, Pack] = Field(default={}, description="Packs, by name")
    modes: dict[CheckId, dict[HostName, Mode]] = Field(default={}, description="Mode of a check on each host")
    expected: Annotated[tuple[Expected, ...], AsTuple] = Field((), description="Findings that are expected")
    promotion: Promotion = Field(Promotion(), description="What a promotion takes")

    def mode(self, check: str, host: str) -> Mode:
        """Return the mode of a check on a host."""
        return self.modes.get(check, {}).get(host, "report")

    def links(self) -> tuple[tuple[str, str, str, str], ...]:
        """Return (check, host, surface, STOR id) of each expected finding."""
        return tuple((one.check, one.host, one.surface, one.stor) for one in self.expected)


def gate_faults(data: Any, *, builtin: Sequence[str], hosts: Sequence[str] | None) -> Iterator[tuple[Place, str]]:
    """Yield what no single field of gates.yml shows. `hosts` are those of the policy, None where it could not be read."""
    if not isinstance(data, Mapping):
        return
    own = dict(_mapping(data, "checks"))
    for check in own:
        if check in builtin:
            yield ("checks", check), "is a check of this program: give the site's own another id"
    if own and hosts is not None and SITE in hosts:
        yield ("checks",), f"a host of policy.yml is called {SITE}, which is what checks that look at no machine are judged on: rename the host"
    known = {*builtin, *own}
    strange = f"define it under checks, or name one of {', '.join(builtin)}"
    yield from _of_packs(data, known, strange)
    for check, by_host in _mapping(data, "modes"):
        if check not in known:
            yield ("modes", check), f"there is no check {check}: {strange}"
        for host in by_host if isinstance(by_host, Mapping) else []:
            if hosts is not None and host not in {*hosts, SITE}:
                yield ("modes", check, host), _NO_HOST
    for number, one in enumerate(_list(data, "expected")):
        check, host = (one.get("check"), one.get("host")) if isinstance(one, Mapping) else (None, None)
        if isinstance(check, str) and check not in known:
            yield ("expected", number, "check"), f"there is no check {check}: {strange}"
        if isinstance(host, str) and hosts is not None and host not in {*hosts, SITE}:
            yield ("expected", number, "host"), _NO_HOST


def _of_packs(data: Mapping[str, Any], known: Container[str], strange: str) -> Iterator[tuple[Place, str]]:
    for pack, held in _mapping(data, "packs"):
        checks = _list(held, "checks") if isinstance(held, Mapping) else []
        for number, check in enumerate(checks):
            if check in checks[:number]:
                yield ("packs", pack, "checks", number), f"names {check} twice: leave one of the two out"
            elif isinstance(check, str) and check not in known:
                yield ("packs", pack, "checks", number), f"there is no check {check}: {strange}"


def _mapping(data: Mapping[str, Any], key: str) -> list[tuple[Any, Any]]:
    held = data.get(key)
    return list(held.items()) if isinstance(held, Mapping) else []


def _list(data: Mapping[str, Any], key: str) -> list[Any]:
    held = data.get(key)
    return held if isinstance(held, list) else []
