"""A policy of ten thousand hosts is read by libyaml, and is work that grows with it and no faster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.adapters.site_files import SiteFolder
from controlplane.adapters.strict_yaml import parse_document
from tests.counting import calls

ROOT = Path(__file__).resolve().parents[3]
FEW, MANY = 1_000, 10_000
needs_libyaml = pytest.mark.skipif(not yaml.__with_libyaml__, reason="this PyYAML was built without libyaml (https://pyyaml.org/wiki/LibYAML)")


def hosts(number: int) -> str:
    """Return a policy's hosts: nested mappings, a list, quoted text, numbers."""
    row = '  mint-{0:05}:\n    groups: [mint, "data {0}"]\n    disks:\n      - serial: DATA{0:05}\n        min_size: {0}\n'
    return "hosts:\n" + "".join(row.format(at) for at in range(number))


def read(text: str) -> None:
    assert not parse_document(text, "policy.yml").faults


@needs_libyaml
def test_what_reads_a_policy_is_libyaml_s_parser_and_never_the_one_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    from yaml._yaml import CParser

    streams: list[str] = []

    class Noted(yaml.CSafeLoader):
        def __init__(self, stream: Any) -> None:
            streams.append(stream)
            super().__init__(stream)

    def in_python(*_: Any) -> None:
        raise AssertionError("the parser in Python takes several times as long")

    assert issubclass(yaml.CSafeLoader, CParser)
    monkeypatch.setattr(yaml, "CSafeLoader", Noted)
    # Where each of PyYAML's own parsers begins, whatever name it is called by.
    monkeypatch.setattr(yaml.reader.Reader, "__init__", in_python)
    with pytest.raises(AssertionError, match="several times as long"):
        yaml.SafeLoader("x: 1")
    folder = ROOT / "inventory/mint"
    assert SiteFolder(folder).read(run_inventory=False).policy.hosts
    assert {(folder / f"{name}.yml").read_text("utf-8") for name in ("site", "policy", "hosts", "gates")} <= set(streams)


def test_without_libyaml_the_same_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    told = parse_document(hosts(3), "policy.yml")
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    again = parse_document(hosts(3), "policy.yml")
    assert (again.data, again.faults) == (told.data, told.faults)
    assert [again.line_of(("hosts", "mint-00001", key)) for key in ("groups", "disks")] == [8, 9]


def test_ten_times_as_many_hosts_are_ten_times_the_work() -> None:
    few, many = hosts(FEW), hosts(MANY)
    read(few)
    assert calls(lambda: read(many)) <= 10.5 * calls(lambda: read(few))
