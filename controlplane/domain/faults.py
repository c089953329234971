"""Turn what a model says about plain data into faults with file, line, dotted field and what to write instead."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from controlplane.domain.errors import Fault
from controlplane.domain.sizes import FROM_TEXT

Place = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


class Source(Protocol):
    """Where plain data came from."""

    @property
    def file(self) -> str:
        """Return the file's name as messages show it."""

    def line_of(self, place: Place) -> int:
        """Return the 1-based line of the deepest part of `place` that exists, 0 if there are no lines."""

    def hide(self, text: str) -> str:
        """Return a text as messages may show it: without what is secret beside that source."""


class Nowhere:
    """The source of data whose lines are not known."""

    def __init__(self, file: str = "policy") -> None:
        self._file = file

    @property
    def file(self) -> str:
        """Return the name that messages show."""
        return self._file

    def line_of(self, place: Place) -> int:
        """Return 0: there are no lines."""
        del place
        return 0

    def hide(self, text: str) -> str:
        """Return the text: nothing secret is known here."""
        return text


NOWHERE: Source = Nowhere()
LONGEST = 600


def fault_at(source: Source, place: Place, message: str) -> Fault:
    """Return the fault at `place` of `source`; what it quotes is kept short, and a terminal finds nothing in it to obey."""
    # Hidden before it is cut: a part of a secret would no longer be found.
    field, told = (_printable(source.hide(text)) for text in (".".join(str(part) for part in place), message))
    return Fault(source.file, source.line_of(place), field, told)


def _printable(text: str) -> str:
    shown = text if len(text) <= LONGEST else text[: LONGEST // 2] + " … " + text[-LONGEST // 2 :]
    return shown if shown.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in shown)


def validated(model: type[Model], data: Any, source: Source) -> tuple[Model | None, list[Fault]]:
    """Return the model of `data` read from text, or None and every fault of its fields."""
    try:
        return model.model_validate(data, context=FROM_TEXT), []
    except ValidationError as error:
        return None, [_fault(model, data, source, detail) for detail in error.errors(include_url=False)]


def _fault(model: type[BaseModel], data: Any, source: Source, detail: ErrorDetails) -> Fault:
    place = _place(data, detail["loc"])
    kind = detail["type"]
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        place = (*place, "kind")
    return fault_at(source, place, _message(model, data, place, detail))


def _place(data: Any, loc: Sequence[str | int]) -> Place:
    """Drop what pydantic adds to a location: the tags of unions and the mark of mapping keys."""
    place: list[str | int] = []
    node = data
    for number, part in enumerate(loc):
        if part == "[key]":
            continue
        inside = (isinstance(node, Mapping) and part in node) or (isinstance(node, list) and isinstance(part, int) and part < len(node))
        if inside:
            node = node[part]
        elif number < len(loc) - 1:
            continue
        place.append(part)
    return tuple(place)


def _message(model: type[BaseModel], data: Any, place: Place, detail: ErrorDetails) -> str:  # noqa: PLR0911 - one row a kind of error
    given = detail.get("input")
    context = detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            return str(context["error"])
        case "extra_forbidden":
            return _unknown_key(model, data, place)
        case "missing":
            return _missing(model, data, place)
        case "literal_error":
            return f"{given!r} is none of the choices: write {context['expected']}"
        case "union_tag_not_found":
            return f"is missing: write kind: {_union_at(place)[1]}"
        case "union_tag_invalid":
            return f"{context['tag']!r} is no kind of {_union_at(place)[0]}: write {context['expected_tags']}"
        case "string_type":
            return _no_text(given)
        case "bool_type":
            return f"{given!r} is neither true nor false: write true or false, without quotes"
        case "int_type" | "int_parsing":
            return f"{given!r} is no plain whole number: write it in decimal digits, without quotes, unit or leading zero"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{_shown(given)} is no mapping: write keys and values below it"
        case "tuple_type" | "list_type":
            return f"{_shown(given)} is no list: write it as a list, such as [first, second]"
    return detail["msg"]


def _union_at(place: Place) -> tuple[str, str]:
    """Return what stands at a place that has kinds, and which there are."""
    if place[:1] in (("entry",), ("exit",)):
        return "gate", "checks, met, closed, window, approval, ..."
    return ("hypervisor", "libvirt or proxmox") if place[:1] == ("hypervisors",) else ("service", "postgres, minio, redis or files")


def _no_text(given: Any) -> str:
    if isinstance(given, bool):
        given = "true" if given else "false"
    elif not isinstance(given, int):
        return f"{_shown(given)} is no text: write one plain value"
    return f'{given} is read as a number or a truth value, text is wanted: write it in quotes, "{given}"'


def _shown(given: Any) -> str:
    if isinstance(given, Mapping):
        return "a mapping"
    if isinstance(given, list):
        return "a list"
    return "nothing" if given is None else repr(given)


def _unknown_key(model: type[BaseModel], data: Any, place: Place) -> str:
    owner = _model_at(model, data, place[:-1])
    known = sorted(owner.model_fields) if owner else []
    near = difflib.get_close_matches(str(place[-1]), known, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown key: {meant}known here are {', '.join(known)}"


def _missing(model: type[BaseModel], data: Any, place: Place) -> str:
    owner = _model_at(model, data, place[:-1])
    field = owner.model_fields.get(str(place[-1])) if owner else None
    return f"is missing: {field.description}" if field and field.description else "is missing"


def _model_at(model: type[BaseModel], data: Any, place: Place) -> type[BaseModel] | None:
    """Return the model that describes `place`; of a union the one whose `kind` the data name."""
    kind: Any = model
    node = data
    for part in place:
        kind = _step(_plain(kind, node), part)
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            node = None
    found = _plain(kind, node)
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _step(kind: Any, part: str | int) -> Any:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        return field.annotation if field else None
    arguments = get_args(kind)
    if get_origin(kind) is dict:
        return arguments[1]
    return arguments[0] if get_origin(kind) is tuple else None


def _plain(kind: Any, node: Any) -> Any:
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0], node)
    if get_origin(kind) in (Union, types.UnionType):
        members = [_plain(member, node) for member in get_args(kind) if member is not type(None)]
        wanted = node.get("kind") if isinstance(node, Mapping) else None
        named = [member for member in members if wanted is not None and _default_kind(member) == wanted]
        return (named or members)[0]
    return None if get_origin(kind) is Literal else kind


def _default_kind(member: Any) -> Any:
    fields = member.model_fields if isinstance(member, type) and issubclass(member, BaseModel) else {}
    return fields["kind"].default if "kind" in fields else None
