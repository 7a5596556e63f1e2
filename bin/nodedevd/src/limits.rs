//! How many clients there may be, by the configuration and by the files that the system lets the daemon open.

use rustix::process::Resource;

use crate::config::Config;
use crate::exit::{Exit, Fatal};

/// What a client has open: its socket, and a handle of its process.
const EACH: u64 = 2;
/// What the daemon has open beside its clients, and the driver while it looks at devices.
const RESERVED: u64 = 256;
/// Clients that have come and for whom there is no place yet.
const WAITING: u64 = 64;

/// Numbers of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// At once.
    pub(crate) clients: usize,
    /// Of each listener, who have not logged in.
    pub(crate) anonymous: usize,
    /// Who wait for a place.
    pub(crate) waiting: usize,
}

impl Limits {
    /// Raises the number of files that may be open as far as it goes, and says how many clients that is enough for.
    pub(crate) fn raise(config: &Config) -> Result<Self, Fatal> {
        let mut limit = rustix::process::getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        if let Err(error) = rustix::process::setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "cannot raise the number of files that may be open");
        }
        let files = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let limits = Self::of(config, files).ok_or_else(|| {
            Fatal::new(
                Exit::System,
                format!("no more than {files} files may be open, which leaves none for clients"),
            )
            .help("raise it: LimitNOFILE= of the unit, or ulimit -n")
        })?;
        if limits.clients < config.max_clients {
            tracing::warn!(
                max_clients = config.max_clients,
                clients = limits.clients,
                files,
                "there can be fewer clients than max_clients, as no more files may be open; raise LimitNOFILE= of the unit \
                 (ulimit -n)"
            );
        }
        Ok(limits)
    }

    /// Nothing if the files are not enough for one client.
    fn of(config: &Config, files: u64) -> Option<Self> {
        let waiting = WAITING.min(files / 16);
        let rest = files - RESERVED.min(files / 2) - EACH * waiting;
        let enough_for = usize::try_from(rest / EACH).unwrap_or(usize::MAX);
        let clients = config.max_clients.min(enough_for);
        // As in libvirt, 0 is as many as there may be altogether.
        let anonymous =
            if config.max_anonymous_clients == 0 { clients } else { config.max_anonymous_clients };
        let waiting = usize::try_from(waiting).unwrap_or_default();
        (files >= 32 && clients > 0).then_some(Self { clients, anonymous: anonymous.min(clients), waiting })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_files_for_the_driver() {
        let config = Config::default();
        for (files, clients) in [(16_384, 5000), (u64::MAX, 5000), (1024, 320), (256, 48), (64, 12), (32, 6)]
        {
            let limits = Limits::of(&config, files).unwrap();
            assert_eq!(limits.clients, clients, "{files}");
            let open = (limits.clients + limits.waiting) as u64 * EACH;
            assert!(open <= files / 2 || open <= files - RESERVED, "{files}");
        }
        assert_eq!((Limits::of(&config, 31), Limits::of(&config, 0)), (None, None));
        let all = Config { max_clients: 30, max_anonymous_clients: 0, ..Config::default() };
        assert_eq!(Limits::of(&all, 1024).unwrap().anonymous, 30);
    }
}
