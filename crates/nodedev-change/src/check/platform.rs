//! What machine the host runs on, as far as handing devices over depends on that.

use nodedev_model::{Effect, Finding, FindingKind};
use nodedev_sys::HostAccess;
use nodedev_sys::attribute_value;
use nodedev_sys::paths::{ARCHITECTURE, CPUINFO, HYPERVISOR_TYPE, XEN_CAPABILITIES};

use super::{Intent, Scene};
use crate::Result;

const SMALL: usize = 4096;
/// Bound of what the processors say of themselves; only the beginning is looked at.
const CPUINFO_START: usize = 8192;
/// What Xen lets its first domain do.
const FIRST_DOMAIN: &str = "control_d";

const X86: &str = "turn the IOMMU on: VT-d or AMD-Vi in the firmware's settings, and on Intel intel_iommu=on on the kernel's command line";

/// What turns the IOMMU on, by what architectures and makers of processors begin with; the first that fits.
const ADVICE: &[(&str, &str, &str)] = &[
    (
        "x86_64",
        "GenuineIntel",
        "turn the IOMMU on: VT-d in the firmware's settings, and intel_iommu=on on the kernel's command line",
    ),
    ("x86_64", "AuthenticAMD", AMD),
    ("x86_64", "HygonGenuine", AMD),
    ("x86_64", "", X86),
    ("i", "", X86),
    (
        "aarch64",
        "",
        "the SMMU has to be described by the firmware (IORT, or the device tree) and be on in its settings; the kernel needs arm-smmu or arm-smmu-v3",
    ),
    ("arm", "", "the SMMU has to be described by the device tree; the kernel needs arm-smmu"),
    (
        "s390",
        "",
        "PCI functions of IBM Z have an IOMMU each, with nothing to turn on: the kernel needs CONFIG_S390_IOMMU, and the function has to be configured",
    ),
    (
        "ppc64",
        "",
        "the IOMMU of POWER is always on: the kernel needs CONFIG_SPAPR_TCE_IOMMU, and VFIO the module vfio_iommu_spapr_tce; in a logical partition, Linux 6.11",
    ),
    ("riscv", "", "the IOMMU has to be described by the firmware; the kernel needs riscv-iommu (Linux 6.13)"),
    ("loongarch", "", "the IOMMU has to be on in the firmware's settings; the kernel needs its driver"),
];
const AMD: &str = "turn the IOMMU (AMD-Vi) on in the firmware's settings; amd_iommu=off and iommu=off have to be gone from the kernel's command line";
const ANY: &str = "the firmware has to describe an IOMMU, and the kernel to have a driver of it";
const XEN: &str = "under Xen guests get devices from xen-pciback: `nodedev detach --driver pciback`, or xl pci-assignable-add; VFIO does not work here";
const XEN_GUEST: &str =
    "this machine is a guest of Xen: its host would have to give it an IOMMU, which Xen does not";

/// What helps where there is no IOMMU.
pub(super) fn advice(scene: &Scene<'_>) -> Result<String> {
    let host = scene.host;
    match scene.xen()? {
        Some(true) => return Ok(XEN.to_owned()),
        Some(false) => return Ok(XEN_GUEST.to_owned()),
        None => {}
    }
    let architecture = host.read(ARCHITECTURE.as_bytes(), SMALL)?;
    let architecture = match &architecture {
        Some(name) => String::from_utf8_lossy(attribute_value(name)).into_owned(),
        // Before Linux 6.1 nothing says; a program runs on the machine that it was built for.
        None => std::env::consts::ARCH.replace("powerpc64", "ppc64"),
    };
    let processors = host.read_start(CPUINFO.as_bytes(), CPUINFO_START)?.unwrap_or_default();
    let processors = String::from_utf8_lossy(&processors);
    let maker = processors
        .lines()
        .find_map(|line| line.strip_prefix("vendor_id")?.split_once(": "))
        .map_or("", |(_, maker)| maker.trim());
    let fits = |(wanted, by, _): &&(&str, &str, &str)| {
        // i386 to i686, and nothing else that begins so.
        let is_it = architecture.starts_with(wanted) && (*wanted != "i" || architecture.ends_with("86"));
        is_it && (by.is_empty() || maker == *by)
    };
    let advice = ADVICE.iter().find(fits).map_or(ANY, |(.., advice)| advice);
    let is_guest = processors.lines().any(|line| {
        line.starts_with("flags") && line.split_ascii_whitespace().any(|flag| flag == "hypervisor")
    });
    Ok(if is_guest {
        format!("this is a virtual machine: its hypervisor has to emulate an IOMMU for it; then {advice}")
    } else {
        advice.to_owned()
    })
}

/// Whether the machine runs on Xen: as its first domain, which has the devices, or as a guest.
pub(super) fn xen(host: &dyn HostAccess) -> Result<Option<bool>> {
    let capabilities = host.read(XEN_CAPABILITIES.as_bytes(), SMALL)?;
    let kind = host.read(HYPERVISOR_TYPE.as_bytes(), SMALL)?;
    let is_xen = capabilities.is_some() || kind.is_some_and(|kind| attribute_value(&kind) == b"xen");
    let capabilities = capabilities.unwrap_or_default();
    let is_first =
        String::from_utf8_lossy(&capabilities).split_ascii_whitespace().any(|word| word == FIRST_DOMAIN);
    Ok(is_xen.then_some(is_first))
}

/// That devices are handed over in another way here.
pub(super) fn hypervisor(scene: &Scene<'_>, _: &Intent<'_>) -> Result<Vec<Finding>> {
    let (problem, remedy) = match scene.xen()? {
        Some(true) => {
            ("this host is the first domain of Xen (dom0), which hands devices over in its own way", XEN)
        }
        Some(false) => ("this host is a guest of Xen itself", XEN_GUEST),
        None => return Ok(Vec::new()),
    };
    let (kind, effect) = (FindingKind::OtherHypervisor, Effect::Note);
    Ok(vec![Finding { kind, effect, problem: problem.into(), remedy: Some(remedy.into()) }])
}
