from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.policy import Thresholds
from controlplane.domain.sizes import FROM_TEXT, LARGEST, UNITS, format_size, parse_percent, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("1kB", 1000), ("15GB", 15 * 1000**3), ("512MiB", 512 * 1024**2), ("3 TB", 3 * 1000**4), ("1TiB", 1024**4), ("8000000TB", LARGEST)],
)
def test_a_size_is_its_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["15", "0GB", "-1GB", "1.5GB", "15gb", "15G", "15B", "GB", "", " 15GB", "15GB ", "1e3MB", "015GB", "1 5GB", "１５GB", "15  GB", "inf", "15GB\n"],
)
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is no size: write a positive whole number and a unit, such as 15GB or 512MiB"):
        parse_size(text)


def test_a_size_that_no_disk_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="is more than any disk holds"):
        parse_size("8000001TB")


@given(st.integers(1, 10**6), st.sampled_from(sorted(UNITS)))
def test_a_size_survives_being_written_and_read(number: int, unit: str) -> None:
    size = parse_size(f"{number}{unit}")
    assert parse_size(format_size(size)) == size


def test_bytes_that_no_unit_divides_have_no_text() -> None:
    with pytest.raises(ValueError, match="1001 bytes is no whole number of kB or KiB"):
        format_size(1001)


@given(st.integers(1, 100))
def test_a_percentage_survives_being_written_and_read(number: int) -> None:
    assert parse_percent(f"{number}%") == number


@pytest.mark.parametrize("text", ["0%", "101%", "80", "80.5%", "-5%", "080%", "80 %", "%", "٨٠%"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no percentage: write a whole number from 1% to 100%"):
        parse_percent(text)


def test_a_bare_number_is_bytes_once_resolved_and_a_fault_in_a_file() -> None:
    assert Thresholds(images=15).images == 15
    with pytest.raises(ValueError, match="15 has no unit"):
        Thresholds.model_validate({"images": 15}, context=FROM_TEXT)
    with pytest.raises(ValueError, match="True has no unit"):
        Thresholds.model_validate({"images": True})
