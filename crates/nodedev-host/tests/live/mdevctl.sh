#!/bin/sh
# What mdevctl does, as far as its manual tells, on a host below the working directory. One run is one line of `ran`.
set -eu
echo "$*" >>ran
command=$1
shift
uuid='' parent='' json='' start='' defined='' live='' help=''
while [ $# -gt 0 ]; do
    case $1 in
    --uuid=*) uuid=${1#*=} ;;
    --parent=*) parent=${1#*=} ;;
    --jsonfile=*) json=$(cat) ;;
    --jsonfile) shift ;;
    --auto) start=auto ;;
    --manual) start=manual ;;
    --defined) defined=1 ;;
    --live) live=1 ;;
    --help) help=1 ;;
    *) echo "unexpected argument $1" >&2; exit 2 ;;
    esac
    shift
done
if [ -n "$help" ]; then exit 0; fi
if [ -e refuse ]; then cat refuse >&2; exit 1; fi
file=etc/mdevctl.d/$parent/$uuid
device=sys/devices/pci0000:00/0000:00:03.0/$uuid
begin() {
    mkdir -p "$device" sys/bus/mdev/devices
    ln -s "../mdev_supported_types/t-1" "$device/mdev_type"
    ln -s "../../../bus/mdev" "$device/subsystem"
    : >"$device/uevent"
    ln -s "../../../devices/pci0000:00/0000:00:03.0/$uuid" "sys/bus/mdev/devices/$uuid"
}
case $command in
define)
    if [ -e "$file" ]; then echo "device $uuid is defined already" >&2; exit 1; fi
    mkdir -p "${file%/*}"
    echo "$json" >"$file.new"
    mv "$file.new" "$file"
    ;;
modify)
    if [ -n "$start" ]; then json=$(sed "s/\"start\":\"[a-z]*\"/\"start\":\"$start\"/" "$file"); defined=1; fi
    if [ -n "$defined" ]; then echo "$json" >"$file.new"; mv "$file.new" "$file"; fi
    if [ -n "$live" ]; then echo "$json" >live; fi
    ;;
undefine) rm "$file" ;;
start)
    if [ -z "$json" ] && [ ! -e "$file" ]; then echo "no such definition" >&2; exit 1; fi
    if [ ! -e mute ]; then begin; fi
    ;;
stop)
    rm -rf "$device"
    rm -f "sys/bus/mdev/devices/$uuid"
    ;;
esac
