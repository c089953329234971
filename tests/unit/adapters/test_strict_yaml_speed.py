"""A policy of ten thousand hosts is read by libyaml, and in a time that grows with it and no faster."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.adapters.site_files import SiteFolder
from controlplane.adapters.strict_yaml import parse_document

ROOT = Path(__file__).resolve().parents[3]
FEW, MANY = 1_000, 10_000
needs_libyaml = pytest.mark.skipif(not yaml.__with_libyaml__, reason="this PyYAML was built without libyaml (https://pyyaml.org/wiki/LibYAML)")


def hosts(number: int) -> str:
    """Return a policy's hosts: nested mappings, a list, quoted text, numbers."""
    row = '  mint-{0:05}:\n    groups: [mint, "data {0}"]\n    disks:\n      - serial: DATA{0:05}\n        min_size: {0}\n'
    return "hosts:\n" + "".join(row.format(at) for at in range(number))


def seconds(text: str, times: int) -> float:
    """Return this process' own seconds for it, the least of so many times: what else the machine does costs none of them."""
    spent = []
    for _ in range(times):
        began = time.process_time()
        document = parse_document(text, "policy.yml")
        spent.append(time.process_time() - began)
        assert not document.faults
    return min(spent)


@needs_libyaml
def test_what_reads_a_policy_is_libyaml_s_parser_and_never_the_one_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    from yaml._yaml import CParser

    read: list[str] = []

    class Noted(yaml.CSafeLoader):
        def __init__(self, stream: Any) -> None:
            read.append(stream)
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
    assert {(folder / f"{name}.yml").read_text("utf-8") for name in ("site", "policy", "hosts", "gates")} <= set(read)


def test_without_libyaml_the_same_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    told = parse_document(hosts(3), "policy.yml")
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    again = parse_document(hosts(3), "policy.yml")
    assert (again.data, again.faults) == (told.data, told.faults)
    assert [again.line_of(("hosts", "mint-00001", key)) for key in ("groups", "disks")] == [8, 9]


def test_ten_times_as_many_hosts_take_about_ten_times_as_long() -> None:
    few, many = hosts(FEW), hosts(MANY)
    seconds(few, 1)
    assert seconds(many, 2) <= 15 * seconds(few, 5)
