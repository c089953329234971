"""Read what `dump_unsafe` writes, and know of each string whether it was tagged."""

from __future__ import annotations

from typing import Any

import yaml


class Unsafe(str):
    """A string that Ansible never templates."""


class _Loader(yaml.SafeLoader):
    pass


_Loader.add_constructor("!unsafe", lambda _, node: Unsafe(node.value))


def load_unsafe(content: bytes) -> Any:
    """Return the data; tagged strings are `Unsafe`."""
    return yaml.load(content, Loader=_Loader)  # noqa: S506, TID251 - a SafeLoader with one more tag
