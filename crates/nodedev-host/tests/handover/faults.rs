//! Every step fails once, and every step is once the last before a crash.

use std::sync::Arc;
use std::time::Duration;

use nodedev_driver::{LibvirtCalls, Operations as _};
use nodedev_model::HandoverState;
use nodedev_sys::HostAccess;
use nodedev_testkit::fake_kernel::{FakeKernel, errno};

use crate::host::{
    ONE, PINNED, STUBBED, TWO, UNUSED, detached, end, group, host, is, journal, name, over, process, program,
    served, tree_with,
};

type Served = (Option<String>, String);

/// What is done to devices, and what they may be like afterwards.
struct Case {
    name: &'static str,
    devices: &'static [&'static str],
    /// What is done before faults begin.
    prepare: fn(&Arc<FakeKernel>),
    act: fn(&Arc<FakeKernel>) -> nodedev_driver::Result<()>,
}

fn detach(kernel: &Arc<FakeKernel>, address: &str, driver: Option<&str>) -> nodedev_driver::Result<()> {
    program(kernel).detach_flags(&name(address), driver, 0)
}

const CASES: &[Case] = &[
    Case {
        name: "detach from a driver",
        devices: &[ONE],
        prepare: |_| (),
        act: |kernel| detach(kernel, ONE, None),
    },
    Case {
        name: "detach from nothing",
        devices: &[UNUSED],
        prepare: |_| (),
        act: |kernel| detach(kernel, UNUSED, None),
    },
    Case {
        name: "detach from an override",
        devices: &[PINNED],
        prepare: |_| (),
        act: |kernel| detach(kernel, PINNED, None),
    },
    Case {
        name: "detach again for another driver",
        devices: &[PINNED],
        prepare: |kernel| detach(kernel, PINNED, None).unwrap(),
        act: |kernel| detach(kernel, PINNED, Some("pci-stub")),
    },
    Case {
        name: "detach a group",
        devices: &[ONE, TWO],
        prepare: |_| (),
        act: |kernel| program(kernel).detach_with(&name(ONE), &group().0).map(drop),
    },
    Case {
        name: "reattach to a driver",
        devices: &[ONE],
        prepare: |kernel| detach(kernel, ONE, None).unwrap(),
        act: |kernel| program(kernel).reattach(&name(ONE)),
    },
    Case {
        name: "reattach to nothing",
        devices: &[UNUSED],
        prepare: |kernel| detach(kernel, UNUSED, None).unwrap(),
        act: |kernel| program(kernel).reattach(&name(UNUSED)),
    },
    Case {
        name: "reattach to an override",
        devices: &[PINNED],
        prepare: |kernel| detach(kernel, PINNED, None).unwrap(),
        act: |kernel| program(kernel).reattach(&name(PINNED)),
    },
    Case {
        name: "reattach without a journal",
        devices: &[ONE],
        prepare: |kernel| {
            detach(kernel, ONE, None).unwrap();
            program(kernel).forget_handover(ONE).unwrap();
        },
        act: |kernel| program(kernel).reattach(&name(ONE)),
    },
    Case {
        name: "reattach a group",
        devices: &[ONE, TWO],
        prepare: |kernel| drop(program(kernel).detach_with(&name(ONE), &group().0).unwrap()),
        act: |kernel| program(kernel).reattach_with(&name(ONE), &group().1).map(drop),
    },
    Case {
        name: "detach a group of which one is kept for somebody else",
        devices: &[TWO, STUBBED],
        prepare: |_| (),
        act: |kernel| program(kernel).detach_with(&name(TWO), &group().0).map(drop),
    },
    Case {
        name: "reattach a group of which one was kept for somebody else",
        devices: &[TWO, STUBBED],
        prepare: |kernel| drop(program(kernel).detach_with(&name(TWO), &group().0).unwrap()),
        act: |kernel| program(kernel).reattach_with(&name(TWO), &group().1).map(drop),
    },
    Case {
        name: "reattach a group the first of which was kept for somebody else",
        devices: &[ONE, TWO],
        prepare: |kernel| {
            detach(kernel, ONE, Some("pciback")).unwrap();
            program(kernel).forget_handover(ONE).unwrap();
            drop(program(kernel).detach_with(&name(ONE), &group().0).unwrap());
        },
        act: |kernel| program(kernel).reattach_with(&name(ONE), &group().1).map(drop),
    },
];

impl Case {
    fn host(&self) -> Arc<FakeKernel> {
        let kernel = over(tree_with(self.devices));
        for driver in ["pci-stub", "pciback"] {
            kernel.driver(driver, &[]).unwrap();
        }
        // Looking at the devices is no part of the operation, and is done through files alone.
        (self.prepare)(&kernel);
        kernel.restart();
        kernel
    }

    fn served(&self, kernel: &FakeKernel) -> Vec<Served> {
        self.devices.iter().map(|address| served(kernel, address)).collect()
    }

    /// How the devices are served before and after the operation, and how many steps it has.
    fn ends(&self) -> (Vec<Served>, Vec<Served>, usize) {
        let kernel = self.host();
        let before = self.served(&kernel);
        (self.act)(&kernel).unwrap();
        let after = self.served(&kernel);
        assert_ne!(before, after, "{}", self.name);
        (before, after, kernel.steps())
    }

    /// All devices are as before or as after, and the journal says what is so: an entry for what is detached, none for
    /// what the host has.
    fn check_whole(&self, kernel: &Arc<FakeKernel>, ends: [&Vec<Served>; 2], at: &str) {
        let now = self.served(kernel);
        assert!(
            ends.contains(&&now),
            "{} {at}: {now:?} is neither {:?} nor {:?}",
            self.name,
            ends[0],
            ends[1]
        );
        let known = journal(&program(kernel));
        assert!(known.iter().all(|(_, state)| *state == HandoverState::Detached), "{at} {known:?}");
        if self.name != "reattach without a journal" {
            for (address, served) in self.devices.iter().zip(&now) {
                let is_detached = *served == detached() || *served == is(Some("pci-stub"), "pci-stub");
                let has_entry = known.iter().any(|(known, _)| known == address);
                assert_eq!(has_entry, is_detached, "{} {at}: {address} {served:?} {known:?}", self.name);
            }
        }
    }

    /// What is given back at last is what was there at first.
    fn check_way_back(&self, kernel: &Arc<FakeKernel>, at: &str) {
        for address in self.devices {
            let kept = is(Some("pciback"), "pciback");
            if served(kernel, address) == kept {
                // It has been given back; once more would take it from whoever it is kept for.
                continue;
            }
            program(kernel)
                .reattach(&name(address))
                .unwrap_or_else(|error| panic!("{} {at}: {error}", self.name));
            let want = match *address {
                UNUSED => is(None, "(null)"),
                PINNED => is(Some("uio"), "uio"),
                _ => is(Some("igb"), "(null)"),
            };
            assert!([&want, &kept].contains(&&served(kernel, address)), "{} {at}: {address}", self.name);
        }
        assert_eq!(journal(&program(kernel)), [], "{} {at}", self.name);
        let left = std::fs::read_dir(kernel.folder().join("run/nodedev/handover")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".lock")), "{at}: {left:?}");
    }
}

#[test]
fn a_crash_at_any_step_is_recovered_from() {
    let mut count = 0;
    for case in CASES {
        let (before, after, steps) = case.ends();
        for step in 1..=steps {
            let kernel = case.host();
            kernel.crash_at(step);
            let _ = (case.act)(&kernel);
            assert!(kernel.was_hit(), "{} has fewer steps than it had", case.name);
            kernel.restart();
            let at = format!("crashed at step {step}");
            program(&kernel).recover_handovers().unwrap();
            case.check_whole(&kernel, [&before, &after], &at);
            let now = case.served(&kernel);
            assert_eq!(
                program(&kernel).recover_handovers().unwrap(),
                [],
                "{at}: the second time finds nothing"
            );
            assert_eq!(case.served(&kernel), now);
            case.check_way_back(&kernel, &at);
            count += 1;
        }
    }
    println!("{count} crash points, all recovered from");
    assert!(count > 200, "{count}");
}

#[test]
fn a_crash_at_any_step_of_a_recovery_is_recovered_from() {
    let mut count = 0;
    for case in CASES {
        let (before, after, steps) = case.ends();
        for first in 1..=steps {
            for second in 1.. {
                let kernel = case.host();
                kernel.crash_at(first);
                let _ = (case.act)(&kernel);
                kernel.restart();
                kernel.crash_at(second);
                let _ = program(&kernel).recover_handovers();
                let hit = kernel.was_hit();
                kernel.restart();
                let at = format!("crashed at step {first} and step {second} of the recovery");
                let issues = program(&kernel).recover_handovers().unwrap();
                case.check_whole(&kernel, [&before, &after], &format!("{at} {issues:?}"));
                if !hit {
                    break;
                }
                count += 1;
            }
        }
    }
    println!("{count} crash points of recoveries, all recovered from");
    assert!(count > 500, "{count}");
}

#[test]
fn an_error_at_any_step_leaves_devices_as_before_or_as_wanted() {
    let mut count = 0;
    for case in CASES {
        let (before, after, steps) = case.ends();
        for step in 1..=steps {
            let kernel = case.host();
            kernel.fail_at(step, errno::EBUSY);
            let result = (case.act)(&kernel);
            assert!(kernel.was_hit(), "{} has fewer steps than it had", case.name);
            kernel.restart();
            let at = format!("failed at step {step} with {result:?}");
            let now = case.served(&kernel);
            let want = if result.is_ok() { &after } else { &before };
            assert_eq!(&now, want, "{} {at}", case.name);
            program(&kernel).recover_handovers().unwrap();
            case.check_whole(&kernel, [&before, &after], &at);
            assert_eq!(case.served(&kernel), now, "{} {at}: recovery changed it", case.name);
            case.check_way_back(&kernel, &at);
            count += 1;
        }
    }
    println!("{count} failing steps, all undone or done");
    assert!(count > 400, "{count}");
}

#[test]
fn what_was_renamed_and_then_not_synced_is_undone() {
    let mut count = 0;
    for case in CASES {
        let (before, after, steps) = case.ends();
        for step in 1..=steps {
            let kernel = case.host();
            kernel.fail_late_at(step, errno::EIO);
            let result = (case.act)(&kernel);
            if !kernel.was_hit() {
                continue;
            }
            kernel.restart();
            let at = format!("renamed and not synced at step {step} with {result:?}");
            let now = case.served(&kernel);
            assert_eq!(&now, if result.is_ok() { &after } else { &before }, "{} {at}", case.name);
            // Nobody has to recover anything: the entry went back with the device.
            assert_eq!(program(&kernel).recover_handovers().unwrap(), [], "{} {at}", case.name);
            case.check_whole(&kernel, [&before, &after], &at);
            case.check_way_back(&kernel, &at);
            count += 1;
        }
    }
    assert!(count >= CASES.len() * 2 - 2, "{count}");
}

#[test]
fn a_journal_that_cannot_be_written_keeps_every_device_as_it_is() {
    for errno in [errno::ENOSPC, errno::EROFS] {
        for case in CASES {
            let (before, _, _) = case.ends();
            let kernel = case.host();
            let writes = kernel.writes();
            kernel.refuse_writes_below("run", errno);
            let error = (case.act)(&kernel).unwrap_err();
            assert!(error.message().contains("journal"), "{} {errno}: {error}", case.name);
            assert_eq!(case.served(&kernel), before, "{} {errno}", case.name);
            assert_eq!(kernel.writes(), writes, "{} {errno}", case.name);
        }
    }
}

/// Crashes an operation after every step, and lets a guest open what is there then.
#[test]
fn recovery_takes_no_device_from_a_guest_and_does_its_work_when_the_guest_ends() {
    let mut held = 0;
    for case in CASES {
        let (before, after, steps) = case.ends();
        for step in 1..=steps {
            let kernel = case.host();
            kernel.crash_at(step);
            let _ = (case.act)(&kernel);
            kernel.restart();
            let at = format!("{} crashed at step {step}", case.name);
            for node in ["/dev/vfio/7", "/dev/vfio/8", "/dev/vfio/9"] {
                let found = case.served(&kernel);
                process(kernel.folder(), 4242, "qemu", &[node]);
                program(&kernel).recover_handovers().unwrap();
                for ((address, was), is) in case.devices.iter().zip(&found).zip(case.served(&kernel)) {
                    let group = match *address {
                        UNUSED => "/dev/vfio/8",
                        PINNED => "/dev/vfio/9",
                        _ => "/dev/vfio/7",
                    };
                    if group == node && was.0.as_deref() == Some("vfio-pci") {
                        assert_eq!(is.0, was.0, "{at}: {address} was taken from a guest");
                        held += 1;
                    }
                }
                end(kernel.folder(), 4242);
            }
            program(&kernel).recover_handovers().unwrap();
            case.check_whole(&kernel, [&before, &after], &at);
        }
    }
    assert!(held > 200, "{held}");
}

/// A host on which giving a device back was interrupted before anything was written.
fn interrupted() -> Arc<FakeKernel> {
    let interrupted_at = |step: usize| {
        let kernel = host();
        detach(&kernel, UNUSED, None).unwrap();
        kernel.restart();
        kernel.crash_at(step);
        let _ = program(&kernel).reattach(&name(UNUSED));
        kernel.restart();
        let is_begun = journal(&program(&kernel)) == [(UNUSED.into(), HandoverState::Reattaching)];
        is_begun.then_some(kernel)
    };
    let kernel = (1..100).find_map(interrupted_at).unwrap();
    assert_eq!(served(&kernel, UNUSED), detached());
    kernel
}

#[test]
fn an_operation_that_somebody_is_at_is_told_from_one_that_was_interrupted_and_from_one_that_nobody_knows_of()
{
    let kernel = interrupted();
    let shown = || program(&kernel).handovers().unwrap().entries.remove(0);
    assert_eq!(shown().busy, Some(false));
    assert!(shown().problem.is_some_and(|it| it.contains("interrupted")));
    // As another program does that is at it.
    let lock = kernel.try_lock(format!("run/nodedev/handover/{UNUSED}.lock").as_bytes()).unwrap().unwrap();
    let owner = kernel.folder().join(format!("run/nodedev/handover/{UNUSED}.lock"));
    std::fs::write(&owner, "4711\n").unwrap();
    let now = shown();
    assert_eq!((now.busy, now.pid, now.problem), (Some(true), 4711, None));
    let error = program(&kernel).reattach(&name(UNUSED)).unwrap_err();
    assert_eq!(
        error.message(),
        "Requested operation is not valid: another process is changing PCI device 0000:04:00.0"
    );
    assert_eq!(error.help(), Some("wait for process 4711 to finish it"));
    drop(lock);
    // Ordinary users cannot look at the lock.
    kernel.restart();
    shown();
    let unknown = (1..=kernel.steps()).filter(|step| {
        kernel.restart();
        kernel.fail_at(*step, errno::EACCES);
        let shown = program(&kernel).handovers().map(|mut it| it.entries.pop());
        shown.is_ok_and(|it| it.is_some_and(|it| it.busy.is_none() && it.problem.is_none()))
    });
    assert_eq!(unknown.count(), 1);
}

#[test]
fn somebody_who_only_looks_at_a_lock_keeps_nobody_from_recovering() {
    let kernel = interrupted();
    let lock = kernel.try_lock(format!("run/nodedev/handover/{UNUSED}.lock").as_bytes()).unwrap();
    kernel.meanwhile(move || drop(lock));
    assert_eq!(program(&kernel).recover_handovers().unwrap().len(), 1);
    assert_eq!(served(&kernel, UNUSED), is(None, "(null)"));
}

#[test]
fn what_failed_already_does_not_keep_others_waiting_but_who_wants_it() {
    let kernel = host();
    kernel.refusing("vfio-pci");
    kernel.refusing("igb");
    program(&kernel).detach(&name(ONE)).unwrap_err();
    kernel.accepting("vfio-pci");
    let waited = |act: &dyn Fn()| {
        let before = kernel.waited();
        act();
        kernel.waited() - before
    };
    let of_another = waited(&|| program(&kernel).detach(&name(UNUSED)).unwrap());
    assert!(of_another < Duration::from_secs(1), "{of_another:?}");
    let of_itself = waited(&|| drop(program(&kernel).reattach(&name(ONE)).unwrap_err()));
    assert!(of_itself > Duration::from_secs(15), "{of_itself:?}");
}

#[test]
fn the_module_of_the_original_driver_is_loaded_to_undo_a_detach() {
    let mut undone = 0;
    for step in 1..200 {
        let kernel = host();
        kernel.module("e1000e", "e1000e");
        kernel.load_module("e1000e").unwrap();
        for (file, value) in [
            (format!("devices/{UNUSED}/driver_override"), "e1000e\n"),
            ("drivers_probe".into(), UNUSED),
            (format!("devices/{UNUSED}/driver_override"), "\n"),
        ] {
            kernel.write(format!("sys/bus/pci/{file}").as_bytes(), value.as_bytes()).unwrap();
        }
        let program_of_it = program(&kernel);
        kernel.restart();
        kernel.crash_at(step);
        if program_of_it.detach(&name(UNUSED)).is_ok() {
            break;
        }
        kernel.restart();
        if kernel.bound(UNUSED).is_some() {
            continue;
        }
        for folder in ["bus/pci/drivers/e1000e", "module/e1000e"] {
            std::fs::remove_dir_all(kernel.folder().join("sys").join(folder)).unwrap();
        }
        program(&kernel).recover_handovers().unwrap();
        assert_eq!(served(&kernel, UNUSED), is(Some("e1000e"), "(null)"), "crashed at step {step}");
        undone += 1;
    }
    assert!(undone > 0);
}

#[test]
fn a_device_that_a_guest_got_after_a_crash_is_shown_with_why_it_waits() {
    let kernel = interrupted();
    process(kernel.folder(), 4242, "qemu", &["/dev/vfio/8"]);
    assert_eq!(program(&kernel).recover_handovers().unwrap().len(), 1);
    let shown = program(&kernel).handovers().unwrap().entries;
    assert!(shown[0].problem.as_ref().is_some_and(|it| it.contains("is in use")), "{shown:?}");
    let error = program(&kernel).reattach(&name(UNUSED)).unwrap_err();
    assert!(error.message().contains("is in use"), "{error}");
    assert_eq!(served(&kernel, UNUSED), detached());
    end(kernel.folder(), 4242);
    program(&kernel).recover_handovers().unwrap();
    assert_eq!(served(&kernel, UNUSED), is(None, "(null)"));
}

#[test]
fn a_driver_that_does_not_take_the_device_is_undone() {
    for (address, want) in
        [(ONE, is(Some("igb"), "(null)")), (PINNED, is(Some("uio"), "uio")), (UNUSED, is(None, "(null)"))]
    {
        let kernel = host();
        kernel.refusing("vfio-pci");
        let error = program(&kernel).detach(&name(address)).unwrap_err();
        assert_eq!(
            error.message(),
            format!("internal error: PCI device {address} is bound to no driver and not to driver vfio-pci")
        );
        assert!(kernel.waited() >= Duration::from_secs(5), "it could have come later");
        assert_eq!(served(&kernel, address), want);
        assert_eq!(journal(&program(&kernel)), []);
    }
}

#[test]
fn a_driver_of_the_host_that_does_not_come_back_leaves_the_device_detached() {
    let kernel = host();
    detach(&kernel, ONE, None).unwrap();
    kernel.refusing("igb");
    let error = program(&kernel).reattach(&name(ONE)).unwrap_err();
    assert!(error.message().contains("is bound to no driver and not to driver igb"), "{error}");
    assert_eq!(served(&kernel, ONE), detached());
    assert_eq!(journal(&program(&kernel)).len(), 1);
}

#[test]
fn an_undo_that_fails_too_is_an_error_of_its_own_and_is_tried_again_later() {
    let kernel = host();
    kernel.refusing("vfio-pci");
    kernel.refusing("igb");
    let error = program(&kernel).detach(&name(ONE)).unwrap_err();
    assert_eq!(error.code().0, 9, "{error}");
    assert!(error.message().contains("could not be given back to igb"), "{error}");
    assert!(error.help().is_some_and(|help| help.contains("nodedev reattach")), "{error:?}");
    let entries = program(&kernel).handovers().unwrap().entries;
    assert!(entries[0].problem.as_ref().is_some_and(|problem| problem.contains("driver igb")), "{entries:?}");
    let error = program(&kernel).reattach(&name(ONE)).unwrap_err();
    assert_eq!(error.code().0, 55, "{error}");
    kernel.accepting("igb");
    program(&kernel).recover_handovers().unwrap();
    assert_eq!(served(&kernel, ONE), is(Some("igb"), "(null)"));
    assert_eq!(journal(&program(&kernel)), []);
}
