//! This machine, as it is and with network interfaces made for the test: what no recording can hold (ethtool's features,
//! devlink, RDMA) is compared here.

use nodedev_interop::{Failure, is_reference, verdict};
use nodedev_testkit::cli::Cli;
use nodedev_testkit::compare::Tolerance;
use nodedev_testkit::peer::{Libvirt, Scene};

/// Interfaces of many kinds in the states they can be in. A kernel that lacks a kind only leaves its line out.
const LINKS: &[&str] = &[
    "link set lo up",
    "link add veth-a address 02:00:00:00:00:01 type veth peer name veth-b",
    "link set veth-a up",
    "link set veth-b up",
    "link add veth-c address 02:00:00:00:00:02 type veth peer name veth-d",
    "link set veth-c up",
    "link add br-test type bridge",
    "link set veth-b master br-test",
    "link set br-test up",
    "link add dummy-test address 02:00:00:00:00:03 type dummy",
    "link set dummy-test up",
    "link add link veth-a name vlan-test type vlan id 5",
    "link add ifb-test type ifb",
    "link add macvlan-test link veth-c type macvlan",
    "link add bond-test type bond",
    "tuntap add dev tap-test mode tap",
    "tuntap add dev tun-test mode tun",
];

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn this_machine_is_the_same_to_both() -> Result<(), Failure> {
    same("this machine", &Scene::Live)
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn network_interfaces_of_a_live_kernel_are_the_same_to_both() -> Result<(), Failure> {
    same("private network", &Scene::Network(LINKS.iter().map(|line| (*line).to_owned()).collect()))
}

fn same(what: &str, scene: &Scene) -> Result<(), Failure> {
    let daemon = Libvirt::find()?.start(scene)?;
    let expected = daemon.answers()?;
    let found = Cli::live()?.answers_as(|program| daemon.inside(program).map_err(std::io::Error::other))?;
    if is_reference()? {
        return verdict(what, &expected, &found, Tolerance::Order);
    }
    // Other releases word some documents differently; what is there and how it hangs together is the same in all.
    let names = |answers: &nodedev_testkit::answers::Answers| nodedev_testkit::answers::Answers {
        lists: answers.lists.clone(),
        tree: answers.tree.clone(),
        ..Default::default()
    };
    verdict(what, &names(&expected), &names(&found), Tolerance::Order)
}
