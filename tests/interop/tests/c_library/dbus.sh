#!/bin/sh
# Asks libvirt-dbus about libvirt's invented host, and prints what it says and tells:
#
#   sh dbus.sh PACKAGE WORK [LIBRARIES]
#
# PACKAGE     its package, unpacked
# WORK        an empty folder
# LIBRARIES   folder of the libvirt.so.0 that it is to use
#
# It is in mount and process namespaces of its own already, which end with it.
set -eu
package=$1
work=$2

mount --make-rprivate /
mount --bind "$package/usr/share/dbus-1" /usr/share/dbus-1
cat >"$work/conf" <<END
<busconfig>
  <type>session</type>
  <listen>unix:path=$work/bus</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
END
export DBUS_SESSION_BUS_ADDRESS="unix:path=$work/bus"
unset LIBVIRT_DEFAULT_URI XDG_RUNTIME_DIR
dbus-daemon --config-file "$work/conf" --nofork --nopidfile 2>"$work/bus.log" &

# Waits until a command succeeds.
wait_for() {
    for _ in $(seq 1000); do
        if "$@" >"$work/waited" 2>&1; then return; fi
        sleep 0.02
    done
    echo "waited in vain for $*"
    cat "$work/waited" "$work"/*.log
    exit 1
}

to() {
    echo "== $*"
    busctl --address="$DBUS_SESSION_BUS_ADDRESS" "$@" 2>&1
}

# A method of the connection.
connect() {
    to call org.libvirt /org/libvirt/Test org.libvirt.Connect "$@" || true
}

# One that gives a list, which comes in no order.
list() {
    connect "$@" | tr ' ' '\n' | sort
}

device() {
    path=/org/libvirt/Test/nodedev/$1
    interface=org.libvirt.NodeDevice
    to get-property org.libvirt "$path" $interface Name || true
    to get-property org.libvirt "$path" $interface Parent || true
    to call org.libvirt "$path" $interface ListCaps || true
    to call org.libvirt "$path" $interface GetXMLDesc u 0 || true
    to call org.libvirt "$path" $interface GetXMLDesc u 2 || true
    to call org.libvirt "$path" $interface Detach su "" 0 || true
    to call org.libvirt "$path" $interface ReAttach || true
    to call org.libvirt "$path" $interface Reset || true
}

wait_for test -S "$work/bus"
dbus-monitor "type='signal',interface='org.libvirt.Connect'" >"$work/signals" &
wait_for grep -q NameAcquired "$work/signals"
LD_LIBRARY_PATH=${3-} "$package/usr/sbin/libvirt-dbus" --session >"$work/program.log" 2>&1 &
program=$!
wait_for busctl --address="$DBUS_SESSION_BUS_ADDRESS" call org.libvirt /org/libvirt/Test org.libvirt.Connect ListNodeDevices u 0
grep -o '[^ ]*/libvirt\.so\.0[^ ]*' "/proc/$program/maps" | sort -u | grep -q "^${3-/}"

list ListNodeDevices u 0
list ListNodeDevices u 1
list ListNodeDevices u 16777216
connect NodeDeviceLookupByName s computer
connect NodeDeviceLookupByName s nosuch
connect NodeDeviceLookupSCSIHostByWWN ssu 2000000012341234 1000000012341234 0
connect NodeDeviceCreateXML su '<device/>' 0
to get-property org.libvirt /org/libvirt/Test org.libvirt.Connect LibVersion
to get-property org.libvirt /org/libvirt/Test org.libvirt.Connect Version
for name in computer scsi_5fhost1 scsi_5fhost11 nosuch; do
    device $name
done

xml="<device><parent>scsi_host1</parent><capability type='scsi_host'><capability type='fc_host'>\
<wwnn>2000000012341234</wwnn><wwpn>1000000012341234</wwpn></capability></capability></device>"
connect NodeDeviceCreateXML su "$xml" 0
device scsi_5fhost12
to call org.libvirt /org/libvirt/Test/nodedev/scsi_5fhost12 org.libvirt.NodeDevice Destroy
device scsi_5fhost12
is_told() {
    [ "$(grep -c 'member=NodeDeviceEvent' "$work/signals")" -ge 2 ] && [ "$(grep -c int32 "$work/signals")" -ge 4 ]
}
wait_for is_told
awk '/^signal/ { on = /member=NodeDeviceEvent/ } on' "$work/signals" | sed -n 's/^.*\(object path\|int32\) //p' | tr -d '"' |
    paste -d ' ' - - - | sed 's/^/NodeDeviceEvent /'
kill -TERM $program
wait $program || echo "libvirt-dbus ends with $?"
cat "$work/program.log"
