//! PCI: domains of 32 bits, virtual functions, links, and vital product data that is right, odd or broken.

use std::io;

use nodedev_testkit::pci_bytes::{Express, vpd};
use nodedev_testkit::tree::Tree;

use super::{express, function};

const PORT: Express = Express { port_type: 4, port: 3, max_speed: 5, max_width: 16, speed: 4, width: 8 };
const CARD: Express = Express { port_type: 0, port: 0, max_speed: 4, max_width: 8, speed: 0, width: 0 };

pub(super) fn fill(tree: &mut Tree) -> io::Result<()> {
    tree.file("usr/share/misc/pci.ids", b"8086  Intel Corporation\n\t1572  Ethernet Controller X710 for 10GbE SFP+\n\t154c  Ethernet Virtual Function 700 Series\n")?;
    let port = (0x8086, 0x2030);
    tree.add(&express("devices/pci0000:00", "0000:00:01.0", port, 0x06_0400, Some(PORT)).driver("pcieport"))?;
    sriov(tree, "devices/pci0000:00/0000:00:01.0")?;
    vital_data(tree)?;

    // Behind Intel's VMD, domains have more than 16 bits.
    let far = "devices/pci10000:e0";
    tree.add(&express(far, "10000:e0:06.0", port, 0x06_0400, Some(PORT)))?;
    tree.add(
        &function(&format!("{far}/10000:e0:06.0"), "10000:e1:00.0", (0x144d, 0xa80a), 0x01_0802)
            .driver("nvme"),
    )?;
    // Node numbers that mean none, an id that no list has, no class.
    tree.add(
        &function("devices/pci0000:00", "0000:00:1e.1", (0xffff, 0x0001), 0x0b_4000).attr("numa_node", -1),
    )?;
    tree.add(
        &function("devices/pci0000:00", "0000:00:1e.2", (0x8086, 0x0002), 0x00_0000).attr("numa_node", 3),
    )
}

/// A card with two virtual functions, all in one IOMMU group with a third function that is on another bus.
fn sriov(tree: &mut Tree, port: &str) -> io::Result<()> {
    let ids = (0x8086, 0x1572);
    let physical = format!("{port}/0000:01:00.0");
    let virtual_path = |number: u32| format!("{port}/0000:01:02.{number}");
    let new = express(port, "0000:01:00.0", ids, 0x02_0000, Some(CARD))
        .driver("i40e")
        .attr("numa_node", 1)
        .attr("sriov_totalvfs", 64)
        .attr("sriov_numvfs", 2);
    tree.add(&new.link("virtfn0", virtual_path(0)).link("virtfn1", virtual_path(1)))?;
    tree.iommu_group(12, &physical)?;
    for number in 0..2 {
        let new = function(port, &format!("0000:01:02.{number}"), (0x8086, 0x154c), 0x02_0000)
            .driver("iavf")
            .link("physfn", &physical);
        tree.add(&new)?;
        tree.iommu_group(12, &virtual_path(number))?;
    }
    // One that could have virtual functions, and one whose file says nothing.
    tree.add(
        &express(port, "0000:01:00.1", ids, 0x02_0000, Some(CARD))
            .attr("sriov_totalvfs", 64)
            .attr("sriov_numvfs", 0),
    )?;
    tree.add(&express(port, "0000:01:00.2", ids, 0x02_0000, Some(CARD)).attr("sriov_totalvfs", 0))
}

fn vital_data(tree: &mut Tree) -> io::Result<()> {
    let full = vpd(
        "Ethernet 10G 2P X710",
        &[
            ("PN", "0XYZ12"),
            ("EC", "A02"),
            ("MN", "1028"),
            ("SN", "CN0123456789"),
            ("V0", "FFV19.5"),
            ("V1", ""),
        ],
        &[("YA", "asset 7"), ("V4", "site"), ("Y1", "system")],
    );
    let mut broken_sum = full.clone();
    let sum = full.windows(3).position(|window| window == b"RV\x01").map_or(0, |at| at + 3);
    broken_sum[sum] ^= 0x55;
    let cases: [(&str, Vec<u8>); 10] = [
        ("full", full.clone()),
        ("broken sum", broken_sum),
        ("cut off", full[..full.len() / 2].to_vec()),
        ("no end tag", full[..full.len() - 1].to_vec()),
        ("markup", vpd("<&'\">", &[("SN", "a<b>&c")], &[])),
        ("not text", vpd("caf\u{e9}", &[("PN", "\u{1}\u{2}")], &[])),
        ("blanks", vpd("  padded  ", &[("PN", "  x  "), ("SN", "")], &[])),
        ("twice", vpd("Twice", &[("SN", "first"), ("SN", "second"), ("V0", "a"), ("V0", "b")], &[])),
        ("unknown keywords", vpd("Other", &[("FG", "x"), ("LC", "y"), ("ZZ", "z"), ("CP", "1")], &[])),
        ("all ones", vec![0xff; 64]),
    ];
    for (number, (_, bytes)) in cases.into_iter().enumerate() {
        let ids = (0x8086, 0x1572);
        let address = format!("0000:00:1{}.{}", number / 8, number % 8);
        let new = express("devices/pci0000:00", &address, ids, 0x02_0000, Some(CARD));
        tree.add(&new.bytes("vpd", bytes))?;
    }
    Ok(())
}
