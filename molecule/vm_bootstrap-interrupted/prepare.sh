# An earlier run was cut off when dpkg had unpacked containerd and not configured it.
mkdir -p /etc/containerd
printf 'version = 2\nroot = "/mnt/data/containerd"\n' > /etc/containerd/config.toml
dpkg --force-confold --force-depends --unpack /srv/packages/containerd_*.deb /srv/packages/runc_*.deb
install -d -m 700 /var/lib/controlplane /var/lib/controlplane/CAP-20251231-000000__infra.vm.bootstrap__R0001
printf '{"run": "CAP-20251231-000000__infra.vm.bootstrap__R0001", "role": "vm_bootstrap", "phase": "installing", "unit": null}' \
  > /var/lib/controlplane/CAP-20251231-000000__infra.vm.bootstrap__R0001/state.json
