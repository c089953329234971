"""What an environment file has to hold: `.env.<environment>.example`, an environment file itself, whose comments say what each variable is.

    # PORT: int, required — where it listens
    PORT=3400
    # DATABASE_PASSWORD: text, required, secret
    DATABASE_PASSWORD=

Rules:
- The declaration is the comment that begins with the variable's name and a colon, in the block of comments right above it; other comments are for
  people. Never behind the value: copied, that comment would become the value of a variable that has none.
- First the type: text, int, bool (true or false), url, path (absolute, in the container or on the machine), or one-of a|b|c. Then, in any order,
  required or optional (which is what none of the two means) and secret. After ` — ` (or ` - `) whatever helps who fills it in.
- A value here is one that may stand for real, or nothing. A secret has none: this file is read by everybody who has the site. What is a secret by
  its name, such as POSTGRES_PASSWORD, has to be declared as one.
- What compose files make of places and images is judged by the values here, so the real file has to give the same (see `env_judge`).
"""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from controlplane.domain.errors import Fault
from controlplane.domain.names import AsTuple
from controlplane.domain.paths import check_path
from controlplane.domain.releases.dotenv import Entry, read_env
from controlplane.domain.releases.placeholders import is_placeholder
from controlplane.domain.releases.secret_forms import is_secret_name
from controlplane.domain.values import Value

Kind = Literal["text", "int", "bool", "url", "path", "one-of"]
_KINDS: tuple[Kind, ...] = ("text", "int", "bool", "url", "path")
# A number or a truth value can be guessed, and a path is no secret.
_SECRET_KINDS = ("text", "url")
_DECLARED = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*):(?P<rest>(\s.*)?)", re.ASCII)
_ABOUT = re.compile(r"\s+[—–-]\s+")
_CHOICES = re.compile(r"[A-Za-z0-9._-]+(\|[A-Za-z0-9._-]+)+", re.ASCII)
_FLAGS = ("required", "optional", "secret")
_HOW = "write '# {name}: TYPE, required' above it, where TYPE is text, int, bool, url, path or one-of a|b"


class Variable(Value):
    """One variable: its type, and the value that the contract gives, empty where it gives none. `line` is that of its assignment."""

    name: str
    kind: Kind
    choices: Annotated[tuple[str, ...], AsTuple] = ()
    required: bool = False
    secret: bool = False
    about: str = ""
    value: str = ""
    line: int = 0


class Contract(Value):
    """All variables in the order of the file."""

    variables: Annotated[tuple[Variable, ...], AsTuple] = ()

    def by_name(self) -> dict[str, Variable]:
        """Return them by name."""
        return {one.name: one for one in self.variables}

    def known(self) -> dict[str, str | None]:
        """Return the values that compose files can be judged by: None where the real file alone has it, or nobody."""
        return {one.name: one.value if one.value and not one.secret else None for one in self.variables}

    @property
    def secrets(self) -> frozenset[str]:
        """Return the names of the secret ones."""
        return frozenset(one.name for one in self.variables if one.secret)


def read_contract(text: str, file: str) -> tuple[Contract | None, tuple[Fault, ...]]:
    """Return the contract, or None and every fault; `file` is only its name in messages."""
    said = read_env(text, file)
    faults = list(said.faults)
    found: list[Variable] = []
    used: set[int] = set()
    for entry in said.entries:
        block = _block_above(said.comments, entry.line)
        declared = [number for number in block if _names(said.comments[number]) == entry.name]
        used |= {*declared}
        if len(declared) != 1:
            told = "has no declaration" if not declared else f"is declared {len(declared)} times"
            faults.append(Fault(file, entry.line, entry.name, f"{told}: {_HOW.format(name=entry.name)}"))
            continue
        variable, wrong = _variable(entry, said.comments[declared[0]])
        faults += [Fault(file, declared[0], entry.name, message) for message in wrong]
        if variable is not None:
            faults += [Fault(file, entry.line, entry.name, message) for message in _value_faults(variable)]
            found.append(variable)
    faulty = {fault.field for fault in said.faults}
    for number, comment in said.comments.items():
        name = _names(comment)
        if number not in used and name is not None and name not in faulty and _is_declaration(comment):
            faults.append(Fault(file, number, name, f"is declared, and no line {name}= follows right below: add it, or begin this comment otherwise"))
    if not found and not faults:
        faults.append(Fault(file, 0, "", "declares no variable: write one, or a line such as '# TZ: text' with 'TZ=UTC' below"))
    return (None if faults else Contract(variables=tuple(found))), tuple(faults)


def wrong_type(variable: Variable, value: str) -> str:
    """Say why a value is not of the variable's type, empty where it is; the value itself is never said."""
    match variable.kind:
        case "int":
            fits, wanted = re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", value, re.ASCII) is not None, "a whole number in plain digits"
        case "bool":
            fits, wanted = value in ("true", "false"), "true or false"
        case "one-of":
            fits, wanted = value in variable.choices, f"one of {', '.join(variable.choices)}"
        case "path":
            fits, wanted = _is_path(value), "an absolute path without .., . and doubled slashes"
        case "url":
            fits, wanted = _is_url(value), "a URL such as https://shop.example.org or postgresql://db:5432/shop"
        case _:
            return ""
    return "" if fits else f"is not of type {variable.kind}: write {wanted}"


def passwords_in(value: str) -> tuple[str, ...]:
    """Return the password within a URL, as it is written and as it is meant, whatever stands before the ://; nothing where there is none."""
    _, there, rest = value.partition("://")
    try:
        password = urlsplit(f"any://{rest}").password if there else None
    except ValueError:
        return ()
    return tuple(dict.fromkeys([password, unquote(password)])) if password else ()


def _block_above(comments: dict[int, str], line: int) -> list[int]:
    block = []
    while line - 1 in comments:
        line -= 1
        block.append(line)
    return block


def _names(comment: str) -> str | None:
    found = _DECLARED.fullmatch(comment)
    return found["name"] if found else None


def _words(comment: str) -> tuple[list[str], str]:
    found = _DECLARED.fullmatch(comment)
    said, *about = _ABOUT.split(found["rest"] if found else "", maxsplit=1)
    return [" ".join(word.split()) for word in said.split(",")], about[0].strip() if about else ""


def _kind(word: str) -> tuple[Kind | None, tuple[str, ...]]:
    name, _, choices = word.partition(" ")
    if name == "one-of" and _CHOICES.fullmatch(choices):
        return "one-of", tuple(dict.fromkeys(choices.split("|")))
    plain: dict[str, Kind] = {kind: kind for kind in _KINDS}
    return plain.get(word), ()


def _is_declaration(comment: str) -> bool:
    words, _ = _words(comment)
    return _kind(words[0])[0] is not None and all(word in _FLAGS for word in words[1:])


def _variable(entry: Entry, comment: str) -> tuple[Variable | None, list[str]]:
    words, about = _words(comment)
    kind, choices = _kind(words[0])
    wrong = [] if kind else ["what stands there is no type: write text, int, bool, url, path, or one-of a|b with two choices or more"]
    flags = words[1:]
    strange = [flag for flag in flags if flag not in _FLAGS]
    wrong += ["something there says nothing: write required, optional or secret, and an explanation behind ' — '"] if strange else []
    if len(set(flags)) != len(flags) or {"required", "optional"} <= set(flags):
        wrong.append("says twice whether it is required or secret: once is enough")
    if kind in _SECRET_KINDS and "secret" not in flags and is_secret_name(entry.name):
        wrong.append("is a secret by its name, and only one that is said to be secret is looked for and kept out of here: add secret")
    if kind and "secret" in flags and kind not in _SECRET_KINDS:
        wrong.append(f"a secret of type {kind} can be guessed: make it a text or a url")
    if wrong or kind is None:
        return None, wrong
    variable = Variable(
        name=entry.name,
        kind=kind,
        choices=choices,
        required="required" in flags,
        secret="secret" in flags,
        about=about,
        value=entry.value,
        line=entry.line,
    )
    return variable, []


def _value_faults(variable: Variable) -> list[str]:
    if not variable.value:
        return []
    if variable.secret:
        return ["is a secret and has a value here, where everybody reads it: take it out; if it was ever real, have it changed"]
    if is_placeholder(variable.value):
        return ["has a value that only stands for one: write one that may stand for real, or none"]
    if passwords_in(variable.value):
        return ["has a password in it, which everybody reads here: declare it secret and take the value out; if it was ever real, have it changed"]
    wrong = wrong_type(variable, variable.value)
    return [wrong] if wrong else []


def _is_path(value: str) -> bool:
    try:
        check_path(value)
    except ValueError:
        return False
    return True


def _is_url(value: str) -> bool:
    if any(letter.isspace() for letter in value):
        return False
    try:
        parts = urlsplit(value)
        port, host, user = parts.port, parts.hostname or "", parts.username or ""
    except ValueError:
        return False
    # Signs of a placeholder, which no URL holds at these places. A password may hold each; robots of registries have a $ in their names, and
    # templates of addresses {} in their paths.
    rest = f"{parts.path}{parts.query}{parts.fragment}"
    unwritten = set("<>{}$") & set(host) or set("<>{}") & set(user) or set("<>") & set(rest) or "${" in rest
    return bool(re.fullmatch(r"[a-z][a-z0-9+.-]*", parts.scheme) and host) and not unwritten and (port is None or port > 0)
