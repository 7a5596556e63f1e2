//! Memory of devices that the host uses as its own.

use std::collections::HashMap;

use nodedev_model::{Effect, Finding, FindingKind};
use nodedev_sys::HostAccess;
use nodedev_sys::attribute_value;
use nodedev_sys::paths::{CXL_DEVICES, DAX_DEVICES, ND_DEVICES, basename, follow, join};

use super::claims::Claim;
use super::lookup::devices_in;
use super::{Intent, Scene, finding};
use crate::Result;

const SMALL: usize = 4096;
/// The driver that makes memory a part of the system's.
const SYSTEM_MEMORY: &[u8] = b"kmem";
/// Bound of the targets of a region of CXL (kernel, `CXL_DECODER_MAX_INTERLEAVE`).
const MOST_TARGETS: usize = 16;

const ONLINE: &str =
    "take the memory offline and destroy the region (daxctl, cxl, ndctl); with --force the host may crash";
const PEERS: &str = "stop the other devices' use of its memory; with --force they write to nothing";

/// Devices whose memory the host uses.
pub(super) fn claims(host: &dyn HostAccess) -> Result<Vec<Claim>> {
    let mut claims = compute_express_link(host)?;
    claims.extend(non_volatile(host)?);
    Ok(claims)
}

/// Memory of CXL. A region names the decoders that it is spread over; each is below an endpoint, whose upper port is the
/// memory device.
fn compute_express_link(host: &dyn HostAccess) -> Result<Vec<Claim>> {
    let mut claims = Vec::new();
    let paths = devices_in(host, CXL_DEVICES)?;
    let by_name: HashMap<&[u8], &Vec<u8>> = paths.iter().map(|path| (basename(path), path)).collect();
    let mut used = HashMap::new();
    for region in paths.iter().filter(|path| is_numbered(basename(path), b"region")) {
        for target in 0..MOST_TARGETS {
            let Some(decoder) = text(host, region, &format!("target{target}"))? else { break };
            let Some(decoder) = by_name.get(&*decoder) else { continue };
            let endpoint = nodedev_sys::paths::parent(decoder);
            if let Some(link) = host.read_link(&join(endpoint, b"uport"))? {
                used.insert(follow(endpoint, &link), basename(region).to_vec());
            }
        }
    }
    for path in paths.iter().filter(|path| is_numbered(basename(path), b"mem")) {
        let name = String::from_utf8_lossy(basename(path));
        let why = match used.get(path) {
            Some(region) => {
                format!(
                    "its memory {name} is in {}, and a part of the host's",
                    String::from_utf8_lossy(region)
                )
            }
            // Firmware can have made it a part of the system's memory, which nothing says.
            None => format!("its memory {name} can be a part of the host's"),
        };
        claims.push(Claim::needed(FindingKind::HostMemory, why, ONLINE, path.clone()));
    }
    for path in devices_in(host, DAX_DEVICES)? {
        let driver = host.read_link(&join(&path, b"driver"))?;
        if driver.is_some_and(|driver| basename(&driver) == SYSTEM_MEMORY) {
            let why = format!(
                "{} is online as a part of the system's memory",
                String::from_utf8_lossy(basename(&path))
            );
            claims.push(Claim::needed(FindingKind::HostMemory, why, ONLINE, path));
        }
    }
    Ok(claims)
}

/// Namespaces of non-volatile memory that a driver serves.
fn non_volatile(host: &dyn HostAccess) -> Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for path in devices_in(host, ND_DEVICES)? {
        let name = basename(&path);
        let is_part = [&b"namespace"[..], b"btt", b"pfn", b"dax"].iter().any(|kind| name.starts_with(kind));
        if is_part && host.read_link(&join(&path, b"driver"))?.is_some() {
            let why = format!("the non-volatile memory {} is in use", String::from_utf8_lossy(name));
            claims.push(Claim::needed(FindingKind::HostMemory, why, ONLINE, path));
        }
    }
    Ok(claims)
}

/// Memory that other devices reach directly: what is not available is in use.
pub(super) fn peer_to_peer(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    let folder = function.file("p2pmem");
    let Some(size) = text(scene.host, &folder, "size")? else { return Ok(Vec::new()) };
    if text(scene.host, &folder, "available")?.is_some_and(|available| available == size) {
        return Ok(Vec::new());
    }
    let problem = format!(
        "PCI device {} is needed by the host: other devices use its memory (p2pmem)",
        function.address
    );
    Ok(vec![finding(FindingKind::HostMemory, Effect::RefusedUnlessForced, problem, PEERS)])
}

fn is_numbered(name: &[u8], word: &[u8]) -> bool {
    name.strip_prefix(word).is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit))
}

fn text(host: &dyn HostAccess, path: &[u8], name: &str) -> Result<Option<Vec<u8>>> {
    let value = host.read(&join(path, name.as_bytes()), SMALL)?;
    Ok(value.map(|value| attribute_value(&value).to_vec()).filter(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::is_numbered;

    #[test]
    fn names_with_a_word_and_a_number_are_told_from_others() {
        for (name, want) in [
            ("mem0", true),
            ("mem12", true),
            ("mem", false),
            ("memx", false),
            ("mem1x", false),
            ("region0", false),
        ] {
            assert_eq!(is_numbered(name.as_bytes(), b"mem"), want, "{name}");
        }
    }
}
