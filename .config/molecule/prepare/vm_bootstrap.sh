# A machine without Docker, as an image brings it, and an apt source that holds what was taken away: packages made again from what they installed.
repack() {
  local name=$1 work file
  work=$(mktemp -d)
  mkdir "$work/DEBIAN"
  chmod 755 "$work"
  dpkg-query --status "$name" | awk '/^[A-Z]/ { drop = /^(Status|Conffiles):/ } !drop' > "$work/DEBIAN/control"
  dpkg-query --show --showformat='${Conffiles}\n' "$name" | awk 'NF > 1 && $NF != "obsolete" { print $1 }' > "$work/DEBIAN/conffiles"
  for file in preinst postinst prerm postrm triggers; do
    [ ! -e "/var/lib/dpkg/info/$name.$file" ] || cp -a "/var/lib/dpkg/info/$name.$file" "$work/DEBIAN/$file"
  done
  dpkg --listfiles "$name" | while read -r file; do
    # The machine's /lib is a link, the package's is a folder.
    if [ -d "$file" ]; then mkdir -p "$work$file"; else cp -a "$file" "$work$file"; fi
  done
  dpkg-deb --uniform-compression -Znone --root-owner-group --build "$work" "/srv/packages/$name.deb"
  rm -r "$work"
}
install -d /srv/packages
systemctl stop docker.socket docker.service containerd.service
mapfile -t taken < <(for name in docker.io docker-cli docker-compose docker-buildx containerd runc tini; do
  dpkg-query --show --showformat='${Package} ${db:Status-Abbrev}\n' "$name" 2> /dev/null || true; done | awk '$2 == "ii" { print $1 }')
for name in "${taken[@]}"; do repack "$name"; done
( cd /srv/packages; for file in *.deb; do
  dpkg-deb --field "$file"
  printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$file" "$(stat -c %s "$file")" "$(sha256sum "$file" | cut -d' ' -f1)"
done > Packages )
dpkg --purge "${taken[@]}"
rm -rf /run/docker.sock /var/lib/docker /var/lib/containerd /etc/docker /etc/containerd /etc/apt/sources.list.d/* /etc/apt/preferences.d/*
echo 'deb [trusted=yes] file:/srv/packages ./' > /etc/apt/sources.list
systemctl daemon-reload
# What earlier steps of a plan have done: the data disk is mounted, and Docker's guard waits for Docker.
if [ -n "${disk:-}" ]; then
  mkfs.ext4 -q -U 6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11 "$disk"
  udevadm trigger --settle "$disk"
  mkdir -p /mnt/data
  chattr +i /mnt/data
  mount -o noatime "$disk" /mnt/data
  mkdir -p /etc/systemd/system/docker.service.d
  printf '[Unit]\nRequiresMountsFor=/mnt/data\nAssertPathIsMountPoint=/mnt/data\n' > /etc/systemd/system/docker.service.d/50-controlplane-mounts.conf
  systemctl daemon-reload
fi
