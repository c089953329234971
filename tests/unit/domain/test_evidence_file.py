"""Evidence as a document: what is written is read back, and what a host can't mean is refused or made harmless."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.errors import InputInvalidError
from controlplane.domain.evidence import Evidence, ProbeRecord, Unreached
from controlplane.domain.evidence_file import evidence_document, read_evidence
from controlplane.domain.evidence_text import evidence_text, load_evidence_text
from controlplane.domain.plain_json import load_plain
from tests.fakes.evidence_builder import EvidenceBuilder


def test_what_is_written_is_read_back() -> None:
    seen = {"a": EvidenceBuilder().build("a"), "b": Unreached(host="b", reason="refused")}
    assert read_evidence(json.dumps(evidence_document(seen)), file="f") == seen


def test_whether_a_connection_came_about_is_not_written_down() -> None:
    lost = Unreached(host="b", reason="refused", unconnected=True)
    assert evidence_document({"b": lost})["unreached"] == [{"host": "b", "reason": "refused"}]
    assert "unconnected" not in EvidenceBuilder().build("a").model_copy(update={"unconnected": True}).model_dump(mode="json")


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
        (
            '{"schema_version": 1, "hosts": [{"host": "a"}]}',
            "f: hosts[0].asked: Field required: write the file again with 'controlplane evidence --out FILE'",
        ),
        ('{"schema_version": NaN, "hosts": []}', "f: is no JSON (NaN is no JSON number)"),
        ("[" * 100_000, "f: is no JSON (it is nested too deep)"),
        (
            '{"hosts": [{"host": "a\n1\nb", "probes": {"tmp": {"data": NaN}}}], "schema_version": 1}',
            "f:1: is no JSON (Invalid control character at: line 1 column 23 (char 22))",
        ),
    ],
)
def test_what_is_no_evidence_is_refused(text: str, fault: str) -> None:
    with pytest.raises(InputInvalidError) as refusal:
        read_evidence(text, file="f")
    assert str(refusal.value).splitlines()[0] == fault


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ({"hosts": [{"host": "a", "asked": {}, "probes": {}}], "unreached": 3}, ["hosts[0].collected_at", "schema_version", "unreached"]),
        ({"unreached": [{"host": "a"}]}, ["hosts", "schema_version", "unreached[0].reason"]),
        ({"schema_version": 1, "hosts": {}, "unreached": [1]}, ["hosts", "unreached[0]"]),
        ({"schema_version": 2, "hosts": [3]}, ["schema_version"]),
    ],
)
def test_every_fault_of_what_is_no_evidence_is_listed_with_its_field(document: dict[str, Any], fields: list[str]) -> None:
    with pytest.raises(InputInvalidError) as refusal:
        read_evidence(json.dumps(document), file="f")
    assert [fault.field for fault in refusal.value.faults] == fields


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


# A key that is there twice.


def two_hosts() -> dict[str, Any]:
    """Return the document of two hosts, one of them with a probe that failed, and of one that was not reached."""
    hosts = {"a": EvidenceBuilder().build("a"), "b": EvidenceBuilder().fail("tmp", error="\x1b \u20ac").build("b")}
    return evidence_document({**hosts, "c": Unreached(host="c", reason="refused")})


FORMS = {
    "as it is written": evidence_text,
    "with more on lines of data": lambda document: evidence_text(document)[:-1].replace('"unreached": ', '"unreached":\n') + "\n}",
    "in one line": json.dumps,
    "indented": lambda document: json.dumps(document, indent=1),
    "a line for each host": lambda document: json.dumps(document).replace('{"schema_version": 1, "host"', '\n{"schema_version": 1, "host"'),
    "a host on a line of data": lambda document: (
        '{"schema_version": 1, "hosts": [' + ", ".join(f"\n{json.dumps(one)}\n" for one in document["hosts"]) + '], "unreached": []}'
    ),
}
TWINS = {
    '"hosts": [': '"hosts": [], "hosts": [',
    '"collected_at": ': '"collected_at": "2020-01-01T00:00:00Z", "collected_at": ',
    '"probes": {': '"probes": {}, "probes": {',
    '"tmp": {': '"tmp": {"status": "failed", "error": "boom", "seconds": 0.1, "data": null}, "tmp": {',
    '"status": ': '"status": "failed", "status": ',
    '"data": ': '"data": {}, "data": ',
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", TWINS)
def test_a_key_that_is_there_twice_is_refused_with_its_name_whatever_the_form_of_the_file(form: str, key: str) -> None:
    text = FORMS[form](two_hosts())
    assert len(read_evidence(text, file="f")) == (2 if form == "a host on a line of data" else 3)
    at = text.index(key.rstrip() if key == '"data": ' else key)
    assert text.count(TWINS[key]) == 0
    twice = text[:at] + TWINS[key].removesuffix(key) + text[at:]
    assert json.loads(twice)
    with pytest.raises(InputInvalidError) as refusal:
        read_evidence(twice, file="f")
    name = key.split('"')[1]
    assert str(refusal.value) == f"f: the key '{name}' is there twice: write it again with 'controlplane evidence --out FILE'"
    assert refusal.value.exit_code == 2


def test_a_failed_probe_after_the_data_of_the_same_one_is_refused_too() -> None:
    text = evidence_text(two_hosts())
    before, mark, after = text.partition('\n}, "units": ')
    with pytest.raises(InputInvalidError, match="the key 'status' is there twice"):
        read_evidence(f'{before}\n, "status": "ok"{mark[1:]}{after}', file="f")
    with pytest.raises(InputInvalidError, match="the key 'data' is there twice"):
        read_evidence(f'{before}, "data": null{mark}{after}', file="f")


def test_what_is_written_is_searched_without_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search of all of it takes so long that it would show."""

    def slow(_: bytes) -> None:
        raise AssertionError("all of it was searched")

    monkeypatch.setattr("controlplane.domain.evidence_text.load_without_twins", slow)
    assert load_evidence_text(evidence_text(two_hosts())) == two_hosts()


def test_a_word_that_stands_for_data_inside_and_is_a_hosts_own_comes_through() -> None:
    seen = {"a": EvidenceBuilder().fail("tmp", error="NaN").build("a"), "NaN": EvidenceBuilder().build("NaN")}
    assert read_evidence(evidence_text(evidence_document(seen)), file="f") == seen


def test_what_is_written_is_json_with_the_data_of_each_probe_on_every_second_line() -> None:
    document = two_hosts()
    text = evidence_text(document)
    assert json.loads(text) == document
    probes = [record["data"] for host in document["hosts"] for _, record in sorted(host["probes"].items())]
    assert [json.loads(line) for line in text.split("\n")[1::2]] == probes
    assert evidence_text({"schema_version": 1, "hosts": [], "unreached": []}) == '{"hosts": [], "schema_version": 1, "unreached": []}'


def test_half_a_pair_and_control_characters_come_through_in_the_form_that_is_written() -> None:
    builder = EvidenceBuilder().fail("usage", error="\udcff\x1b")
    builder.probes["tmp"]["files"] = [{"path": "/tmp/\udcff\n", "size": 1}]
    [one] = read_evidence(evidence_text(evidence_document({"a": builder.build("a")})), file="f").values()
    assert isinstance(one, Evidence)
    assert (one.probes["tmp"].data["files"][0]["path"], one.probes["usage"].error) == ("/tmp/?\n", "?\x1b")


@given(st.data())
def test_lines_that_end_anywhere_change_nothing_of_what_is_read(data: st.DataObject) -> None:
    words = evidence_text(evidence_document({"a": Evidence(host="a", collected_at="x", asked={"p": [1, 2]}, probes=PROBES)})).split(" ")
    text = "".join(word + data.draw(st.sampled_from([" ", "\n", "\n\n"])) for word in words)
    assert load_evidence_text(text) == json.loads(text)


PROBES = {name: ProbeRecord(status="ok", seconds=0.5, data=value) for name, value in (("m", [1]), ("n", {"a": None}), ("o", 1), ("p", True))}
