//! Asks a daemon everything about node devices that the `virt` crate can ask without changing the host, and prints it in a
//! stable order.
//!
//! usage: virt-client URI

use std::fmt::Debug;
use std::process::ExitCode;

use virt::connect::Connect;
use virt::error::{Error, clear_error_callback};
use virt::nodedev::NodeDevice;

/// Devices whose documents are asked for on each connection, at most; about.
const DOCUMENTS: usize = 60;

fn main() -> ExitCode {
    let Some(uri) = std::env::args().nth(1) else {
        eprintln!("usage: virt-client URI");
        return ExitCode::from(2);
    };
    // Errors are printed where they are expected, in a form that can be compared.
    clear_error_callback();
    for (mode, open) in [("read-write", Connect::open as fn(_) -> _), ("read-only", Connect::open_read_only)]
    {
        match open(Some(&uri)).and_then(|connection| ask(mode, &connection)) {
            Ok(()) => {}
            Err(error) => {
                eprintln!("{mode}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn print<T: Debug>(what: impl AsRef<str>, result: Result<T, Error>) {
    match result {
        Ok(value) => println!("{} -> {value:?}", what.as_ref()),
        Err(error) => println!("{} -> {error}", what.as_ref()),
    }
}

fn names(devices: &[NodeDevice]) -> Result<Vec<String>, Error> {
    let mut names = devices.iter().map(NodeDevice::get_name).collect::<Result<Vec<_>, _>>()?;
    names.sort_unstable();
    Ok(names)
}

fn ask(mode: &str, connection: &Connect) -> Result<(), Error> {
    print(format!("{mode} type"), connection.get_type());
    print(format!("{mode} alive"), connection.is_alive());
    print(format!("{mode} library version"), connection.get_lib_version());
    let no_flags = [0, u32::MAX, 0xC000_0000, 0x42];
    for flags in no_flags.into_iter().chain((0..32).map(|bit| 1 << bit)) {
        let listed = connection.list_all_node_devices(flags).and_then(|devices| names(&devices));
        print(format!("{mode} list {flags:#x}"), listed);
    }
    for capability in [None, Some("pci"), Some("net"), Some("mdev"), Some("nosuch"), Some("")] {
        for flags in [0, 1] {
            let count = NodeDevice::num_of_devices(connection, capability, flags);
            print(format!("{mode} count {capability:?} {flags}"), count);
        }
    }
    for name in ["nosuch", "", "computer", "\u{e4}\n"] {
        let found = NodeDevice::lookup_by_name(connection, name).and_then(|device| device.get_name());
        print(format!("{mode} lookup {name:?}"), found);
    }
    for (wwnn, wwpn, flags) in [("0", "0", 0), ("2000000012341234", "1000000012341234", 0), ("0", "0", 1)] {
        let found = NodeDevice::lookup_scsi_host_by_www(connection, wwnn, wwpn, flags);
        print(format!("{mode} lookup {wwnn} {wwpn} {flags}"), found.and_then(|device| device.get_name()));
    }
    for document in ["", "<device/>", "<device><capability type='net'/></device>"] {
        let made = NodeDevice::create_xml(connection, document, 0);
        print(format!("{mode} create {document}"), made.and_then(|device| device.get_name()));
    }
    let computer = NodeDevice::lookup_by_name(connection, "computer")?;
    print(format!("{mode} computer destroy"), computer.destroy());
    print(format!("{mode} computer detach"), computer.detach());
    print(format!("{mode} computer detach flags"), computer.detach_flags(Some("vfio"), 1));
    print(format!("{mode} computer reset"), computer.reset());
    print(format!("{mode} computer reattach"), computer.reattach());
    let all = names(&connection.list_all_node_devices(0)?)?;
    for name in all.iter().step_by(all.len() / DOCUMENTS + 1) {
        let device = NodeDevice::lookup_by_name(connection, name)?;
        print(format!("{mode} {name} parent"), device.get_parent());
        print(format!("{mode} {name} count of capabilities"), device.num_of_caps());
        print(format!("{mode} {name} capabilities"), device.list_caps());
        match device.get_xml_desc(0) {
            Ok(text) => println!("{mode} {name} document\n{text}"),
            Err(error) => println!("{mode} {name} document -> {error}"),
        }
        print(format!("{mode} {name} document with flags"), device.get_xml_desc(4));
    }
    Ok(())
}
