"""Rules for names that a policy or an inventory gives, each with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

HOST = r"[a-z0-9][a-z0-9._-]{0,252}"
GROUP = r"[A-Za-z_][A-Za-z0-9_-]{0,127}"
CONTAINER = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}"
PROJECT = r"[a-z0-9][a-z0-9_-]{0,127}"
TIER = r"[a-z0-9][a-z0-9_-]{0,63}"
CHECK = r"[A-Z][A-Za-z0-9_-]{0,63}"
ENVIRONMENT = r"[A-Za-z_][A-Za-z0-9_]{0,127}"
# Who logs in, before a host: in a URL, or in an image's name. A digest is none.
_LOGIN = re.compile(r"(?<=://)\S*@|^[^\s/]*:(?!//)\S*@(?!sha256:)|^[^\s/:]+@(?!sha256:)")
_QUERY = re.compile(r"^([^?#]*/[^?#]*[?#]).+", re.DOTALL)
_SHOWN_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def check_name(text: str, pattern: str, what: str) -> str:
    """Return `text` if the whole of it matches `pattern`; ValueError names the rule."""
    if re.fullmatch(pattern, text, re.ASCII) is None:
        raise ValueError(f"{shown_address(text)!r} is no {what}: it has to match {pattern}")
    return text


def shown_address(text: str) -> str:
    """Return `text` as a message may show it: without what stands before the @ of an address, in its query or behind its #, which may be a secret."""
    return _QUERY.sub(r"\1…", _LOGIN.sub("…@", text))


def check_host(text: str) -> str:
    """Return `text` if it is a host name; ValueError names the rule."""
    if text in ("all", "ungrouped"):
        raise ValueError(f"{text!r} is no host name: to Ansible it is a group, and a play on it would run on every host")
    return check_name(text, HOST, "host name")


def check_line(text: str) -> str:
    """Return `text` if it is one non-empty line without control or direction characters."""
    if not text.strip():
        raise ValueError("is empty: write a line of text")
    if _SHOWN_CONTROL.search(text):
        raise ValueError("holds a control character or a line break: write it as one plain line")
    return text


def _name(pattern: str, what: str) -> tuple[Callable[[str], str], dict[str, Any]]:
    return (lambda text: check_name(text, pattern, what)), {"type": "string", "pattern": f"^{pattern}$", "description": what.capitalize()}


_, _host_schema = _name(HOST, "host name")
_group, _group_schema = _name(GROUP, "group name")
_container, _container_schema = _name(CONTAINER, "container or volume name")
_project, _project_schema = _name(PROJECT, "compose project name")
_tier, _tier_schema = _name(TIER, "tier name")
_check, _check_schema = _name(CHECK, "check id")
_environment, _environment_schema = _name(ENVIRONMENT, "variable name")

HostName = Annotated[str, AfterValidator(check_host), WithJsonSchema(_host_schema)]
GroupName = Annotated[str, AfterValidator(_group), WithJsonSchema(_group_schema)]
ContainerName = Annotated[str, AfterValidator(_container), WithJsonSchema(_container_schema)]
ProjectName = Annotated[str, AfterValidator(_project), WithJsonSchema(_project_schema)]
TierName = Annotated[str, AfterValidator(_tier), WithJsonSchema(_tier_schema)]
CheckId = Annotated[str, AfterValidator(_check), WithJsonSchema(_check_schema)]
VariableName = Annotated[str, AfterValidator(_environment), WithJsonSchema(_environment_schema)]
Line = Annotated[str, AfterValidator(check_line), Field(description="One line of text")]


def _as_tuple(value: Any) -> Any:
    """YAML and JSON know lists only; values are frozen, so they hold tuples."""
    return tuple(value) if isinstance(value, list) else value


AsTuple = BeforeValidator(_as_tuple)
