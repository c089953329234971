# A container that Compose made and that keeps all that it has in its own layer, of an owner whom nobody here knows; the data disk is mounted and empty.
mkfs.ext4 -q -U 6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11 "$disk"
udevadm trigger --settle "$disk"
mkdir -p /mnt/data /opt/stacks/shop
echo "UUID=6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11 /mnt/data ext4 noatime,nofail,x-systemd.device-timeout=60s 0 2" >> /etc/fstab
systemctl daemon-reload
mount /mnt/data
cat > /opt/stacks/shop/compose.yml << 'END'
# the shop
services:
  shop:
    image: lab/services:1   # pinned
    container_name: shop
    restart: unless-stopped
    init: true
    command: [sleep, infinity]
END
docker compose -f /opt/stacks/shop/compose.yml up --detach --wait
docker exec shop sh -c '
  mkdir -p /srv/shop/deep && cd /srv/shop
  for part in $(seq -f %02g 8); do dd if=/dev/urandom of=part$part bs=1M count=3 2>/dev/null; done
  ln part01 deep/again && ln -s /etc/shadow deep/leads-away && truncate -s 1G sparse && mkfifo deep/pipe
  touch "$(printf "two\nlines")" && chown -R 4242:4343 . && chmod 2750 deep && chmod 4711 part02'
layer=$(docker inspect -f '{{.GraphDriver.Data.UpperDir}}' shop)/srv/shop
setfacl -m u:4444:r "$layer/part03"
setfattr -n user.colour -v green "$layer/part04"
docker exec shop sh -c "cd /srv/shop && find . -type f -name 'part*' | sort | xargs sha256sum" > /root/parts
sync
