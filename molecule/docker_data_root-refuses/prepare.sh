# The destination holds something of somebody else.
mkdir /mnt/data/docker
touch /mnt/data/docker/somebody
