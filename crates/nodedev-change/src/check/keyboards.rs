//! The keyboards of the host.

use nodedev_model::{Effect, FindingKind, PciAddress};
use nodedev_sys::HostAccess;
use nodedev_sys::paths::INPUT_DEVICES;

use super::claims::Claim;
use crate::Result;

const LIMIT: usize = 4 << 20;
/// What handles a keyboard, and not a power button: keys, the key for emergencies, and lamps.
const HANDLERS: [&str; 3] = ["kbd", "sysrq", "leds"];

/// The device with the only keyboard, if there is only one: nothing is refused for that, but it should be known.
pub(super) fn claims(host: &dyn HostAccess) -> Result<Vec<Claim>> {
    let list = host.read(INPUT_DEVICES.as_bytes(), LIMIT)?.unwrap_or_default();
    let list = String::from_utf8_lossy(&list);
    let keyboards: Vec<&str> = list.split("\n\n").filter_map(keyboard).collect();
    let function = |path: &str| PciAddress::in_path(path.as_bytes()).next_back();
    let Some(first) = keyboards.first() else { return Ok(Vec::new()) };
    // Those of other buses are there without the function.
    if function(first).is_none() || keyboards.iter().any(|other| function(other) != function(first)) {
        return Ok(Vec::new());
    }
    let why = "the only keyboard is on it".to_owned();
    let remedy = "use the host over the network until the device is given back";
    let path = first.trim_start_matches('/').as_bytes();
    let path = [b"sys/", path].concat();
    Ok(vec![Claim { effect: Effect::Note, ..Claim::needed(FindingKind::VitalPart, why, remedy, path) }])
}

/// Path of a keyboard in sysfs; `None` for another device.
fn keyboard(entry: &str) -> Option<&str> {
    let value = |name: &str| entry.lines().find_map(|line| line.strip_prefix(name));
    let handlers = value("H: Handlers=")?;
    let is_keyboard =
        HANDLERS.iter().all(|wanted| handlers.split_ascii_whitespace().any(|one| one == *wanted));
    is_keyboard.then(|| value("S: Sysfs="))?
}
