//! The machine that the devices are of.

use std::collections::HashSet;

use nodedev_driver::HostInfo;
use nodedev_model::Text;
use nodedev_sys::paths::{self, join};
use nodedev_sys::{HostAccess as _, Root, machine};

/// Bound of a file that tells of the machine: `cpuinfo` has about 1.5 KiB for each of some thousand processors.
const LIMIT: usize = 16 << 20;

/// Reads what the kernel says of the machine. What is not known is absent, or 0 where that is said to mean so.
pub(crate) fn read(root: &Root) -> HostInfo {
    let cpus = list(&content(root, paths::CPUS, "online").unwrap_or_default());
    let topology = Topology::read(root, &cpus);
    HostInfo {
        hostname: name(root),
        uuid: line(root, &format!("{}/product_uuid", paths::DMI)).and_then(|uuid| uuid.parse().ok()),
        architecture: line(root, paths::ARCHITECTURE)
            .or_else(|| root.is_live().then(machine::architecture).flatten()),
        memory_kib: field(root, paths::MEMINFO, "MemTotal")
            .and_then(|value| value.strip_suffix("kB")?.trim_end().parse().ok())
            .unwrap_or_default(),
        cpus: u32::try_from(cpus.len()).unwrap_or(u32::MAX),
        mhz: field(root, paths::CPUINFO, "cpu MHz")
            .and_then(|value| value.split('.').next()?.parse().ok())
            .unwrap_or_default(),
        nodes: topology.nodes,
        sockets: topology.sockets,
        cores: topology.cores,
        threads: topology.threads,
    }
}

/// The machine's name alone.
pub(crate) fn name(root: &Root) -> Option<String> {
    line(root, paths::HOSTNAME)
}

/// The files that tell of the machine, but for its name and its UUID, by which it could be told from others.
pub fn files(root: &Root) -> Vec<String> {
    let cpus = list(&content(root, paths::CPUS, "online").unwrap_or_default());
    let of_cpus = cpus
        .iter()
        .flat_map(|cpu| TOPOLOGY.iter().map(move |name| format!("{}/cpu{cpu}/topology/{name}", paths::CPUS)));
    [paths::MEMINFO, paths::CPUINFO, paths::ARCHITECTURE]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("{}/online", paths::CPUS)])
        .chain(of_cpus)
        .collect()
}

/// Where a processor is: package, die in it, core in that.
const TOPOLOGY: [&str; 3] = ["physical_package_id", "die_id", "core_id"];

fn content(root: &Root, folder: &str, name: &str) -> Option<String> {
    let mut buffer = Vec::new();
    let content = root.read(&join(folder.as_bytes(), name.as_bytes()), &mut buffer, LIMIT).ok()??;
    Some(String::from_utf8_lossy(content).trim_end().to_owned())
}

fn line(root: &Root, path: &str) -> Option<String> {
    let mut buffer = Vec::new();
    let content = root.read(path.as_bytes(), &mut buffer, LIMIT).ok()??;
    let text = Text::from(content.trim_ascii()).to_string();
    (!text.is_empty()).then_some(text)
}

/// So much of a list of the kernel's has what is said of the first processor.
const START: usize = 8 << 10;

/// The value of the first line `KEY: value` at the start of a file.
fn field(root: &Root, path: &str, key: &str) -> Option<String> {
    let content = root.read_start(path.as_bytes(), START).ok()??;
    String::from_utf8_lossy(&content).lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim_end() == key).then(|| value.trim().to_owned())
    })
}

/// Most processors that are looked at; Linux runs on 8192 at most.
const CPU_LIMIT: usize = 1 << 14;

/// The numbers in a list of the kernel's such as `0-3,8`.
fn list(text: &str) -> Vec<u32> {
    let ranges = text.split(',').filter_map(|part| {
        let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().take(CPU_LIMIT).collect()
}

/// How processors hang together: so many of one in each of the other, as `virNodeGetInfo` has it.
#[derive(Debug, PartialEq, Eq)]
struct Topology {
    nodes: u32,
    sockets: u32,
    cores: u32,
    threads: u32,
}

impl Topology {
    fn read(root: &Root, cpus: &[u32]) -> Self {
        let nodes = root.names(paths::NODES.as_bytes()).unwrap_or_default();
        let nodes = nodes.iter().filter(|name| {
            name.strip_prefix(b"node")
                .is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
        });
        let places: Vec<Option<(i64, i64, i64)>> = cpus
            .iter()
            .map(|cpu| {
                let folder = format!("{}/cpu{cpu}/topology", paths::CPUS);
                let number = |name: &str| content(root, &folder, name)?.parse().ok();
                let [package, die, core] = TOPOLOGY.map(number);
                // Without dies, all cores of a package are of one.
                Some((package?, die.unwrap_or(0), core?))
            })
            .collect();
        let places: Option<Vec<(i64, i64, i64)>> = places.into_iter().collect();
        Self::of(u32::try_from(nodes.count()).unwrap_or(1).max(1), cpus.len(), places.as_deref())
    }

    /// From the place (package, die, core) of each processor. As libvirt does, one that is not regular is told as one
    /// socket with as many cores as there are processors, so that the product is right.
    fn of(nodes: u32, cpus: usize, places: Option<&[(i64, i64, i64)]>) -> Self {
        let cpus = u32::try_from(cpus).unwrap_or(u32::MAX).max(1);
        let flat = Self { nodes: 1, sockets: 1, cores: cpus, threads: 1 };
        let Some(places) = places.filter(|places| !places.is_empty()) else { return flat };
        let count = |keys: HashSet<(i64, i64, i64)>| u32::try_from(keys.len()).unwrap_or(u32::MAX);
        let sockets = count(places.iter().map(|&(package, ..)| (package, 0, 0)).collect());
        let cores = count(places.iter().copied().collect());
        let regular = sockets % nodes == 0 && cores % sockets == 0 && cpus % cores == 0;
        if !regular {
            return flat;
        }
        Self { nodes, sockets: sockets / nodes, cores: cores / sockets, threads: cpus / cores }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel_are_read() {
        assert_eq!(list("0-3,8,10-11"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(list("0"), [0]);
        assert!(list("").is_empty() && list("x-y").is_empty());
        assert_eq!(list("0-4294967295").len(), CPU_LIMIT);
    }

    #[test]
    fn processors_are_counted_at_each_level_if_they_are_regular() {
        let places: Vec<_> =
            (0..2).flat_map(|package| (0..4).flat_map(move |core| [(package, 0, core); 2])).collect();
        assert_eq!(
            Topology::of(2, 16, Some(&places)),
            Topology { nodes: 2, sockets: 1, cores: 4, threads: 2 }
        );
        let flat = Topology { nodes: 1, sockets: 1, cores: 15, threads: 1 };
        assert_eq!(Topology::of(2, 15, Some(&places[1..])), flat);
        assert_eq!(Topology::of(2, 15, None), flat);
        let four_nodes = Topology { nodes: 1, sockets: 1, cores: 16, threads: 1 };
        assert_eq!(Topology::of(4, 16, Some(&places)), four_nodes);
    }
}
