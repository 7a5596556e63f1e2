//! USB devices that this machine gives to others over the network (USB/IP).
//!
//! Source: kernel, `drivers/usb/usbip/stub_dev.c`.

use nodedev_model::{Effect, FindingKind};
use nodedev_sys::attribute_value;
use nodedev_sys::paths::{USBIP_HOST, basename, join};

use super::Scene;
use super::claims::{Claim, Claims};
use super::lookup::devices_in;
use crate::Result;

const SMALL: usize = 64;
/// What `usbip_status` says while another machine has a device (`SDEV_ST_USED`).
const USED: &[u8] = b"2";

/// Claims of other machines on USB devices of this one, which a driver keeps for them.
pub(super) fn claims(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    for path in devices_in(scene.host, USBIP_HOST)? {
        let status = scene.host.read(&join(&path, b"usbip_status"), SMALL)?.unwrap_or_default();
        let name = String::from_utf8_lossy(basename(&path)).into_owned();
        let who =
            if attribute_value(&status) == USED { "another machine has" } else { "other machines can have" };
        claims.add(Claim {
            kind: FindingKind::InUse,
            effect: Effect::RefusedUnlessForced,
            what: format!("is in use: {who} its USB device {name} over the network (usbip)"),
            remedy: format!("take it back (usbip unbind -b {name}); with --force the other machine loses it"),
            path,
        });
    }
    Ok(())
}
