//! nodedev as a client of the real daemon: over every transport, and what it prints then beside what it prints of the same
//! host without a daemon.

mod admission;
mod alike;
mod certificates;
mod changes;
mod contract;
mod listening;
mod nodedevd_network;
mod relays;
mod strangers;
mod tcp;
mod tls;
mod uris;

use nodedev_driver::{ConnectUri, RemoteUri, Result};
use nodedev_remote::{Options, RemoteDriver};

/// A connection to what `uri` names, which is a daemon's.
fn open(uri: &str) -> Result<RemoteDriver> {
    let uri: RemoteUri = match uri.parse()? {
        ConnectUri::Remote(uri) => *uri,
        other => panic!("{uri}: {other:?}"),
    };
    RemoteDriver::open(&uri, &Options::default())
}
