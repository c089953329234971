# Somebody wrote there since it was retired.
touch /var/lib/old-root/sub/newer
