//! Network interfaces by their addresses.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

use crate::error::{Operation, SysError};
use crate::{Root, paths};

/// Names of the interfaces that have an address, each once. Source: rtnetlink, by `getifaddrs(3)`.
pub(crate) fn with_address(root: &Root, address: IpAddr) -> Result<Vec<String>, SysError> {
    if !root.is_live() {
        return Ok(Vec::new());
    }
    let all =
        getifaddrs().map_err(|errno| SysError::io(Operation::List, paths::CLASS_NET.as_bytes(), errno))?;
    let mut names: Vec<String> = all
        .filter(|one| one.address.as_ref().and_then(ip) == Some(address.to_canonical()))
        // An address of IPv4 can have a label, as `eth0:1`.
        .map(|one| one.interface_name.split(':').next().unwrap_or_default().to_owned())
        .collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

#[cfg(test)]
mod tests {
    use super::with_address;
    use crate::Root;

    #[test]
    fn an_address_leads_to_its_interface_and_one_of_elsewhere_to_none() {
        let root = Root::live().unwrap();
        for (address, want) in [("127.0.0.1", &["lo"][..]), ("::ffff:127.0.0.1", &["lo"]), ("192.0.2.1", &[])]
        {
            assert_eq!(with_address(&root, address.parse().unwrap()).unwrap(), want, "{address}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sys")).unwrap();
        let recording = Root::open(folder.path()).unwrap();
        assert!(with_address(&recording, "127.0.0.1".parse().unwrap()).unwrap().is_empty());
    }
}
