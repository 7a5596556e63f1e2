//! Whether functions are awake.

use nodedev_model::{Effect, Finding, FindingKind, PciAddress};
use nodedev_sys::HostAccess;
use nodedev_sys::paths::{PCI_DEVICES, follow};
use nodedev_sys::pci_config;

use crate::{PciFunction, Result};

/// Why a function does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It sleeps, in this power state.
    Sleeps(String),
    /// The kernel could not wake it.
    DoesNotWake,
    /// It should answer.
    Dead,
    /// The kernel says nothing of its power.
    Unknown,
}

/// Why a function does not answer; `None` if it does, or its configuration space cannot be read.
pub(crate) fn silence(host: &dyn HostAccess, function: &PciFunction) -> Result<Option<Silence>> {
    let space = host.read_start(&function.file("config"), pci_config::HEADER)?;
    if !space.is_some_and(|space| pci_config::is_silent(&space)) {
        return Ok(None);
    }
    let state = function.attribute(host, "power_state")?;
    let status = function.attribute(host, "power/runtime_status")?;
    Ok(Some(match (state.as_deref(), status.as_deref()) {
        (_, Some("error")) => Silence::DoesNotWake,
        (Some(state @ ("D1" | "D2" | "D3hot" | "D3cold")), _) => Silence::Sleeps(state.to_owned()),
        (_, Some(status @ ("suspended" | "suspending" | "resuming"))) => Silence::Sleeps(status.to_owned()),
        (Some("D0"), _) | (_, Some("active")) => Silence::Dead,
        _ => Silence::Unknown,
    }))
}

/// What is told of a function that does not answer: what is so, and what helps.
pub(crate) fn told(function: &PciFunction, silence: &Silence) -> (String, String) {
    let wake = format!(
        "`echo on > /{PCI_DEVICES}/{}/power/control` wakes it, and the bridges above it; `auto` lets it sleep again",
        function.address
    );
    let revive = "take it out and put it in again, or start the machine cold; where it was unplugged, \
                  `echo 1 > remove` in its folder makes the kernel forget it";
    match silence {
        Silence::Sleeps(state) => (format!("it sleeps ({state})"), wake),
        Silence::DoesNotWake => ("the kernel could not wake it".to_owned(), revive.to_owned()),
        Silence::Dead => ("it should be awake, so it is dead or was unplugged".to_owned(), revive.to_owned()),
        Silence::Unknown => (
            "it sleeps, is dead or was unplugged; the kernel does not say which".to_owned(),
            format!("{wake}; else {revive}"),
        ),
    }
}

/// The highest bridge above a function that does not answer either: what is below it cannot.
pub(crate) fn silent_bridge_above(
    host: &dyn HostAccess,
    function: &PciFunction,
) -> Result<Option<PciFunction>> {
    let Some(link) = host.read_link(&function.file(""))? else { return Ok(None) };
    let path = follow(PCI_DEVICES.as_bytes(), &link);
    for bridge in
        PciAddress::in_path(&path).filter(|address| *address != function.address).map(PciFunction::new)
    {
        if silence(host, &bridge)?.is_some() {
            return Ok(Some(bridge));
        }
    }
    Ok(None)
}

/// What is told of a bridge that does not answer, where it matters whether it separates what is below it.
pub(crate) fn silent_bridge(host: &dyn HostAccess, bridge: &PciFunction) -> Result<Finding> {
    let silence = silence(host, bridge)?.unwrap_or(Silence::Unknown);
    let (why, remedy) = told(bridge, &silence);
    Ok(Finding {
        kind: FindingKind::NoAnswer,
        effect: Effect::Note,
        problem: format!(
            "the bridge {} does not answer: {why}; whether it separates what is below it is not known",
            bridge.address
        ),
        remedy: Some(remedy),
    })
}
