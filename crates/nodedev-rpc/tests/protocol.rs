//! docs/protocol.md is what the table says.

use std::fmt::Write as _;

use nodedev_model::request::{CallAccess, CallName};
use nodedev_rpc::{
    Effect, Event, Kind, Known, NativeProcedure, Needs, Permission, Priority, Procedure, Structure, When,
    bounds,
};
use nodedev_testkit::golden::assert_golden;

const HEAD: &str = "# The wire protocol

What `nodedev` serves and asks of libvirt's protocol, written by the tests from the table in
`crates/nodedev-rpc/src/procedures.rs` (`UPDATE_GOLDEN=1 cargo test -p nodedev-rpc --test protocol`). The crate's own
documentation has the form of messages and the course of a connection.

All numbers are big-endian. `i32`, `u32` and `bool` are one word of four bytes, `i64`, `u64` and `f64` two. `Str` is a
length and that many bytes, filled up to a whole word with zeros. `Option` is a word that says whether the value is there (1)
or not (0), then the value. `Array` is a count and that many values; the second argument is its limit. `Chars` is a count and
that many bytes, each in a word of its own with its sign; `FixedChars` the same without the count. Names in
`Feature`, `AuthType`, `NodeDeviceEventId`, `LifecycleKind` and `CloseReason` are `i32`. `TypedParameter` is a name (`Str`), a
type (1 `i32`, 2 `u32`, 3 `i64`, 4 `u64`, 5 `f64`, 6 `bool`, 7 `Str`) and a value of that type.

Read more leniently than written: every word but 0 is \"true\", padding may hold anything, a text ends at its first NUL, and
bytes after the arguments are left alone.
";

fn permissions(permissions: &[Permission]) -> String {
    let shown = permissions.iter().map(|permission| {
        let when = match permission.when {
            When::Always => String::new(),
            When::AnyOf(bits) => format!(" (if flags & {bits})"),
            When::NoneOf(bits) => format!(" (if not flags & {bits})"),
        };
        format!("{}:{}{when}", permission.object, permission.action)
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn document() -> String {
    let mut out = HEAD.to_owned();
    let mut line = |text: &str| writeln!(out, "{text}").expect("a string takes everything");
    line("\n## Limits\n");
    for (name, value) in [
        ("bytes of a text (`STRING_MAX`)", bounds::STRING_MAX),
        ("`NODE_DEVICE_LIST_MAX`", bounds::NODE_DEVICE_LIST_MAX),
        ("`NODE_DEVICE_CAPS_LIST_MAX`", bounds::NODE_DEVICE_CAPS_LIST_MAX),
        ("`AUTH_TYPE_LIST_MAX`", bounds::AUTH_TYPE_LIST_MAX),
        ("`AUTH_SASL_DATA_MAX`", bounds::AUTH_SASL_DATA_MAX),
        ("`IDENTITY_PARAMS_MAX`", bounds::IDENTITY_PARAMS_MAX),
        ("`NODE_INFO_MODEL`", bounds::NODE_INFO_MODEL),
        ("bytes of a message at least, with its length", bounds::MESSAGE_MIN),
        ("bytes of a message at most, with its length", bounds::MESSAGE_MAX),
        ("descriptors with a message", bounds::DESCRIPTORS_MAX as usize),
    ] {
        line(&format!("- {name}: {value}"));
    }
    line("\n## Procedures\n");
    line(
        "\"ro\" may be called on a read-only connection, \"rw\" not. Permissions in brackets are those that a device needs",
    );
    line("to be in the result.\n");
    line("| no | name | arguments | reply | priority | | needs | permissions |");
    line("|--|--|--|--|--|--|--|--|");
    for procedure in Procedure::ALL {
        let (arguments, reply) = procedure.types();
        let filter = match procedure.filter() {
            [] => String::new(),
            filter => format!(" ({})", permissions(filter)),
        };
        let priority = if procedure.priority() == Priority::High { "high" } else { "low" };
        let effect = if procedure.effect() == Effect::Reads { "ro" } else { "rw" };
        let needs = match procedure.needs() {
            Needs::Nothing => "-",
            Needs::Connection => "connection",
            Needs::NodeDevices => "node devices",
        };
        line(&format!(
            "| {} | {} | {} | {} | {priority} | {effect} | {needs} | {}{filter} |",
            procedure.number(),
            procedure.name(),
            arguments.replace("<'a>", ""),
            reply.replace("<'a>", ""),
            permissions(procedure.permissions()),
        ));
    }
    line("\n## Events\n");
    line("| no | name | payload |");
    line("|--|--|--|");
    for (number, payload) in Event::ALL {
        let name = Known::find(*number).map_or("", |known| known.name);
        line(&format!("| {number} | {name} | {} |", payload.replace("<'a>", "")));
    }
    line("\n## Structures\n");
    for structure in Structure::ALL {
        let fields =
            structure.fields.iter().map(|(name, kind)| format!("{name}: {}", kind.replace("<'a>", "")));
        line(&format!("- `{}` {{ {} }}", structure.name, fields.collect::<Vec<_>>().join(", ")));
    }
    line("\n## Program NODEDEV\n");
    line(
        "What `nodedevd` serves besides, under the program number 0x6e6f6465, version 1; libvirt's daemons answer it with",
    );
    line(
        "\"Cannot find program\". It needs an open connection and connect:search_node_devices (node_device:getattr).\n",
    );
    line("| no | name | arguments | reply |");
    line("|--|--|--|--|");
    for (procedure, arguments, reply) in NativeProcedure::ALL {
        let (arguments, reply) = (arguments.replace("<'a>", ""), reply.replace("<'a>", ""));
        line(&format!("| {} | {procedure:?} | {arguments} | {reply} |", *procedure as i32));
    }
    line("\nMessages of the server: 4 `NativeChange`, 5 `NativeMissed`.\n");
    line(
        "Calls by name (6) have a request and a reply in JSON, which `nodedev-model::request` declares. Each asks for the action of polkit",
    );
    line(
        "that stands beside it, and for nothing else. A daemon that is older answers 6 as an unknown procedure, and an unknown name with",
    );
    line(
        "error 3; unknown members of a request are refused, those of a reply ignored. A page of `device.visit` has about 1 MiB.\n",
    );
    line("| name | action | read-only connections |");
    line("|--|--|--|");
    for call in CallName::ALL {
        let may = if call.access() == CallAccess::Query { "may" } else { "may not" };
        line(&format!("| {} | {} | {may} |", call.as_str(), Permission::of_call(*call).polkit_action()));
    }
    line("");
    for structure in Structure::NATIVE {
        let fields = structure
            .fields
            .iter()
            .map(|(name, kind)| format!("{name}: {}", kind.replace("<'a>", "").replace("'a, ", "")));
        line(&format!("- `{}` {{ {} }}", structure.name, fields.collect::<Vec<_>>().join(", ")));
    }
    line("\n## Others\n");
    line(
        "Procedures that are known by name only. A call of them is answered with code 3 and the public function, in the",
    );
    line("domain (`virErrorDomain`) of its part of libvirt.\n");
    line("| no | name | priority | function | domain |");
    line("|--|--|--|--|--|");
    for known in Known::ALL.iter().filter(|known| Procedure::from_number(known.number).is_none()) {
        let priority = if known.priority == Priority::High { "high" } else { "low" };
        let (function, domain) = match known.kind {
            Kind::Call { function, domain } => (function, domain.0.to_string()),
            Kind::Event => ("event", String::new()),
            Kind::Login => ("login", String::new()),
        };
        line(&format!("| {} | {} | {priority} | {function} | {domain} |", known.number, known.name));
    }
    out
}

#[test]
fn the_documented_protocol_is_the_one_of_the_table() {
    let path = nodedev_testkit::repository().join("docs/protocol.md");
    assert_golden(&path, document().as_bytes());
}

#[test]
fn every_call_by_name_has_an_action_of_polkit_and_every_action_a_call() {
    let path = nodedev_testkit::repository().join("packaging/polkit/org.nodedev.policy");
    let policy = std::fs::read_to_string(path).expect("a policy");
    let mut declared: Vec<&str> =
        policy.split("<action id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let mut wanted: Vec<String> =
        CallName::ALL.iter().map(|call| Permission::of_call(*call).polkit_action()).collect();
    wanted.sort();
    wanted.dedup();
    declared.sort_unstable();
    assert_eq!(declared, wanted);
}
