# What the parts of the guest's tests share. Devices have short names; xtask/src/vm/qemu.rs puts them where they are here.
#
# A state is DRIVER/OVERRIDE: the driver that is bound, and what driver_override says; "-" is none, "gone" no such device.
PCI=/sys/bus/pci/devices
AT_nic=0000:01:00.0     # e1000e, alone in its IOMMU group, with a wire to multi1
AT_pf=0000:02:00.0      # igb, with two virtual functions
AT_vf=0000:02:10.0
AT_nvme=0000:03:00.0
AT_multi0=0000:00:05.0  # two functions of one slot, groups of their own; e1000 has the first
AT_multi1=0000:00:05.1
AT_bridge=0000:00:02.0  # the root port above nic
AT_plugged=0000:06:00.0  # what is plugged into the first port for such (plug below), and into the second
AT_disk=0000:07:00.0
AT_group0=0000:05:01.0  # two cards behind a PCIe-to-PCI bridge: one group with it
AT_group1=0000:05:02.0
AT_screen=0000:00:09.0  # bochs-display, on which nothing is

# Sets $at. As all that is called often it starts no other program where it can do without: that takes an emulated machine long.
at() { eval "at=\$AT_$1"; }

# Node devices' names of them: $nic, $pf, ...
for short in nic pf vf nvme multi0 multi1 bridge group0 group1 plugged disk screen; do
    at $short
    eval "$short=pci_$(echo "$at" | tr ':.' '__')"
done

note() { echo "nodedev-vm: NOTE $*"; }
pass() { echo "nodedev-vm: PASS $1"; }
fail() { echo "nodedev-vm: FAIL $1: $(echo "$2" | tr '\n' ' ')"; }

carry_out_part() {
    sh "/vm/$1.sh" < /dev/null
    note "$1 ended after $(cut -d ' ' -f 1 /proc/uptime) s"
}

# Whether a part is one for which systemd runs nodedevd.
is_late() { case "$1" in guard|service) ;; *) return 1 ;; esac; }

# Looks at what the kernel said, and ends all.
power_off() {
    name="the kernel complains of nothing: $nodedev_parts"
    if dmesg | grep -E 'Oops|BUG:|Call Trace|WARNING:|blocked for more than' > /run/complaints; then
        fail "$name" "$(head -n 3 /run/complaints)"
    else
        pass "$name"
    fi
    poweroff -f
}

# Sets $state.
state() {
    at "$1"
    [ -e "$PCI/$at" ] || { state=gone; return; }
    driver=$(readlink "$PCI/$at/driver")
    driver=${driver##*/}
    read -r override < "$PCI/$at/driver_override"
    [ "$override" = '(null)' ] && override=
    state=${driver:--}/${override:--}
}

# NAME=STATE of each.
states() { for one in "$@"; do state "$one"; printf '%s=%s ' "$one" "$state"; done; }

are() {
    for pair in "$@"; do
        state "${pair%%=*}"
        [ "$state" = "${pair#*=}" ] || return 1
    done
}

# Drivers bind in their own time. Waits for ten seconds at most.
until_states() {
    tries=0
    until are "$@"; do
        [ $tries -ge 100 ] && return 1
        tries=$((tries + 1))
        usleep 100000
    done
}

until_true() {
    tries=0
    until "$@" > /dev/null 2>&1; do
        [ $tries -ge 300 ] && return 1
        tries=$((tries + 1))
        usleep 100000
    done
}

# Whether a process has ended, also one that nobody has waited for yet.
is_over() {
    state=Z
    { read -r number command state rest < "/proc/$1/stat"; } 2> /dev/null
    [ "$state" = Z ]
}

# Where a process is that does not end.
stuck() { echo "$(tr '\000' ' ' < "/proc/$1/cmdline"): $(cat "/proc/$1/wchan") $(cat "/proc/$1/stack")"; }

# A physical function that is given back has none.
make_vfs() {
    read -r vfs < "$PCI/$AT_pf/sriov_numvfs"
    [ "$vfs" = 2 ] || echo 2 > "$PCI/$AT_pf/sriov_numvfs"
    until_states vf=igbvf/-
}

group_file() {
    at "$1"
    group=$(readlink "$PCI/$at/iommu_group")
    echo "/dev/vfio/${group##*/}"
}

# As a guest's QEMU has it.
open_group() { sleep 1000 < "$(group_file "$1")" & echo $! > /run/holder; }
close_group() { kill "$(cat /run/holder)" && until_true sh -c "! kill -0 $(cat /run/holder)"; }

interface() {
    at "$1"
    ls "$PCI/$at/net"
}

# Makes a Fibre Channel host, if there is none: the kernel's FCoE, on one end of a pair of interfaces, talking to nobody (VN2VN
# needs no fabric). Sets $number, $port and its names.
make_port() {
    if ! [ -e /sys/class/fc_host ]; then
        modprobe fcoe
        ip link add fc0 type veth
        ip link set fc0 up
        ip link set veth0 up
        until_true grep -q up /sys/class/net/fc0/operstate
        printf fc0 > /sys/module/libfcoe/parameters/create_vn2vn
        until_true test -e /sys/class/fc_host
    fi
    for host in /sys/class/fc_host/*; do number=${host##*/host}; done
    port=scsi_host$number
    read -r port_wwnn < "$host/node_name"
    read -r port_wwpn < "$host/port_name"
    read -r fabric < "$host/fabric_name"
}

trim() { set -f; set -- $1; set +f; echo "$*"; }

OURS='nodedev:///system?socket=/run/ours/virtnodedevd-sock'
SERVICE=nodedev:///system   # nodedevd as systemd runs it

# listen URI KIND FILE: a client that prints each event into the file; adds its process to $listeners.
listen() {
    : > "$3"
    stdbuf -oL virsh -c "$1" nodedev-event --event "$2" --loop >> "$3" 2>&1 < /dev/null &
    listeners="$listeners $!"
}

# until_heard FILE...: makes news until there is some in each file.
until_heard() {
    for try in 1 2 3 4 5 6 7 8 9 10; do
        ip link add heard type veth
        udevadm trigger --action=change /sys/class/net/lo
        ip link del heard
        udevadm settle --timeout=10
        usleep 300000
        for file in "$@"; do
            [ -s "$file" ] || continue 2
        done
        return 0
    done
    return 1
}

# qemu COMMAND ARGUMENTS: asks the machine's owner for it (xtask/src/vm/qmp.rs), by the console.
qemu() { echo "nodedev-vm: QMP {\"execute\":\"$1\",\"arguments\":{$2}}" > /dev/console; }
# plug nic|card|disk: a card into the first port for such, or another one in its place, or an NVMe into the second.
plug() {
    case "$1" in
        nic) qemu device_add '"driver":"e1000e","id":"nic","bus":"plug1","mac":"52:54:00:00:00:01","romfile":""' ;;
        card) qemu device_add '"driver":"igb","id":"card","bus":"plug1","mac":"52:54:00:00:00:02","romfile":""' ;;
        disk) qemu device_add '"driver":"nvme","id":"disk2","bus":"plug2","serial":"plugged","drive":"blank"' ;;
    esac
}
unplug() { qemu device_del "\"id\":\"$1\""; }
