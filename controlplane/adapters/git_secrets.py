"""Secrets where everybody reads them: in a site's files, in what git has staged, in every commit of every branch and what is said of it.

Rules:
- The values of the real environment files are looked for in the whole repository; tokens by their form in what is, or was, below the site's folder,
  and in messages.
- An environment file is ignored by a rule that the repository carries, not by one of this machine alone, and was never committed; of what was,
  releases/revoked.txt can say that every secret in it was changed.
- What could not be looked at is a doubt: no git, no repository, a clone without all of the history, a file that can't be read, too little time.
- Only names of files, of variables and of forms leave this module.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from controlplane.adapters.git_command import git_argv, git_environment
from controlplane.adapters.git_stream import PIECE, Brought, GitFailedError, GitStreams
from controlplane.adapters.revoked_tokens import read_revoked
from controlplane.domain.releases.leaks import Leak, Looked
from controlplane.domain.releases.secret_forms import Found, Needle, look_through, needles_of

_LIMIT_S = 300.0
_ASK_S = 30.0
# What the program itself writes there, which no commit holds.
_OWN = "state"
# What ignores a file, without the rules that this machine has for all repositories.
_IGNORING = ("-c", "core.excludesFile=/dev/null", "check-ignore")
_EXCLUDE = b"info/exclude"


class _Repository(NamedTuple):
    top: Path
    # The site's folder from the repository's top, with a slash at its end, empty where it is the top.
    prefix: bytes


class GitSecrets:
    """Looks for secrets of one site."""

    def __init__(self, site: Path, *, limit_s: float = _LIMIT_S) -> None:
        self._site, self._limit_s = site, limit_s

    def look(self, secrets: Mapping[str, Collection[str]], env_files: Collection[str]) -> Looked:
        """Return what is where it should not be. `secrets` are values by the names of their variables, `env_files` paths from the site's folder.

        Raises `InputInvalidError` where releases/revoked.txt has faults.
        """
        revoked = read_revoked(self._site)
        needles = needles_of(secrets)
        try:
            repository = self._repository()
        except GitFailedError as error:
            looked = self._in_files(self._walked(), needles, env_files)
            told = f"{error}, so whether git would take the environment files, or its history holds a secret, can't be told"
            return looked.model_copy(update={"doubts": (*looked.doubts, told)})
        found = [*self._env_files(repository, env_files)]
        doubts = list(self._clone_doubts())
        files = self._in_files(self._listed(repository, doubts), needles, env_files)
        with GitStreams(repository.top, limit_s=self._limit_s) as streams:
            past = _Past(streams, repository, needles, [os.fsencode(name) for name in env_files], revoked)
            try:
                past.look()
            except GitFailedError as error:
                doubts.append(f"{error}, so the history was not looked through to its end")
        return Looked(
            leaks=tuple(dict.fromkeys([*found, *files.leaks, *past.leaks])),
            doubts=(*files.doubts, *doubts, *past.doubts),
            files=files.files,
            commits=streams.commits,
            blobs=past.blobs,
            revoked=past.revoked_seen,
        )

    def _repository(self) -> _Repository:
        top, code = self._ask("rev-parse", "--show-toplevel")
        prefix, _ = self._ask("rev-parse", "--show-prefix")
        if code != 0:
            raise GitFailedError(f"{self._site} is in no git repository that can be read")
        return _Repository(Path(os.fsdecode(top.rstrip(b"\n"))), prefix.rstrip(b"\n"))

    def _clone_doubts(self) -> Iterator[str]:
        shallow, _ = self._ask("rev-parse", "--is-shallow-repository")
        if shallow.strip() != b"false":
            yield "this clone lacks older commits, which may hold secrets: git fetch --unshallow"
        _, code = self._ask("config", "--get-regexp", r"^(remote\..*\.promisor|extensions\.partialclone)$")
        if code != 1:
            yield "this clone lacks contents of older commits, which may hold secrets: clone it without --filter"

    def _env_files(self, repository: _Repository, env_files: Collection[str]) -> Iterator[Leak]:
        del repository
        for name in env_files:
            shown = str(self._site / name)
            _, tracked = self._ask("--literal-pathspecs", "ls-files", "--error-unmatch", "--", name)
            if tracked == 0:
                told = "is tracked by git: git rm --cached it, and have every secret in it changed"
                yield Leak(kind="env-file", file=shown, line=0, what=told)
            _, code = self._ask(*_IGNORING, "--quiet", "--no-index", "--", name)
            if code != 0:
                told = "is not ignored by git, so the next 'git add' may take it: write /.env.* and !/.env.*.example into the .gitignore beside it"
                yield Leak(kind="env-file", file=shown, line=0, what=told)
            elif why := self._why_own(name):
                yield Leak(kind="env-file", file=shown, line=0, what=why)

    def _why_own(self, name: str) -> str:
        """Say why the rule that ignores a file is this clone's alone, empty where git has it."""
        said, _ = self._ask(*_IGNORING, "--verbose", "--no-index", "-z", "--stdin", given=os.fsencode(name))
        source, _, pattern, *_ = [*said.split(b"\0"), b"", b"", b""]
        if source.endswith(_EXCLUDE):
            return "is ignored by this clone's own .git/info/exclude alone: write the rule into a .gitignore, which others get too"
        held, _ = self._ask("cat-file", "blob", f":{os.fsdecode(source)}")
        if pattern.rstrip() in (line.rstrip() for line in held.splitlines()):
            return ""
        return f"is ignored by a rule that git does not have: git add {os.fsdecode(source)}, and commit it, so that others get it too"

    def _listed(self, repository: _Repository, doubts: list[str]) -> Iterator[Path]:
        """Yield the site's files that git has or would take, and what elsewhere in the repository differs from what it has."""
        top = repository.top
        listings = (
            (self._site, ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]),
            (top, ["ls-files", "-z", "--modified", "--others", "--exclude-standard"]),
        )
        seen: set[Path] = set()
        for folder, words in listings:
            said, code = self._ask(*words, folder=folder)
            if code != 0:
                doubts.append(f"git does not list the files of {folder}, so they were not looked through")
            for name in said.split(b"\0") if code == 0 else ():
                path = folder / os.fsdecode(name)
                real = path.absolute()
                if name and real not in seen:
                    seen.add(real)
                    yield path

    def _walked(self) -> Iterator[Path]:
        for folder, folders, names in os.walk(self._site):
            if Path(folder) == self._site and _OWN in folders:
                folders.remove(_OWN)
            yield from (Path(folder, name) for name in sorted(names))

    def _in_files(self, paths: Iterator[Path], needles: Sequence[Needle], env_files: Collection[str]) -> Looked:
        leaks: list[Leak] = []
        doubts: list[str] = []
        number = 0
        own = {(self._site / name).absolute() for name in env_files}
        site = self._site.absolute()
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                doubts.append(f"{path} is a repository of its own, which was not looked through")
            if path.absolute() in own or path.is_symlink() or not path.is_file():
                continue
            try:
                with path.open("rb") as stream:
                    found = look_through(iter(lambda: stream.read(PIECE), b""), needles, forms=path.absolute().is_relative_to(site))
            except OSError as error:
                doubts.append(f"{path} can't be read ({error.strerror}), so it was not looked through")
                continue
            number += 1
            leaks += [Leak(kind="value" if one.known else "form", file=str(path), line=one.line, what=one.what) for one in found]
        return Looked(leaks=tuple(leaks), doubts=tuple(doubts), files=number)

    def _ask(self, *words: str, folder: Path | None = None, given: bytes = b"") -> tuple[bytes, int]:
        try:
            done = subprocess.run(
                git_argv(folder or self._site, words),
                input=given,
                capture_output=True,
                timeout=_ASK_S,
                check=False,
                env=git_environment(),
            )
        except OSError as error:
            raise GitFailedError(f"git can't be started ({error.strerror})") from None
        except subprocess.TimeoutExpired:
            raise GitFailedError(f"git gave no answer within {_ASK_S:.0f} s") from None
        return done.stdout, done.returncode


class _Past:
    """One walk through the index and the history; each content is looked through once, or twice where it also lay below the site."""

    def __init__(
        self, streams: GitStreams, repository: _Repository, needles: Sequence[Needle], env_files: Collection[bytes], revoked: Mapping[str, str]
    ) -> None:
        self._streams, self._repository, self._needles, self._revoked = streams, repository, needles, revoked
        self._env_files = {repository.prefix + name for name in env_files}
        self._seen: set[tuple[bytes, bool]] = set()
        self._told: set[Brought] = set()
        self._revoked_seen: set[str] = set()
        self.leaks: list[Leak] = []
        self.doubts: list[str] = []
        self.blobs = 0

    @property
    def revoked_seen(self) -> int:
        """Return of how many contents the word stands that nothing in them opens anything any more."""
        return len(self._revoked_seen)

    def look(self) -> None:
        for one, pieces in self._streams.contents(self._new()):
            if pieces is None:
                self.doubts.append(f"git lacks the content of {_shown(one)}, so it was not looked through: try 'git fsck'")
                continue
            self.blobs += bool(one.path)
            found = look_through(pieces, self._needles, forms=self._is_of_site(one)) if one.path else self._in_message(pieces)
            if one.blob in self._revoked and any(not hit.known for hit in found):
                self._revoked_seen.add(one.blob)
                found = tuple(hit for hit in found if hit.known)
            self.leaks += [
                Leak(kind="value" if hit.known else "form", file=_shown(one), line=hit.line, what=hit.what, blob=one.blob) for hit in found
            ]

    def _new(self) -> Iterator[Brought]:
        """Yield what was not looked through yet, history first, so that the commit that brought it is the one that is told."""
        for stream in (self._streams.history(), self._streams.tags(), self._streams.index()):
            for one in stream:
                if one.path in self._env_files and one.commit:
                    self._committed(one)
                forms = self._is_of_site(one)
                key = (bytes.fromhex(one.blob), forms)
                if key not in self._seen:
                    self._seen.add(key)
                    yield one

    def _committed(self, one: Brought) -> None:
        """Note an environment file that a commit has, once for each content, unless its secrets are said to be changed."""
        if one.blob in self._revoked:
            self._revoked_seen.add(one.blob)
            return
        seen = one._replace(commit="")
        if seen not in self._told:
            self._told.add(seen)
            told = "is an environment file that was committed, and whoever cloned the repository has every secret in it"
            self.leaks.append(Leak(kind="env-file", file=_shown(one), line=0, what=told, blob=one.blob))

    def _in_message(self, pieces: Iterator[bytes]) -> tuple[Found, ...]:
        """Return what is found in a commit or a tag, by the lines of its message, 0 for what stands above that."""
        whole = b"".join(pieces)
        above = whole.partition(b"\n\n")[0].count(b"\n") + 2
        found = look_through([whole], self._needles, forms=True)
        return tuple(Found(max(0, one.line - above), f"{one.what} in its message", one.known) for one in found)

    def _is_of_site(self, one: Brought) -> bool:
        return one.path.startswith(self._repository.prefix)


def _shown(one: Brought) -> str:
    """Return a content, or a commit with its message, as `git show` takes it."""
    path = os.fsdecode(one.path)
    return f"{one.commit[:12]}:{path}" if path else one.commit[:12]
