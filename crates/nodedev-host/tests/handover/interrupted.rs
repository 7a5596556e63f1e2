//! What an entry of an interrupted operation is believed, and what it says once that is finished or undone.

use std::fs;
use std::sync::Arc;

use nodedev_driver::{LibvirtCalls, Operations as _, Result};
use nodedev_model::HandoverState;
use nodedev_sys::HostAccess;
use nodedev_testkit::fake_kernel::FakeKernel;
use serde_json::{Value, json};

use crate::host::{
    BRIDGE, MOUNTS, NO_DISK, ONE, PINNED, TWO, UNUSED, detached, disk, group, host, is, journal, name, over,
    program, served, tree_with,
};

const DETACHING: HandoverState = HandoverState::Detaching;
const REATTACHING: HandoverState = HandoverState::Reattaching;

fn file(kernel: &FakeKernel, address: &str) -> std::path::PathBuf {
    kernel.folder().join(format!("run/nodedev/handover/{address}.json"))
}

fn entry(kernel: &FakeKernel, address: &str) -> Value {
    serde_json::from_slice(&fs::read(file(kernel, address)).unwrap()).unwrap()
}

/// Changes a field of an entry.
fn edit(kernel: &FakeKernel, address: &str, field: &str, value: Value) {
    let mut entry = entry(kernel, address);
    entry[field] = value;
    fs::write(file(kernel, address), serde_json::to_vec(&entry).unwrap()).unwrap();
}

/// What the journal says of a way that a device is served.
fn binding(driver: &str) -> Value {
    json!({ "kernel_driver": driver, "driver_override": driver })
}

/// A host on which an operation was interrupted at the first step, of those from `first` on, where something is so; the next
/// time it is the same one.
fn interrupted(
    first: &mut usize,
    host: impl Fn() -> Arc<FakeKernel>,
    act: impl Fn(&Arc<FakeKernel>) -> Result<()>,
    is_so: impl Fn(&Arc<FakeKernel>) -> bool,
) -> Arc<FakeKernel> {
    loop {
        let kernel = host();
        kernel.restart();
        kernel.crash_at(*first);
        let _ = act(&kernel);
        assert!(kernel.was_hit(), "it never is so");
        kernel.restart();
        if is_so(&kernel) {
            return kernel;
        }
        *first += 1;
    }
}

/// Whether the journal has these devices in this state, and nothing else.
fn has(kernel: &Arc<FakeKernel>, addresses: &[&str], state: HandoverState) -> bool {
    let want: Vec<_> = addresses.iter().map(|address| ((*address).to_owned(), state)).collect();
    journal(&program(kernel)) == want
}

/// What recovery says it did, or could not do.
fn recovered(kernel: &Arc<FakeKernel>) -> Vec<String> {
    program(kernel).recover_handovers().unwrap().into_iter().map(|issue| issue.problem).collect()
}

const FINISHED: &str = "an interrupted operation was finished";
const UNDONE: &str = "an interrupted operation was undone";

#[test]
fn a_detach_that_was_done_but_for_its_entry_is_finished_and_its_entry_is_as_if_nothing_had_been() {
    let kernel = interrupted(
        &mut 1,
        host,
        |kernel| program(kernel).detach(&name(PINNED)),
        |kernel| served(kernel, PINNED) == detached() && has(kernel, &[PINNED], DETACHING),
    );
    edit(&kernel, PINNED, "problem", json!("it was not known how it would end"));
    assert_eq!(recovered(&kernel), [FINISHED]);
    assert_eq!(served(&kernel, PINNED), detached());
    let undisturbed = host();
    program(&undisturbed).detach(&name(PINNED)).unwrap();
    for kernel in [&kernel, &undisturbed] {
        let entry = entry(kernel, PINNED);
        assert_eq!(entry["state"], "detached");
        assert_eq!(entry["original"], binding("uio"));
        assert_eq!((&entry["before"], &entry["target"]), (&binding("vfio-pci"), &binding("vfio-pci")));
        assert_eq!(entry.get("problem"), None);
    }
}

#[test]
fn a_second_detach_that_is_undone_leaves_the_entry_of_the_first() {
    let twice = || {
        let kernel = host();
        kernel.driver("pci-stub", &[]).unwrap();
        program(&kernel).detach(&name(PINNED)).unwrap();
        kernel
    };
    let kernel = interrupted(
        &mut 1,
        twice,
        |kernel| program(kernel).detach_flags(&name(PINNED), Some("pci-stub"), 0),
        |kernel| kernel.bound(PINNED).is_none() && has(kernel, &[PINNED], DETACHING),
    );
    edit(&kernel, PINNED, "problem", json!("it could not be undone"));
    assert_eq!(recovered(&kernel), [UNDONE]);
    assert_eq!(served(&kernel, PINNED), detached());
    let entry = entry(&kernel, PINNED);
    assert_eq!((&entry["state"], &entry["original"]), (&json!("detached"), &binding("uio")));
    assert_eq!((&entry["before"], &entry["target"]), (&binding("vfio-pci"), &binding("vfio-pci")));
    assert_eq!(entry.get("problem"), None);
}

#[test]
fn an_operation_on_a_group_is_finished_only_where_all_entries_are_of_it() {
    type Act = fn(&Arc<FakeKernel>) -> Result<()>;
    let detach: Act = |kernel| program(kernel).detach_with(&name(ONE), &group().0).map(drop);
    let reattach: Act = |kernel| program(kernel).reattach_with(&name(ONE), &group().1).map(drop);
    let before = is(Some("igb"), "(null)");
    for (act, state, prepared, finished, undone) in [
        (detach, DETACHING, false, detached(), before.clone()),
        (reattach, REATTACHING, true, before, detached()),
    ] {
        let start = || {
            let kernel = over(tree_with(&[ONE, TWO]));
            if prepared {
                detach(&kernel).unwrap();
            }
            kernel
        };
        let mut step = 1;
        for is_of_it in [true, false] {
            let kernel = interrupted(&mut step, start, act, |kernel| {
                has(kernel, &[ONE, TWO], state)
                    && [ONE, TWO].map(|it| served(kernel, it)) == [detached(), detached()]
            });
            if !is_of_it {
                let number = entry(&kernel, TWO)["operation"].as_u64().unwrap();
                edit(&kernel, TWO, "operation", json!(number + 1));
            }
            let told = if is_of_it { FINISHED } else { UNDONE };
            assert_eq!(recovered(&kernel), [told, told], "{state:?}");
            let want = if is_of_it { &finished } else { &undone };
            for address in [ONE, TWO] {
                assert_eq!(served(&kernel, address), *want, "{state:?} {address} {is_of_it}");
            }
        }
    }
}

#[test]
fn a_device_of_a_group_without_an_entry_was_given_back_unless_a_driver_for_guests_has_it() {
    let address = format!("{TWO}\n");
    let release = [
        (format!("devices/{TWO}/driver_override"), "\n"),
        ("drivers/vfio-pci/unbind".to_owned(), address.as_str()),
        ("drivers_probe".to_owned(), address.as_str()),
    ];
    let mut step = 1;
    for (writes, told) in [(0, UNDONE), (2, FINISHED), (3, FINISHED)] {
        let kernel = interrupted(
            &mut step,
            || {
                let kernel = over(tree_with(&[ONE, TWO]));
                program(&kernel).detach_with(&name(ONE), &group().0).unwrap();
                kernel
            },
            |kernel| program(kernel).reattach_with(&name(ONE), &group().1).map(drop),
            |kernel| {
                let both = [ONE, TWO].map(|it| served(kernel, it));
                has(kernel, &[ONE, TWO], REATTACHING) && both == [detached(), detached()]
            },
        );
        for (file, value) in &release[..writes] {
            kernel.write(format!("sys/bus/pci/{file}").as_bytes(), value.as_bytes()).unwrap();
        }
        fs::remove_file(file(&kernel, TWO)).unwrap();
        let before = served(&kernel, TWO);
        assert_eq!(recovered(&kernel), [told], "{writes}");
        let want = if told == FINISHED { is(Some("igb"), "(null)") } else { detached() };
        assert_eq!((served(&kernel, ONE), served(&kernel, TWO)), (want, before), "{writes}");
    }
}

/// A host on which giving a device back was interrupted before anything was written to it.
fn giving_back(first: &mut usize, start: impl Fn() -> Arc<FakeKernel>) -> Arc<FakeKernel> {
    interrupted(
        first,
        || {
            let kernel = start();
            program(&kernel).detach(&name(PINNED)).unwrap();
            kernel
        },
        |kernel| program(kernel).reattach(&name(PINNED)),
        |kernel| served(kernel, PINNED) == detached() && has(kernel, &[PINNED], REATTACHING),
    )
}

#[test]
fn an_interrupted_operation_is_dropped_for_every_other_device_in_the_slot() {
    let mut step = 1;
    for attribute in ["vendor", "device", "subsystem_vendor", "subsystem_device"] {
        let kernel = giving_back(&mut step, || over(tree_with(&[PINNED])));
        let folder = kernel.folder().join(format!("sys/devices/pci0000:00/{BRIDGE}/{PINNED}"));
        fs::write(folder.join(attribute), "0x1234\n").unwrap();
        let told = recovered(&kernel);
        assert!(told.len() == 1 && told[0].starts_with("the entry was dropped"), "{attribute}: {told:?}");
        assert_eq!(served(&kernel, PINNED), detached(), "{attribute}");
        assert_eq!(journal(&program(&kernel)), [], "{attribute}");
    }
}

#[test]
fn recovery_takes_no_device_from_a_driver_of_the_host_that_has_begun_to_use_it() {
    let mut step = 1;
    for is_used in [true, false] {
        let start = || {
            let mut tree = tree_with(&[PINNED]);
            disk(&mut tree, PINNED, "sdb", 16);
            tree.file(MOUNTS, NO_DISK).unwrap();
            let kernel = over(tree);
            kernel.driver("natural", &[PINNED]).unwrap();
            kernel
        };
        let kernel = giving_back(&mut step, start);
        let address = format!("{PINNED}\n");
        for (file, value) in [
            (format!("devices/{PINNED}/driver_override"), "\n"),
            ("drivers/vfio-pci/unbind".into(), &address),
            ("drivers_probe".into(), &address),
        ] {
            kernel.write(format!("sys/bus/pci/{file}").as_bytes(), value.as_bytes()).unwrap();
        }
        let natural = is(Some("natural"), "(null)");
        assert_eq!(served(&kernel, PINNED), natural);
        if is_used {
            fs::write(kernel.folder().join(MOUNTS), "22 1 8:16 / /srv rw - ext4 /dev/sdb rw\n").unwrap();
        }
        let told = recovered(&kernel);
        let uses = told.iter().any(|problem| problem.contains("the file system at /srv is on sdb"));
        assert_eq!(uses, is_used, "{told:?}");
        assert_eq!(served(&kernel, PINNED), if is_used { natural } else { is(Some("uio"), "uio") });
    }
}

#[test]
fn the_module_of_the_original_driver_is_loaded_also_where_nothing_but_the_probe_is_left() {
    let start = || {
        let kernel = host();
        kernel.module("e1000e", "e1000e");
        kernel.load_module("e1000e").unwrap();
        for (file, value) in
            [(format!("devices/{UNUSED}/driver_override"), "e1000e\n"), ("drivers_probe".into(), UNUSED)]
        {
            kernel.write(format!("sys/bus/pci/{file}").as_bytes(), value.as_bytes()).unwrap();
        }
        kernel
    };
    let kernel = interrupted(
        &mut 1,
        start,
        |kernel| program(kernel).detach(&name(UNUSED)),
        |kernel| kernel.bound(UNUSED).is_none() && has(kernel, &[UNUSED], DETACHING),
    );
    kernel.write(format!("sys/bus/pci/devices/{UNUSED}/driver_override").as_bytes(), b"e1000e\n").unwrap();
    for folder in ["bus/pci/drivers/e1000e", "module/e1000e"] {
        fs::remove_dir_all(kernel.folder().join("sys").join(folder)).unwrap();
    }
    assert_eq!(recovered(&kernel), [UNDONE]);
    assert_eq!(served(&kernel, UNUSED), is(Some("e1000e"), "e1000e"));
}

#[test]
fn whoever_wants_the_device_ends_first_what_was_interrupted() {
    let kernel = giving_back(&mut 1, || over(tree_with(&[PINNED])));
    program(&kernel).detach(&name(PINNED)).unwrap();
    assert_eq!(served(&kernel, PINNED), detached());
    assert!(has(&kernel, &[PINNED], HandoverState::Detached));
    assert_eq!(entry(&kernel, PINNED)["original"], binding("uio"));
}

#[test]
fn what_was_left_of_an_entry_that_was_being_written_is_removed() {
    let kernel = over(tree_with(&[PINNED]));
    let unfinished = file(&kernel, PINNED).with_extension("json.new");
    fs::create_dir_all(unfinished.parent().unwrap()).unwrap();
    fs::write(&unfinished, "{ \"version\": ").unwrap();
    assert_eq!(recovered(&kernel), [""; 0]);
    assert!(!unfinished.exists());
}
