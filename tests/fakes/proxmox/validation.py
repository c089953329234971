"""Hold parameters and property strings against the schema, with the texts that Proxmox VE answers with.

Rules and texts as pve-common's JSONSchema module applies them: values arrive as text; booleans are 0 or 1 (inside property strings
also on/off, yes/no, true/false); an unknown key is an error, not a warning; several errors of one key are joined.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.fakes.proxmox.formats import FormatFaultError, check_named, named_properties
from tests.fakes.proxmox.schema import Properties, of_key, plain_keys

_NUMBER = re.compile(r"[+-]?(\d+\.\d+|\d+\.|\.\d+|\d+)([eE][+-]?\d+)?")
_UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
_TRUTH = {"1": "1", "on": "1", "yes": "1", "true": "1", "0": "0", "off": "0", "no": "0", "false": "0"}
Errors = dict[str, str]


def check_call(properties: Properties, given: Mapping[str, Any]) -> Errors:
    """Return what is wrong with a call's parameters, by parameter; empty where nothing is."""
    errors: Errors = {}
    _check_object(properties, given, "", errors)
    return errors


def parse_properties(properties: Properties, text: str, path: str = "") -> dict[str, str]:
    """Return a property string's values by key, aliases resolved; raise with the server's text."""
    found: dict[str, str] = {}
    default = next((key for key, told in properties.items() if told.get("default_key")), None)
    for part in text.split(","):
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        if equals and key and value:
            _put(properties, found, key, value)
        elif equals:
            raise FormatFaultError("missing key in comma-separated list property")
        elif default is None:
            raise FormatFaultError("value without key, but schema does not define a default key")
        elif default in found:
            raise FormatFaultError(f"duplicate key in comma-separated list property: {default}")
        else:
            found[default] = _as_boolean(properties[default], part)
    errors: Errors = {}
    _check_object(properties, found, path, errors)
    if errors:
        raise FormatFaultError("format error\n" + "".join(f"{key}: {told}\n" for key, told in sorted(errors.items())))
    return found


def _put(properties: Properties, found: dict[str, str], key: str, value: str) -> None:
    if key in found:
        raise FormatFaultError(f"duplicate key in comma-separated list property: {key}")
    told = properties.get(key)
    if told is not None and "alias" in told:
        if "keyAlias" in told:
            if told["keyAlias"] in found:
                raise FormatFaultError(f"key alias '{told['keyAlias']}' is already defined")
            found[told["keyAlias"]] = key
        key = told["alias"]
        told = properties.get(key)
        if key in found:
            raise FormatFaultError(f"key '{key}' is already defined (via alias)")
    if told is None:
        raise FormatFaultError(f"invalid key in comma-separated list property: {key}")
    found[key] = _as_boolean(told, value)


def _as_boolean(told: Mapping[str, Any], value: str) -> str:
    return _TRUTH.get(value.lower(), value) if told.get("type") == "boolean" else value


def _check_object(properties: Properties, given: Mapping[str, Any], path: str, errors: Errors) -> None:
    for key, told in plain_keys(properties):
        if key not in given and not told.get("optional") and "alias" not in told and told.get("type") != "null":
            _add(errors, _join(path, key), "property is missing and it is not optional")
    for key, value in given.items():
        known = of_key(properties, key)
        if known is None:
            _add(errors, _join(path, key), _UNKNOWN)
            continue
        needed = known.get("requires")
        if needed and needed not in given:
            _add(errors, _join(path, needed), f"missing property required by '{_join(path, key)}'")
        fault = _fault(known, value, _join(path, key), errors)
        if fault:
            _add(errors, _join(path, key), fault)


def _fault(told: Mapping[str, Any], value: Any, path: str, errors: Errors) -> str | None:
    if told.get("type") == "array":
        for number, one in enumerate(value if isinstance(value, list) else [value]):
            fault = _fault(told["items"], one, f"{path}[{number}]", errors)
            if fault:
                _add(errors, f"{path}[{number}]", fault)
        return None
    if not isinstance(value, str):
        return f"type check ('{told.get('type')}') failed - got {type(value).__name__}"
    return _type_fault(told, value) or _format_fault(told, value, path) or _bound_fault(told, value)


def _type_fault(told: Mapping[str, Any], value: str) -> str | None:
    fits = {"boolean": r"[01]", "integer": r"[+-]?\d+", "number": _NUMBER.pattern}.get(told.get("type", ""), r"(?s).*")
    return None if re.fullmatch(fits, value) else f"type check ('{told['type']}') failed - got '{value}'"


def _format_fault(told: Mapping[str, Any], value: str, path: str) -> str | None:
    wanted = told.get("format")
    if wanted is None:
        return None
    try:
        properties = wanted if isinstance(wanted, Mapping) else named_properties(wanted)
        if properties is not None:
            parse_properties(properties, value, path)
        else:
            check_named(wanted, value)
    except FormatFaultError as fault:
        return f"invalid format - {str(fault).rstrip()}\n"
    return None


def _bound_fault(told: Mapping[str, Any], value: str) -> str | None:
    pattern = re.sub(r"^\(\?\^:(.*)\)$", r"(?:\1)", told.get("pattern", "(?s).*"))
    if not re.fullmatch(pattern, value):
        return "value does not match the regex pattern"
    if len(value) > int(told.get("maxLength", len(value))):
        return f"value may only be {told['maxLength']} characters long"
    if len(value) < int(told.get("minLength", 0)):
        return f"value must be at least {told['minLength']} characters long"
    if "enum" in told and value not in told["enum"]:
        return f"value '{value}' does not have a value in the enumeration '{', '.join(told['enum'])}'"
    return _range_fault(told, float(value)) if _NUMBER.fullmatch(value) else None


def _range_fault(told: Mapping[str, Any], value: float) -> str | None:
    if "maximum" in told and value > float(told["maximum"]):
        return f"value must have a maximum value of {told['maximum']}"
    if "minimum" in told and value < float(told["minimum"]):
        return f"value must have a minimum value of {told['minimum']}"
    return None


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _add(errors: Errors, path: str, told: str) -> None:
    errors[path] = f"{errors[path]}\\n{told}" if path in errors else told
