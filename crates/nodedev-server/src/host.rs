//! The machine, as connection-level calls ask for it.

use std::fmt::Write as _;

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

/// The answer to `CONNECT_GET_CAPABILITIES`: what a host of node devices can say, which is about the host alone.
pub(crate) fn capabilities(host: &HostInfo) -> String {
    let mut xml = String::from("<capabilities>\n\n  <host>\n");
    // Writing to a string never fails.
    if let Some(uuid) = &host.uuid {
        let _ = writeln!(xml, "    <uuid>{uuid}</uuid>");
    }
    xml.push_str("    <cpu>\n");
    if let Some(architecture) = &host.architecture {
        let _ = writeln!(xml, "      <arch>{}</arch>", escape(architecture));
    }
    let HostInfo { sockets, cores, threads, .. } = host;
    let _ = writeln!(
        xml,
        "      <topology sockets='{sockets}' dies='1' clusters='1' cores='{cores}' threads='{threads}'/>"
    );
    xml.push_str("    </cpu>\n  </host>\n\n</capabilities>\n");
    xml
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_say_what_is_known_of_the_host() {
        let host = HostInfo {
            architecture: Some("x86<64".into()),
            sockets: 1,
            cores: 4,
            threads: 2,
            ..HostInfo::default()
        };
        let xml = capabilities(&host);
        assert!(xml.contains("<arch>x86&lt;64</arch>\n"), "{xml}");
        assert!(
            xml.contains("<topology sockets='1' dies='1' clusters='1' cores='4' threads='2'/>\n"),
            "{xml}"
        );
        assert!(!xml.contains("<uuid>"), "{xml}");
    }
}
