//! Virtual ports of Fibre Channel, which the kernel makes of two World Wide Names.
//!
//! Source: `drivers/scsi/scsi_transport_fc.c` (`store_fc_host_vport_create`, `store_fc_private_host_vport_delete`).

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::errno::{EINVAL, ENOENT};

const PORTS: &str = "sys/class/fc_host";

fn error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

/// The virtual port with both names on a SCSI host, a folder of the class.
fn find(folder: &Path, port: &str, node: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder.join(PORTS)).ok()?;
    let has = |path: &Path, attribute: &str, name: &str| {
        fs::read_to_string(path.join(attribute)).is_ok_and(|found| found.trim_end() == format!("0x{name}"))
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| has(path, "port_name", port) && has(path, "node_name", node))
}

/// What the kernel does when names are written to `vport_create` or `vport_delete` in a port's folder.
pub(super) fn write(folder: &Path, holder: &Path, file: &str, value: &str) -> io::Result<()> {
    let (port, node) = value.split_once(':').ok_or_else(|| error(EINVAL))?;
    if [port, node].iter().any(|name| name.len() != 16 || !name.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(error(EINVAL));
    }
    match (file, find(folder, port, node)) {
        ("vport_create", None) => create(folder, holder, port, node),
        ("vport_delete", Some(path)) => {
            let port = path.canonicalize()?;
            fs::remove_file(&path)?;
            let host = port.parent().and_then(Path::parent).ok_or_else(|| error(ENOENT))?;
            fs::remove_dir_all(host)
        }
        ("vport_create", Some(_)) => Err(error(EINVAL)),
        _ => Err(error(ENOENT)),
    }
}

fn create(folder: &Path, holder: &Path, port: &str, node: &str) -> io::Result<()> {
    let number = (0..).find(|number| !folder.join(format!("{PORTS}/host{number}")).is_symlink());
    let name = format!("host{}", number.unwrap_or_default());
    // `…/hostN/fc_host/hostN` is the port's folder, `…/hostN` the SCSI host's.
    let host = holder.parent().and_then(Path::parent).ok_or_else(|| error(ENOENT))?;
    let made = host.join(format!("vport-0:0-0/{name}/fc_host/{name}"));
    fs::create_dir_all(&made)?;
    fs::write(made.join("port_name"), format!("0x{port}\n"))?;
    fs::write(made.join("node_name"), format!("0x{node}\n"))?;
    let sys = folder.canonicalize()?.join("sys");
    let below = made.strip_prefix(&sys).unwrap_or(&made);
    symlink(format!("../../{}", below.display()), folder.join(PORTS).join(name))
}
