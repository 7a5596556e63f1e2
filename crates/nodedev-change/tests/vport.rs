//! Virtual ports are made and deleted on a fake host whose kernel fails and "crashes" where told to.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use nodedev_change::{Engine, OpsError, Vport, VportAct};
use nodedev_model::{ChangePlan, Outcome, ResourceKind};
use nodedev_testkit::fake_kernel::{FakeKernel, errno};
use nodedev_testkit::tree::{Device, Tree};

const CARD: &str = "0000:04:00.0";
const NODE: &str = "2001001b32a9da5e";
const PORT: &str = "2101001b32a9da5e";

fn host() -> FakeKernel {
    let mut tree = Tree::in_memory().unwrap();
    let card = format!("devices/pci0000:00/{CARD}");
    tree.add(&Device::new(&card, "bus/pci").driver("lpfc")).unwrap();
    tree.add(&Device::new(format!("{card}/host5"), "bus/scsi").devtype("scsi_host")).unwrap();
    tree.add(
        &Device::new(format!("{card}/host5/fc_host/host5"), "class/fc_host")
            .attr("node_name", "0x2000000000000005")
            .attr("port_name", "0x1000000000000005")
            .attr("vport_create", "")
            .attr("vport_delete", ""),
    )
    .unwrap();
    tree.file("proc/sys/kernel/random/boot_id", b"11111111-2222-3333-4444-555555555555\n").unwrap();
    FakeKernel::over(tree).unwrap()
}

fn change(kernel: &FakeKernel, act: VportAct) -> Result<ChangePlan, OpsError> {
    let engine = Engine::on(kernel);
    engine.change_vport(&vport(&engine, act)?, act, false)
}

fn vport(engine: &Engine<'_>, act: VportAct) -> Result<Vport, OpsError> {
    engine.vport(5, "20:01:00:1B:32:a9:da:5e", "0x2101001b32a9da5e", act)
}

/// The names of the virtual ports that there are.
fn seen(kernel: &FakeKernel) -> Vec<String> {
    let ports = fs::read_dir(kernel.folder().join("sys/class/fc_host")).unwrap();
    let name = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("port_name")).unwrap();
    let mut names: Vec<_> = ports.map(|entry| name(entry.unwrap()).trim_end().to_owned()).collect();
    names.retain(|name| name != "0x1000000000000005");
    names
}

fn entries(kernel: &FakeKernel) -> Vec<String> {
    let Ok(folder) = fs::read_dir(kernel.folder().join("run/nodedev/vport")) else { return Vec::new() };
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.ends_with(".lock")).collect()
}

fn prepared(act: VportAct) -> FakeKernel {
    let kernel = host();
    if act == VportAct::Delete {
        change(&kernel, VportAct::Create).unwrap();
    }
    kernel.restart();
    kernel
}

fn ends(act: VportAct) -> (Vec<String>, Vec<String>, usize) {
    let kernel = prepared(act);
    let before = seen(&kernel);
    assert_eq!(change(&kernel, act).unwrap().outcome, Outcome::Changed);
    let after = seen(&kernel);
    assert_ne!(before, after);
    assert_eq!(entries(&kernel), [] as [&str; 0]);
    (before, after, kernel.steps())
}

const ACTS: [VportAct; 2] = [VportAct::Create, VportAct::Delete];

#[test]
fn a_crash_at_any_step_and_at_any_step_of_a_recovery_is_recovered_from() {
    let mut count = 0;
    for act in ACTS {
        let (before, after, steps) = ends(act);
        for first in 1..=steps {
            for second in 1.. {
                let kernel = prepared(act);
                kernel.crash_at(first);
                let _ = change(&kernel, act);
                assert!(kernel.was_hit());
                kernel.restart();
                kernel.crash_at(second);
                let _ = Engine::on(&kernel).recover();
                let hit = kernel.was_hit();
                kernel.restart();
                let issues = Engine::on(&kernel).recover().unwrap();
                let (now, at) =
                    (seen(&kernel), format!("{act:?} crashed at {first}, then {second}: {issues:?}"));
                assert!(now == before || now == after, "{at}: {now:?}");
                assert_eq!(entries(&kernel), [] as [&str; 0], "{at}");
                assert_eq!(Engine::on(&kernel).recover().unwrap(), [], "{at}");
                count += 1;
                if !hit {
                    break;
                }
            }
        }
    }
    println!("{count} crash points, all recovered from");
    assert!(count > 100, "{count}");
}

#[test]
fn an_error_at_any_step_leaves_the_port_as_before_or_as_wanted() {
    for act in ACTS {
        let (before, after, steps) = ends(act);
        for step in 1..=steps {
            let kernel = prepared(act);
            kernel.fail_at(step, errno::EIO);
            let result = change(&kernel, act);
            kernel.restart();
            let now = seen(&kernel);
            Engine::on(&kernel).recover().unwrap();
            assert_eq!(seen(&kernel), now, "nothing is left to be recovered from");
            let (now, at) = (seen(&kernel), format!("{act:?} failed at step {step} with {result:?}"));
            match result {
                Ok(_) => assert_eq!(now, after, "{at}"),
                Err(_) => assert!(now == before || now == after, "{at}: {now:?}"),
            }
            assert_eq!(entries(&kernel), [] as [&str; 0], "{at}");
        }
    }
}

#[test]
fn the_card_is_locked_while_a_port_of_it_is_made() {
    let kernel = host();
    change(&kernel, VportAct::Create).unwrap();
    let folder = "run/nodedev";
    // Those of the recovery first, then those of the change.
    let once = [
        format!("{folder}/handover/{CARD}.lock"),
        format!("{folder}/vport/host5.lock"),
        format!("{folder}/vport/host5@{PORT}:{NODE}.lock"),
    ];
    assert_eq!(kernel.locked(), [once.clone(), once].concat());
}

#[test]
fn a_dry_run_tells_the_write_and_the_way_back_and_does_nothing() {
    let kernel = host();
    let engine = Engine::on(&kernel);
    let plan =
        engine.change_vport(&vport(&engine, VportAct::Create).unwrap(), VportAct::Create, true).unwrap();
    let steps = |steps: &[nodedev_model::PlanStep]| {
        steps.iter().map(|step| format!("{} > {}", step.value, step.file)).collect::<Vec<_>>()
    };
    assert_eq!(steps(&plan.steps), [format!("{PORT}:{NODE} > /sys/class/fc_host/host5/vport_create")]);
    assert_eq!(steps(&plan.undo), [format!("{PORT}:{NODE} > /sys/class/fc_host/host5/vport_delete")]);
    assert_eq!((plan.outcome, plan.device.kind), (Outcome::Planned, ResourceKind::Vport));
    assert_eq!((seen(&kernel), kernel.writes()), (Vec::new(), Vec::new()));
}

#[test]
fn what_is_no_name_and_a_host_that_can_have_no_virtual_port_are_refused() {
    let kernel = host();
    let engine = Engine::on(&kernel);
    let error = engine.vport(5, NODE, "2101001b32a9da5", VportAct::Create).unwrap_err();
    assert!(matches!(error, OpsError::InvalidWwn { .. }), "{error:?}");
    let error = engine.vport(6, NODE, PORT, VportAct::Create).unwrap_err();
    assert!(matches!(error, OpsError::NoVports { attribute: "vport_create", .. }), "{error:?}");
    assert_eq!(kernel.writes(), []);
}
