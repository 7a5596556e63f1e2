# Makes by guard.table what the host, a container or a program needs a device for, and asks for the device.
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

nodedevd --run-dir /run/ours > /run/nodedevd.log 2>&1 &
daemon=$!
until_true virsh -c "$OURS" uri || note "nodedevd is not up: $(tail -n 3 /run/nodedevd.log)"
grep '|' /vm/guard.table | grep -v '^#' > /run/guard
while IFS='|' read -r name make device wanted undo; do
    device=$(trim "$device") wanted=$(trim "$wanted")
    eval "$make" > /run/made 2>&1 < /dev/null
    eval "named=\$$device"
    before=$(states "$device")
    problem=
    for asked in "nodedev detach $named" "virsh -c $OURS nodedev-detach $named"; do
        out=$($asked 2>&1 < /dev/null)
        [ $? = 1 ] || problem="$problem $asked: not refused; "
        case "$out" in *"$wanted"*) ;; *) problem="$problem $asked: $out; " ;; esac
        [ "$(states "$device")" = "$before" ] || problem="$problem $asked: $(states "$device"); "
    done
    [ -z "$problem" ] || problem="$problem made: $(cat /run/made)"
    eval "$undo" > /run/undone 2>&1 < /dev/null
    # Nothing of it keeps the device any more.
    out=$(nodedev detach "$named" 2>&1) && out=$(nodedev reattach "$named" 2>&1) ||
        problem="$problem afterwards: $out ($(cat /run/undone)); "
    [ "$device" != nvme ] || until_true test -b /dev/nvme0n1
    name=$(trim "$name")
    if [ -z "$problem" ]; then pass "$name"; else fail "$name" "$problem"; fi
done < /run/guard
kill $daemon
wait $daemon
