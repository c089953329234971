"""Read what `dump_unsafe` writes as Ansible does, and know of each string whether it stood below the tag."""

from __future__ import annotations

from copy import copy
from typing import Any

import yaml


class Unsafe(str):
    """A string that Ansible never templates."""


class _Loader(yaml.CSafeLoader):  # the one that Ansible takes
    pass


def _unsafe(loader: _Loader, node: yaml.Node) -> Any:
    # As in ansible-core 2.19: the node's own tag is resolved again as if it were plain, quotes or not.
    plain = copy(node)
    plain.tag = loader.resolve(type(node), node.value, (True, False))
    return _marked(loader.construct_object(plain, deep=True))


def _marked(data: Any) -> Any:
    if isinstance(data, str):
        return Unsafe(data)
    if isinstance(data, dict):
        return {key: _marked(value) for key, value in data.items()}
    return [_marked(value) for value in data] if isinstance(data, list) else data


_Loader.add_constructor("!unsafe", _unsafe)


def load_unsafe(content: bytes) -> Any:
    """Return the data; tagged strings are `Unsafe`."""
    return yaml.load(content, Loader=_Loader)  # noqa: S506, TID251 - a SafeLoader with one more tag
