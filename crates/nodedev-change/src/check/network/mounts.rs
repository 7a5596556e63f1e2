//! File systems of the host whose content comes over a network.

use std::collections::HashSet;

use nodedev_sys::HostAccess;
use nodedev_sys::attribute_value;
use nodedev_sys::paths::{VIRTIO_DRIVERS, basename, follow, join};

use super::peers::{Peer, Remote, peers_in};
use crate::Result;
use crate::check::Scene;
use crate::check::mounts::Mounts;

const SMALL: usize = 4096;

/// A mounted file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mount<'a> {
    pub(super) kind: &'a str,
    pub(super) source: &'a str,
    /// Options of the file system, not those of the mount.
    pub(super) options: &'a str,
    /// Where it is.
    pub(super) at: &'a str,
}

/// How a kind of file system names the machine that its content is on.
#[derive(Debug, Clone, Copy)]
enum Named {
    /// In an option, else in the source.
    Option(&'static str),
    /// In the source alone: `HOST:/PATH`, `//HOST/SHARE`, `USER@HOST:PATH`, `HOST@tcp:/FS`.
    Source,
    /// Plan 9's protocol, over what an option says.
    Plan9,
    /// A device of the machine's own hypervisor.
    Virtio(&'static str),
    /// Not at all.
    Nowhere,
}

/// Kinds of file systems over a network, as mountinfo has them.
const KINDS: &[(&str, Named)] = &[
    ("nfs", Named::Option("addr")),
    ("nfs4", Named::Option("addr")),
    ("cifs", Named::Option("addr")),
    ("smb3", Named::Option("addr")),
    ("smbfs", Named::Source),
    ("ncpfs", Named::Nowhere),
    ("ceph", Named::Option("mon_addr")),
    ("9p", Named::Plan9),
    ("virtiofs", Named::Virtio("virtiofs")),
    ("afs", Named::Nowhere),
    ("coda", Named::Nowhere),
    ("lustre", Named::Source),
    ("beegfs", Named::Nowhere),
    ("gpfs", Named::Nowhere),
    ("pvfs2", Named::Source),
    ("fuse.sshfs", Named::Source),
    ("fuse.glusterfs", Named::Source),
    ("fuse.ceph", Named::Source),
    ("fuse.ceph-fuse", Named::Source),
    ("fuse.curlftpfs", Named::Nowhere),
    ("fuse.davfs", Named::Nowhere),
    ("fuse.juicefs", Named::Nowhere),
    ("fuse.rclone", Named::Nowhere),
    ("fuse.s3fs", Named::Nowhere),
    ("fuse.gcsfuse", Named::Nowhere),
    ("fuse.mfs", Named::Nowhere),
    ("fuse.lizardfs", Named::Nowhere),
    ("fuse.seaweedfs", Named::Nowhere),
];

/// Whether a kind of file system is one over a network.
pub(in crate::check) fn is_of_network(kind: &[u8]) -> bool {
    KINDS.iter().any(|(known, _)| known.as_bytes() == kind)
}

/// The machines that mounted file systems are on, in whichever mount namespace.
pub(super) fn all(scene: &Scene<'_>) -> Result<Vec<Remote>> {
    let mut remotes = Vec::new();
    let of_host = scene.mounts()?.into_iter().flat_map(Mounts::all);
    let elsewhere = scene.mounts_elsewhere()?.mounts.iter().map(|(_, mount)| mount);
    let mut seen = HashSet::new();
    for mount in of_host.chain(elsewhere) {
        let [kind, source, options, at] = [&mount.kind, &mount.source, &mount.options, &mount.at]
            .map(|text| String::from_utf8_lossy(text).into_owned());
        // One machine often has very many.
        let machine = source.trim_start_matches('/').split('/').next().map(str::to_owned);
        if seen.insert((kind.clone(), machine, options.clone())) {
            let mount = Mount { kind: &kind, source: &source, options: &options, at: &at };
            remotes.extend(of(scene.host, &mount)?);
        }
    }
    Ok(remotes)
}

/// The machines that a mounted file system is on; none for one of this machine.
pub(super) fn of(host: &dyn HostAccess, mount: &Mount<'_>) -> Result<Vec<Remote>> {
    let Some((_, named)) = KINDS.iter().find(|(kind, _)| *kind == mount.kind) else { return Ok(Vec::new()) };
    let peers = match named {
        Named::Option(name) => in_options(mount, name),
        Named::Source => in_source(mount.source),
        Named::Plan9 => match option(mount.options, "trans") {
            None | Some("virtio") => virtio(host, "9pnet_virtio", Some(mount.source))?,
            Some("tcp" | "rdma") => in_source(mount.source),
            // A socket or files of this machine's, or a hypervisor's.
            Some(_) => Vec::new(),
        },
        Named::Virtio(driver) => virtio(host, driver, None)?,
        Named::Nowhere => vec![Peer::Unknown],
    };
    let what = |peer: &Peer| match peer {
        Peer::Address(address) => format!("the file system at {} from {address}", mount.at),
        _ => format!("the file system at {} ({} {})", mount.at, mount.kind, mount.source),
    };
    Ok(peers.into_iter().map(|peer| Remote { what: what(&peer), peer }).collect())
}

fn in_options(mount: &Mount<'_>, name: &str) -> Vec<Peer> {
    match option(mount.options, name) {
        Some(addresses) => {
            let peers = peers_in(addresses.split(['/', ',']));
            if peers.is_empty() { vec![Peer::Unknown] } else { peers }
        }
        None => in_source(mount.source),
    }
}

fn in_source(source: &str) -> Vec<Peer> {
    let source = source.trim_start_matches("tcp:").trim_start_matches('/');
    // With brackets an address ends at them; without, at what cannot be a part of one.
    let hosts = match source.find(":/") {
        Some(at) => &source[..at],
        None => source.split('/').next().unwrap_or_default(),
    };
    let named = hosts.split(',').map(|host| {
        let host = host.rsplit_once('@').map_or(host, |(before, behind)| {
            // Lustre has the kind of its network there.
            if behind.starts_with("tcp") || behind.starts_with("o2ib") { before } else { behind }
        });
        host.trim_end_matches(':')
    });
    let peers = peers_in(named);
    if peers.is_empty() { vec![Peer::Unknown] } else { peers }
}

/// The value of an option.
fn option<'a>(options: &'a str, name: &str) -> Option<&'a str> {
    options.split(',').find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
}

/// The devices that a driver of virtio serves; that of a tag, if one is named and it is found.
fn virtio(host: &dyn HostAccess, driver: &str, tag: Option<&str>) -> Result<Vec<Peer>> {
    let folder = join(VIRTIO_DRIVERS.as_bytes(), driver.as_bytes());
    let (mut all, mut of_tag) = (Vec::new(), Vec::new());
    for link in host.link_targets(&folder)?.unwrap_or_default() {
        let path = follow(&folder, &link);
        if !basename(&path).starts_with(b"virtio") {
            continue;
        }
        let is = host.read(&join(&path, b"mount_tag"), SMALL)?;
        if tag.is_some()
            && is.as_deref().map(|is| attribute_value(is).split(|&b| b == 0).next().unwrap_or_default())
                == tag.map(str::as_bytes)
        {
            of_tag.push(Peer::Device(path.clone()));
        }
        all.push(Peer::Device(path));
    }
    Ok(if of_tag.is_empty() { all } else { of_tag })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a line of `mountinfo` (kernel, `Documentation/filesystems/proc.rst`, 3.5).
    fn mount(line: &str) -> Option<Mount<'_>> {
        let (before, behind) = line.split_once(" - ")?;
        let mut behind = behind.split(' ');
        Some(Mount {
            at: before.split(' ').nth(4)?,
            kind: behind.next()?,
            source: behind.next()?,
            options: behind.next().unwrap_or_default(),
        })
    }

    #[test]
    fn every_kind_says_where_its_content_is_or_that_it_is_not_known() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("sys")).unwrap();
        let host = nodedev_sys::Root::open(root.path()).unwrap();
        for (line, want) in [
            (
                "22 1 0:30 / / rw - nfs4 10.0.0.1:/root rw,vers=4.2,addr=10.0.0.1,clientaddr=10.0.0.2",
                &["10.0.0.1"][..],
            ),
            ("22 1 0:30 / / rw shared:1 - nfs server:/x rw,addr=fd00::1", &["fd00::1"]),
            ("22 1 0:30 / / rw - nfs [fe80::1%eth0]:/x rw,addr=fe80::1%eth0", &["eth0"]),
            ("22 1 0:30 / / rw - nfs 10.0.0.7:/x rw", &["10.0.0.7"]),
            ("22 1 0:30 / / rw - nfs server:/x rw,addr=unspecified", &["?"]),
            ("22 1 0:30 / / rw - cifs //server/home rw,vers=3.1.1,addr=10.0.0.3", &["10.0.0.3"]),
            ("22 1 0:30 / / rw - cifs //server/home rw", &["?"]),
            ("22 1 0:30 / / rw - ceph 10.0.0.4:6789,10.0.0.5:6789:/ rw,name=a", &["10.0.0.4", "10.0.0.5"]),
            (
                "22 1 0:30 / / rw - ceph a@fsid.fs=/ rw,mon_addr=10.0.0.4:3300/[fd00::5]:3300",
                &["10.0.0.4", "fd00::5"],
            ),
            ("22 1 0:30 / / rw - ceph [fd00::4]:6789:/ rw", &["fd00::4"]),
            ("22 1 0:30 / / rw - 9p 10.0.0.6 rw,trans=tcp,port=564", &["10.0.0.6"]),
            ("22 1 0:30 / / rw - 9p share rw,trans=fd,rfdno=3", &[]),
            ("22 1 0:30 / / rw - lustre 10.0.0.8@tcp:10.0.0.9@tcp:/fs rw", &["?"]),
            ("22 1 0:30 / / rw - lustre 10.0.0.8@tcp:/fs rw", &["10.0.0.8"]),
            ("22 1 0:30 / / rw - fuse.sshfs user@10.0.0.9:/srv rw", &["10.0.0.9"]),
            ("22 1 0:30 / / rw - fuse.sshfs user@server: rw", &["?"]),
            ("22 1 0:30 / / rw - afs #root.cell rw", &["?"]),
            ("22 1 0:30 / / rw - ext4 /dev/sda1 rw", &[]),
            ("22 1 0:30 / / rw - tmpfs 10.0.0.1:/x rw", &[]),
        ] {
            let told: Vec<String> = of(&host, &mount(line).unwrap())
                .unwrap()
                .into_iter()
                .map(|remote| match remote.peer {
                    Peer::Address(address) => address.to_string(),
                    Peer::Interface(name) => String::from_utf8_lossy(&name).into_owned(),
                    Peer::Device(path) => String::from_utf8_lossy(&path).into_owned(),
                    Peer::Unknown => "?".into(),
                })
                .collect();
            assert_eq!(told, want, "{line}");
        }
        for line in ["", "22 1 0:31", "22 1 0:31 / - nfs"] {
            assert_eq!(mount(line), None, "{line}");
        }
    }
}
