# Compose hangs the first time that it is to bring something up, when a container is gone already: so the power can go then. After that it works.
mkdir -p /root/.docker/cli-plugins
cat > /root/.docker/cli-plugins/docker-compose <<'END'
#!/bin/sh
for word; do
  [ "$word" != up ] || [ -e /root/hung ] || { docker rm --force till; touch /root/hung /run/compose-waits; sync; sleep 600; }
done
for real in /usr/libexec/docker/cli-plugins/docker-compose /usr/lib/docker/cli-plugins/docker-compose; do
  [ ! -x "$real" ] || exec "$real" "$@"
done
exit 1
END
chmod 755 /root/.docker/cli-plugins/docker-compose
sync
