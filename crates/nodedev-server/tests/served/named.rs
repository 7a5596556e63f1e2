//! Calls by name: who may make them, and what the log says of them.

use std::sync::{Arc, Mutex};

use nodedev_driver::{Result, TestDriver};
use nodedev_model::request::{CallName, VisitReply};
use nodedev_rpc::*;
use nodedev_server::{Access, Identity as Who};

use crate::common::{Client, Fake, Message, Server, peer};

fn ask(client: &mut Client, call: CallName, json: &str) -> Message {
    let mut payload = Vec::new();
    let question =
        NamedQuestion { name: Str::truncated(call.as_str()), json: Opaque::new(json.as_bytes()).unwrap() };
    question.encode(&mut payload);
    let header = Header { program: program::NODEDEV, ..Header::call(NativeProcedure::Named.number(), 7) };
    client.raw(header, &payload)
}

fn json(message: &Message) -> String {
    match NativeReply::decode(NativeProcedure::Named, &message.payload).unwrap() {
        NativeReply::Named(answer) => String::from_utf8(answer.json.as_bytes().to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Denies one action, and everything about one device; notes what it is asked.
struct Denies {
    action: &'static str,
    device: &'static str,
    asked: Mutex<Vec<String>>,
}

impl Denies {
    fn new(action: &'static str, device: &'static str) -> Arc<Self> {
        Arc::new(Self { action, device, asked: Mutex::default() })
    }
}

impl Access for Denies {
    fn allows(&self, _: &Who, permission: &Permission, device: Option<&str>) -> Result<bool> {
        let action = permission.polkit_action();
        if action.starts_with("org.nodedev.") {
            self.asked.lock().unwrap().push(format!("{action} {}", device.unwrap_or("-")));
        }
        Ok(action != self.action && device != Some(self.device))
    }
}

fn is_denied(message: &Message) -> bool {
    message.header.status == Status::Error && message.error().2.contains("access denied")
}

#[test]
fn each_call_asks_for_its_own_action() {
    let access = Denies::new("org.nodedev.handover.manage", "");
    let fake = Fake::small();
    let server = Server::with_access(Arc::clone(&fake) as _, Arc::clone(&access) as _);
    let mut client = server.open();
    for (call, request) in [
        (CallName::Detach, r#"{"name":"net_eth0"}"#),
        (CallName::Detach, r#"{"name":"net_eth0","dry_run":true}"#),
        (CallName::Reattach, r#"{"name":"net_eth0"}"#),
        (CallName::Reset, r#"{"name":"net_eth0"}"#),
        (CallName::Forget, r#"{"name":"net_eth0"}"#),
    ] {
        assert!(is_denied(&ask(&mut client, call, request)), "{call:?}");
    }
    assert_eq!(fake.done.lock().unwrap().as_slice(), [] as [String; 0]);
    assert_eq!(json(&ask(&mut client, CallName::Handovers, "{}")), r#"{"entries":[],"issues":[]}"#);
    let asked = access.asked.lock().unwrap();
    assert_eq!(asked.last().unwrap(), "org.nodedev.handover.query -");
    assert!(asked.contains(&"org.nodedev.handover.manage net_eth0".to_owned()), "{asked:?}");
}

#[test]
fn a_group_is_for_those_who_may_have_all_of_it() {
    for (denied, taken) in
        [("pci_0000_02_00_1", false), ("pci_0000_02_00_0", false), ("pci_0000_03_00_0", true)]
    {
        let fake = Fake::small();
        let server = Server::with_access(Arc::clone(&fake) as _, Denies::new("", denied) as _);
        let mut client = server.open();
        let answer = ask(&mut client, CallName::Detach, r#"{"name":"pci_0000_02_00_0","group":true}"#);
        assert_eq!(is_denied(&answer), !taken, "{denied}");
        let done = fake.done.lock().unwrap();
        assert_eq!(done.contains(&"take pci_0000_02_00_0".to_owned()), taken, "{denied}: {done:?}");
    }
}

#[test]
fn rules_about_a_device_hold_by_whatever_it_is_called() {
    let fake = Fake::small();
    let server = Server::with_access(Arc::clone(&fake) as _, Denies::new("", "pci_0000_02_00_0") as _);
    let mut client = server.open();
    for name in ["pci_0000_02_00_0", "0000:02:00.0"] {
        let answer = ask(&mut client, CallName::Forget, &format!(r#"{{"name":"{name}"}}"#));
        assert!(is_denied(&answer), "{name}");
    }
    assert_eq!(fake.done.lock().unwrap().as_slice(), [] as [String; 0]);
}

#[test]
fn devices_that_a_client_may_not_see_are_in_no_page() {
    let server = Server::with_access(Arc::new(TestDriver::new()), Denies::new("", "scsi_host2") as _);
    let mut client = server.open();
    let page = json(&ask(&mut client, CallName::Visit, r#"{"native":true}"#));
    let page: VisitReply = serde_json::from_str(&page).unwrap();
    let names: Vec<_> = page.devices.iter().map(|device| device.name.as_str()).collect();
    assert_eq!(names, ["computer", "scsi_host1", "scsi_host11"]);
    assert!(is_denied(&ask(&mut client, CallName::Device, r#"{"name":"scsi_host2"}"#)));
    json(&ask(&mut client, CallName::Device, r#"{"name":"scsi_host1"}"#));
}

#[test]
fn the_log_says_who_asked_for_a_change_and_nothing_of_plans() {
    let heard = nodedev_testkit::messages::listen();
    let server = Server::new(Fake::small());
    let mut peer = peer(Some(0));
    peer.identity.program = Some("a-caller-by-name".to_owned());
    let (mut client, _) = server.join(peer);
    client.open(0);
    ask(&mut client, CallName::Detach, r#"{"name":"net_eth0","dry_run":true}"#);
    ask(&mut client, CallName::Detach, r#"{"name":"net_eth0"}"#);
    ask(&mut client, CallName::Reset, r#"{"name":"net_eth0"}"#);
    let lines = heard.with("a-caller-by-name");
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for (line, (call, result)) in
        lines.iter().zip([("handover.detach", "done"), ("handover.reset", "failed: ")])
    {
        for part in [format!("call={call} "), "device=\"net_eth0\"".into(), format!("result=\"{result}")] {
            assert!(line.contains(&part), "no '{part}' in {line}");
        }
    }
}
