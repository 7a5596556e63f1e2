//! Every node device command of virsh, with its options and its mistakes.

use std::io::Write as _;

use nodedev_interop::{Failure, is_reference, verdict};
use nodedev_testkit::compare::Tolerance;
use nodedev_testkit::peer::Virsh;

use crate::{Comparison, Pair, first_of_each, fixture, said, sorted, without_schema_mistakes};

/// Commands about no device in particular.
const COMMANDS: &[&str] = &[
    "uri",
    "version --daemon",
    "hostname",
    "sysinfo",
    "capabilities",
    "list --all",
    "nodedev-list",
    "nodedev-list --tree",
    "nodedev-list --inactive",
    "nodedev-list --all",
    "nodedev-list --persistent",
    "nodedev-list --transient",
    "nodedev-list --persistent --transient",
    "nodedev-list --all --persistent",
    "nodedev-list --cap pci,net",
    "nodedev-list --cap mdev --inactive",
    "nodedev-list --cap nosuch",
    "nodedev-list --all --inactive",
    "nodedev-list --tree --all",
    "nodedev-list --transient --persistent --inactive",
    "nodedev-dumpxml nosuch",
    "nodedev-dumpxml 2000000012341234,1000000012341234",
    "nodedev-dumpxml 20000000,12",
    "nodedev-dumpxml computer --inactive",
    "nodedev-info computer",
    "nodedev-info nosuch",
    "nodedev-detach nosuch",
    "nodedev-reattach nosuch",
    "nodedev-reset nosuch",
    "nodedev-destroy nosuch",
    "nodedev-destroy computer",
    "nodedev-undefine computer",
    "nodedev-start computer",
    "nodedev-start nosuch",
    "nodedev-autostart computer",
    "nodedev-autostart computer --disable",
    "nodedev-event --list",
    "nodedev-event --event lifecycle --timeout 1",
    "nodedev-event --event update --timeout 1 --loop --timestamp",
    "nodedev-event --event lifecycle --device nosuch --timeout 1",
    "nodedev-event --event lifecycle --device computer --timeout 1",
    "nodedev-event --event foo",
    "nodedev-event",
];

/// Commands about each of some devices, whose name stands for `{}`.
const OF_A_DEVICE: &[&str] = &[
    "nodedev-info {}",
    "nodedev-dumpxml {}",
    "nodedev-dumpxml {} --inactive",
    "nodedev-dumpxml {} --xpath //capability/@type",
    "nodedev-dumpxml {} --xpath //capability --wrap",
    "nodedev-dumpxml {} --xpath //nosuch --wrap",
    "nodedev-dumpxml {} --xpath ///",
];

/// Options of `nodedev-list` for every capability.
const CAPABILITIES: &[&str] = nodedev_testkit::answers::CAPABILITIES;

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn every_command_is_answered_as_by_the_real_daemon() -> Result<(), Failure> {
    if !is_reference()? {
        return Ok(());
    }
    for name in ["kitchen-sink", "s390x", "small-vm"] {
        let pair = Pair::on(&fixture(name)?)?;
        let (real, ours) = (pair.real.client(), pair.ours.client());
        let mut comparison = Comparison::default();
        let mut ask = |words: &str| compare(real, ours, words, &mut comparison);
        for words in COMMANDS {
            // What libvirt lacks and we have.
            if !matches!(*words, "hostname" | "capabilities") {
                ask(words)?;
            }
        }
        for capability in CAPABILITIES {
            ask(&format!("nodedev-list --cap {capability}"))?;
            ask(&format!("nodedev-list --all --cap {capability}"))?;
        }
        let answers = pair.real.answers()?;
        let names = answers.names("list-all");
        for name in first_of_each(&names).values() {
            for words in OF_A_DEVICE {
                ask(&words.replace("{}", name))?;
            }
        }
        comparison.verdict(name)?;
        verdict(name, &answers, &ours.answers()?, Tolerance::Recording)?;
    }
    Ok(())
}

/// Whatever a document says that libvirt refuses is refused alike; nothing of it is carried out by either.
#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn documents_that_are_refused_are_refused_alike() -> Result<(), Failure> {
    const DOCUMENTS: &[&str] = &[
        "",
        "<device",
        "<domain/>",
        "<device></device>",
        "<device><capability type='nosuch'/></device>",
        "<device><name>x</name><capability type='net'><interface>a</interface></capability></device>",
        "<device><capability type='mdev'/></device>",
        "<device><parent>nosuch</parent><capability type='mdev'><type id='a'/></capability></device>",
        "<device><parent wwnn='1'/><capability type='scsi_host'><host>1</host></capability></device>",
        "<device><parent>computer</parent><capability type='system'/></device>",
    ];
    let pair = Pair::on(&fixture("kitchen-sink")?)?;
    let mut comparison = Comparison::default();
    for document in DOCUMENTS {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(document.as_bytes())?;
        let path = file.path().display().to_string();
        for words in [
            format!("nodedev-create {path}"),
            format!("nodedev-create {path} --validate"),
            format!("nodedev-define {path}"),
            format!("nodedev-define {path} --validate"),
            format!("nodedev-update computer {path}"),
        ] {
            let what = format!("{} < {document:?}", words.replace(&path, "FILE"));
            let (real, ours) = (pair.real.client(), pair.ours.client());
            let real = said(&real.output(&words.split(' ').collect::<Vec<_>>())?, real.uri());
            let ours = said(&ours.output(&words.split(' ').collect::<Vec<_>>())?, ours.uri());
            comparison.add(&what, &without_schema_mistakes(&real), &without_schema_mistakes(&ours));
        }
    }
    comparison.verdict("documents")
}

fn compare(real: &Virsh, ours: &Virsh, words: &str, to: &mut Comparison) -> Result<(), Failure> {
    let list: Vec<&str> = words.split(' ').collect();
    let (real, ours) = (said(&real.output(&list)?, real.uri()), said(&ours.output(&list)?, ours.uri()));
    let comparable = |text: &str| {
        let mut lines: Vec<&str> = text.lines().collect();
        // Who registers first is numbered first; times are never the same.
        lines.retain(|line| !line.starts_with("Running against daemon"));
        let text = lines.join("\n");
        // Types of mediated devices come in the order of their folder.
        if words.contains("--xpath") { sorted(&text) } else { text }
    };
    to.add(words, &comparable(&real), &comparable(&ours));
    Ok(())
}
