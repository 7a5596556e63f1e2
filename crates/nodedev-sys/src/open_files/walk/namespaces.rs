//! The namespaces of processes.

use super::{Walk, told};
use crate::SysError;
use crate::paths::join;

/// How many processes of a namespace are kept.
const MOST_OF_A_NAMESPACE: usize = 8;
impl Walk<'_> {
    /// Whether the network of a process is known to be another than the host's.
    pub(super) fn network(
        &mut self,
        pid: u32,
        process: &[u8],
        is_whole: &mut bool,
    ) -> Result<bool, SysError> {
        let Some(of_host) = &self.network_of_host else { return Ok(false) };
        let link = told(self.host.read_link(&join(process, b"ns/net")), is_whole)?;
        let is_elsewhere = link.is_some_and(|link| *of_host != link);
        if is_elsewhere {
            self.found.other_network.get_or_insert(pid);
        }
        Ok(is_elsewhere)
    }

    /// Notes the namespace of a process's mounts. Whether they are known to be others than the host's.
    pub(super) fn namespace(&mut self, pid: u32, process: &[u8]) -> Result<bool, SysError> {
        match self.host.read_link(&join(process, b"ns/mnt")) {
            Ok(Some(link)) => {
                let is_elsewhere = self.mounts_of_host.as_ref().is_some_and(|of_host| *of_host != link);
                let place = *self.namespaces.entry(link).or_insert_with(|| {
                    self.found.namespaces.push(Vec::new());
                    self.found.namespaces.len() - 1
                });
                let known = &mut self.found.namespaces[place];
                if known.len() < MOST_OF_A_NAMESPACE {
                    known.push(pid);
                }
                Ok(is_elsewhere)
            }
            // One that has ended, and that nobody has waited for yet, has none.
            Ok(None) if self.are_told => Ok(false),
            Err(error) if error.is_over() => Ok(false),
            Err(error) if !error.is_permission() => Err(error),
            // Not told: it can be any.
            _ => {
                self.found.namespaces.push(vec![pid]);
                Ok(false)
            }
        }
    }
}
