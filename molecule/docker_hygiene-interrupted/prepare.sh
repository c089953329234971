# One of them is gone already, as when an earlier attempt was cut off after its first removal.
docker rmi shop/app:1 shop/app:first
