# Somebody else's filesystem.
mkfs.ext4 -q -U 11111111-2222-3333-4444-555555555555 "$disk"
sha256sum "$disk" > /root/before
