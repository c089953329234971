"""The mirror is the one that the machine's own apt sources name."""

from pathlib import Path

import pytest

from controlplane.adapters.lab.apt_sources import debian_mirror
from controlplane.domain.errors import RefusedError

DEB822 = """\
Types: deb
# a comment between fields
URIs: http://mirror.example.org/debian/
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.example.org/debian-security
Suites: bookworm-security
Components: main
"""


def apt(tmp_path: Path, **files: str) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    for name, text in files.items():
        (tmp_path / name.replace("__", "/").replace("_", ".")).write_text(text)
    return tmp_path


def test_a_deb822_stanza_names_the_mirror(tmp_path: Path) -> None:
    assert debian_mirror(apt(tmp_path, sources_list="", **{"sources.list.d__debian_sources": DEB822})) == "http://mirror.example.org/debian"


def test_a_one_line_entry_with_options_names_the_mirror(tmp_path: Path) -> None:
    line = "# deb http://old.example.org/debian bookworm main\ndeb [arch=amd64 signed-by=/k.gpg] http://a.example.org/debian bookworm main\n"
    assert debian_mirror(apt(tmp_path, sources_list=line)) == "http://a.example.org/debian"


def test_source_entries_disabled_stanzas_and_other_suites_are_no_mirror(tmp_path: Path) -> None:
    disabled = DEB822.replace("Types: deb\n#", "Types: deb\nEnabled: no\n#")
    folder = apt(tmp_path, sources_list="deb-src http://s.example.org/debian bookworm main\n", **{"sources.list.d__debian_sources": disabled})
    with pytest.raises(RefusedError) as refusal:
        debian_mirror(folder)
    assert str(refusal.value) == (
        f"The lab can't build its image: no apt source under {folder} names a mirror for 'bookworm'. "
        "Add one (deb <mirror> bookworm main) and run it again. Nothing was changed."
    )


def test_a_file_that_apt_would_not_read_is_not_read(tmp_path: Path) -> None:
    folder = apt(tmp_path, sources_list="deb http://a.example.org/debian bookworm main\n", **{"sources.list.d__x_bak": DEB822})
    assert debian_mirror(folder) == "http://a.example.org/debian"
