"""What a service of a compose file mounts, changed in the file's text: one entry of `volumes`, a named volume's declaration, the project's name.

Rules:
- An entry is known by its target; one whose target only Compose could tell is refused.
- A directory of the host is written in the long form, which does not make one that is missing.
- What an entry says besides its source and target and would be lost is refused, and so is a comment within one that is written anew.
"""

from __future__ import annotations

import json
import posixpath
import re
from typing import Any

from .compose_entry import ComposeEntry, Mount, plain
from .faults import RefusedFault
from .yaml import nodes  # type: ignore[import-not-found]

_VARIABLE = re.compile(r"\$\{[^}]*\}|\$[A-Za-z_][A-Za-z0-9_]*")
# What an entry of `volumes` may say, and of `bind` and `volume` how a source is made or first filled: not so a new one.
_MOUNT_KEYS = frozenset(["type", "source", "target", "bind.create_host_path", "volume.nocopy"])
# The same of an entry on one line.
_OPTIONS = frozenset(["rw", "nocopy"])


def _said_more(entry: Any) -> list[str]:
    """Return what an entry says besides its source and its target, and that a new one would mean to Compose as well."""
    if isinstance(entry, nodes.ScalarNode):
        words = _VARIABLE.sub("$", str(entry.value)).split(":", 2)
        return [word for word in (words[2].split(",") if len(words) == 3 else []) if word not in _OPTIONS]
    said = []
    for key, value in entry.value:
        is_group = key.value in ("bind", "volume") and isinstance(value, nodes.MappingNode)
        said += [f"{key.value}.{one.value}" for one, _ in value.value] if is_group else [str(key.value)]
    return [name for name in said if name not in _MOUNT_KEYS]


class ComposeMounts(ComposeEntry):
    """A compose file's text whose mounts change."""

    def names_project(self) -> bool:
        """Say whether the file has a `name` of its own."""
        return any(key.value == "name" for key, _ in self._root.value)

    def with_project(self, name: str) -> str:
        """Return the text with `name`, as its first key."""
        first = self._root.value[0][0].start_mark
        if self._root.flow_style:
            return self._spliced([], (first.index, f'"name": {json.dumps(name)}, '))
        return self._spliced([], (first.index, f"name: {plain(name)}{self._newline()}{' ' * first.column}"))

    def with_mount(self, service: str, target: str, wanted: Mount) -> str:
        """Return the text in which the service mounts that at `target`, in place of what it mounts there now. Raises `RefusedFault`."""
        node = self._own(service, "volumes")
        if node is None or (isinstance(node, nodes.ScalarNode) and node.value in ("", "null", "~")):
            if node is not None:
                raise self._refused(node, f"services.{service}.volumes is empty: remove the key")
            return self._with_key(service, "volumes", f"[{wanted.flow(target, as_json=self._root.flow_style)}]")
        if not isinstance(node, nodes.SequenceNode):
            raise self._refused(node, f"services.{service}.volumes is no list")
        held = [entry for entry in node.value if self._target(entry) == target]
        if len(held) > 1:
            raise self._refused(held[1], f"services.{service}.volumes mounts {target} twice")
        if not held:
            return self._with_entry(node, target, wanted)
        entry = held[0]
        if entry.start_mark.index < node.start_mark.index or self._text[entry.start_mark.index] in "&*":
            raise self._refused(node, f"services.{service}.volumes shares {target} by an anchor: write it out for this service")
        if others := sorted(set(_said_more(entry))):
            raise self._refused(entry, f"services.{service}.volumes has {', '.join(others)} for {target}, which would be lost: take that out")
        if isinstance(entry, nodes.MappingNode) and not entry.flow_style:
            return self._with_entry_changed(entry, f"services.{service}.volumes for {target}", wanted)
        self._assert_no_comment(entry, f"services.{service}.volumes for {target}", "its braces")
        if node.flow_style or isinstance(entry, nodes.MappingNode):
            return self._spliced([(entry, wanted.flow(target, as_json=self._root.flow_style))])
        # What stands behind it on its last line, such as a comment, stays there.
        return self._spliced([(entry, self._newline().join(wanted.block(target, " " * entry.start_mark.column)).lstrip(" "))])

    def mounts(self, service: str) -> list[str]:
        """Return the targets that the service's own `volumes` here name. Raises `RefusedFault` for one that only Compose could read."""
        node = self._own(service, "volumes")
        return [self._target(entry) for entry in node.value] if isinstance(node, nodes.SequenceNode) else []

    def volume_key(self, name: str, project: str) -> str | None:
        """Return the key under which the file declares the volume that Docker calls `name`, None where it declares none."""
        for key, declared in self._volumes():
            pairs = declared.value if isinstance(declared, nodes.MappingNode) else []
            named = next((value.value for one, value in pairs if one.value == "name"), f"{project}_{key.value}")
            if named == name:
                return str(key.value)
        return None

    def with_volume(self, key: str, name: str) -> str:
        """Return the text that declares the volume `name` under `key`. Raises `RefusedFault` where that key is another's."""
        if any(held.value == key for held, _ in self._volumes()):
            raise RefusedFault(f"{self._path} declares another volume as {key} already. Nothing was changed.")
        newline = self._newline()
        for root, node in self._root.value:
            if root.value != "volumes":
                continue
            if isinstance(node, nodes.MappingNode) and node.value and not node.flow_style:
                first = node.value[0][0]
                return self._spliced(
                    [],
                    (
                        first.start_mark.index,
                        f"{key}:{newline}{' ' * (first.start_mark.column + 2)}name: {plain(name)}{newline}{' ' * first.start_mark.column}",
                    ),
                )
            if isinstance(node, nodes.MappingNode) and node.flow_style:
                return self._spliced(
                    [], (node.start_mark.index + 1, f'{json.dumps(key)}: {{"name": {json.dumps(name)}}}{", " if node.value else ""}')
                )
            raise self._refused(root, "volumes is empty: remove the key")
        if self._root.flow_style:
            return self._spliced([], (self._root.value[0][0].start_mark.index, f'"volumes": {{{json.dumps(key)}: {{"name": {json.dumps(name)}}}}}, '))
        end = len(self._text)
        begun = "" if self._text.endswith("\n") else newline
        return self._spliced([], (end, f"{begun}volumes:{newline}  {key}:{newline}    name: {plain(name)}{newline}"))

    def _volumes(self) -> list[Any]:
        for key, node in self._root.value:
            if key.value == "volumes" and isinstance(node, nodes.MappingNode):
                return list(self._mapping(node, "volumes").value)
        return []

    def _with_entry(self, node: Any, target: str, wanted: Mount) -> str:
        if node.flow_style:
            if not node.value:
                return self._spliced([(node, f"[{wanted.flow(target, as_json=self._root.flow_style)}]")])
            return self._spliced([], (self._end(node.value[-1]), f", {wanted.flow(target, as_json=self._root.flow_style)}"))
        last = node.value[-1]
        dash = self._text.rfind("-", 0, last.start_mark.index)
        indent = self._text[self._text.rfind("\n", 0, dash) + 1 : dash]
        lines = wanted.block(target, f"{indent}  ")
        return self._spliced([], self._below(self._end(last), [f"{indent}- {lines[0].lstrip(' ')}", *lines[1:]]))

    def _target(self, entry: Any) -> str:
        """Return where an entry of `volumes` is mounted. Raises `RefusedFault`."""
        if isinstance(entry, nodes.MappingNode):
            said = next((value.value for key, value in entry.value if key.value == "target"), "")
        else:
            # A variable may hold a colon in its default; what it stands for is not known here.
            words = _VARIABLE.sub("$", str(entry.value)).split(":")
            said = words[0] if len(words) == 1 else words[1]
        if "$" in str(said):
            raise self._refused(
                entry, f"{entry.value if isinstance(entry, nodes.ScalarNode) else 'an entry'} of volumes names its target by a variable"
            )
        return posixpath.normpath(str(said))
