//! The machine, as connection-level calls ask for it.

use nodedev_driver::HostInfo;
use nodedev_rpc::{FixedChars, NodeInfo};

/// The answer to `NODE_GET_INFO`.
pub(crate) fn node_info(host: &HostInfo) -> NodeInfo {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    NodeInfo {
        model: FixedChars::truncated(host.architecture.as_deref().unwrap_or_default().as_bytes()),
        memory_kib: host.memory_kib,
        cpus: number(host.cpus),
        mhz: number(host.mhz),
        nodes: number(host.nodes),
        sockets: number(host.sockets),
        cores: number(host.cores),
        threads: number(host.threads),
    }
}
