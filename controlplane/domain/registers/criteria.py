"""What a gap's criteria ask for: recorded runs answer for the checks and findings that they name, a person for whatever else they say.

Rules:
- A criterion that is nothing but a check (`D234`, `D234 on mint-data, mint-apps`) or a finding (`STOR-003`) is judged by recorded runs alone.
- One that says more takes a person's word, and the checks and findings that it names are judged besides.
- Of a check it names, only hosts that are all the policy's narrow it: in doubt it is asked on every host.
- A person's word repeats the criterion, so that nobody speaks for one that was changed meanwhile, and says how it was shown.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from controlplane.domain.names import HOST

_STOR = re.compile(r"(?<![\w-])STOR-[0-9]{3,5}(?![\w-])", re.ASCII)
_HOSTS = rf"{HOST}(?:(?:, | and ){HOST})*"
_CHECK = re.compile(rf"(?<![\w-])(?P<check>[A-Z][A-Za-z0-9_-]{{0,63}})(?: on (?P<hosts>{_HOSTS}))?", re.ASCII)
# What nobody writes but as the id of a check, known or not.
_CHECK_LIKE = re.compile(r"[A-Z]{1,4}[0-9]{2,5}", re.ASCII)


class Asked(NamedTuple):
    """What one criterion asks for: checks with their hosts (none: all), findings, and whether a person has to speak for the rest of it."""

    checks: tuple[tuple[str, tuple[str, ...]], ...]
    findings: tuple[str, ...]
    word: bool


def asked_of(criterion: str, *, checks: Collection[str], hosts: Collection[str], findings: Collection[str]) -> Asked:
    """Return what a criterion asks for, where these checks, hosts and findings are all that there are."""
    named = [(one["check"], _named_hosts(one)) for one in _CHECK.finditer(criterion) if one["check"] in checks]
    whole = _CHECK.fullmatch(criterion.strip())
    alone = whole is not None and whole["check"] in checks and set(_named_hosts(whole)) <= set(hosts)
    found = tuple(dict.fromkeys(one for one in _STOR.findall(criterion) if one in findings))
    return Asked(
        checks=tuple(dict.fromkeys((check, on if set(on) <= set(hosts) else ()) for check, on in named)),
        findings=found,
        word=not alone and criterion.strip() not in found,
    )


def strangers(criterion: str, *, checks: Collection[str] | None, hosts: Collection[str], findings: Collection[str]) -> Iterator[str]:
    """Yield what a criterion names and there is not; without `checks` or `hosts` those are not known."""
    for one in dict.fromkeys(_STOR.findall(criterion)):
        if one not in findings:
            yield f"there is no {one} in findings.yml: name the right one"
    whole = _CHECK.fullmatch(criterion.strip())
    if whole is None or checks is None:
        return
    if whole["check"] not in checks:
        if _CHECK_LIKE.fullmatch(whole["check"]):
            yield f"there is no {whole['check']} among the checks of this program and of the site: name the right one"
        return
    for host in _named_hosts(whole):
        if hosts and host not in hosts:
            yield f"there is no {host} in policy.yml: name the right one"


def stated(said: Sequence[str], criteria: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return a person's statements by the criterion that each repeats, and those that repeat none or do not say how it was shown."""
    found: dict[str, str] = {}
    strange = []
    for statement in (" ".join(one.split()) for one in said):
        mine = [one for one in criteria if statement.startswith(f"{' '.join(one.split())}: ")]
        if mine:
            found[max(mine, key=len)] = statement
        else:
            strange.append(statement)
    return found, tuple(strange)


def _named_hosts(found: re.Match[str]) -> tuple[str, ...]:
    """Return the hosts that stand behind a check; the dot that ends a sentence is part of none."""
    return tuple(one.rstrip(".") for one in re.split(", | and ", found["hosts"])) if found["hosts"] else ()
