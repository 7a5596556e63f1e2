# Makes virtual ports of a Fibre Channel host by npiv.table.
. /vm/lib.sh
. /vm/beside.sh

make_port
port_wwnn=${port_wwnn#0x} port_wwpn=${port_wwpn#0x} fabric=${fabric#0x}
wwnn=20000000c9831b4b wwpn=10000000c9831b4b

# document FILE PARENT WWNN WWPN
document() {
    {
        echo "<device>$2<capability type='scsi_host'><capability type='fc_host'>"
        echo "${3:+<wwnn>$3</wwnn>}${4:+<wwpn>$4</wwpn>}</capability></capability></device>"
    } > "/run/$1.xml"
}
document name "<parent>$port</parent>" $wwnn $wwpn
document names "<parent wwnn='$port_wwnn' wwpn='$port_wwpn'/>" $wwnn $wwpn
document fabric "<parent fabric_wwn='$fabric'/>" $wwnn $wwpn
document none '' $wwnn $wwpn
document made-up "<parent>$port</parent>" '' ''
document taken "<parent>$port</parent>" "$port_wwnn" "$port_wwpn"
document bad-parent '<parent>scsi_host999</parent>' $wwnn $wwpn
document other-parent '<parent>computer</parent>' $wwnn $wwpn
document bad-names "<parent wwnn='1111111111111111' wwpn='2222222222222222'/>" $wwnn $wwpn
document bad-fabric "<parent fabric_wwn='3333333333333333'/>" $wwnn $wwpn
document bad-wwnn "<parent>$port</parent>" bogus $wwpn
document short-wwpn "<parent>$port</parent>" $wwnn 10000000c9831b4
document wwnn-only "<parent>$port</parent>" $wwnn ''
echo "<device><parent>$port</parent><capability type='scsi_host'></capability></device>" > /run/no-fc.xml

# Every host and every virtual port gets another number.
ARBITRARY="$ARBITRARY
s/$port\\([^0-9]\\|\$\\)/the_port\\1/g
s/scsi_host[0-9]*/scsi_hostN/g
s/>host[0-9]*</>hostN</g
s/vport-[0-9:-]*/vport/g
s/5001a4a[0-9a-f]\\{9\\}/made-up/g"

# The virtual port that there is.
virtual() {
    for host in /sys/class/fc_host/*; do
        [ "scsi_${host##*/}" = "$port" ] || echo "scsi_${host##*/}"
    done
}
left() { cat /sys/class/fc_host/*/port_name; cat "/sys/class/fc_host/host$number/npiv_vports_inuse"; }

begin nodedev:///system?mode=legacy
note "the port is $port: $port_wwnn,$port_wwpn, fabric $fabric, $(cat /sys/class/fc_host/host$number/port_state)"
beside npiv.table
end
