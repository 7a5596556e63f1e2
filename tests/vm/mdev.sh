# Makes mediated devices by mdev.table, with the kernel's samples mtty and mdpy.
. /vm/lib.sh
. /vm/beside.sh

modprobe mtty
modprobe mdpy
a_uuid=00000000-0000-4000-8000-000000000001 a=mdev_00000000_0000_4000_8000_000000000001_mtty
b_uuid=00000000-0000-4000-8000-000000000002 b=mdev_00000000_0000_4000_8000_000000000002_mtty
c_uuid=00000000-0000-4000-8000-000000000003 c=mdev_00000000_0000_4000_8000_000000000003_mdpy
# A device below the other parent that has the UUID of a.
twin=mdev_00000000_0000_4000_8000_000000000001_mdpy

# document FILE PARENT TYPE UUID ATTRIBUTES; without what is empty.
document() {
    {
        echo "<device><name>any</name>${2:+<parent>$2</parent>}<capability type='mdev'>"
        echo "${3:+<type id='$3'/>}${4:+<uuid>$4</uuid>}$5</capability></device>"
    } > "/run/$1.xml"
}
document a mtty_mtty mtty-1 $a_uuid
document a-other mtty_mtty mtty-2 $a_uuid
document b mtty_mtty mtty-2 $b_uuid
document c mdpy_mdpy mdpy-vga $c_uuid
document twin mdpy_mdpy mdpy-vga $a_uuid
document any mtty_mtty mtty-1 ''
document bad-type mtty_mtty nosuch-1 $b_uuid
document bad-attribute mtty_mtty mtty-1 $b_uuid "<attr name='nosuch' value='1'/>"
document attribute-in-folder mtty_mtty mtty-1 $b_uuid "<attr name='vendor/sample_mdev_dev' value='4294967296'/>"
document bad-uuid mtty_mtty mtty-1 0000
document bad-parent nosuch mtty-1 $b_uuid
document other-parent computer mtty-1 $b_uuid
document no-parent '' mtty-1 $b_uuid
document no-type mtty_mtty '' $b_uuid
echo "<device><parent>mtty_mtty</parent><capability type='mdev'>" > /run/malformed.xml
echo "<device><parent>mtty_mtty</parent></device>" > /run/no-capability.xml
: > /run/empty.xml

# The name of the device whose UUID was made up.
made_up() {
    for device in /sys/bus/mdev/devices/*; do
        case "${device##*/}" in
            00000000-*) ;;
            *) echo "mdev_$(echo "${device##*/}" | tr - _)_mtty" ;;
        esac
    done
}

left() {
    ls /sys/bus/mdev/devices
    grep -r . /etc/mdevctl.d
}

begin nodedev:///system?mode=legacy
note "$(mdevctl --version)"
beside mdev.table
end
# Two that both fail are the same, too.
name='mdev: devices were really made, by libvirt and by us'
if grep -qs "^$a_uuid\$" /run/theirs.*.left && grep -qs "^$a_uuid\$" /run/ours.*.left; then
    pass "$name"
else
    fail "$name" "$(ls -l /dev/stdin) $(cat /run/ours.1[0-9].text)"
fi
rmmod mtty mdpy
