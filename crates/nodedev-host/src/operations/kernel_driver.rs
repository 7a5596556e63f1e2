//! Which kernel driver is bound for a guest, and what has to be loaded for that.

use nodedev_sys::paths::{KERNEL_RELEASE, MODULE, MODULES, PCI_DRIVERS};
use nodedev_sys::{HostAccess, SysError};

use super::{OpsError, PciFunction, Result, vfio};
use crate::kernel::attribute_value;

/// The driver for VFIO that fits every device.
pub(crate) const VFIO_PCI: &str = "vfio-pci";
/// Its module, for which there is an alias that fits every device, too. How the driver of a module is called is not known
/// before it is loaded, but of this one.
const VFIO_PCI_MODULE: &str = "vfio_pci";
/// Bound of `modules.alias`. It has about 1.5 MB on a distribution's kernel.
const ALIASES_LIMIT: usize = 8 << 20;
const SMALL: usize = 4096;
/// Longest name of a module (kernel, `MODULE_NAME_LEN` on 64-bit machines), which also bounds those of drivers.
const NAME_LENGTH: usize = 64 - size_of::<u64>();
/// What aliases of drivers for VFIO begin with, and what a device's own description begins with.
const VFIO_ALIAS: &str = "vfio_pci:";
const PCI_ALIAS: &str = "pci:";
/// The fields of a description of a PCI device, in order (kernel, `pci_uevent`).
const FIELDS: [&str; 7] = ["v", "d", "sv", "sd", "bc", "sc", "i"];

/// A driver to be bound, and the module that brings it, if that is not loaded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) driver: String,
    pub(crate) module: Option<String>,
}

/// Whether text can be the name of a kernel driver or module: what is written to sysfs, put into paths and given to
/// modprobe is nothing else.
pub(crate) fn is_name(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    first
        && text.len() <= NAME_LENGTH
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+'))
}

/// Whether text can be the name of a driver that is registered: the kernel accepts any that can be that of a folder.
pub(crate) fn is_driver(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && !matches!(text, "." | "..")
        && !text.contains(|c: char| c == '/' || c.is_control())
}

/// The driver of a name; else the host's if it provides VFIO for a function itself, else the one that fits it best.
pub(crate) fn choose(
    host: &dyn HostAccess,
    function: &PciFunction,
    requested: Option<&str>,
) -> Result<Chosen> {
    match requested {
        Some(name) if is_name(name) => resolve(host, name),
        Some(name) => Err(unknown(name, "that is no name of a kernel driver")),
        None => match vfio::host_provider(host, function)? {
            // Guests get it from that one.
            Some(driver) => Ok(Chosen { driver, module: None }),
            None => match variant(host, function)? {
                Some(module) if module != VFIO_PCI_MODULE => resolve(host, &module),
                _ => resolve(host, VFIO_PCI),
            },
        },
    }
}

/// What a name means on this host now: a driver that is there, or one of a module that is loaded or can be.
pub(crate) fn resolve(host: &dyn HostAccess, name: &str) -> Result<Chosen> {
    let module = name.replace('-', "_");
    let there = |driver: &str| -> Result<bool> {
        Ok(host.names(format!("{PCI_DRIVERS}/{driver}").as_bytes())?.is_some())
    };
    for driver in [name, &module] {
        if there(driver)? {
            return Ok(Chosen { driver: driver.to_owned(), module: None });
        }
    }
    if host.names(format!("{MODULE}/{module}").as_bytes())?.is_none() {
        return Ok(Chosen { driver: name.to_owned(), module: Some(module) });
    }
    let brings = host.names(format!("{MODULE}/{module}/drivers").as_bytes())?.unwrap_or_default();
    let driver = brings.iter().find_map(|name| std::str::from_utf8(name).ok()?.strip_prefix(PCI_ALIAS));
    match driver {
        Some(driver) => Ok(Chosen { driver: driver.to_owned(), module: None }),
        None => Err(OpsError::NoPciDriver { module }),
    }
}

/// Loads what a choice needs. The name of the driver is known for sure only then.
pub(crate) fn load(host: &dyn HostAccess, chosen: Chosen) -> Result<String> {
    let Some(module) = chosen.module else { return Ok(chosen.driver) };
    host.load_module(&module).map_err(|error| match error {
        SysError::Module { problem, .. } => unknown(&module, &problem),
        error => unknown(&module, &error.problem()),
    })?;
    let loaded = resolve(host, &chosen.driver)?;
    match loaded.module {
        None => Ok(loaded.driver),
        Some(module) => Err(OpsError::NotInSysfs { module }),
    }
}

/// The module to be loaded so that a driver is there again, which was once: somebody may have unloaded it.
pub(crate) fn missing(host: &dyn HostAccess, driver: &str, module: Option<&str>) -> Result<Option<String>> {
    let Some(module) = module else { return Ok(None) };
    let there = host.names(format!("{PCI_DRIVERS}/{driver}").as_bytes())?.is_some();
    Ok((!there).then(|| module.to_owned()))
}

/// Makes sure that a driver is there, which was once.
pub(crate) fn require(host: &dyn HostAccess, driver: &str, module: Option<&str>) -> Result<()> {
    match missing(host, driver, module)? {
        Some(module) => {
            let driver = driver.to_owned();
            load(host, Chosen { driver: driver.clone(), module: Some(module) })
                .map(drop)
                .map_err(|error| OpsError::OriginalDriver { driver, problem: error.told() })
        }
        None => Ok(()),
    }
}

/// The module that a driver belongs to; `None` for one that is built in.
pub(crate) fn module_of(host: &dyn HostAccess, driver: &str) -> Result<Option<String>> {
    let link = host.read_link(format!("{PCI_DRIVERS}/{driver}/module").as_bytes())?;
    let name = link.map(|link| String::from_utf8_lossy(nodedev_sys::paths::basename(&link)).into_owned());
    Ok(name.filter(|name| is_name(name)))
}

fn unknown(module: &str, problem: &str) -> OpsError {
    OpsError::UnknownDriver { module: module.replace('-', "_"), problem: problem.to_owned() }
}

/// The module of the driver for VFIO that is made for a function. `None` if there is none, or nothing says.
fn variant(host: &dyn HostAccess, function: &PciFunction) -> Result<Option<String>> {
    let Some(modalias) = function.attribute(host, "modalias")? else { return Ok(None) };
    Ok(best_variant(&aliases(host)?, &modalias).filter(|name| is_name(name)).map(str::to_owned))
}

/// The aliases of all modules on disk; nothing where there are none, as in a container.
fn aliases(host: &dyn HostAccess) -> Result<Vec<u8>> {
    let release = host.read(KERNEL_RELEASE.as_bytes(), SMALL)?.unwrap_or_default();
    let Ok(release) = std::str::from_utf8(attribute_value(&release)) else { return Ok(Vec::new()) };
    if release.is_empty() || release.contains('/') {
        return Ok(Vec::new());
    }
    let path = format!("{MODULES}/{release}/modules.alias");
    match host.read(path.as_bytes(), ALIASES_LIMIT) {
        // The driver for every device does as well.
        Err(SysError::TooLarge { .. }) => Ok(Vec::new()),
        found => Ok(found?.unwrap_or_default()),
    }
}

/// Whether the modules say that one of them brings a driver for VFIO: for any device, or for the one that describes itself so.
pub(super) fn is_variant(host: &dyn HostAccess, module: &str, modalias: Option<&str>) -> Result<bool> {
    let fits = |pattern: &str| modalias.is_none_or(|modalias| stars(pattern, modalias).is_some());
    let aliases = aliases(host)?;
    Ok(vfio_aliases(&aliases).any(|(pattern, name)| is_same_module(name, module) && fits(pattern)))
}

/// How many fields of an alias are left open, if it fits a device's description of itself.
fn stars(pattern: &str, modalias: &str) -> Option<usize> {
    let (wanted, device) = (fields(pattern)?, fields(modalias.strip_prefix(PCI_ALIAS)?)?);
    let fits = wanted.iter().zip(&device).all(|(wanted, is)| *wanted == "*" || wanted == is);
    fits.then(|| wanted.iter().filter(|wanted| **wanted == "*").count())
}

/// Whether two names are of the same module.
fn is_same_module(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes().zip(b.bytes()).all(|(a, b)| a == b || matches!((a, b), (b'-', b'_') | (b'_', b'-')))
}

/// The patterns of aliases for VFIO, with their modules.
fn vfio_aliases(aliases: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    aliases.split(|&b| b == b'\n').filter_map(|line| {
        let line = std::str::from_utf8(line.strip_prefix(b"alias ")?).ok()?;
        let mut words = line.split_ascii_whitespace();
        Some((words.next()?.strip_prefix(VFIO_ALIAS)?, words.next()?))
    })
}

/// The module of the alias that fits with the fewest `*`; the first one if there are several.
fn best_variant<'a>(aliases: &'a [u8], modalias: &str) -> Option<&'a str> {
    let fitting =
        vfio_aliases(aliases).filter_map(|(pattern, module)| Some((stars(pattern, modalias)?, module)));
    fitting.min_by_key(|(stars, _)| *stars).map(|(_, module)| module)
}

/// The values of a description's fields.
fn fields(text: &str) -> Option<[&str; FIELDS.len()]> {
    let mut values = [""; FIELDS.len()];
    let mut rest = text;
    for (place, name) in FIELDS.iter().enumerate() {
        rest = rest.strip_prefix(name)?;
        // Values are hexadecimal in capitals, or a star; names are small letters.
        let end = rest.find(|c: char| c.is_ascii_lowercase()).unwrap_or(rest.len());
        (values[place], rest) = rest.split_at(end);
    }
    rest.is_empty().then_some(values)
}

#[cfg(test)]
mod tests {
    use super::{best_variant, is_name};

    const DEVICE: &str = "pci:v000015B3d0000101Esv000015B3sd00000001bc02sc00i00";

    #[test]
    fn the_alias_that_says_most_wins_and_the_first_of_equals() {
        let any = "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n";
        let vendor = "alias vfio_pci:v000015B3d*sv*sd*bc*sc*i* by_vendor\n";
        let exact = "alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci\n";
        let again = "alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* another\n";
        let other = "alias vfio_pci:v000015B3d0000FFFFsv*sd*bc*sc*i* wrong\n";
        let host = "alias pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_core\n";
        let broken = "alias vfio_pci:v000015B3 broken\nalias\nalias vfio_pci:\n\u{fffd}\n# comment\n";
        for (parts, want) in [
            (&[any, vendor, exact, again][..], Some("mlx5_vfio_pci")),
            (&[again, exact], Some("another")),
            (&[any, vendor], Some("by_vendor")),
            (&[other, host, broken], None),
            (&[broken, any], Some("vfio_pci")),
        ] {
            assert_eq!(best_variant(parts.concat().as_bytes(), DEVICE), want, "{parts:?}");
        }
        assert_eq!(best_variant(exact.as_bytes(), "usb:v1234"), None);
        assert_eq!(best_variant(exact.as_bytes(), "pci:v000015B3"), None);
    }

    #[test]
    fn only_names_are_names() {
        for name in ["vfio-pci", "mlx5_vfio_pci", "8139too", "snd_hda_intel", "e1000e"] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(57);
        for text in ["", "-r", "../x", "a/b", "a b", "a\n", "ä", ".", &long] {
            assert!(!is_name(text), "{text}");
        }
    }
}
