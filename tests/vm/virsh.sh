# Hands PCI devices over by virsh.table. libvirtd serves that with the connection of its QEMU driver.
. /vm/lib.sh
. /vm/beside.sh

# The kernel makes up addresses of virtual functions.
ARBITRARY="$ARBITRARY
s/\\(net_eth[0-9]*\\)_[0-9a-f_]*/\\1/"

left() { states nic pf vf nvme multi0 multi1 group0 group1 bridge; }

begin qemu:///system
note "$(libvirtd --version)"
beside virsh.table
end
