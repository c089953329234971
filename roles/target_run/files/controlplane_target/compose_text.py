"""Change one value in the text of a compose file and leave every other byte of it, comments and layout, as its owner wrote them.

Rules:
- The text is read by PyYAML, whose nodes say where they stand; the change is a splice between two of those places.
- What other services share by an anchor is not changed through one of them; what can't be changed surely is refused, never guessed.
- PyYAML in pure Python is laid down beside these tools, as the controller has it.
- Nothing is evaluated: `${NAME}` and `$$` stay as they are.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .faults import RefusedFault
from .yaml import composer, error, nodes, parser, reader, resolver, scanner  # type: ignore[import-not-found]

_PLAIN_LINE = re.compile(r"[^\n]*\n?")


class _Loader(reader.Reader, scanner.Scanner, parser.Parser, composer.Composer, resolver.BaseResolver):  # type: ignore[misc] # no types
    def __init__(self, text: str) -> None:
        reader.Reader.__init__(self, text)
        scanner.Scanner.__init__(self)
        parser.Parser.__init__(self)
        composer.Composer.__init__(self)
        resolver.BaseResolver.__init__(self)


class ComposeText:
    """One compose file's text. Raises `RefusedFault` where it is no YAML, or names a key twice."""

    def __init__(self, text: str, path: str) -> None:
        self._text, self._path = text, path
        try:
            root = _Loader(text).get_single_node()
        except error.YAMLError as fault:
            raise RefusedFault(f"{path} is no YAML that could be changed: {' '.join(str(fault).split())}. Nothing was changed.") from fault
        self._root = self._mapping(root, "the file")

    def has_service(self, name: str) -> bool:
        """Say whether the file itself defines that service."""
        return self._service(name) is not None

    def project(self) -> str | None:
        """Return the project's `name` as it stands, None where the file has none."""
        named = [value for key, value in self._root.value if key.value == "name"]
        return str(named[0].value) if named and isinstance(named[0], nodes.ScalarNode) else None

    def includes(self) -> list[str]:
        """Return the paths of the files that this one includes, as they stand."""
        held = next((node for key, node in self._root.value if key.value == "include"), None)
        found = []
        for entry in held.value if isinstance(held, nodes.SequenceNode) else []:
            named = [value for key, value in entry.value if key.value == "path"] if isinstance(entry, nodes.MappingNode) else [entry]
            found += [one for node in named for one in (node.value if isinstance(node, nodes.SequenceNode) else [node])]
        return [str(one.value) for one in found if isinstance(one, nodes.ScalarNode)]

    def command(self, service: str) -> str | list[str] | None:
        """Return the service's `command` as it stands, None where it has none here. Raises `RefusedFault`."""
        node = self._own(service, "command")
        if node is None or (isinstance(node, nodes.ScalarNode) and node.value in ("", "null", "~") and node.style is None):
            return None
        if isinstance(node, nodes.ScalarNode):
            return str(node.value)
        if isinstance(node, nodes.SequenceNode) and all(isinstance(word, nodes.ScalarNode) for word in node.value):
            return [str(word.value) for word in node.value]
        raise self._refused(node, f"services.{service}.command is neither text nor a list of words")

    def with_command(self, service: str, command: str | list[str]) -> str:
        """Return the text with that command. Words of a list that stay as they are keep their spelling. Raises `RefusedFault`."""
        node = self._own(service, "command")
        if node is None:
            return self._with_key(service, "command", json.dumps(command, ensure_ascii=False))
        if isinstance(node, nodes.SequenceNode) and isinstance(command, list) and node.value:
            return self._with_words(node, command)
        return self._spliced([(node, json.dumps(command, ensure_ascii=False))])

    def _newline(self) -> str:
        return "\r\n" if "\r\n" in self._text else "\n"

    def _with_words(self, node: Any, words: list[str]) -> str:
        held = node.value
        if len(words) < len(held):
            return self._spliced([(node, json.dumps(words, ensure_ascii=False))])
        edits = [(one, json.dumps(word, ensure_ascii=False)) for one, word in zip(held, words) if one.value != word]
        more = [json.dumps(word, ensure_ascii=False) for word in words[len(held) :]]
        if not more:
            return self._spliced(edits)
        end = self._end(held[-1])
        if node.flow_style:
            return self._spliced(edits, (end, "".join(f", {word}" for word in more)))
        # A list with a word a line: the next ones stand below the last, after its comment.
        dash = self._text.rfind("-", 0, held[-1].start_mark.index)
        indent = self._text[self._text.rfind("\n", 0, dash) + 1 : dash]
        return self._spliced(edits, self._below(end, [f"{indent}- {word}" for word in more]))

    def _with_key(self, service: str, key: str, value: str) -> str:
        """Return the text with another key in a service that has it not: below its image, or as its first one."""
        mapping = self._service(service)
        if mapping is None or not mapping.value:
            raise RefusedFault(f"{self._path} defines no service {service} that {key} could be written into. Nothing was changed.")
        first = mapping.value[0][0]
        if mapping.flow_style:
            return self._spliced([], (first.start_mark.index, f'"{key}": {value}, '))
        indent = self._text[self._text.rfind("\n", 0, first.start_mark.index) + 1 : first.start_mark.index]
        if indent.strip():
            # A mapping that begins on the line of something else: its own column says how deep it is.
            indent = " " * first.start_mark.column
        image = next((seen for name, seen in mapping.value if name.value == "image" and isinstance(seen, nodes.ScalarNode)), None)
        if image is not None and image.style not in ("|", ">") and image.start_mark.line == image.end_mark.line:
            return self._spliced([], self._below(self._end(image), [f"{indent}{key}: {value}"]))
        return self._spliced([], (first.start_mark.index, f"{key}: {value}{self._newline()}{indent}"))

    def _below(self, index: int, lines: list[str]) -> tuple[int, str]:
        """Return the splice that puts whole lines below the one in which `index` stands."""
        found = _PLAIN_LINE.match(self._text, index)
        end = found.end() if found else index
        newline = self._newline()
        missing = "" if self._text[:end].endswith("\n") else newline
        return end, missing + "".join(f"{line}{newline}" for line in lines)

    def _spliced(self, edits: list[tuple[Any, str]], more: tuple[int, str] | None = None) -> str:
        # A value that is empty stands right behind its colon.
        splices = [(node.start_mark.index, self._end(node), new if self._end(node) > node.start_mark.index else f" {new}") for node, new in edits]
        splices += [(more[0], more[0], more[1])] if more else []
        text = self._text
        for start, end, new in sorted(splices, reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def _end(self, node: Any) -> int:
        """Return where a node's own text ends; of a block, PyYAML says where the next token begins."""
        if isinstance(node, (nodes.MappingNode, nodes.SequenceNode)) and not node.flow_style and node.value:
            last = node.value[-1]
            return self._end(last[1] if isinstance(last, tuple) else last)
        end = int(node.end_mark.index)
        while end > node.start_mark.index and self._text[end - 1] in " \t\r\n":
            end -= 1
        return end

    def _own(self, service: str, key: str) -> Any:
        """Return the value of a service's key in this file, None where it has none. Raises `RefusedFault` where it is shared by an anchor."""
        mapping = self._service(service)
        pairs = [] if mapping is None else [(name, value) for name, value in mapping.value if name.value == key]
        for name, value in pairs:
            if self._is_shared(name, value):
                raise self._refused(name, f"services.{service}.{key} is shared by an anchor: write it out for this service")
            return value
        return None

    def _service(self, name: str) -> Any:
        for key, services in self._root.value:
            if key.value != "services":
                continue
            for one, value in self._mapping(services, "services").value:
                if one.value == name:
                    if self._is_shared(one, value):
                        raise self._refused(one, f"services.{name} is shared by an anchor: write it out")
                    return self._mapping(value, f"services.{name}")
        return None

    def _is_shared(self, key: Any, value: Any) -> bool:
        # An alias is the anchored node itself, which stands before it; an anchor is the first that is read of its node.
        return bool(value.start_mark.index < key.start_mark.index or self._text[value.start_mark.index : value.start_mark.index + 1] == "&")

    def _mapping(self, node: Any, what: str) -> Any:
        if not isinstance(node, nodes.MappingNode):
            raise RefusedFault(f"{self._path}: {what} is no mapping, so it is no compose file that could be changed. Nothing was changed.")
        names = [key.value for key, _ in node.value if isinstance(key, nodes.ScalarNode)]
        if twice := sorted({str(name) for name in names if names.count(name) > 1 and name != "<<"}):
            raise self._refused(node, f"{what} has {', '.join(twice)} twice")
        return node

    def _refused(self, node: Any, why: str) -> RefusedFault:
        return RefusedFault(f"{self._path}:{node.start_mark.line + 1}: {why}. Nothing was changed.")
