# Something of somebody else lies at the place, and the file says more than the container was made from.
mkdir /mnt/data/shop
touch /mnt/data/shop/somebody
sed -i 's/init: true/init: true\n    tmpfs: \/srv\/shop\/cache/' /opt/stacks/shop/compose.yml
