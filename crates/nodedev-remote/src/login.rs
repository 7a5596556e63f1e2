//! The first calls of a connection.

use std::sync::atomic::Ordering;

use nodedev_driver::{RemoteUri, Result, WantedAuth};
use nodedev_rpc::{AuthType, Call, Feature, FeatureQuestion, Open, Str, Void, calls};

use crate::failure;
use crate::link::Link;
use crate::options::Options;

/// Bit of `CONNECT_OPEN`'s flags that asks for a read-only connection.
const READ_ONLY: u32 = 1;

/// Logs in and opens the connection.
pub(crate) fn open(link: &Link, uri: &RemoteUri, options: &Options, waits_for_people: bool) -> Result<()> {
    let start_pings = || link.shared().pinging.store(options.pings.is_some(), Ordering::Relaxed);
    if !waits_for_people {
        start_pings();
    }
    log_in(link, uri)?;
    start_pings();
    if options.pings.is_some() {
        // Servers that know the feature then notice, too, when this side is gone.
        let call = Call::ConnectSupportsFeature(FeatureQuestion { feature: Feature::Keepalive });
        link.call::<calls::ConnectSupportsFeature, _>(&call, |_| Ok(()))?;
    }
    let name = Str::new(uri.wire_name()).map_err(failure::too_long)?;
    let flags = if options.read_only { READ_ONLY } else { 0 };
    link.call::<calls::ConnectOpen, _>(&Call::ConnectOpen(Open { name: Some(name), flags }), |_| Ok(()))
}

fn log_in(link: &Link, uri: &RemoteUri) -> Result<()> {
    let offered =
        link.call::<calls::AuthList, _>(&Call::AuthList(Void), |reply| Ok(reply.types.into_vec()))?;
    let wanted = match uri.auth {
        None => offered.first().copied().unwrap_or(AuthType::None),
        Some(wanted) => {
            let (kind, name) = match wanted {
                WantedAuth::Polkit => (AuthType::Polkit, "polkit"),
                WantedAuth::Sasl => (AuthType::Sasl, "sasl"),
            };
            if !offered.contains(&kind) {
                let detail = format!("requested authentication type {name} rejected");
                return Err(failure::login(detail, "leave out the parameter auth: the daemon chooses"));
            }
            kind
        }
    };
    match wanted {
        AuthType::None => Ok(()),
        AuthType::Polkit => link.call::<calls::AuthPolkit, _>(&Call::AuthPolkit(Void), |_| Ok(())),
        AuthType::Sasl => Err(failure::login(
            "the daemon asks for a SASL login, which nodedev does not support",
            "connect with +ssh or +unix, or with +tls to a daemon that has auth_tls = \"none\"",
        )),
        AuthType::Unknown(number) => {
            Err(failure::login(format!("unsupported authentication type {number}"), "connect with +ssh"))
        }
    }
}
