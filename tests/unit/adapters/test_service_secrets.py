"""Passwords are read on the controller where the policy says, and what can't be read is a reason that holds none of them."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

from controlplane.adapters.ansible_project import control_directory, inventory_json
from controlplane.adapters.collector import bundle
from controlplane.adapters.evidence import _action
from controlplane.adapters.runner import Event, run_playbook
from controlplane.adapters.service_secrets import SiteSecrets, in_memory
from controlplane.domain.desired import DesiredHost
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.services import Auth, PostgresService, RedisService, Service

CANARY = "c4nary Zx9-ü"


def _of(site: Path, environment: Mapping[str, str] | None = None, **auth: str) -> dict[str, dict[str, str]]:
    service = RedisService(data="/data", place="/mnt/data/redis", auth=Auth(**auth))
    return SiteSecrets(site, environment or {}).of(DesiredHost(host="a", services={"cache": service}))


def _file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "redis.password"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_variable_of_the_controller_is_read_and_one_that_is_not_set_is_left_to_the_container(tmp_path: Path) -> None:
    assert _of(tmp_path, {"REDIS_PW": CANARY}, password_env="REDIS_PW") == {"cache": {"password": CANARY}}
    assert _of(tmp_path, {"OTHER": CANARY}, password_env="REDIS_PW") == {}
    why = "the controller's environment variable REDIS_PW is empty: write the password there"
    assert _of(tmp_path, {"REDIS_PW": ""}, password_env="REDIS_PW") == {"cache": {"why": why}}


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_file_is_read_from_the_sites_folder_or_by_its_whole_path(tmp_path: Path, end: bytes) -> None:
    path = _file(tmp_path, CANARY.encode() + end)
    assert _of(tmp_path, password_file="redis.password") == {"cache": {"password": CANARY}}
    assert _of(Path("/nonexistent"), password_file=str(path)) == {"cache": {"password": CANARY}}


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (CANARY.encode(), 0o640, "has mode 0640, others than its owner may use it: chmod 600 FILE"),
        (CANARY.encode(), 0o604, "has mode 0604, others than its owner may use it: chmod 600 FILE"),
        (b"", 0o600, "is empty: write the password there"),
        (b"\n", 0o600, "is empty: write the password there"),
        (b"c" * 4097, 0o600, "holds more than 4096 bytes, which is no password: name the right one"),
        (b"c" * (1 << 20), 0o600, "holds more than 4096 bytes, which is no password: name the right one"),
        (f"{CANARY}\nmore\n".encode(), 0o600, "holds a line break or a control character: write the password alone, on one line"),
        (b"\xff\xfe", 0o600, "is not UTF-8: write the password as plain text"),
    ],
)
def test_a_file_that_is_not_private_or_holds_no_password_is_a_reason(tmp_path: Path, content: bytes, mode: int, why: str) -> None:
    path = _file(tmp_path, content, mode)
    assert _of(tmp_path, password_file="redis.password") == {"cache": {"why": f"the password file {path} {why.replace('FILE', str(path))}"}}


def test_what_is_no_file_is_a_reason_and_nothing_waits_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    whys = [_of(tmp_path, password_file=name)["cache"]["why"] for name in ("absent", "pipe")]
    assert whys == [
        f"the password file {tmp_path}/absent does not exist on the controller: create it with mode 0600",
        f"the password file {tmp_path}/pipe is no regular file: name a file",
    ]


def _vault(site: Path, text: str) -> dict[str, str]:
    """Encrypt `text` as the site's vault; return the environment that opens it."""
    (site / "vault.key").write_text("open sesame\n")
    # As `ansible-vault encrypt` does, which takes half a second to start.
    (site / "vault.yml").write_bytes(VaultLib().encrypt(text, VaultSecret(b"open sesame")))
    return {**os.environ, "ANSIBLE_VAULT_PASSWORD_FILE": str(site / "vault.key")}


def test_a_variable_of_the_vault_is_read_as_ansible_opens_it_and_nothing_is_written(tmp_path: Path) -> None:
    environment = _vault(tmp_path, f'redis_pw: "{CANARY}"\nother: {{nested: [1]}}\n')
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    one = RedisService(data="/data", place="/mnt/data/redis")
    services: dict[str, Service] = {name: one.model_copy(update={"auth": Auth(vault=name)}) for name in ("redis_pw", "redis", "other")}
    vault = f"{tmp_path}/vault.yml"
    assert SiteSecrets(tmp_path, environment).of(DesiredHost(host="a", services=services)) == {
        "redis_pw": {"password": CANARY},
        "redis": {"why": f"{vault} has no variable redis: add it with ansible-vault edit"},
        "other": {"why": f"other in {vault} is no text: write it in quotes, with ansible-vault edit"},
    }
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_vault_that_does_not_open_is_a_reason_that_says_what_opens_it(tmp_path: Path) -> None:
    environment = _vault(tmp_path, f'redis_pw: "{CANARY}"\n')
    (tmp_path / "vault.key").write_text("something else\n")
    why = _of(tmp_path, environment, vault="redis_pw")["cache"]["why"]
    reason = "Decryption failed (no vault secrets were found that could decrypt)"
    advice = "Name the file with its password in ANSIBLE_VAULT_PASSWORD_FILE, or in ansible.cfg"
    assert why == f"{tmp_path}/vault.yml could not be decrypted: {reason}. {advice}"


def test_a_vault_that_is_not_there_not_encrypted_or_no_mapping_is_a_reason_that_quotes_nothing(tmp_path: Path) -> None:
    vault = tmp_path / "vault.yml"
    absent = f"{vault} can't be read (No such file or directory): create it with ansible-vault create {vault}"
    assert _of(tmp_path, vault="redis_pw") == {"cache": {"why": absent}}
    vault.write_text(f"redis_pw: {CANARY}\n")
    assert _of(tmp_path, vault="redis_pw") == {"cache": {"why": f"{vault} is not encrypted: run ansible-vault encrypt {vault}"}}
    why = _of(tmp_path, _vault(tmp_path, f"redis_pw: *{CANARY}\n"), vault="redis_pw")["cache"]["why"]
    assert why == f'{vault} is no plain mapping of names to passwords: write each as name: "password", with ansible-vault edit'


def test_only_what_is_logged_in_to_is_told(tmp_path: Path) -> None:
    auth = Auth(password_env="PW")
    services = {"db": PostgresService(data="/d", place="/mnt/data/db", auth=auth), "open": RedisService(data="/d", place="/mnt/data/open")}
    secrets = SiteSecrets(tmp_path, {"PW": CANARY})
    assert secrets.of(DesiredHost(host="a", services=services)) == {}
    assert secrets.of(None) == {}


def _watch(folder: Path, word: str, over: threading.Event, found: set[tuple[str, str]]) -> None:
    """Note what is seen where until it is over: in arguments and environments of processes, and in files below `folder`."""
    while not over.wait(0.02):
        files = [("file", Path(top) / name) for top, _, names in os.walk(folder) for name in names]
        pids = [entry for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208 - names only, and often
        for kind, place in (*files, *((part, Path(f"/proc/{pid}/{part}")) for pid in pids for part in ("cmdline", "environ"))):
            try:
                content = place.read_bytes()
            except OSError:
                continue
            found.update((kind, needle) for needle in (word, "cp-told-apart", str(folder)) if needle.encode() in content)


def test_what_is_told_arrives_on_standard_input_and_is_in_no_argument_environment_or_file(tmp_path: Path) -> None:
    hosts = [InventoryHost(name=name, variables={"ansible_connection": "local"}) for name in ("told", "other", "cp-told-apart")]
    command = "if [ '{{ inventory_hostname }}' = cp-told-apart ]; then echo nothing; else head -n 1 | wc -c; sleep 1; fi"
    play = '[{"hosts": "all", "gather_facts": false, "tasks": [{"look": {"command": "COMMAND", "told": "{{ place }}"}}]}]'
    heard: dict[str, str] = {}
    events: list[str] = []

    def hear(event: Event) -> None:
        events.append(str(event))
        if event.get("event") == "runner_on_ok":
            heard[event["event_data"]["host"]] = event["event_data"]["res"]["stdout"].strip()

    # A word of this run alone: all processes of the machine are watched, and other tests give theirs the common one.
    word = f"c4nary{secrets.token_hex(6)}"
    found: set[tuple[str, str]] = set()
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(tmp_path, word, over, found), daemon=True)
    watcher.start()
    told = {"told": {"cache": {"password": f"{word} Zx9-ü"}}, "other": {"cache": {"password": f"{word} Zx9-ü2"}}, "cp-told-apart": {}}
    try:
        with in_memory(told) as places:
            result = run_playbook(
                {"look.yml": play.replace("COMMAND", command).encode(), "action_plugins/look.py": _action()},
                playbook="look.yml",
                inventory=inventory_json(
                    hosts, variables={host.name: {"place": places.get(host.name, "")} for host in hosts}, control_dir=control_directory()
                ),
                on_event=hear,
                timeout=60,
                work_dir=tmp_path,
            )
    finally:
        over.set()
        watcher.join()
    assert result.outcome == "done", result
    line = len(f'{{"cache": {{"password": "{word} Zx9-\\u00fc"}}}}\n')
    assert heard == {"told": str(line), "other": str(line + 1), "cp-told-apart": "nothing"}
    # What is no secret is seen in all three, so a secret there would have been.
    open_words = {(kind, "cp-told-apart") for kind in ("file", "cmdline")} | {(kind, str(tmp_path)) for kind in ("file", "cmdline", "environ")}
    assert found == open_words
    assert word not in "".join(events)
    assert list(tmp_path.iterdir()) == []
    assert set(places) == {"told", "other"}
    assert not any(Path(place).exists() for place in places.values())


@pytest.mark.parametrize("said", [b"", b'{"cache": {"password": "c4na', b"\n"])
def test_a_collector_that_was_not_told_all_gives_no_evidence(said: bytes) -> None:
    asked = {"paths": [], "mounts": [], "services": {"cache": {"kind": "redis"}}, "write_surfaces": [], "limits": {}}
    python, question = bundle.arguments(asked, sys.executable, is_told=True)
    done = subprocess.run(["/bin/sh", "-c", f"{python}{bundle.program()}{question}"], input=said, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"what the controller had to tell did not arrive whole\n"
