# Somebody writes to one of them, and has the other open.
echo more >> /tmp/one
systemd-run --quiet --unit=reader sh -c 'exec sleep infinity < /tmp/deep/two'
