# What nobody names has to stay as it is, times included, and so has its record.
find /var/lib/kept-root -printf '%P %y %m %U %G %s %T@\n' | sort > /root/kept-root.before
sha256sum /var/lib/kept-root/sub/file > /root/kept-root.sums
