//! `event` and `watch` where nothing happens: what they print first and last, and how they end. What they print of real
//! changes is held against the real libvirt in tests/interop.

mod common;

use std::process::Stdio;

use common::{command, ran, run, test_default};

#[test]
fn event_ends_as_virsh_does_when_nothing_comes() {
    // What the real virsh 11.3 prints and returns, but for the empty line after each of its commands.
    let ran = test_default("event --event lifecycle --timeout 1");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, "event loop timed out\nevents received: 0\n"));
    for args in ["event --list", "event --list --event update"] {
        let ran = test_default(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "lifecycle\nupdate\n"), "{args}");
    }
}

#[test]
fn wrong_arguments_are_refused_before_anything_is_waited_for() {
    for args in [
        "event",
        "event --event foo",
        "event --event lifecycle --timeout 0",
        "event --event lifecycle --timeout -1",
        "event --event lifecycle --timeout 2147484",
        "watch --timeout 0",
        "watch --since yesterday",
    ] {
        let ran = test_default(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args}");
    }
    let ran = test_default("event --event lifecycle --device computr --timeout 60");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("did you mean 'computer'?"), "{}", ran.stderr);
}

#[test]
fn watch_begins_with_the_complete_picture() {
    let ran = test_default("watch --json --timeout 1");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let lines: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let schema = serde_json::from_str(&run("schema watch").stdout).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for line in &lines {
        assert!(schema.is_valid(line), "{line}");
        let read: nodedev::document::WatchLine<'_> = serde_json::from_value(line.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), *line);
    }
    let kinds: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["init", "init-apply", "init-apply", "init-apply", "init-apply", "init-done"]);
    assert_eq!(lines[1]["device"]["name"], "computer");
    assert!(lines[5]["revision"].as_str().unwrap().ends_with("-0"));
}

#[test]
fn a_revision_of_another_daemon_is_answered_with_what_to_do() {
    let ran = test_default("watch --since 00000000deadbeef-5");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("changes since revision 00000000deadbeef-5 are not known"), "{}", ran.stderr);
    assert!(ran.stderr.contains("help: ") && ran.stderr.contains("start again without a revision"));
}

#[test]
fn an_interrupted_wait_says_so_and_ends() {
    for (args, code, want) in
        [("event --event update --loop", 1, "event loop interrupted\nevents received: 0\n"), ("watch", 0, "")]
    {
        let child = command(&format!("--connect test:///default {args}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        while !catches_interrupts(child.id()) {
            std::thread::yield_now();
        }
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let ran = ran(&child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.stdout.as_str()), (code, want), "{args}");
    }
}

/// Whether a process has come to where a Ctrl-C no longer just ends it.
fn catches_interrupts(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    status.lines().filter_map(|line| line.strip_prefix("SigCgt:")).any(|mask| {
        let interrupt = 1 << (rustix::process::Signal::INT.as_raw() - 1);
        u64::from_str_radix(mask.trim(), 16).expect("a mask of signals") & interrupt != 0
    })
}
