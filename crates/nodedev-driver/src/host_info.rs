/// The machine that a source's devices are of, as far as libvirt's connection-level calls ask for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostInfo {
    /// Name of the machine (`virConnectGetHostname`). Absent in a recording that does not tell.
    pub hostname: Option<String>,
    /// The machine's UUID from its firmware. Absent if the firmware gives none, or none that may be read.
    pub uuid: Option<nodedev_model::Uuid>,
    /// Architecture as `uname -m` says it, for instance `x86_64`. Absent in a recording that does not tell.
    pub architecture: Option<String>,
    /// Memory, KiB; 0 if not known.
    pub memory_kib: u64,
    /// Processors that are online.
    pub cpus: u32,
    /// Their present clock, MHz; 0 if not known.
    pub mhz: u32,
    /// NUMA nodes, at least 1.
    pub nodes: u32,
    /// Sockets of each node, at least 1.
    pub sockets: u32,
    /// Cores of each socket, at least 1.
    pub cores: u32,
    /// Threads of each core, at least 1.
    pub threads: u32,
}
