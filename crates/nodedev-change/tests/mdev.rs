//! Mediated devices are changed on a fake host whose kernel and mdevctl fail and "crash" between any two things they do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use nodedev_change::{Engine, Mdev, MdevAct, OpsError};
use nodedev_model::{ChangePlan, MdevAttribute, MdevConfig, Outcome};
use nodedev_testkit::fake_kernel::{FakeKernel, errno};
use nodedev_testkit::tree::{Device, Tree};

const PARENT: &str = "0000:00:03.0";
const UUID: &str = "2ba9b46c-9c1f-4f2c-a1d8-2a8c0c4a9a10";

fn mdev() -> Mdev {
    Mdev { parent: PARENT.to_owned(), uuid: UUID.parse().unwrap() }
}

fn config(attributes: &[(&str, &str)]) -> MdevConfig {
    let attribute =
        |(name, value): &(&str, &str)| MdevAttribute { name: (*name).into(), value: Some((*value).into()) };
    MdevConfig { type_id: "t-1".into(), attributes: attributes.iter().map(attribute).collect() }
}

fn host() -> FakeKernel {
    let mut tree = Tree::in_memory().unwrap();
    tree.add(
        &Device::new(format!("devices/pci0000:00/{PARENT}"), "bus/pci")
            .driver("gpu")
            .attr("class", "0x030000")
            .attr("mdev_supported_types/t-1/available_instances", 2),
    )
    .unwrap();
    tree.file("proc/sys/kernel/random/boot_id", b"11111111-2222-3333-4444-555555555555\n").unwrap();
    FakeKernel::over(tree).unwrap()
}

fn change(kernel: &FakeKernel, act: &MdevAct<'_>) -> Result<ChangePlan, OpsError> {
    Engine::on(kernel).change_mdev(&mdev(), act, false)
}

/// All that there is of the device: its attributes if it exists, and its definition.
type Seen = (Option<BTreeMap<String, String>>, Option<String>);

fn seen(kernel: &FakeKernel) -> Seen {
    let folder = kernel.folder().join("sys/bus/mdev/devices").join(UUID);
    let attributes = folder.exists().then(|| {
        let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
        let files = files.filter(|entry| entry.file_type().unwrap().is_file());
        let content = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        };
        files.map(content).collect()
    });
    let definition = kernel.folder().join("etc/mdevctl.d").join(PARENT).join(UUID);
    (attributes, fs::read_to_string(definition).ok())
}

/// Files of the journal that are no locks.
fn entries(kernel: &FakeKernel) -> Vec<String> {
    let Ok(folder) = fs::read_dir(kernel.folder().join("run/nodedev/mdev")) else { return Vec::new() };
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.ends_with(".lock")).collect()
}

struct Case {
    name: &'static str,
    prepare: fn(&FakeKernel),
    act: fn(&FakeKernel) -> Result<ChangePlan, OpsError>,
}

fn defined(kernel: &FakeKernel) {
    change(kernel, &MdevAct::Define(&config(&[("a", "1"), ("b", "2")]))).unwrap();
}

fn started(kernel: &FakeKernel) {
    defined(kernel);
    change(kernel, &MdevAct::Start).unwrap();
}

const CASES: &[Case] = &[
    Case { name: "create", prepare: |_| (), act: |kernel| change(kernel, &MdevAct::Create(&config(&[]))) },
    Case {
        name: "create with attributes",
        prepare: |_| (),
        act: |kernel| change(kernel, &MdevAct::Create(&config(&[("a", "1"), ("b", "2")]))),
    },
    Case {
        name: "create beside a definition",
        prepare: defined,
        act: |kernel| change(kernel, &MdevAct::Create(&config(&[("c", "3")]))),
    },
    Case {
        name: "define",
        prepare: |_| (),
        act: |kernel| change(kernel, &MdevAct::Define(&config(&[("a", "1")]))),
    },
    Case {
        name: "define again",
        prepare: defined,
        act: |kernel| change(kernel, &MdevAct::Define(&config(&[("c", "3")]))),
    },
    Case { name: "start", prepare: defined, act: |kernel| change(kernel, &MdevAct::Start) },
    Case {
        name: "update the definition",
        prepare: started,
        act: |kernel| {
            let config = config(&[("a", "5")]);
            change(kernel, &MdevAct::Update { config: &config, defined: true, live: false })
        },
    },
    Case { name: "destroy", prepare: started, act: |kernel| change(kernel, &MdevAct::Destroy) },
    Case { name: "undefine", prepare: started, act: |kernel| change(kernel, &MdevAct::Undefine) },
    Case {
        name: "start with the host",
        prepare: defined,
        act: |kernel| change(kernel, &MdevAct::SetAutostart(true)),
    },
];

impl Case {
    fn host(&self) -> FakeKernel {
        let kernel = host();
        (self.prepare)(&kernel);
        kernel.restart();
        kernel
    }

    /// How it is before and after, and how many steps there are between.
    fn ends(&self) -> (Seen, Seen, usize) {
        let kernel = self.host();
        let before = seen(&kernel);
        let plan = (self.act)(&kernel).unwrap_or_else(|error| panic!("{}: {}", self.name, error.message()));
        assert_eq!(plan.outcome, Outcome::Changed);
        let after = seen(&kernel);
        assert_ne!(before, after, "{}", self.name);
        assert_eq!(entries(&kernel), [] as [&str; 0], "{}", self.name);
        (before, after, kernel.steps())
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
            let issues = Engine::on(&kernel).recover().unwrap();
            let (now, at) = (seen(&kernel), format!("{} crashed at step {step}: {issues:?}", case.name));
            assert!(now == before || now == after, "{at}: {now:?}, and neither {before:?} nor {after:?}");
            assert_eq!(entries(&kernel), [] as [&str; 0], "{at}");
            assert_eq!(Engine::on(&kernel).recover().unwrap(), [], "{at}: the second time finds nothing");
            // It goes on from there.
            if now == before {
                (case.act)(&kernel).unwrap_or_else(|error| panic!("{at}: {}", error.message()));
                assert_eq!(seen(&kernel), after, "{at}");
            }
            count += 1;
        }
    }
    println!("{count} crash points, all recovered from");
    assert!(count > 100, "{count}");
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
                let _ = Engine::on(&kernel).recover();
                let hit = kernel.was_hit();
                kernel.restart();
                let issues = Engine::on(&kernel).recover().unwrap();
                let now = seen(&kernel);
                let at = format!("{} crashed at {first}, its recovery at {second}: {issues:?}", case.name);
                assert!(now == before || now == after, "{at}: {now:?}");
                assert_eq!(entries(&kernel), [] as [&str; 0], "{at}");
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
fn an_error_at_any_step_leaves_the_device_as_before_or_as_wanted() {
    let mut count = 0;
    for case in CASES {
        let (before, after, steps) = case.ends();
        for step in 1..=steps {
            let kernel = case.host();
            kernel.fail_at(step, errno::EBUSY);
            let result = (case.act)(&kernel);
            assert!(kernel.was_hit(), "{} has fewer steps than it had", case.name);
            kernel.restart();
            let now = seen(&kernel);
            Engine::on(&kernel).recover().unwrap();
            assert_eq!(seen(&kernel), now, "{}: nothing is left to be recovered from", case.name);
            let at = format!("{} failed at step {step} with {result:?}", case.name);
            // What is seen to be done although the look at it failed is the one thing that may be told as an error.
            match result {
                Ok(_) => assert_eq!(now, after, "{at}"),
                Err(_) => assert!(now == before || now == after, "{at}: {now:?}"),
            }
            assert_eq!(entries(&kernel), [] as [&str; 0], "{at}");
            count += 1;
        }
    }
    println!("{count} failing steps, all undone or done");
    assert!(count > 100, "{count}");
}

#[test]
fn a_journal_that_cannot_be_written_keeps_every_device_as_it_is() {
    for case in CASES {
        let kernel = case.host();
        let (before, writes) = (seen(&kernel), kernel.writes());
        kernel.refuse_writes_below("run", errno::ENOSPC);
        let error = (case.act)(&kernel).unwrap_err();
        assert!(error.message().contains("No space left"), "{}", error.message());
        assert_eq!((seen(&kernel), kernel.writes()), (before, writes), "{}", case.name);
    }
}

#[test]
fn a_dry_run_tells_the_step_and_the_way_back_and_does_nothing() {
    let kernel = host();
    let config = config(&[("a", "1")]);
    let plan = Engine::on(&kernel).change_mdev(&mdev(), &MdevAct::Create(&config), true).unwrap();
    let values = |steps: &[nodedev_model::PlanStep]| {
        steps.iter().map(|step| format!("{} {}", step.file, step.value)).collect::<Vec<_>>()
    };
    let start = format!("mdevctl start --parent={PARENT} --jsonfile=/dev/stdin --uuid={UUID}");
    assert_eq!(values(&plan.steps), [start]);
    assert_eq!(
        plan.steps[0].input.as_deref(),
        Some(r#"{"mdev_type":"t-1","start":"manual","attrs":[{"a":"1"}]}"#)
    );
    assert_eq!(values(&plan.undo), [format!("mdevctl stop --uuid={UUID}")]);
    assert_eq!(plan.outcome, Outcome::Planned);
    assert_eq!((plan.device.before.active, plan.device.after.active), (false, true));
    assert_eq!((seen(&kernel), kernel.writes()), ((None, None), Vec::new()));
    assert!(!kernel.folder().join("run/nodedev").exists());
}

/// A guest that has the device through its group.
fn guest(kernel: &FakeKernel) -> std::path::PathBuf {
    let process = kernel.folder().join("proc/77");
    fs::create_dir_all(process.join("fd")).unwrap();
    fs::write(process.join("comm"), "qemu\n").unwrap();
    symlink("/dev/vfio/77", process.join("fd/9")).unwrap();
    process
}

#[test]
fn a_device_that_a_guest_has_is_not_removed_by_a_call_or_by_a_recovery() {
    let kernel = host();
    change(&kernel, &MdevAct::Create(&config(&[]))).unwrap();
    let process = guest(&kernel);
    let error = change(&kernel, &MdevAct::Destroy).unwrap_err();
    assert!(matches!(error, OpsError::Held { pid: 77, .. }), "{error:?}");
    let plan = Engine::on(&kernel).change_mdev(&mdev(), &MdevAct::Destroy, true).unwrap();
    assert!(plan.findings[0].problem.contains("process 77 (qemu)"), "{plan:?}");
    fs::remove_dir_all(&process).unwrap();
    change(&kernel, &MdevAct::Destroy).unwrap();

    // A device that was made by half, which a guest has got since.
    let act = CASES.iter().find(|case| case.name == "create with attributes").unwrap();
    let (_, _, steps) = act.ends();
    let half = (1..=steps).find_map(|step| {
        let kernel = act.host();
        kernel.crash_at(step);
        let _ = (act.act)(&kernel);
        kernel.restart();
        let is_half = seen(&kernel).0.is_some_and(|attributes| attributes.len() == 1);
        is_half.then_some(kernel)
    });
    let kernel = half.expect("a crash between two attributes");
    let process = guest(&kernel);
    let issues = Engine::on(&kernel).recover().unwrap();
    assert!(issues[0].problem.contains("device in use"), "{issues:?}");
    assert!(seen(&kernel).0.is_some());
    let error = change(&kernel, &MdevAct::Start).unwrap_err();
    assert!(matches!(error, OpsError::ChangeInterrupted { .. }), "{error:?}");
    fs::remove_dir_all(process).unwrap();
    Engine::on(&kernel).recover().unwrap();
    assert_eq!((seen(&kernel), entries(&kernel)), ((None, None), Vec::new()));
}

#[test]
fn entries_that_are_damaged_or_of_another_version_are_told_of_and_make_changes_fail() {
    let kernel = host();
    let case = CASES.iter().find(|case| case.name == "define").unwrap();
    let (_, _, steps) = case.ends();
    let crashed = (1..=steps).find_map(|step| {
        let kernel = case.host();
        kernel.crash_at(step);
        let _ = (case.act)(&kernel);
        kernel.restart();
        entries(&kernel).iter().any(|name| name.ends_with(".json")).then_some(kernel)
    });
    let crashed = crashed.expect("a crash with an entry");
    let name = format!("run/nodedev/mdev/{PARENT}@{UUID}.json");
    let entry = fs::read_to_string(crashed.folder().join(&name)).unwrap();
    assert!(entry.contains("\"version\": 2") && entry.contains("\"kind\": \"mdev\""), "{entry}");
    fs::create_dir_all(kernel.folder().join("run/nodedev/mdev")).unwrap();
    for (old, new, want) in [
        ("\"version\": 2", "\"version\": 3", "it has version 3"),
        ("\"kind\": \"mdev\"", "\"kind\": \"vport\"", "it is about Vport"),
        (UUID, "11111111-2222-3333-4444-555555555555", "it is about Mdev"),
        ("\"pid\"", "\"pids\"", "unknown field"),
        ("{", "", "damaged"),
    ] {
        fs::write(kernel.folder().join(&name), entry.replace(old, new)).unwrap();
        let issues = Engine::on(&kernel).recover().unwrap();
        assert!(issues.len() == 1 && issues[0].problem.contains(want), "{want}: {issues:?}");
        let error = change(&kernel, &MdevAct::Define(&config(&[]))).unwrap_err();
        assert!(error.message().contains(want), "{want}: {}", error.message());
    }
    assert_eq!(kernel.writes(), []);
}
