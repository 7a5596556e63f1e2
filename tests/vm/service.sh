# What nodedevd can do as systemd runs it, by its unit.
. /vm/lib.sh
. /vm/carry.sh

LOG=/run/libvirt/nodedevd.log
ours() { virsh -c "$SERVICE" "$@"; }
stop() { systemctl stop nodedevd.service; }

process() { systemctl show --property=MainPID --value nodedevd.service; }
confinement() { grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' "/proc/$(process)/status" | tr '\t\n' '  '; }
# Where it can write; of folders that are mounted over, what is on top.
folders() {
    while read -r id parent device root at options rest; do
        case "$at" in /|/sys|/sys/bus|/sys/devices|/run/libvirt|/run/nodedev|/etc|/etc/mdevctl.d) echo "$at ${options%%,*}," ;; esac
    done < "/proc/$(process)/mountinfo" | sort -u | tr '\n' ' '
}

mediated_device() {
    modprobe mtty
    cat > /run/mdev.xml << 'END'
<device><parent>mtty_mtty</parent><capability type='mdev'><type id='mtty-1'/>
<uuid>00000000-0000-4000-8000-000000000009</uuid></capability></device>
END
    mdev=mdev_00000000_0000_4000_8000_000000000009_mtty
}
virtual_port() {
    make_port
    echo "<device><parent>$port</parent><capability type='scsi_host'><capability type='fc_host'>
<wwnn>20000000c9831b4b</wwnn><wwpn>10000000c9831b4b</wwpn></capability></capability></device>" > /run/port.xml
}
# The virtual port that there is.
virtual() { grep -l 10000000c9831b4b /sys/class/fc_host/*/port_name | cut -d / -f 5; }

# A detach by a daemon without one of its capabilities.
without_right() {
    mkdir -p /run/systemd/system/nodedevd.service.d
    printf '[Service]\nCapabilityBoundingSet=~CAP_SYS_PTRACE\n' > /run/systemd/system/nodedevd.service.d/less.conf
    systemctl daemon-reload && stop
    ours nodedev-detach $nvme
    was=$?
    rm -r /run/systemd/system/nodedevd.service.d
    systemctl daemon-reload && stop
    return $was
}

# What it was not allowed by the unit.
denied() { grep -i -E 'denied|not permitted|read-only|EPERM|EACCES' "$LOG"; }

mediated_device > /dev/null 2>&1
virtual_port > /dev/null 2>&1
carry_out service.table
rmmod mtty
