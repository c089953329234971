# What a killed mkfs leaves: the superblock with the label that says so, and torn metadata.
mkfs.ext4 -q -U 6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11 -L cp-making "$disk"
dd if=/dev/zero of="$disk" bs=1M seek=1 count=20 conv=notrunc status=none
