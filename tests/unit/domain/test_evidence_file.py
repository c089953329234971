"""Evidence as a document: what is written is read back, and what a host can't mean is refused or made harmless."""

from __future__ import annotations

import hashlib
import json

import pytest

from controlplane.domain.errors import InputInvalidError
from controlplane.domain.evidence import Evidence, ProbeRecord, Unreached
from controlplane.domain.evidence_file import evidence_document, read_evidence
from controlplane.domain.plain_json import load_plain
from tests.fakes.evidence_builder import EvidenceBuilder


def test_what_is_written_is_read_back() -> None:
    seen = {"a": EvidenceBuilder().build("a"), "b": Unreached(host="b", reason="refused")}
    assert read_evidence(json.dumps(evidence_document(seen)), file="f") == seen


def test_one_hosts_evidence_by_itself_is_read_as_well() -> None:
    one = EvidenceBuilder().build("a")
    assert read_evidence(one.model_dump_json(), file="f") == {"a": one}


def test_the_digest_is_that_of_the_whole_record() -> None:
    one = EvidenceBuilder().fail("tmp").build("a")
    again = Evidence.model_validate(json.loads(one.model_dump_json()))
    assert one.digest() == again.digest()
    assert one.digest() != EvidenceBuilder().build("a").digest()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "f:1: is no JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))"),
        ("[]", "f: is no evidence: write it with 'controlplane evidence --out FILE'"),
        ('{"schema_version": 2, "hosts": []}', "f: schema_version: is 2, this version reads 1"),
        ('{"schema_version": 1, "hosts": [{"host": "a"}]}', "f: hosts[0].asked: Field required"),
        ('{"schema_version": NaN, "hosts": []}', "f: is no JSON (NaN is no JSON number)"),
        ("[" * 100_000, "f: is no JSON (it is nested too deep)"),
    ],
)
def test_what_is_no_evidence_is_refused(text: str, fault: str) -> None:
    with pytest.raises(InputInvalidError) as refusal:
        read_evidence(text, file="f")
    assert str(refusal.value).splitlines()[0] == fault


def test_a_host_that_is_there_twice_is_refused() -> None:
    one = EvidenceBuilder().build("a").model_dump(mode="json")
    with pytest.raises(InputInvalidError) as refusal:
        read_evidence(json.dumps({"schema_version": 1, "hosts": [one, one]}), file="f")
    assert str(refusal.value) == "f: hosts[1].host: a is there twice"


def test_a_file_name_that_is_no_text_can_be_digested_and_printed() -> None:
    builder = EvidenceBuilder()
    builder.probes["tmp"]["files"] = [{"path": "/tmp/\udcff", "size": 12_000_000}]
    text = json.dumps({"schema_version": 1, "hosts": [builder.build("a").model_dump()]})
    one = read_evidence(text, file="f")["a"]
    assert isinstance(one, Evidence)
    assert one.probes["tmp"].data["files"][0]["path"] == "/tmp/?"
    assert one.digest().startswith("sha256:")


def test_whole_pairs_and_plain_text_stay() -> None:
    assert load_plain(r'"\ud83d\ude00 \u00e4"') == "😀 ä"
    assert load_plain(b'"\\uDCFF"') == "?"


@pytest.mark.parametrize(
    "text", ["1e400", "-0", "-0.0", "1E5", "123456789012345678901234567890", "5e-324", '{"a": 1, "a": 2}', '"\\u0000\x7f"', " [1] "]
)
def test_what_is_read_fast_is_what_the_slow_way_reads(text: str) -> None:
    assert repr(load_plain(text)) == repr(json.loads(text))


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "[" * 300_000, "01", '"\t"', "[1,]", ""])
def test_what_is_no_json_is_refused_both_ways(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        load_plain(text)


def test_deep_nesting_is_read_as_far_as_python_goes() -> None:
    assert json.dumps(load_plain("[" * 500 + "]" * 500)) == "[" * 500 + "]" * 500


def test_a_digest_is_that_of_sorted_keys_no_spaces_and_plain_utf8() -> None:
    probe = ProbeRecord(status="ok", seconds=1e-05, data={"ä": [1.5, None, True, "\u2028\x7f"], "Z": {}})
    evidence = Evidence(host="h", collected_at="2026-01-01T00:00:00Z", asked={}, probes={"b": probe, "a": probe})
    each = '{"data":{"Z":{},"ä":[1.5,null,true,"\u2028\x7f"]},"error":null,"seconds":1e-05,"status":"ok"}'
    text = f'{{"asked":{{}},"collected_at":"2026-01-01T00:00:00Z","host":"h","probes":{{"a":{each},"b":{each}}},"schema_version":1}}'
    assert evidence.digest() == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    [read] = read_evidence(json.dumps(evidence_document({"h": evidence})), file="f").values()
    assert isinstance(read, Evidence)
    assert read.digest() == evidence.digest()
