# Under systemd, which runs nodedevd. Makes by guard.table what the host, a container or a program needs a device for, and asks for the device.
. /vm/lib.sh

use() { sleep 100000 < "$1" & echo $! > /run/user; until_true test -e "/proc/$(cat /run/user)/fd/0"; }
unuse() { kill "$(cat /run/user)"; until_true sh -c "! kill -0 $(cat /run/user)"; }

mount_elsewhere() {
    mke2fs /dev/nvme0n1
    unshare -m sh -c 'mount -t ext4 /dev/nvme0n1 /mnt && exec sleep 100000' &
    echo $! > /run/user
    until_true grep -q nvme0n1 "/proc/$(cat /run/user)/mountinfo"
}

map_disk() {
    modprobe dm_mod
    echo 0 2048 linear /dev/nvme0n1 0 > /run/held
    dmsetup --noudevsync create held /run/held
}

mount_image() {
    modprobe loop
    mke2fs /dev/nvme0n1 && mount -t ext4 /dev/nvme0n1 /mnt
    dd if=/dev/zero of=/mnt/image bs=1M count=4
    mkdir -p /image
    losetup /dev/loop0 /mnt/image && mke2fs /dev/loop0 && mount -t ext4 /dev/loop0 /image
    # Nobody sees any more what it is on.
    umount -l /mnt
}

bridge_nic() {
    modprobe bridge
    ip link add br0 type bridge
    ip link set "$(interface nic)" master br0
    ip link set "$(interface nic)" up
    ip link set br0 up
    ip address add 192.0.2.2/24 dev br0
    ip route add default via 192.0.2.1
}
unbridge_nic() {
    ip link set "$(interface nic)" down
    ip link del br0
}

half_route() {
    ip link set "$(interface nic)" up
    ip address add 198.51.100.2/24 dev "$(interface nic)"
    for half in 0.0.0.0/1 128.0.0.0/1; do ip route add $half via 198.51.100.1 table 77; done
}

# Without a superblock, which mdadm would write.
make_array() {
    modprobe raid1
    echo md_held > /sys/module/md_mod/parameters/new_array
    cd /sys/block/md_held/md
    echo none > metadata_version
    echo raid1 > level
    echo 1 > raid_disks
    echo 8192 > component_size
    cat /sys/block/nvme0n1/dev > new_dev
    echo 8192 > dev-nvme0n1/size
    echo 0 > dev-nvme0n1/slot
    echo active > array_state
    cd /
    grep md_held /proc/mdstat
}

in_server() { nsenter -t "$(cat /run/server)" -n "$@"; }
# mount_of_server: what is at the other end of nic's wire, in a network of its own. The kernel's server is told by hand whom it may
# give which folder (rpc.mountd would).
mount_of_server() {
    modprobe nfsd
    modprobe nfsv4
    far=$(interface multi1)
    unshare -n sleep 100000 & echo $! > /run/server
    until_true sh -c "[ $(readlink /proc/self/ns/net) != \$(readlink /proc/$!/ns/net) ]"
    ip link set "$far" netns "$(cat /run/server)"
    mkdir -p /run/nfsd /run/export
    mount -t tmpfs export /run/export
    later=$(($(date +%s) + 100000))
    in_server sh -e -c "
        mount -t nfsd nfsd /run/nfsd
        ip link set lo up
        ip address add 192.0.2.1/24 dev $far
        ip link set $far up
        echo -3 +4 > /run/nfsd/versions
        echo 'tcp 2049' > /run/nfsd/portlist
        echo 1 > /run/nfsd/threads
        cd /proc/net/rpc
        echo nfsd 192.0.2.2 $later guest > auth.unix.ip/channel
        echo guest /run/export $later 9218 65534 65534 0 > nfsd.export/channel
        echo 'guest 1 \\x00000000' $later /run/export > nfsd.fh/channel"
    ip address add 192.0.2.2/24 dev "$(interface nic)"
    ip link set "$(interface nic)" up
    until_true ping -c 1 -W 1 192.0.2.1
    mount -t nfs4 -o vers=4.2,addr=192.0.2.1,clientaddr=192.0.2.2 192.0.2.1:/ /mnt
}
unmount_of_server() {
    umount /mnt
    ip link set "$(interface nic)" down
    in_server sh -c 'echo 0 > /run/nfsd/threads'
    umount /run/nfsd /run/export
    kill "$(cat /run/server)"
    until_true interface multi1
}

c_library() { handover "$SERVICE" "$@"; }
there_and_back() { "$1" detach "$named" && "$2" reattach "$named"; }
# The device is there in full, and udev's programs, which look at disks, are done with it.
ready() {
    [ "$device" != nvme ] || until_true test -b /dev/nvme0n1
    udevadm settle --timeout=10
}

way='nodedev c_library'
grep '|' /vm/guard.table | grep -v '^#' > /run/guard
while IFS='|' read -r name make device wanted undo; do
    device=$(trim "$device") wanted=$(trim "$wanted")
    ready
    eval "$make" > /run/made 2>&1 < /dev/null
    eval "named=\$$device"
    before=$(states "$device")
    problem=
    for asked in "nodedev detach $named" "virsh -c $SERVICE nodedev-detach $named" "c_library detach $named"; do
        out=$($asked 2>&1 < /dev/null)
        [ $? = 1 ] || problem="$problem $asked: not refused; "
        case "$out" in *"$wanted"*) ;; *) problem="$problem $asked: $out; " ;; esac
        [ "$(states "$device")" = "$before" ] || problem="$problem $asked: $(states "$device"); "
    done
    [ -z "$problem" ] || problem="$problem made: $(cat /run/made)"
    eval "$undo" > /run/undone 2>&1 < /dev/null
    # Nothing of it keeps the device any more.
    ready
    out=$(there_and_back $way 2>&1) || problem="$problem afterwards, by $way: $out ($(cat /run/undone)); "
    if [ "$way" = 'nodedev c_library' ]; then way='c_library nodedev'; else way='nodedev c_library'; fi
    name=$(trim "$name")
    if [ -z "$problem" ]; then pass "$name"; else fail "$name" "$problem"; fi
done < /run/guard
