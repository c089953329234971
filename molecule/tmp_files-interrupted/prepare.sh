# Many more between the two, so that the removal is half-way for long enough to be stopped there; one among them nobody named.
mkdir /tmp/many
touch -d '3 days ago' /tmp/many/{01..30} /tmp/many/kept
name_for_removal /tmp/one /tmp/many/{01..30} /tmp/deep/two
# By default Debian empties /tmp when it starts, and nothing would be left to remove.
echo 'd /tmp 1777 root root -' > /etc/tmpfiles.d/tmp.conf
sync
