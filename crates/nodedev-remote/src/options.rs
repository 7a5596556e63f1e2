use std::time::Duration;

/// How a connection is made, besides what its URI says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Changing calls are refused by the daemon, and its read-only socket is used where it has one.
    pub read_only: bool,
    /// Whether, and how often, the daemon is asked if it is still there. Its own pings are answered in any case.
    pub pings: Option<Pings>,
}

impl Default for Options {
    fn default() -> Self {
        Self { read_only: false, pings: Some(Pings::default()) }
    }
}

/// When a daemon that says nothing is given up: after `interval` × (`count` + 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pings {
    /// Silence before a ping, and between two.
    pub interval: Duration,
    /// Pings that may stay without an answer.
    pub count: u32,
}

impl Default for Pings {
    /// What virsh uses: 5 seconds, 6 times.
    fn default() -> Self {
        Self { interval: Duration::from_secs(5), count: 6 }
    }
}
