from __future__ import annotations

import pytest

from controlplane.domain.inventory import InventoryHost, variable_fault


@pytest.mark.parametrize(
    "value",
    [
        "-o StrictHostKeyChecking=no",
        "-oStrictHostKeyChecking=no -C",
        "-o stricthostkeychecking=OFF",
        "-o 'StrictHostKeyChecking no'",
        "-o StrictHostKeyChecking=accept-new",
        '-o StrictHostKeyChecking="no"',
        "-o UserKnownHostsFile=/dev/null",
        "-o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile=/dev/null",
    ],
)
def test_switching_off_the_check_of_host_keys_is_refused(value: str) -> None:
    for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args"):
        assert variable_fault(name, value) == (
            "switches the check of host keys off: pin the key in a known_hosts file instead (ssh-keyscan, then compare the fingerprint)"
        )


@pytest.mark.parametrize("value", ["-o StrictHostKeyChecking=yes", "-J bastion", "-o ProxyCommand='nc %h %p'", "-o UserKnownHostsFile=known_hosts"])
def test_other_options_of_ssh_are_taken(value: str) -> None:
    assert variable_fault("ansible_ssh_common_args", value) is None


@pytest.mark.parametrize("value", ["{{ lookup('pipe', 'id') }}", "x{% if y %}", "{# x"])
def test_templates_are_refused_before_anything_could_run_them(value: str) -> None:
    assert (
        variable_fault("ansible_host", value) == f"{value!r} holds template marks, which Ansible would run on this controller: write the value itself"
    )


def test_values_that_are_not_plain_are_refused() -> None:
    assert variable_fault("ansible_host", ["a"]) == "is a list: write one plain value"
    assert variable_fault("ansible_user", "a\nb") == "holds a control character: write it as one plain line"
    assert variable_fault("ansible_host", "-oProxyCommand=id") == "'-oProxyCommand=id' is no address: it is empty or reads as an option"
    assert variable_fault("ansible_port", 2222) is None
    assert variable_fault("ansible_become", value=True) is None


def test_a_route_is_what_decides_which_machine_answers() -> None:
    def route(name: str = "h", **variables: str | int) -> tuple[str, ...]:
        return InventoryHost(name=name, variables=variables).route

    assert route(ansible_host="10.0.0.1") == route("other", ansible_host="10.0.0.1", ansible_user="root", ansible_port=22)
    assert route(ansible_host="H1.example.org.") == route("other", ansible_host="h1.example.org")
    assert route(ansible_host="10.0.0.1", ansible_port=2222) != route(ansible_host="10.0.0.1")
    assert route(ansible_host="h", ansible_ssh_common_args="-F a") != route(ansible_host="h", ansible_ssh_common_args="-F b")
    assert route("a") != route("b")
    assert route("a", ansible_connection="local") == route("b", ansible_connection="local", ansible_host="x")
