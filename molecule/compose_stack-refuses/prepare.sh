# The registry is down, and a container lives in the network of one that would be made anew.
systemctl stop registry
docker run --detach --name beside --network container:till lab/services:1 sleep infinity
