//! Whether a function can be handed to a guest; if not, why, and what would help.

use nodedev_driver::ExplainOptions;
use nodedev_model::{Effect, Explanation, Finding, FindingKind, IommuGroup, PciAddress};
use nodedev_sys::paths::{KERNEL_RELEASE, LOCKDOWN, MODULES, PCI_DEVICES, follow};

use super::check::{self, Intent, Scene};
use super::group::Group;
use super::kernel_driver::{self, Chosen};
use super::{Operations, OpsError, PciFunction, Result, power, vfio};
use crate::kernel::attribute_value;
use crate::pci_config::{self, Isolation};

const SMALL: usize = 4096;
/// Bound of `modules.dep`, which has about 1 MB on a distribution's kernel.
const DEPENDENCIES_LIMIT: usize = 16 << 20;

impl Operations<'_> {
    pub(crate) fn explain(&self, function: &PciFunction, options: &ExplainOptions) -> Result<Explanation> {
        let gone = || OpsError::Gone { device: function.address };
        let binding = function.binding(self.host)?.ok_or_else(gone)?;
        let scene = Scene::for_caller(self.host, options.connected_at);
        let mut findings = Vec::new();
        let chosen = match kernel_driver::choose(self.host, function, options.kernel_driver.as_deref()) {
            Ok(chosen) => Some(chosen),
            Err(error) => {
                findings.push(Finding {
                    kind: FindingKind::UnknownDriver,
                    effect: Effect::Refused,
                    problem: error.told(),
                    remedy: Some("leave out the name: vfio-pci fits every device".into()),
                });
                None
            }
        };
        let intent = Intent { function, chosen: chosen.as_ref(), together: &[], strict: true };
        findings.extend(check::explain(&scene, &intent));
        let group = Group::of(self.host, function)?;
        for found in [
            self.missing_module(chosen.as_ref()),
            self.isolation(function, group.as_ref()),
            self.lockdown(),
            self.reset_findings(&scene, function),
            self.detached(function),
        ] {
            findings.extend(found.unwrap_or_else(|error| vec![unknown(&error)]));
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.effect));
        Ok(Explanation {
            name: function.name.clone(),
            address: function.address,
            verdict: Explanation::verdict(&findings),
            binding,
            guest_driver: chosen.map(|chosen| chosen.driver),
            iommu_group: group.map(|group| IommuGroup {
                number: group.number,
                devices: group.members.iter().map(|member| member.address).collect(),
            }),
            findings,
        })
    }

    /// Whether the module that is to be loaded is on disk at all.
    fn missing_module(&self, chosen: Option<&Chosen>) -> Result<Vec<Finding>> {
        let Some(module) = chosen.and_then(|chosen| chosen.module.as_deref()) else { return Ok(Vec::new()) };
        let release = self.host.read(KERNEL_RELEASE.as_bytes(), SMALL)?.unwrap_or_default();
        let release = String::from_utf8_lossy(attribute_value(&release)).into_owned();
        if release.is_empty() || release.contains('/') {
            return Ok(Vec::new());
        }
        let path = format!("{MODULES}/{release}/modules.dep");
        let Some(known) = self.host.read(path.as_bytes(), DEPENDENCIES_LIMIT)? else { return Ok(Vec::new()) };
        let is_there = known.split(|&b| b == b'\n').any(|line| is_of_module(line, module));
        let missing = Finding {
            kind: FindingKind::UnknownDriver,
            effect: Effect::Refused,
            problem: format!("the kernel {release} has no module {module}"),
            remedy: Some(
                "install the package of the kernel that has all its modules, or boot another kernel".into(),
            ),
        };
        Ok(if is_there { Vec::new() } else { vec![missing] })
    }

    /// Bridges above that make the group larger than the device.
    fn isolation(&self, function: &PciFunction, group: Option<&Group>) -> Result<Vec<Finding>> {
        if group.is_none_or(|group| group.members.len() < 2) {
            return Ok(Vec::new());
        }
        let Some(link) = self.host.read_link(&function.file(""))? else { return Ok(Vec::new()) };
        let path = follow(PCI_DEVICES.as_bytes(), &link);
        let above = path.split(|&b| b == b'/').filter_map(|part| PciAddress::from_bytes(part).ok());
        let mut findings = Vec::new();
        for bridge in above.filter(|address| *address != function.address).map(PciFunction::new) {
            let space = self.host.read(&bridge.file("config"), pci_config::EXTENDED)?.unwrap_or_default();
            let why = match pci_config::isolation(&space) {
                Isolation::On | Isolation::NotNeeded | Isolation::Unknown => continue,
                Isolation::Off => "has Access Control Services, which are off",
                Isolation::Missing => "has no Access Control Services",
                Isolation::Conventional => "is a bridge to conventional PCI",
                Isolation::Silent => {
                    findings.push(power::silent_bridge(self.host, &bridge)?);
                    continue;
                }
            };
            findings.push(Finding {
                kind: FindingKind::AcsMissing,
                effect: Effect::Note,
                problem: format!(
                    "the bridge {} {why}, so what is below it cannot be separated",
                    bridge.address
                ),
                remedy: Some(
                    "another slot may have a group of its own; firmware can have a setting for ACS".into(),
                ),
            });
        }
        Ok(findings)
    }

    fn lockdown(&self) -> Result<Vec<Finding>> {
        let found = self.host.read(LOCKDOWN.as_bytes(), SMALL)?.unwrap_or_default();
        let found = String::from_utf8_lossy(&found);
        let mode = found.split_ascii_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
        Ok(match mode {
            None | Some("none") => Vec::new(),
            Some(mode) => vec![Finding {
                kind: FindingKind::Lockdown,
                effect: Effect::Note,
                problem: format!(
                    "the kernel is locked down ({mode}), as with Secure Boot: it loads signed modules only"
                ),
                remedy: Some(
                    "vfio-pci of the distribution is signed; a driver built by hand has to be".into(),
                ),
            }],
        })
    }

    fn detached(&self, function: &PciFunction) -> Result<Vec<Finding>> {
        let Some(driver) = function.driver(self.host)? else { return Ok(Vec::new()) };
        if !function.is_stub(self.host, &driver)? || vfio::host_provider(self.host, function)?.is_some() {
            return Ok(Vec::new());
        }
        Ok(vec![Finding {
            kind: FindingKind::Detached,
            effect: Effect::Note,
            problem: format!("it is detached already: {driver} has it"),
            remedy: None,
        }])
    }
}

/// What could not be found out does not stand in the way of the rest.
pub(super) fn unknown(error: &OpsError) -> Finding {
    Finding {
        kind: FindingKind::Unknown,
        effect: Effect::Warning,
        problem: format!("not everything could be looked at: {}", error.told()),
        remedy: None,
    }
}

/// Whether a line of `modules.dep` is of a module, whose file has `-` or `_` and may be compressed.
fn is_of_module(line: &[u8], module: &str) -> bool {
    let path = line.split(|&b| b == b':').next().unwrap_or_default();
    let file = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let name = file.split(|&b| b == b'.').next().unwrap_or_default();
    name.len() == module.len()
        && name.iter().zip(module.bytes()).all(|(&a, b)| a == b || (a == b'-' && b == b'_'))
}

#[cfg(test)]
mod tests {
    use super::is_of_module;

    #[test]
    fn modules_are_found_whatever_their_file_is_called() {
        for (line, want) in [
            ("kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz", true),
            ("kernel/drivers/vfio/pci/vfio_pci.ko:", true),
            ("kernel/drivers/vfio/pci/vfio-pci-core.ko.zst:", false),
            ("kernel/drivers/x.ko: kernel/drivers/vfio/pci/vfio-pci.ko", false),
            ("", false),
        ] {
            assert_eq!(is_of_module(line.as_bytes(), "vfio_pci"), want, "{line}");
        }
    }
}
