//! How a connection ended, and those who want to know.

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Why a connection is over, as far as libvirt's clients are told (`virConnectCloseReason`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// An error: of the network, or because the daemon said what no daemon says.
    Error,
    /// The daemon closed the connection.
    EndOfFile,
    /// The daemon answered no pings.
    Silence,
    /// This side closed it.
    Closed,
}

/// What is called when a connection ends.
type Heir = Box<dyn FnOnce(End) + Send>;

/// Those who are told of the end of a connection, once.
#[derive(Default)]
pub(crate) struct Ending(Mutex<State>);

#[derive(Default)]
struct State {
    end: Option<End>,
    heirs: Vec<Heir>,
}

impl Ending {
    /// Calls `heir` when the connection ends, or now if it has.
    pub(crate) fn tell(&self, heir: Heir) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.end {
            None => state.heirs.push(heir),
            Some(end) => {
                drop(state);
                heir(end);
            }
        }
    }

    /// The connection has ended. Only the first reason counts.
    pub(crate) fn has_come(&self, end: End) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = *state.end.get_or_insert(end);
        let heirs = std::mem::take(&mut state.heirs);
        drop(state);
        for heir in heirs {
            heir(end);
        }
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ending").finish_non_exhaustive()
    }
}
