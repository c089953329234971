mkdir -p /root/.docker/cli-plugins
sync
