# Found before /usr/bin's by the role: endless in the critical section, so that the power can go in its midst.
cat > /usr/sbin/rsync <<'END'
#!/bin/sh
if grep -q '"phase": "stopped"' /var/lib/controlplane/*/state.json; then touch /run/rsync-waits; sleep 600; fi
exec /usr/bin/rsync "$@"
END
chmod 755 /usr/sbin/rsync
mkdir -p /root/.docker/cli-plugins
sync
