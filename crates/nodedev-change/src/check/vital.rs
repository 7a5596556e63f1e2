//! Functions of the chipset and the processor, which the host lives by whatever driver they have.

use nodedev_model::{Effect, Finding, FindingKind};
use nodedev_sys::HostAccess;
use nodedev_sys::pci_config;

use super::sharing::{MOST_TOLD, listed};
use super::{Intent, Scene, finding};
use crate::{PciFunction, Result};

/// A kind of function that the host lives by.
#[derive(Debug)]
pub(super) struct Vital {
    /// What the class begins with, without `0x`.
    class: &'static str,
    pub(super) what: &'static str,
    /// What hangs on it.
    why: &'static str,
    /// Whether there are cards of the kind, which can well be a guest's.
    has_cards: bool,
}

const fn vital(class: &'static str, what: &'static str, why: &'static str) -> Vital {
    Vital { class, what, why, has_cards: false }
}

const fn some(class: &'static str, what: &'static str, why: &'static str) -> Vital {
    Vital { class, what, why, has_cards: true }
}

/// The kinds, by the classes of the PCI Code and ID Assignment Specification. Bridges to other buses of the kind are refused
/// before that.
const KINDS: &[Vital] = &[
    vital("0600", "a host bridge", "the processor reaches memory and devices through it"),
    vital(
        "0601",
        "a bridge to ISA or LPC",
        "the firmware, the clock, the TPM and the keyboard's controller are behind it",
    ),
    vital("0602", "a bridge to EISA", "old parts of the board are behind it"),
    vital("0603", "a bridge to MicroChannel", "old parts of the board are behind it"),
    some("05", "a memory controller", "the host's memory, or settings of its chipset, are behind it"),
    vital("0800", "an interrupt controller", "devices reach the processor through it"),
    some("0801", "a DMA controller", "old devices reach memory through it"),
    vital("0802", "a timer", "the host's time is taken from it"),
    vital("0803", "a clock", "the host's time is taken from it"),
    vital("0804", "a controller of slots", "the host plugs cards in and out by it"),
    vital("0806", "an IOMMU", "it keeps devices apart from each other and from the host's memory"),
    vital("0807", "a collector of errors", "the host hears of its devices' errors by it"),
    some("0880", "a part of the chipset or the processor", "it has settings of the whole machine"),
    vital("0c05", "a controller of SMBus", "memory modules, sensors and the power supply are behind it"),
    vital(
        "0c07",
        "an interface to the board's management controller",
        "the machine is watched and switched through it",
    ),
    vital(
        "0c80",
        "a controller of a serial bus, as that of the flash memory",
        "the firmware can be behind it",
    ),
    some("11", "a counter or controller of the processor's", "the host measures and cools itself by it"),
];

/// What a function is that the host lives by, and why; `None` for any other.
pub(super) fn kind_of(host: &dyn HostAccess, function: &PciFunction) -> Result<Option<&'static Vital>> {
    let class = function.attribute(host, "class")?.unwrap_or_default().to_ascii_lowercase();
    let class = class.strip_prefix("0x").unwrap_or_default();
    // Without leading zeros it would be another one.
    let Some(vital) = KINDS.iter().find(|vital| class.len() == 6 && class.starts_with(vital.class)) else {
        return Ok(None);
    };
    Ok((!vital.has_cards || !is_card(host, function)?).then_some(vital))
}

/// Whether a function is made to be anybody's: a card behind a port of PCI Express, or one that can be reset alone. What belongs
/// to the chipset is neither.
fn is_card(host: &dyn HostAccess, function: &PciFunction) -> Result<bool> {
    let methods = function.attribute(host, "reset_method")?.unwrap_or_default();
    if methods.split_ascii_whitespace().any(|method| matches!(method, "flr" | "af_flr")) {
        return Ok(true);
    }
    let space = host.read_start(&function.file("config"), pci_config::CONVENTIONAL)?.unwrap_or_default();
    Ok(pci_config::is_express_card(&space))
}

/// The function itself is one that the host lives by.
pub(super) fn check(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    let Some(vital) = scene.functions().vital(function)? else { return Ok(Vec::new()) };
    // Whoever kept it from the host has answered for that.
    if scene.functions().is_kept(function)? {
        return Ok(Vec::new());
    }
    let mut problem = format!(
        "PCI device {} is a vital part of the host: it is {}, and {}",
        function.address, vital.what, vital.why
    );
    let others = intent.together.iter().filter(|other| *other != function);
    if let Some(others) = named(scene, others)? {
        problem.push_str(&format!("; so are of the devices to be detached {others}"));
    }
    let remedy = "leave it to the host; what shares its IOMMU group no guest can have safely. With --force the machine may stop";
    Ok(vec![finding(FindingKind::VitalPart, Effect::RefusedUnlessForced, problem, remedy)])
}

/// Whether a function is one that the host lives by.
pub(crate) fn is_vital(host: &dyn HostAccess, function: &PciFunction) -> Result<bool> {
    Ok(kind_of(host, function)?.is_some())
}

/// Those of some functions that the host lives by, with what they are, as they are told. `None` if there are none.
pub(super) fn named<'f>(
    scene: &Scene<'_>,
    functions: impl Iterator<Item = &'f PciFunction>,
) -> Result<Option<String>> {
    let (mut named, mut count) = (Vec::new(), 0);
    for function in functions {
        if let Some(vital) = scene.functions().vital(function)? {
            count += 1;
            if named.len() < MOST_TOLD {
                named.push(format!("{} ({})", function.address, vital.what));
            }
        }
    }
    Ok((count > 0).then(|| listed(&named, count)))
}
