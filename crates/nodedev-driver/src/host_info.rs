use std::fmt::Write as _;

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

impl HostInfo {
    /// libvirt's description of a host (`virConnectGetCapabilities`), of which a source of node devices can say what is
    /// about the host alone.
    pub fn capabilities_xml(&self) -> String {
        let mut xml = String::from("<capabilities>\n\n  <host>\n");
        // Writing to a string never fails.
        if let Some(uuid) = &self.uuid {
            let _ = writeln!(xml, "    <uuid>{uuid}</uuid>");
        }
        xml.push_str("    <cpu>\n");
        if let Some(architecture) = &self.architecture {
            let _ = writeln!(xml, "      <arch>{}</arch>", escape(architecture));
        }
        let Self { sockets, cores, threads, .. } = self;
        let _ = writeln!(
            xml,
            "      <topology sockets='{sockets}' dies='1' clusters='1' cores='{cores}' threads='{threads}'/>"
        );
        xml.push_str("    </cpu>\n  </host>\n\n</capabilities>\n");
        xml
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::HostInfo;

    #[test]
    fn capabilities_say_what_is_known_of_the_host() {
        let host = HostInfo {
            architecture: Some("x86<64".into()),
            sockets: 1,
            cores: 4,
            threads: 2,
            ..HostInfo::default()
        };
        let xml = host.capabilities_xml();
        assert!(xml.contains("<arch>x86&lt;64</arch>\n"), "{xml}");
        assert!(
            xml.contains("<topology sockets='1' dies='1' clusters='1' cores='4' threads='2'/>\n"),
            "{xml}"
        );
        assert!(!xml.contains("<uuid>"), "{xml}");
    }
}
