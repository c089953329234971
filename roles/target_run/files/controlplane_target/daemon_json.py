"""/etc/docker/daemon.json by merge: every key that we don't set keeps its value; and which flags of dockerd would collide with ours.

Rules:
- Duplicate keys, a file that is no object, and `graph` (data-root's old name) are refused: what dockerd would make of them is a guess.
- dockerd doesn't start when a key stands both as flag and in daemon.json, whatever their values: such a key is a conflict.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

from .faults import RefusedFault

PATH = "/etc/docker/daemon.json"
# dockerd's flags whose key in daemon.json has another name.
_KEYS = {
    "g": "data-root",
    "graph": "data-root",
    "s": "storage-driver",
    "l": "log-level",
    "D": "debug",
    "H": "hosts",
    "G": "group",
    "p": "pidfile",
    "b": "bridge",
    "host": "hosts",
    "log-opt": "log-opts",
    "label": "labels",
    "storage-opt": "storage-opts",
    "exec-opt": "exec-opts",
    "insecure-registry": "insecure-registries",
    "registry-mirror": "registry-mirrors",
    "default-ulimit": "default-ulimits",
    "add-runtime": "runtimes",
    "authorization-plugin": "authorization-plugins",
    "default-address-pool": "default-address-pools",
    "dns-opt": "dns-opts",
    "node-generic-resource": "node-generic-resources",
    "feature": "features",
}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise RefusedFault(f"{PATH} holds {key!r} twice, and which one counts is a guess. Nothing was changed. Remove one of them.")
        found[key] = value
    return found


def parse(text: bytes | None) -> dict[str, Any]:
    """Return the settings of daemon.json's text; absent or empty is no setting."""
    if text is None or not text.strip():
        return {}
    try:
        held = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except ValueError as fault:
        raise RefusedFault(f"{PATH} is no JSON ({fault}), so it can't be merged. Nothing was changed. Mend the file.") from fault
    if not isinstance(held, dict):
        raise RefusedFault(f"{PATH} holds no object at its top, so it can't be merged. Nothing was changed. Mend the file.")
    if "graph" in held:
        raise RefusedFault(f"{PATH} sets 'graph', the old name of data-root. Nothing was changed. Rename it to data-root with the same value.")
    return held


def merged(text: bytes | None, settings: dict[str, Any]) -> bytes:
    """Return the new text with `settings` merged in (objects key by key); the same bytes where nothing differs."""
    held = parse(text)
    wanted = _merge(held, settings)
    if text is not None and wanted == held:
        return text
    return (json.dumps(wanted, indent=2, ensure_ascii=False) + "\n").encode()


def _merge(held: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    result = dict(held)
    for key, value in settings.items():
        below = result.get(key)
        result[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def without_settings(text: bytes | None, before: bytes | None, settings: dict[str, Any]) -> bytes | None:
    """Return today's text with each key of `settings` back at its value before the run; for a file that someone edited since."""
    held, old = parse(text), parse(before)
    for key in settings:
        if key in old:
            held[key] = old[key]
        else:
            held.pop(key, None)
    if not held and before is None:
        return None
    return (json.dumps(held, indent=2, ensure_ascii=False) + "\n").encode()


def keys_of_flags(words: list[str]) -> dict[str, str]:
    """Return {daemon.json key: the flag as written} of dockerd's arguments."""
    found: dict[str, str] = {}
    for word in words:
        if not word.startswith("-") or word in ("-", "--"):
            continue
        name = word.lstrip("-").split("=", 1)[0]
        if not word.startswith("--"):
            # A short flag may carry its value: -g/data, -lwarn.
            name = name if name in _KEYS else name[:1]
        found[_KEYS.get(name, name)] = word
    return found


def expand(words: list[str], environment: dict[str, str]) -> list[str]:
    """Return the arguments as systemd passes them: `$NAME` alone is split at spaces, `${NAME}` is one word."""
    result: list[str] = []
    for word in words:
        if word.startswith("${") and word.endswith("}"):
            result.append(environment.get(word[2:-1], ""))
        elif word.startswith("$"):
            result.extend(shlex.split(environment.get(word[1:], "")))
        else:
            result.append(word)
    return result


def conflicts(words: list[str], settings: dict[str, Any]) -> list[str]:
    """Return one sentence for each key of `settings` that dockerd gets as a flag, too."""
    flags = keys_of_flags(words)
    return [f"dockerd is started with {flags[key]}, and {key} in {PATH} as well would keep it from starting" for key in settings if key in flags]
