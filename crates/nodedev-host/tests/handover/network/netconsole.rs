//! The interface that the kernel writes its log through.

use nodedev_model::FindingKind;
use nodedev_testkit::tree::Tree;

use crate::host::{UNUSED, detach, is_needed, over};

use super::{Build, NIC, no_network, virtual_, with_cards};

const CONSOLES: &str = "proc/consoles";
const NETCON: &[u8] = b"ttyS0 -W- (EC p a) 4:64\nnetcon0 -W- (E p)\n";

fn target(tree: &mut Tree, name: &str, enabled: &str) {
    let folder = "sys/kernel/config/netconsole/log";
    tree.file(&format!("{folder}/dev_name"), format!("{name}\n").as_bytes()).unwrap();
    tree.file(&format!("{folder}/enabled"), format!("{enabled}\n").as_bytes()).unwrap();
}

#[test]
fn a_card_that_the_kernel_writes_its_log_through_is_refused_unless_forced() {
    let rows: &[(&str, Build, &str)] = &[
        ("a target", |tree| target(tree, NIC, "1"), "through eth0"),
        (
            "a target by a bridge",
            |tree| {
                virtual_(tree, "br0", &[NIC]);
                target(tree, "br0", "1");
            },
            "through br0, of which eth0 is a part",
        ),
        (
            "the command line",
            |tree| {
                tree.file(CONSOLES, NETCON).unwrap();
                tree.file("proc/cmdline", b"quiet netconsole=4444@10.0.0.1/eth0,@10.0.0.2/\n").unwrap();
            },
            "through eth0",
        ),
    ];
    for (situation, build, through) in rows {
        let mut host = with_cards();
        build(&mut host);
        let kernel = over(host);
        kernel.network(no_network);
        let told = format!("its console over the network (netconsole) is {through}");
        is_needed(&kernel, situation, FindingKind::HostConsole, &told);
    }
}

#[test]
fn a_log_that_goes_nobody_says_where_refuses_cards_and_one_that_goes_nowhere_refuses_none() {
    fn line(tree: &mut Tree, line: &str) {
        tree.file(CONSOLES, NETCON).unwrap();
        tree.file("proc/cmdline", format!("netconsole={line}\n").as_bytes()).unwrap();
    }
    const NOBODY: Option<&str> = Some("nobody says through which interface");
    let rows: &[(&str, Build, Option<&str>)] = &[
        (
            "a parameter of the module, which nothing shows",
            |tree| tree.file(CONSOLES, NETCON).unwrap(),
            NOBODY,
        ),
        ("a target that is off", |tree| target(tree, NIC, "0"), None),
        ("a target through another card", |tree| target(tree, super::FREE, "1"), None),
        ("a parameter that names another card", |tree| line(tree, "@/eth9,@10.0.0.2/"), None),
        (
            "one that names a card that udev has renamed",
            |tree| line(tree, "@/eth7,@10.0.0.2/"),
            Some("the interface that it is said to be through is not here: \"eth7\""),
        ),
        (
            "one that names a hardware address, and another a card that is here",
            |tree| line(tree, "@/eth9,@10.0.0.2/;@/12:34:56:78:9a:bc,@10.0.0.2/"),
            Some("not here: \"12:34:56:78:9a:bc\""),
        ),
        ("one that names no interface", |tree| line(tree, "@/../x,@10.0.0.2/"), Some("not here: \"../x\"")),
        ("a target that is not here", |tree| target(tree, "eth7", "1"), Some("not here: \"eth7\"")),
        (
            "messages with a header beside those of the only target that is known",
            |tree| {
                target(tree, super::FREE, "1");
                tree.file(CONSOLES, b"netcon_ext0 -W- (E p)\nnetcon0 -W- (E p)\n").unwrap();
            },
            NOBODY,
        ),
        (
            "messages with a header to the target that is known",
            |tree| {
                target(tree, super::FREE, "1");
                tree.file("sys/kernel/config/netconsole/log/extended", b"1\n").unwrap();
                tree.file(CONSOLES, b"netcon_ext0 -W- (E p)\n").unwrap();
            },
            None,
        ),
    ];
    for (situation, build, refused) in rows {
        let mut host = with_cards();
        build(&mut host);
        let kernel = over(host);
        let detached = detach(&kernel, UNUSED, false);
        assert_eq!(detached.is_err(), refused.is_some(), "{situation}: {detached:?}");
        if let (Err(error), Some(told)) = (detached, refused) {
            let message = error.message();
            assert!(message.contains("(netconsole), and ") && message.contains(told), "{situation}: {error}");
            detach(&kernel, UNUSED, true).unwrap();
        }
    }
}
