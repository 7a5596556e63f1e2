//! A daemon whose names, documents and errors are made to be obeyed by a terminal, or to pass for lines of this program's own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Ran, ran};

/// A title, a colour, an eight-bit control sequence, a return to the start of the line, an override of the direction, an end of
/// line, and one that only some programs know.
const EVIL: &str = "\x1b]0;PWN\x07\x1b[31mRED\u{9b}2J\r\u{202e}RLO\nforged\u{2028}x\u{2066}";
const XML: &str = "<device><name>pci_x</name><path>/sys/d\u{9b}5m\u{202e}\u{2028}</path><parent>computer</parent>\
    <capability type='system'><product>p\u{9b}2J\u{7f}</product><hardware><vendor>v\u{2066}</vendor><uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid></hardware><firmware/></capability></device>\n";

const OPEN: i32 = 1;
const CLOSE: i32 = 2;
const FEATURE: i32 = 60;
const AUTH_LIST: i32 = 66;
const LOOKUP: i32 = 113;
const GET_XML: i32 = 114;
const GET_PARENT: i32 = 115;
const NUM_OF_CAPS: i32 = 116;
const LIST_CAPS: i32 = 117;
const LIST_ALL: i32 = 285;
const REGISTER_EVENT: i32 = 374;
const EVENT: i32 = 376;
const AUTOSTART: i32 = 433;
const IS_PERSISTENT: i32 = 435;
const IS_ACTIVE: i32 = 436;

fn word(value: i32) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = word(text.len() as i32);
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn optional(text: &str) -> Vec<u8> {
    [word(1), string(text)].concat()
}

fn error(message: &str) -> Vec<u8> {
    error_of(1, 22, message)
}

fn error_of(code: i32, domain: i32, message: &str) -> Vec<u8> {
    let numbers = |numbers: &[i32]| numbers.iter().flat_map(|n| word(*n)).collect::<Vec<u8>>();
    [
        numbers(&[code, domain]),
        optional(message),
        numbers(&[2, 0]),
        optional("%s"),
        optional(message),
        numbers(&[0, -1, -1, 0]),
    ]
    .concat()
}

/// Serves one client. `failing`: every question is answered by an error.
fn serve(mut client: UnixStream, failing: bool) -> std::io::Result<()> {
    let names = ["computer".to_owned(), format!("pci_{EVIL}"), "net_a\nnet_b".to_owned()];
    loop {
        let mut length = [0; 4];
        client.read_exact(&mut length)?;
        let mut message = vec![0; u32::from_be_bytes(length) as usize - 4];
        client.read_exact(&mut message)?;
        let field = |at: usize| i32::from_be_bytes(message[at..at + 4].try_into().unwrap());
        let (program, procedure) = (field(0) as u32, field(8));
        let good = |payload: Vec<u8>| (0, payload);
        let (status, payload) = match procedure {
            _ if program != 0x2000_8086 => (1, error_of(39, 7, "Cannot find program 1 version 1")),
            AUTH_LIST => good([word(1), word(0)].concat()),
            OPEN | CLOSE => good(Vec::new()),
            FEATURE => good(word(0)),
            _ if failing => (1, error(&format!("evil {EVIL}\nerror: forged"))),
            LIST_ALL => {
                let listed = names.iter().flat_map(|name| string(name)).collect();
                good([word(names.len() as i32), listed, word(names.len() as i32)].concat())
            }
            LOOKUP => good([message[24..].to_vec()].concat()),
            GET_XML => good(string(XML)),
            GET_PARENT => good(optional(&format!("par{EVIL}"))),
            NUM_OF_CAPS => good(word(1)),
            LIST_CAPS => good([word(1), string(&format!("cap{EVIL}"))].concat()),
            REGISTER_EVENT | AUTOSTART | IS_PERSISTENT | IS_ACTIVE => good(word(1)),
            _ => (1, error("no")),
        };
        send(&mut client, program, procedure, 1, field(16), status, &payload)?;
        if procedure == REGISTER_EVENT {
            for name in &names {
                let event = [word(1), string(name), word(0), word(0)].concat();
                send(&mut client, program, EVENT, 2, 0, 0, &event)?;
            }
        }
    }
}

fn send(
    client: &mut UnixStream,
    program: u32,
    procedure: i32,
    kind: i32,
    serial: i32,
    status: i32,
    payload: &[u8],
) -> std::io::Result<()> {
    let length = 28 + payload.len() as i32;
    let header = [length, program as i32, 1, procedure, kind, serial, status];
    let message: Vec<u8> = header.iter().flat_map(|n| word(*n)).chain(payload.iter().copied()).collect();
    client.write_all(&message)
}

/// A daemon that serves as long as the test runs, and its URI.
fn daemon(folder: &Path, failing: bool) -> String {
    let socket = folder.join(format!("socket-{failing}"));
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // Every client ends its connection some time, which is an error here.
            std::thread::spawn(move || serve(client, failing));
        }
    });
    format!("nodedev+unix:///system?socket={}", socket.display())
}

fn program(uri: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nodedev"));
    command.args(["-c", uri]).args(args).stdin(Stdio::null());
    command
}

fn piped(uri: &str, args: &[&str]) -> Ran {
    ran(&program(uri, args).output().unwrap())
}

/// All that a terminal gets to see.
fn on_a_terminal(uri: &str, args: &[&str]) -> String {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let theirs = || std::fs::File::options().read(true).write(true).open(&name).unwrap();
    let mut child =
        program(uri, args).env("NO_COLOR", "1").stdout(theirs()).stderr(theirs()).spawn().unwrap();
    let mut ours = std::fs::File::from(ours);
    let reader = std::thread::spawn(move || {
        let mut seen = Vec::new();
        // It ends with an error when nobody has the other side any more.
        let _ = ours.read_to_end(&mut seen);
        String::from_utf8(seen).unwrap()
    });
    child.wait().unwrap();
    reader.join().unwrap().replace("\r\n", "\n")
}

/// What does something, but for ends of lines and tabs.
fn obeyed(text: &str) -> Vec<char> {
    text.chars().filter(|c| nodedev::is_obeyed(*c) && !matches!(c, '\n' | '\t')).collect()
}

/// The commands, and whether what they write to a pipe is a document, which stays as it is.
const COMMANDS: &[(&[&str], bool)] = &[
    (&["list"], false),
    (&["list", "--tree"], false),
    (&["list", "--all"], false),
    (&["list", "--issues"], false),
    (&["list", "--json"], true),
    (&["dumpxml", "pci_x"], true),
    (&["dumpxml", "--all"], true),
    (&["show", "pci_x"], false),
    (&["show", "--all"], false),
    (&["show", "--json", "pci_x"], true),
    (&["info", "pci_x"], false),
    (&["parent", "pci_x"], false),
    (&["caps", "pci_x", "a\u{9b}b"], false),
    (&["event", "--event", "lifecycle", "--loop", "--timeout", "1"], false),
    (&["watch", "--timeout", "1"], false),
    (&["watch", "--json", "--timeout", "1"], true),
    (&["explain", "pci_x"], false),
    (&["detach", "pci_x"], false),
    (&["handover", "list"], false),
];

#[test]
fn what_a_daemon_says_is_shown_and_not_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    for failing in [false, true] {
        let uri = daemon(folder.path(), failing);
        for (args, is_document) in COMMANDS {
            let seen = on_a_terminal(&uri, args);
            assert_eq!(obeyed(&seen), [], "{args:?}: {seen:?}");
            let Ran { stdout, stderr, .. } = piped(&uri, args);
            assert_eq!(obeyed(&stderr), [], "{args:?}: {stderr:?}");
            assert!(*is_document || obeyed(&stdout).is_empty(), "{args:?}: {stdout:?}");
            for text in [&seen, &stdout, &stderr] {
                let forged =
                    text.lines().any(|line| line.starts_with("forged") || line.starts_with("error: forged"));
                assert!(!forged, "{args:?}: {text:?}");
                assert!(!text.lines().any(|line| line.starts_with("net_b")), "{args:?}: {text:?}");
            }
        }
    }
}

#[test]
fn names_are_one_line_each_and_documents_in_a_pipe_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let uri = daemon(folder.path(), false);
    let names = piped(&uri, &["list"]).stdout;
    assert_eq!(names.lines().count(), 3, "{names}");
    assert!(names.contains("net_a\\x0anet_b\n") && names.contains("\\x9b2J\\x0d\\u{202e}RLO"), "{names}");
    assert_eq!(piped(&uri, &["dumpxml", "pci_x"]).stdout, XML);
    let shown = on_a_terminal(&uri, &["dumpxml", "pci_x"]);
    assert_eq!(shown.lines().count(), 1);
    assert!(shown.contains("d\\x9b5m\\u{202e}\\u{2028}") && shown.contains("p\\x9b2J\\x7f"), "{shown}");
    let json = piped(&uri, &["show", "--json", "pci_x"]).stdout;
    let seen = on_a_terminal(&uri, &["show", "--json", "pci_x"]);
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert!(json.contains('\u{202e}') && seen.contains("\\u202e"), "{json}{seen}");
    assert_eq!(value(&json), value(&seen));
    let failed = piped(&daemon(folder.path(), true), &["list"]);
    assert_eq!((failed.code, failed.stderr.lines().count()), (1, 1), "{}", failed.stderr);
}
