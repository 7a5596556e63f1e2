#!/bin/sh
# Runs libvirtd with nothing but its node device driver, inside namespaces that the caller made
# (unshare --mount --pid --fork --kill-child, and --net where the scene wants a network of its own).
#
#   libvirtd.sh WORK LIBVIRTD DRIVER TREE
#
# WORK    directory of the caller: the sockets appear in WORK/sock, and the daemon's log in WORK/libvirtd.log
# DRIVER  libvirt_driver_nodedev.so
# TREE    a folder that stands for / (sys/, run/udev/, …), "live" for the machine as it is, or
#         "net" for the machine with the network devices of the new network namespace
#
# Ends, and takes everything with it, when its standard input is closed: so it can't outlive its caller, and a
# caller without privileges can stop it.
set -eu
work=$1 libvirtd=$2 driver=$3 tree=$4

mount --make-rprivate /
umask 022
mkdir -p "$work/drivers" "$work/sock" "$work/etc"
chmod 755 "$work" "$work/drivers" "$work/sock"
ln -sf "$driver" "$work/drivers/libvirt_driver_nodedev.so"
cat >"$work/etc/libvirtd.conf" <<CONF
unix_sock_dir = "$work/sock"
unix_sock_ro_perms = "0777"
unix_sock_rw_perms = "0777"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "2:file:$work/libvirtd.log"
CONF

# What the daemon would write to, or would read of another libvirt on this machine.
for dir in /var/lib/libvirt /var/cache/libvirt /var/log/libvirt; do
    if [ -d "$dir" ]; then mount -t tmpfs none "$dir"; fi
done

case $tree in
live) ;;
net)
    mount -t sysfs sysfs /sys
    # Commands of ip; a kernel that lacks a kind of interface makes the others.
    while read -r line; do
        # shellcheck disable=SC2086 # a line is several arguments
        ip $line || echo "ip $line: failed" >&2
    done <"$work/links"
    ;;
*)
    mkdir -p "$work/tree" "$work/old-dev"
    mount --rbind "$tree" "$work/tree"
    mount --bind "$work/tree/sys" /sys
    # Device nodes exist in a tree only as placeholders, so /dev holds these and what any program needs.
    mount --rbind /dev "$work/old-dev"
    mount -t tmpfs -o mode=755 none /dev
    for node in null zero full random urandom; do
        : >"/dev/$node"
        mount --bind "$work/old-dev/$node" "/dev/$node"
    done
    mkdir /dev/shm
    # mdevctl is given documents by this name.
    ln -s /proc/self/fd/0 /dev/stdin
    if [ -d "$work/tree/dev" ]; then cp -R "$work/tree/dev/." /dev/; fi
    # mdevctl refuses to run without its two script directories, which a tree need not have.
    mkdir -p "$work/mdevctl.d"
    if [ -d "$work/tree/etc/mdevctl.d" ]; then cp -R "$work/tree/etc/mdevctl.d/." "$work/mdevctl.d/"; fi
    mkdir -p "$work/mdevctl.d/scripts.d/callouts" "$work/mdevctl.d/scripts.d/notifiers" /etc/mdevctl.d
    mount --bind "$work/mdevctl.d" /etc/mdevctl.d
    # Nor may the machine's list of ids show where the tree has none.
    ids=$work/tree/usr/share/misc/pci.ids
    if [ ! -f "$ids" ]; then
        ids=$work/pci.ids
        : >"$ids"
    fi
    if [ -f /usr/share/misc/pci.ids ]; then mount --bind "$ids" /usr/share/misc/pci.ids; fi
    # libudev otherwise insists that /sys is the kernel's.
    SYSTEMD_DEVICE_VERIFY_SYSFS=0
    export SYSTEMD_DEVICE_VERIFY_SYSFS
    ;;
esac

mkdir -p "$work/run"
case $tree in
live) if [ -d /run/udev ]; then mkdir -p "$work/run/udev"; mount --bind /run/udev "$work/run/udev"; fi ;;
net) ;;
*)
    mkdir -p "$work/run/udev/data"
    if [ -d "$work/tree/run/udev/data" ]; then mount --bind "$work/tree/run/udev/data" "$work/run/udev/data"; fi
    # libudev listens to nobody where it thinks that no udev runs; tests send its messages themselves.
    : >"$work/run/udev/control"
    ;;
esac
mkdir -p "$work/run/libvirt" "$work/run/lock"
mount --rbind "$work/run" /run

LC_ALL=C HOME=/ LIBVIRT_DRIVER_DIR=$work/drivers
export LC_ALL HOME LIBVIRT_DRIVER_DIR
exec 3<&0
"$libvirtd" --config "$work/etc/libvirtd.conf" --pid-file "$work/libvirtd.pid" 3<&- </dev/null >"$work/libvirtd.out" 2>&1 &
daemon=$!
(cat <&3 >/dev/null; kill "$daemon") &
wait "$daemon"
