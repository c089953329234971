# One of them is gone already, as when an earlier attempt was killed after its first removal.
rm /tmp/one
