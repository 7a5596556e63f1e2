//! Consoles of the kernel, and what watches over the machine.

use std::collections::BTreeSet;

use nodedev_model::FindingKind;
use nodedev_sys::HostAccess;
use nodedev_sys::attribute_value;
use nodedev_sys::paths::{
    ACTIVE_CONSOLES, CLASS_DRM, CLASS_GRAPHICS, CLASS_IPMI, CLASS_TPM, CLASS_TTY, CLASS_WATCHDOG, CONSOLES,
    DEV_CHAR, VIRTIO_DRIVERS, basename, follow, join,
};

use super::claims::Claim;
use super::lookup::{devices_in, is_name};
use crate::Result;

const SMALL: usize = 4096;
const CONSOLES_LIMIT: usize = 1 << 20;
/// What a hypervisor's console is called, and the driver of those of virtio.
const HYPERVISOR_CONSOLE: &[u8] = b"hvc";
const VIRTIO_CONSOLE: &str = "virtio_console";
/// The framebuffer that the kernel's console is on, unless it is told to take another.
const FIRST_FRAMEBUFFER: &[u8] = b"fb0";

const CONSOLE: &str =
    "use the host over the network, and --force: this console says nothing until the device is given back";
const SCREEN: &str =
    "use the host over the network, and --force: the screen stays dark until the device is given back";
const WATCHDOG: &str =
    "stop the watchdog (in systemd: RuntimeWatchdogSec=off); with --force it may reset the machine";
const PART: &str = "with --force the host loses it";

/// Devices with a console, a screen, a watchdog or another part that the host lives by.
pub(super) fn claims(host: &dyn HostAccess) -> Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for (name, path) in consoles(host)? {
        let why = format!("its console {} is on it", String::from_utf8_lossy(&name));
        claims.push(Claim::needed(FindingKind::HostConsole, why, CONSOLE, path));
    }
    for path in devices_in(host, CLASS_GRAPHICS)? {
        if basename(&path) == FIRST_FRAMEBUFFER {
            let why = "the framebuffer fb0 of its console is on it".to_owned();
            claims.push(Claim::needed(FindingKind::HostConsole, why, SCREEN, path));
        }
    }
    for path in devices_in(host, CLASS_DRM)? {
        // Only connectors have that.
        if text(host, &path, "enabled")?.as_deref() == Some(b"enabled") {
            let why = format!("it shows something at {}", String::from_utf8_lossy(basename(&path)));
            claims.push(Claim::needed(FindingKind::HostConsole, why, SCREEN, path));
        }
    }
    for path in devices_in(host, CLASS_WATCHDOG)? {
        // Not every kernel says whether it runs.
        if text(host, &path, "state")?.as_deref() != Some(b"inactive") {
            let why = format!(
                "the watchdog {} is on it, and can be running",
                String::from_utf8_lossy(basename(&path))
            );
            claims.push(Claim::needed(FindingKind::VitalPart, why, WATCHDOG, path));
        }
    }
    for (class, what) in [
        (CLASS_TPM, "its trusted platform module"),
        (CLASS_IPMI, "the way to its board's management controller"),
    ] {
        for path in devices_in(host, class)? {
            let why = format!("{what} ({}) is on it", String::from_utf8_lossy(basename(&path)));
            claims.push(Claim::needed(FindingKind::VitalPart, why, PART, path));
        }
    }
    Ok(claims)
}

/// The kernel's consoles with their devices.
fn consoles(host: &dyn HostAccess) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut names: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut found = Vec::new();
    // `ttyS0  -W- (EC p a)    4:64`: who may read it also gets the numbers.
    let table = host.read(CONSOLES.as_bytes(), CONSOLES_LIMIT)?.unwrap_or_default();
    for line in table.split(|&b| b == b'\n') {
        let fields: Vec<&[u8]> =
            line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).collect();
        let [name, .., number] = fields[..] else { continue };
        names.insert(name.to_vec());
        if is_name(number)
            && let Some(link) = host.read_link(&join(DEV_CHAR.as_bytes(), number))?
        {
            found.push((name.to_vec(), follow(DEV_CHAR.as_bytes(), &link)));
        }
    }
    let active = host.read(ACTIVE_CONSOLES.as_bytes(), SMALL)?.unwrap_or_default();
    names.extend(active.split(u8::is_ascii_whitespace).filter(|name| is_name(name)).map(<[u8]>::to_vec));
    for name in names.iter().filter(|name| is_name(name)) {
        if let Some(link) = host.read_link(&join(CLASS_TTY.as_bytes(), name))? {
            found.push((name.clone(), follow(CLASS_TTY.as_bytes(), &link)));
        }
    }
    // Which of them a hypervisor's console is, the kernel does not say.
    if let Some(name) = names.iter().find(|name| name.starts_with(HYPERVISOR_CONSOLE)) {
        let folder = join(VIRTIO_DRIVERS.as_bytes(), VIRTIO_CONSOLE.as_bytes());
        found.extend(devices_in(host, &folder)?.into_iter().map(|path| (name.clone(), path)));
    }
    Ok(found)
}

fn text(host: &dyn HostAccess, path: &[u8], name: &str) -> Result<Option<Vec<u8>>> {
    let value = host.read(&join(path, name.as_bytes()), SMALL)?;
    Ok(value.map(|value| attribute_value(&value).to_vec()))
}
