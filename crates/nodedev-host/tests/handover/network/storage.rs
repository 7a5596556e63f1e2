//! Storage on other machines, which the card leads to.

use nodedev_sys::network::Route;
use nodedev_testkit::tree::{Device, NodeKind};

use crate::host::{BRIDGE, PINNED, UNUSED, process};

use super::{DISK, FREE, HEAD, MOUNTS, NIC, ROUTE, Row, TEN, link, no_network, route, virtual_};

pub(super) const STORAGE: &[Row] = &[
    Row {
        situation: "NFS, on a link without a default route",
        tree: |tree| {
            tree.file(ROUTE, format!("{HEAD}{TEN}").as_bytes()).unwrap();
            let mounts =
                "23 22 0:31 / /home rw - nfs4 nas:/home rw,addr=10.0.0.1\n22 1 0:30 / / rw - tmpfs x rw\n";
            tree.file(MOUNTS, mounts.as_bytes()).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the file system at /home from 10.0.0.1 is through eth0",
    },
    Row {
        situation: "NFS beside a longer route that is for some packets alone",
        tree: |tree| {
            virtual_(tree, "dummy0", &[]);
            tree.file(MOUNTS, b"22 1 0:30 / /n rw - nfs4 nas:/n rw,addr=10.0.0.1\n").unwrap();
        },
        network: |net| {
            net.links = vec![link("dummy0", "dummy"), link(NIC, "")];
            net.routes = vec![
                Route { is_limited: true, ..route("10.0.0.1/32", &["dummy0"]) },
                route("10.0.0.0/24", &[NIC]),
            ];
        },
        kind: DISK,
        told: "the file system at /n from 10.0.0.1 is through eth0",
    },
    Row {
        situation: "NFS through a gateway, a bond and IPv6",
        tree: |tree| {
            virtual_(tree, "bond0", &[NIC]);
            tree.file(MOUNTS, b"22 1 0:30 / / rw - nfs [2001:db8::1]:/root rw,addr=2001:db8::1\n").unwrap();
        },
        network: |net| net.routes = vec![route("2001:db8::/32", &["bond0"]), route("fd00::/64", &[FREE])],
        kind: DISK,
        told: "the file system at / from 2001:db8::1 is through bond0, of which eth0 is a part",
    },
    Row {
        situation: "CIFS of a machine on the link of an interface",
        tree: |tree| tree.file(MOUNTS, b"22 1 0:30 / /s rw - cifs //nas/s rw,addr=fe80::1%eth0\n").unwrap(),
        network: no_network,
        kind: DISK,
        told: "the file system at /s (cifs //nas/s) is through eth0",
    },
    Row {
        situation: "the second of two servers of CIFS that only the sources name",
        tree: |tree| {
            let mounts =
                "22 1 0:30 / /s rw - cifs //10.7.0.1/s rw\n23 1 0:31 / /tt rw - cifs //10.0.0.2/s rw\n";
            tree.file(MOUNTS, mounts.as_bytes()).unwrap();
        },
        network: |net| net.routes = vec![route("10.0.0.0/24", &[NIC]), route("10.7.0.0/24", &["lo"])],
        kind: DISK,
        told: "the file system at /tt from 10.0.0.2 is through eth0",
    },
    Row {
        situation: "Ceph of several monitors",
        tree: |tree| {
            tree.file(MOUNTS, b"22 1 0:30 / /c rw - ceph 10.7.0.1:6789,10.0.0.4:6789:/ rw,name=a\n").unwrap();
        },
        network: |net| net.routes = vec![route("10.0.0.0/24", &[NIC]), route("10.7.0.0/24", &["lo"])],
        kind: DISK,
        told: "the file system at /c from 10.0.0.4 is through eth0",
    },
    Row {
        situation: "a user's file system of a machine that has a name only",
        tree: |tree| tree.file(MOUNTS, b"22 1 0:30 / /m rw - fuse.sshfs me@nas:/m rw\n").unwrap(),
        network: |net| net.routes = vec![route("10.0.0.0/24", &[NIC])],
        kind: DISK,
        told: "the file system at /m (fuse.sshfs me@nas:/m) may be through eth0: no other way there is known",
    },
    Row {
        situation: "virtiofs of a device",
        tree: |tree| {
            let path = format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/virtio3");
            tree.add(&Device::new(path, "bus/virtio").driver("virtiofs")).unwrap();
            tree.file(MOUNTS, b"22 1 0:30 / /v rw - virtiofs share rw\n").unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the file system at /v (virtiofs share) is through virtio3",
    },
    Row {
        situation: "9p of the device with its tag",
        tree: |tree| {
            for (function, number, tag) in [(UNUSED, 3, "mine"), (PINNED, 4, "other")] {
                let path = format!("devices/pci0000:00/{BRIDGE}/{function}/virtio{number}");
                let device = Device::new(path, "bus/virtio").driver("9pnet_virtio").bytes("mount_tag", tag);
                tree.add(&device).unwrap();
            }
            tree.file(MOUNTS, b"22 1 0:30 / /v rw - 9p mine rw,trans=virtio\n").unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the file system at /v (9p mine) is through virtio3",
    },
    Row {
        situation: "a session of iSCSI",
        tree: |tree| {
            tree.add(&Device::new(
                "devices/platform/host5/session1/iscsi_session/session1",
                "class/iscsi_session",
            ))
            .unwrap();
            let connection = "devices/platform/host5/session1/connection1:0/iscsi_connection/connection1:0";
            tree.add(&Device::new(connection, "class/iscsi_connection").attr("address", "10.0.0.9")).unwrap();
            tree.file(ROUTE, format!("{HEAD}{TEN}").as_bytes()).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the iSCSI session 1 with 10.0.0.9 is through eth0",
    },
    Row {
        situation: "a disk of a session of iSCSI that is not told of",
        tree: |tree| {
            let path = "devices/platform/host5/session1/target5:0:0/5:0:0:0/block/sda";
            let disk = Device::new(path, "class/block").node(NodeKind::Block, 8, 0, "sda").devtype("disk");
            tree.add(&disk).unwrap();
            tree.file(ROUTE, format!("{HEAD}{TEN}").as_bytes()).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the iSCSI session 1 may be through eth0",
    },
    Row {
        situation: "NVMe over TCP",
        tree: |tree| {
            let path = "devices/virtual/nvme-fabrics/ctl/nvme0";
            let address = "traddr=10.0.0.1,trsvcid=4420,src_addr=10.0.0.2";
            tree.add(&Device::new(path, "class/nvme").attr("transport", "tcp").attr("address", address))
                .unwrap();
            tree.file(ROUTE, format!("{HEAD}{TEN}").as_bytes()).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the NVMe controller nvme0 at 10.0.0.1 is through eth0",
    },
    Row {
        situation: "NVMe over TCP that is bound to an interface",
        tree: |tree| {
            let path = "devices/virtual/nvme-fabrics/ctl/nvme0";
            let address = "traddr=10.9.0.1,host_iface=eth0";
            tree.add(&Device::new(path, "class/nvme").attr("transport", "tcp").attr("address", address))
                .unwrap();
        },
        network: |net| net.routes = vec![route("10.9.0.0/24", &["lo"])],
        kind: DISK,
        told: "the NVMe controller nvme0 is through eth0",
    },
    Row {
        situation: "NVMe over Fibre Channel",
        tree: |tree| {
            let path = format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/host9/fc_host/host9");
            tree.add(&Device::new(path, "class/fc_host").attr("port_name", "0x10000090fa000001")).unwrap();
            let address = "traddr=nn-0x5:pn-0x6,host_traddr=nn-0x20000090fa000001:pn-0x10000090fa000001";
            let path = "devices/virtual/nvme-fabrics/ctl/nvme0";
            tree.add(&Device::new(path, "class/nvme").attr("transport", "fc").attr("address", address))
                .unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the NVMe controller nvme0 is through host9",
    },
    Row {
        situation: "Fibre Channel over a VLAN",
        tree: |tree| {
            virtual_(tree, "eth0.100", &[NIC]);
            let path = "devices/virtual/net/eth0.100/ctlr_0/host7/fc_host/host7";
            tree.add(&Device::new(path, "class/fc_host")).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the Fibre Channel port host7 is through eth0.100, of which eth0 is a part",
    },
    Row {
        situation: "Fibre Channel over Ethernet, as its name says",
        tree: |tree| {
            let path = "devices/platform/host7/fc_host/host7";
            tree.add(&Device::new(path, "class/fc_host").attr("symbolic_name", "fcoe v0.1 over eth0"))
                .unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the Fibre Channel port host7 is through eth0",
    },
    Row {
        situation: "nbd of a process that is connected",
        tree: |tree| {
            let disk =
                Device::new("devices/virtual/block/nbd0", "class/block").node(NodeKind::Block, 43, 0, "nbd0");
            tree.add(&disk.devtype("disk").attr("pid", 900)).unwrap();
            process(tree.root(), 900, "nbd-client", &["socket:[77]", "socket:[78]"]);
            let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
            let line = "   0: 0200000A:9C40 0100000A:2A51 01 00000000:00000000 00:00000000 00000000     0        0 77 1\n";
            tree.file("proc/900/net/tcp", format!("{head}{line}").as_bytes()).unwrap();
            tree.file(ROUTE, format!("{HEAD}{TEN}").as_bytes()).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the disk nbd0 of 10.0.0.1 is through eth0",
    },
    Row {
        situation: "nbd of a process that is gone",
        tree: |tree| {
            let disk =
                Device::new("devices/virtual/block/nbd0", "class/block").node(NodeKind::Block, 43, 0, "nbd0");
            tree.add(&disk.devtype("disk").attr("pid", 900)).unwrap();
            tree.file(ROUTE, format!("{HEAD}{TEN}").as_bytes()).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the disk nbd0 may be through eth0",
    },
    Row {
        situation: "a disk of Ceph",
        tree: |tree| {
            let config = "10.0.0.1:6789 name=admin,key=client.admin rbd disk -";
            tree.add(&Device::new("devices/rbd/0", "bus/rbd").attr("config_info", config)).unwrap();
            tree.file(ROUTE, format!("{HEAD}{TEN}").as_bytes()).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the Ceph disk rbd0 of 10.0.0.1 is through eth0",
    },
    Row {
        situation: "ATA over Ethernet",
        tree: |tree| {
            let disk = Device::new("devices/virtual/block/etherd!e1.0", "class/block");
            let disk =
                disk.node(NodeKind::Block, 152, 0, "etherd/e1.0").devtype("disk").attr("netif", "eth0");
            tree.add(&disk).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the disk etherd!e1.0 is through eth0",
    },
];
