//! Which kernel driver is bound for a guest, and what has to be loaded for that.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};

use nodedev_sys::attribute_value;
use nodedev_sys::paths::{KERNEL_RELEASE, MODULE, MODULES, PCI_DRIVERS};
use nodedev_sys::{HostAccess, SysError};

use crate::{OpsError, PciFunction, Result, once};

/// The driver for VFIO that fits every device.
pub(crate) const VFIO_PCI: &str = "vfio-pci";
/// Its module, for which there is an alias that fits every device, too. How the driver of a module is called is not known
/// before it is loaded, but of this one.
const VFIO_PCI_MODULE: &str = "vfio_pci";
/// Bound of `modules.alias`. It has about 1.5 MB on a distribution's kernel.
const ALIASES_LIMIT: usize = 8 << 20;
/// Bound of `modules.dep`, which has about 1 MB on a distribution's kernel.
const DEPENDENCIES_LIMIT: usize = 16 << 20;
const SMALL: usize = 4096;
/// Longest name of a module (kernel, `MODULE_NAME_LEN` on 64-bit machines), which also bounds those of drivers.
const NAME_LENGTH: usize = 64 - size_of::<u64>();
/// What aliases of drivers for VFIO begin with, and what a device's own description begins with.
const VFIO_ALIAS: &str = "vfio_pci:";
const PCI_ALIAS: &str = "pci:";
/// Modules with drivers of PCI that fit no device by themselves, and so have no alias.
const WITHOUT_ALIAS: &[&str] = &["pci_stub", "uio_pci_generic", "igb_uio", "xen_pciback", VFIO_PCI_MODULE];
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

/// The kernel drivers of a host, and what their modules on disk are for; each asked once.
#[derive(Debug)]
pub(crate) struct Drivers<'a> {
    pub(crate) host: &'a dyn HostAccess,
    /// The patterns of aliases for VFIO, with their modules.
    aliases: OnceCell<Vec<(String, String)>>,
    /// Names of all modules on disk, with `_`; `None` where nothing tells.
    on_disk: OnceCell<Option<HashSet<Vec<u8>>>>,
    resolved: RefCell<HashMap<String, Chosen>>,
    modules: RefCell<HashMap<String, Option<String>>>,
}

impl<'a> Drivers<'a> {
    pub(crate) fn of(host: &'a dyn HostAccess) -> Self {
        Self {
            host,
            aliases: OnceCell::new(),
            on_disk: OnceCell::new(),
            resolved: RefCell::default(),
            modules: RefCell::default(),
        }
    }

    /// The driver of a name; else the host's, if `host_provider` says that it provides VFIO for a function itself, else the one that fits
    /// it best.
    pub(crate) fn choose(
        &self,
        function: &PciFunction,
        requested: Option<&str>,
        host_provider: impl FnOnce() -> Result<Option<String>>,
    ) -> Result<Chosen> {
        match requested {
            Some(name) if is_name(name) => self.resolve(name),
            Some(name) => Err(unknown(name, "that is no name of a kernel driver")),
            None => match host_provider()? {
                // Guests get it from that one.
                Some(driver) => Ok(Chosen { driver, module: None }),
                None => match self.variant(function)? {
                    Some(module) if module != VFIO_PCI_MODULE => self.resolve(&module),
                    _ => self.resolve(VFIO_PCI),
                },
            },
        }
    }

    fn resolve(&self, name: &str) -> Result<Chosen> {
        if let Some(known) = self.resolved.borrow().get(name) {
            return Ok(known.clone());
        }
        let found = resolve(self.host, name)?;
        self.resolved.borrow_mut().insert(name.to_owned(), found.clone());
        Ok(found)
    }

    /// The module of the driver for VFIO that is made for a function. `None` if there is none, or nothing says.
    fn variant(&self, function: &PciFunction) -> Result<Option<String>> {
        let aliases = self.aliases()?;
        if aliases.is_empty() {
            return Ok(None);
        }
        let Some(modalias) = function.attribute(self.host, "modalias")? else { return Ok(None) };
        let best = best_variant(
            aliases.iter().map(|(pattern, module)| (pattern.as_str(), module.as_str())),
            &modalias,
        );
        Ok(best.filter(|name| is_name(name)).map(str::to_owned))
    }

    fn aliases(&self) -> Result<&[(String, String)]> {
        let find = || {
            let aliases = aliases(self.host)?;
            let owned = |(pattern, module): (&str, &str)| (pattern.to_owned(), module.to_owned());
            Ok(vfio_aliases(&aliases).map(owned).collect())
        };
        Ok(once(&self.aliases, find)?)
    }

    /// Whether the modules say that one of them brings a driver for VFIO: for any device, or for the one that describes itself so.
    pub(crate) fn is_variant(&self, module: &str, modalias: Option<&str>) -> Result<bool> {
        let fits = |pattern: &str| modalias.is_none_or(|modalias| stars(pattern, modalias).is_some());
        Ok(self.aliases()?.iter().any(|(pattern, name)| is_same_module(name, module) && fits(pattern)))
    }

    /// The module of a driver; the name that it would have where sysfs does not say.
    pub(crate) fn module_of(&self, driver: &str) -> Result<String> {
        if let Some(known) = self.modules.borrow().get(driver) {
            return Ok(known.clone().unwrap_or_else(|| driver.replace('-', "_")));
        }
        let found = module_of(self.host, driver)?;
        self.modules.borrow_mut().insert(driver.to_owned(), found.clone());
        Ok(found.unwrap_or_else(|| driver.replace('-', "_")))
    }

    /// Whether the running kernel has a module on disk. `None` where nothing tells, as in a container.
    pub(crate) fn is_on_disk(&self, module: &str) -> Result<Option<bool>> {
        let find = || {
            let Some(release) = release(self.host)? else { return Ok(None) };
            let path = format!("{MODULES}/{release}/modules.dep");
            let known = self.host.read(path.as_bytes(), DEPENDENCIES_LIMIT)?;
            Ok(known.map(|known| known.split(|&b| b == b'\n').filter_map(module_in).collect()))
        };
        let known = once(&self.on_disk, find)?.as_ref();
        Ok(known.map(|known| known.contains(&underscored(module.as_bytes()))))
    }
}

/// Release of the running kernel. `None` if it is not told, or makes no path.
pub(crate) fn release(host: &dyn HostAccess) -> Result<Option<String>> {
    let release = host.read(KERNEL_RELEASE.as_bytes(), SMALL)?.unwrap_or_default();
    let release = String::from_utf8_lossy(attribute_value(&release)).into_owned();
    Ok((!release.is_empty() && !release.contains('/')).then_some(release))
}

/// The name of the module that a line of `modules.dep` is of, whose file has `-` or `_` and may be compressed.
fn module_in(line: &[u8]) -> Option<Vec<u8>> {
    let path = line.split(|&b| b == b':').next()?;
    let file = path.rsplit(|&b| b == b'/').next()?;
    let name = file.split(|&b| b == b'.').next()?;
    (!name.is_empty()).then(|| underscored(name))
}

/// What modules are called in the kernel.
fn underscored(name: &[u8]) -> Vec<u8> {
    name.iter().map(|&b| if b == b'-' { b'_' } else { b }).collect()
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

/// Loads what a choice needs. The name of the driver is known for sure only then. Who may detach a device may not have any module
/// loaded for that, but one with a driver of PCI.
pub(crate) fn load(host: &dyn HostAccess, chosen: Chosen) -> Result<String> {
    let Some(module) = chosen.module else { return Ok(chosen.driver) };
    if is_of_pci(host, &module)? == Some(false) {
        return Err(OpsError::NoPciDriver { module });
    }
    load_module(host, Chosen { module: Some(module), ..chosen })
}

/// Whether what modprobe would load by a name brings a driver of PCI, by its aliases: the module of that name, or those that the
/// name is an alias of. `None` where there are none, or nothing tells.
fn is_of_pci(host: &dyn HostAccess, name: &str) -> Result<Option<bool>> {
    if WITHOUT_ALIAS.contains(&name) {
        return Ok(None);
    }
    let aliases = aliases(host)?;
    let known: Vec<(&str, &str)> = all_aliases(&aliases).collect();
    let mut modules: Vec<&str> =
        known.iter().filter(|(pattern, _)| is_alias(pattern, name)).map(|(_, module)| *module).collect();
    if Drivers::of(host).is_on_disk(name)? == Some(true) {
        modules.push(name);
    }
    let is_of_pci = |module: &&str| {
        WITHOUT_ALIAS.contains(module)
            || known.iter().any(|(pattern, of)| {
                (pattern.starts_with(PCI_ALIAS) || pattern.starts_with(VFIO_ALIAS))
                    && is_same_module(of, module)
            })
    };
    Ok((!known.is_empty() && !modules.is_empty()).then(|| modules.iter().all(is_of_pci)))
}

/// Whether a name is one that a pattern stands for, as modprobe sees it.
fn is_alias(pattern: &str, name: &str) -> bool {
    match pattern.split_once(['*', '?', '[']) {
        // What is behind a star can only make it fit less.
        Some((start, _)) => {
            !start.is_empty() && name.len() >= start.len() && is_same_module(&name[..start.len()], start)
        }
        None => is_same_module(pattern, name),
    }
}

fn load_module(host: &dyn HostAccess, chosen: Chosen) -> Result<String> {
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
            load_module(host, Chosen { driver: driver.clone(), module: Some(module) })
                .map(drop)
                .map_err(|error| OpsError::OriginalDriver { driver, problem: error.message() })
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

/// The aliases of all modules on disk; nothing where there are none, as in a container.
fn aliases(host: &dyn HostAccess) -> Result<Vec<u8>> {
    let Some(release) = release(host)? else { return Ok(Vec::new()) };
    let path = format!("{MODULES}/{release}/modules.alias");
    match host.read(path.as_bytes(), ALIASES_LIMIT) {
        // The driver for every device does as well.
        Err(SysError::TooLarge { .. }) => Ok(Vec::new()),
        found => Ok(found?.unwrap_or_default()),
    }
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
    all_aliases(aliases).filter_map(|(pattern, module)| Some((pattern.strip_prefix(VFIO_ALIAS)?, module)))
}

/// The patterns of all aliases, with their modules.
fn all_aliases(aliases: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    aliases.split(|&b| b == b'\n').filter_map(|line| {
        let line = std::str::from_utf8(line.strip_prefix(b"alias ")?).ok()?;
        let mut words = line.split_ascii_whitespace();
        Some((words.next()?, words.next()?))
    })
}

/// The module of the alias that fits with the fewest `*`; the first one if there are several.
fn best_variant<'a>(aliases: impl Iterator<Item = (&'a str, &'a str)>, modalias: &str) -> Option<&'a str> {
    let fitting = aliases.filter_map(|(pattern, module)| Some((stars(pattern, modalias)?, module)));
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
    use super::{best_variant, is_name, module_in, vfio_aliases};

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
            assert_eq!(best_variant(vfio_aliases(parts.concat().as_bytes()), DEVICE), want, "{parts:?}");
        }
        assert_eq!(best_variant(vfio_aliases(exact.as_bytes()), "usb:v1234"), None);
        assert_eq!(best_variant(vfio_aliases(exact.as_bytes()), "pci:v000015B3"), None);
    }

    #[test]
    fn modules_are_found_whatever_their_file_is_called() {
        for (line, want) in [
            ("kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz", Some("vfio_pci")),
            ("kernel/drivers/vfio/pci/vfio_pci.ko:", Some("vfio_pci")),
            ("kernel/drivers/vfio/pci/vfio-pci-core.ko.zst:", Some("vfio_pci_core")),
            ("kernel/drivers/x.ko: kernel/drivers/vfio/pci/vfio-pci.ko", Some("x")),
            ("", None),
        ] {
            assert_eq!(module_in(line.as_bytes()), want.map(|name| name.as_bytes().to_vec()), "{line}");
        }
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
