"""What the pages tell people to type, open and look for is really there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from controlplane.cli.app import root as program

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "roles").glob("*/README.md")])
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
COMMAND = re.compile(r"(?:\$ )?(?:\S*/)?controlplane (.+)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def typed(page: Path) -> Iterator[str]:
    """Yield what follows `controlplane` in every command line of a page."""
    text = page.read_text("utf-8")
    lines = [line.strip() for block in FENCE.findall(text) for line in block.splitlines()]
    for line in (*lines, *INLINE.findall(FENCE.sub("", text))):
        for part in line.split(" && "):
            found = COMMAND.match(part.strip())
            if found is not None:
                yield found[1]


def words_of(line: str) -> list[str]:
    """Return a line's words as a shell would pass them on; what stands for more (…) ends it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|>")
    lexer.whitespace_split, lexer.commenters = True, "#"
    words: list[str] = []
    for word in lexer:
        if word in {"|", ">"} or "…" in word:
            break
        words.append(word)
    return words


def fault_of(line: str) -> str | None:
    """Return what the program would say against the line, or None."""
    command: click.Command = program
    words = words_of(line)
    context = click.Context(program, info_name="controlplane")
    try:
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            name = words.pop(0)
            found = command.get_command(context, name)
            if found is None:
                return f"there is no verb {name!r}"
            command, context = found, click.Context(found, parent=context, info_name=name)
        if isinstance(command, click.Group) or not words:
            return None
        command.make_context(context.info_name, words, parent=context.parent)
    except click.exceptions.Exit:
        return None
    except click.UsageError as error:
        return error.format_message()
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_line_of_a_page_is_one_that_the_program_takes(page: Path) -> None:
    faults = {line: fault for line in typed(page) if (fault := fault_of(line)) is not None}
    assert faults == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(FENCE.sub("", page.read_text("utf-8"))) if "://" not in link and not link.startswith("#")]
    broken = [link for link in links if not (page.parent / link.partition("#")[0]).exists()]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_into_a_page_finds_its_heading(page: Path) -> None:
    links = [link.partition("#") for link in LINK.findall(page.read_text("utf-8")) if "#" in link and "://" not in link]
    missing = [anchor for path, _, anchor in links if anchor not in headings(page.parent / path if path else page)]
    assert missing == []


def headings(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_everything_that_the_readme_says_of_the_tree_is_there() -> None:
    tree = (ROOT / "README.md").read_text("utf-8").partition("## Where things are")[2].partition("\n## ")[0]
    rows = [line.split("|")[1].strip().strip("`") for line in tree.splitlines() if line.startswith("| `")]
    assert len(rows) >= 10
    assert [path for path in rows if not (ROOT / path).is_dir()] == []


def test_scripts_that_pages_name_can_be_run() -> None:
    named = {name for page in PAGES for name in re.findall(r"\bscript/[a-z]+\b", page.read_text("utf-8"))}
    assert [name for name in sorted(named) if not (ROOT / name).stat().st_mode & 0o111] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or not page.exists():
            continue
        seen.add(page)
        todo += [(page.parent / link.partition("#")[0]).resolve() for link in LINK.findall(page.read_text("utf-8")) if ".md" in link]
    assert [str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md") if page not in seen] == []


def test_a_wrong_option_in_a_page_would_be_noticed() -> None:
    told = [fault_of("audit --hots mint-data"), fault_of("frobnicate"), fault_of("approve"), fault_of("apply plan.json --now")]
    assert told[0] is not None
    assert told[1] == "there is no verb 'frobnicate'"
    assert told[2] is None
    assert told[3] is not None
