"""The files below a site's releases/: specs, manifests, compose files, contracts, and the real environment files.

Rules:
- A path is of releases/ and stays below it, symbolic links included.
- The real environment file is read only if nobody but its owner may use it. What is in it goes to the role alone, and its keyed digest to others.
- What is said of any of these files goes through `EnvValues`, which covers the values of the real ones.
- `mark_tested` changes one field of a manifest, under a lock, and leaves every other byte.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from pathlib import Path

from controlplane.adapters.compose_yaml import LARGEST, read_compose
from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.edit_lock import locked
from controlplane.adapters.env_values import EnvValues
from controlplane.adapters.listing import yaml_files_in
from controlplane.adapters.private_file import read_private
from controlplane.adapters.release_key import keyed_digest
from controlplane.adapters.release_specs import FOLDER, Surroundings, read_manifest, read_manifests, read_spec, stack_names, why_not_below
from controlplane.adapters.strict_yaml import read_document
from controlplane.adapters.text_files import read_text
from controlplane.adapters.yaml_edit import FieldsText
from controlplane.domain.errors import Fault, InputInvalidError, RefusedError, RunFailedError
from controlplane.domain.faults import Place, fault_at
from controlplane.domain.releases.compose_said import ComposeFile
from controlplane.domain.releases.contract import Contract, read_contract
from controlplane.domain.releases.values import Environment, EnvironmentName, ReleaseSpec
from controlplane.domain.releases.wanted import ComposeText
from controlplane.ports.releases import KeptManifest


class ReleaseFolder:
    """The releases of one site."""

    def __init__(self, site: Path) -> None:
        self._site = site
        self._releases = site / FOLDER

    def stacks(self) -> tuple[str, ...]:
        """Return the names of the stacks, sorted; a file that can't be read has a name all the same."""
        return stack_names(self._site)

    def spec(self, stack: str) -> ReleaseSpec:
        """Return what releases/STACK.yml says. Raises `InputInvalidError`."""
        if stack not in self.stacks():
            known = ", ".join(self.stacks()) or "none"
            raise InputInvalidError(
                [Fault(str(self._releases), 0, "", f"there is no stack {stack}: write {stack}.yml there, or name one of {known}")]
            )
        spec, _, faults = read_spec(self._site, stack, Surroundings())
        if faults or spec is None:
            raise InputInvalidError(faults)
        return spec

    def manifests(self, stack: str) -> tuple[KeptManifest, ...]:
        """Return the stack's manifests, the one that was built first first. Raises `InputInvalidError`."""
        kept, faults = read_manifests(self._site, stack, self.spec(stack))
        if faults:
            raise InputInvalidError(faults)
        return tuple(kept)

    def manifest(self, stack: str, name: str) -> KeptManifest:
        """Return one manifest by its name; others may have faults. Raises `InputInvalidError`."""
        found, faults = read_manifest(self._manifest_path(stack, name), stack, self.spec(stack), self.covering())
        if faults or found is None:
            raise InputInvalidError(faults)
        return found

    def compose(self, stack: str, environment: EnvironmentName) -> tuple[ComposeText, ...]:
        """Return the compose files of an environment, in their order, by their names in the stack's folder. Raises `InputInvalidError`."""
        files = self._environment(stack, environment).compose
        return tuple(ComposeText(name=Path(file).name, text=read_text(self._releases / file, limit=LARGEST)) for file in files)

    def parsed(self, stack: str, environment: EnvironmentName) -> tuple[ComposeFile, ...]:
        """Return the compose files of an environment as data, in their order. Raises `InputInvalidError` with the faults of all of them."""
        covers = self.covering()
        read = [(Path(file).name, read_compose(self._releases / file).covered(covers)) for file in self._environment(stack, environment).compose]
        faults = [fault for _, document in read for fault in document.faults]
        if faults:
            raise InputInvalidError(faults)
        return tuple(ComposeFile(name, document.data, document) for name, document in read)

    def contract(self, stack: str, environment: EnvironmentName) -> Contract:
        """Return what the environment file has to hold. Raises `InputInvalidError`."""
        path = self._releases / self._environment(stack, environment).contract
        contract, faults = read_contract(read_text(path), str(path))
        if faults or contract is None:
            covers = self.covering()
            raise InputInvalidError([fault.covered(covers) for fault in faults])
        return contract

    def env_file(self, stack: str, environment: EnvironmentName) -> str:
        """Return the path of the real environment file, from the site's folder."""
        return f"{FOLDER}/{self._environment(stack, environment).env_file}"

    def fault(self, stack: str, place: Place, message: str) -> Fault:
        """Return a fault of releases/STACK.yml, with its line."""
        return fault_at(read_document(self._releases / f"{stack}.yml").covered(self.covering()), place, message)

    def covering(self) -> Callable[[str], str]:
        """Return what hides the values of all environment files in a text."""
        return EnvValues(self._releases).cover

    def shown(self, name: str) -> str:
        """Return a path of the site's folder as messages show it."""
        return str(self._site / name)

    def env_seen(self, stack: str, environment: EnvironmentName) -> tuple[str | None, tuple[Fault, ...]]:
        """Return the text of the real environment file, None where there is none to be read, and what is wrong with the file as such."""
        raw, faults = self._env(stack, environment)
        if raw is None:
            return None, faults
        try:
            return raw.decode(), faults
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            return None, (*faults, Fault(str(self._site / self.env_file(stack, environment)), line, "", "is not UTF-8: save it as UTF-8"))

    def env_text(self, stack: str, environment: EnvironmentName) -> str:
        """Return the text of the real environment file, secrets and all: for the role alone. Raises `InputInvalidError`."""
        text, faults = self.env_seen(stack, environment)
        if faults or text is None:
            raise InputInvalidError(faults)
        return text

    def env_digest(self, stack: str, environment: EnvironmentName) -> str:
        """Return the keyed digest of the real environment file. Raises `InputInvalidError`."""
        return keyed_digest(self._site / "state", self.env_text(stack, environment).encode())

    def smoke_digests(self, stack: str, environment: EnvironmentName) -> dict[str, str]:
        """Return the SHA-256 of each file that decides what an environment's smoke tests ask, by its path below releases/.

        These are the tests, each conftest.py that pytest reads with them, and the modules beside them, which they may import.
        Raises `InputInvalidError`.
        """
        found: dict[str, str] = {}
        for file in self._environment(stack, environment).smoke.files:
            test = self._releases / file
            beside = [path for path in test.parent.glob("*.py") if not path.name.startswith("test_") and path.is_file()]
            above = [folder / "conftest.py" for folder in test.parents if folder.is_relative_to(self._releases)]
            for path in (test, *beside, *(path for path in above if path.is_file())):
                try:
                    found[path.relative_to(self._releases).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
                except OSError as error:
                    raise InputInvalidError([Fault(str(path), 0, "", f"can't be read ({error.strerror}): check its owner and mode")]) from None
        return dict(sorted(found.items()))

    def mark_tested(self, stack: str, name: str, run: str) -> None:
        """Write into a manifest by which run it was tested; every other byte stays. Raises `RefusedError`."""
        path = self._manifest_path(stack, name)
        if path.is_symlink():
            raise RefusedError(f"{path} is a symbolic link, which an atomic write would replace: name the file itself. Nothing was changed.")
        with locked(self._site / "state" / "locks", "releases.lock"):
            text = read_text(path)
            changed = FieldsText(text, str(path)).with_root_field("tested_by", run)
            if changed == text:
                return
            try:
                write_durably(path, changed.encode(), mode=stat.S_IMODE(path.stat().st_mode))
            except OSError as error:
                raise RunFailedError(f"{path} can't be written ({error.strerror}): it is as it was. Mend that, then run this again.") from None

    def _environment(self, stack: str, environment: EnvironmentName) -> Environment:
        spec = self.spec(stack)
        if environment not in spec.environments:
            path = self._releases / f"{stack}.yml"
            told = f"has no {environment}: add it, or name one of {', '.join(spec.environments)}"
            raise InputInvalidError([Fault(str(path), 0, "environments", told)])
        return spec.environments[environment]

    def _env(self, stack: str, environment: EnvironmentName) -> tuple[bytes | None, tuple[Fault, ...]]:
        path = self._site / self.env_file(stack, environment)
        if not path.parent.resolve().is_relative_to(self._releases.resolve()):
            return None, (Fault(str(path), 0, "", "leads out of releases/ by a symbolic link: put the folder itself there"),)
        return read_private(path, shown=str(path))

    def _manifest_path(self, stack: str, name: str) -> Path:
        folder = self._releases / stack / "manifests"
        files, faults = yaml_files_in(folder)
        if faults:
            raise InputInvalidError(faults)
        known = [path.stem for path in files]
        if name not in known:
            told = f"there is no manifest {name}: write {name}.yml there, or name one of {', '.join(known) or 'none'}"
            raise InputInvalidError([Fault(str(folder), 0, "", told)])
        why = why_not_below(self._releases, f"{stack}/manifests/{name}.yml")
        if why:
            raise InputInvalidError([Fault(str(folder / f"{name}.yml"), 0, "", why)])
        return folder / f"{name}.yml"
