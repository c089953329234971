"""Whether a real environment file holds what its contract asks for.

Rules:
- Missing, extra, empty, placeholder, wrong type: every fault at once, each with its line, and never the value.
- A value by which compose files were judged (where data lie, which image runs) has to be the contract's own: a judgement on another would be void.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from controlplane.domain.errors import Fault
from controlplane.domain.releases.contract import Contract, Variable, passwords_in, wrong_type
from controlplane.domain.releases.dotenv import Entry, EnvText
from controlplane.domain.releases.interpolation import is_usual
from controlplane.domain.releases.placeholders import SHORTEST_SECRET, is_placeholder, stands_for_secret, why_no_secret


def judge_env(contract: Contract, said: EnvText, *, file: str, contract_file: str, deciding: Collection[str] = ()) -> tuple[Fault, ...]:
    """Return every fault of what a real file said, those of its form included. `deciding` are the names that compose files were judged by."""
    faults = list(said.faults)
    wanted = contract.by_name()
    given = {entry.name: entry for entry in said.entries}
    at_fault = {fault.field for fault in said.faults}
    for variable in contract.variables:
        entry = given.get(variable.name)
        if entry is None:
            if variable.name not in at_fault and (variable.required or variable.name in deciding):
                faults.append(Fault(file, 0, variable.name, f"is missing: {_asked(variable, contract_file)}"))
            continue
        faults += [Fault(file, entry.line, entry.name, message) for message in _value_faults(variable, entry, contract_file, deciding)]
    faults += [Fault(file, entry.line, *_undeclared(entry.name, contract_file)) for entry in said.entries if entry.name not in wanted]
    return tuple(faults)


def _undeclared(name: str, contract_file: str) -> tuple[str, str]:
    """Return (field, message). What is no usual name may be the rest of a value that goes on over two lines: it is not shown."""
    told = f"is not in {contract_file}: declare it there, or take it out"
    if is_usual(name):
        return name, told
    return "", f"the name in this line {told}; it is not shown, since it may be the rest of the value above"


def secret_values(contract: Contract, said: EnvText) -> dict[str, tuple[str, ...]]:
    """Return by name what must be found nowhere: each secret, and the password within one that is a URL; shorter ones can't be looked for."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in said.entries:
        if entry.name in contract.secrets:
            values = dict.fromkeys([entry.value, *passwords_in(entry.value)])
            long = tuple(value for value in values if len(value) >= SHORTEST_SECRET)
            found |= {entry.name: long} if long else {}
    return found


def _value_faults(variable: Variable, entry: Entry, contract_file: str, deciding: Collection[str]) -> Iterator[str]:
    value = entry.value
    if not value:
        if variable.required:
            yield f"is empty: {_asked(variable, contract_file)}"
        elif variable.kind != "text":
            yield f"is empty, and nothing is not of type {variable.kind}: write a value, or take the line out"
        return
    passwords = passwords_in(value)
    if is_placeholder(value) or (variable.secret and stands_for_secret(value)):
        yield "has a value that only stands for one: write the real one"
        return
    if any(stands_for_secret(password) for password in passwords):
        yield "has a password in it that only stands for one: write the real one"
        return
    if passwords and not variable.secret:
        yield f"has a password in it and is no secret by {contract_file}, line {variable.line}, so nobody looks for it elsewhere: add secret there"
    wrong = wrong_type(variable, value)
    if wrong:
        yield wrong
    elif variable.secret:
        weak = [why_no_secret(variable.name, part) for part in (passwords if variable.kind == "url" else [value])]
        if variable.kind == "url" and not weak:
            yield "is a secret URL without a password in it: write user:password@ before the host, or declare it without secret"
        yield from dict.fromkeys(why for why in weak if why)
    if variable.name in deciding and value != variable.value:
        yield f"differs from {contract_file}, line {variable.line}, by which the compose files were judged: write the same in both"


def _asked(variable: Variable, contract_file: str) -> str:
    about = f" ({variable.about})" if variable.about else ""
    return f"{contract_file}, line {variable.line}, asks for it{about}"
