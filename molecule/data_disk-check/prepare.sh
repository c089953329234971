sha256sum "$disk" > /root/before
