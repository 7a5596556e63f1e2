//! Asks polkit, over the system bus, who may log in and who may do what.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::time::Duration;

use nodedev_driver::{Error, ErrorCode, ErrorDomain};
use nodedev_rpc::Permission;
use nodedev_server::{Access, Decision, Identity, Login};
use rustix::event::{PollFd, PollFlags};
use rustix::time::Timespec;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use zbus::DBusError as _;
use zbus_polkit::policykit1::{AuthorityProxy, CheckAuthorizationFlags, Subject};

/// What clients may do with the socket for everybody who looks, and with the other one.
const MONITOR: &str = "org.libvirt.unix.monitor";
const MANAGE: &str = "org.libvirt.unix.manage";

/// How long polkit may take for what it can decide alone.
const ALONE: Duration = Duration::from_secs(30);

/// What polkit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Yes,
    /// The person who was asked said no.
    Dismissed,
    /// Somebody would have to be asked, and nobody is there to do it.
    NoAgent,
    No,
}

/// The connection to polkit, made when it is needed first.
pub(crate) struct Polkit {
    authority: Mutex<Option<AuthorityProxy<'static>>>,
    runtime: Handle,
}

impl Polkit {
    pub(crate) fn new(runtime: Handle) -> Self {
        Self { authority: Mutex::const_new(None), runtime }
    }

    async fn authority(&self) -> Result<AuthorityProxy<'static>, Error> {
        let mut known = self.authority.lock().await;
        if let Some(authority) = &*known {
            return Ok(authority.clone());
        }
        let made = async { AuthorityProxy::new(&zbus::Connection::system().await?).await };
        let authority = made.await.map_err(|error| no_bus(&error))?;
        Ok(known.insert(authority).clone())
    }

    async fn check(
        &self,
        identity: &Identity,
        action: &str,
        details: &HashMap<&str, &str>,
        flags: CheckAuthorizationFlags,
    ) -> Result<Verdict, Error> {
        let mut with_handle = true;
        let mut is_fresh = false;
        loop {
            let Some(subject) = subject(identity, with_handle) else { return Ok(Verdict::No) };
            let authority = self.authority().await?;
            match authority.check_authorization(&subject, action, details, flags, "").await {
                Ok(result) if result.is_authorized => return Ok(Verdict::Yes),
                Ok(result) if result.details.get("polkit.dismissed").is_some_and(|text| !text.is_empty()) => {
                    return Ok(Verdict::Dismissed);
                }
                Ok(result) => return Ok(if result.is_challenge { Verdict::NoAgent } else { Verdict::No }),
                // polkit before 124 knows no process by its handle.
                Err(zbus::Error::MethodError(name, ..))
                    if with_handle && identity.process.is_some() && name.contains("PolicyKit1.Error") =>
                {
                    with_handle = false;
                }
                // The bus was restarted.
                Err(zbus::Error::InputOutput(_)) if !is_fresh => {
                    *self.authority.lock().await = None;
                    is_fresh = true;
                }
                Err(error) => {
                    tracing::error!(%error, action, "polkit does not answer; is polkitd installed and running?");
                    return Err(no_answer(&error));
                }
            }
        }
    }
}

/// The process that is asked about. Nothing if there is none, as for clients of a network.
fn subject(identity: &Identity, with_handle: bool) -> Option<Subject> {
    let user = u32::try_from(identity.user_id?).ok()?;
    match &identity.process {
        Some(process) if with_handle => Subject::new_for_owner(process, user).ok(),
        process => {
            let id = u32::try_from(identity.process_id?).ok()?;
            let subject = Subject::new_for_pid(id, identity.process_time, Some(user)).ok()?;
            // If the process still lives, what was just read under its number was about it.
            let lives = process.as_ref().is_none_or(|process| {
                let mut ended = [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)];
                rustix::event::poll(&mut ended, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(0)
            });
            lives.then_some(subject)
        }
    }
}

fn no_bus(error: &zbus::Error) -> Error {
    let reason = match error {
        zbus::Error::InputOutput(error) | zbus::Error::Connection(error, _) => {
            let text = error.to_string();
            format!("Could not connect: {}", text.split(" (os error").next().unwrap_or_default())
        }
        error => error.to_string(),
    };
    tracing::error!(
        reason,
        "there is no system bus, so polkit can't be asked and nobody but root gets in; start dbus and polkit, or set \
         auth_unix_rw and auth_unix_ro to \"none\" and let the sockets' modes decide"
    );
    Error::internal(ErrorDomain::DBUS, format!("Unable to get system bus connection: {reason}"))
}

/// The bus, or polkit, answered with an error. GLib, by which libvirt speaks to both, shows it like this.
fn no_answer(error: &zbus::Error) -> Error {
    let (name, detail) = match error {
        zbus::Error::MethodError(name, detail, _) => (name.to_string(), detail.as_deref()),
        zbus::Error::FDO(error) => (error.name().to_string(), error.description()),
        error => return Error::internal(ErrorDomain::DBUS, format!("Unable to ask polkit: {error}")),
    };
    let detail = format!("GDBus.Error:{name}: {}", detail.unwrap_or_default());
    Error::new(ErrorDomain::DBUS, ErrorCode::DBUS_SERVICE, detail)
}

/// polkit is there and says nothing.
fn too_late(action: &str) -> Error {
    let seconds = ALONE.as_secs();
    tracing::error!(
        action,
        seconds,
        "polkit does not answer; see what polkitd and the bus do, and start them again"
    );
    Error::internal(ErrorDomain::DBUS, format!("polkit has not answered within {seconds} seconds"))
}

fn login_result(verdict: Verdict, action: &str) -> Result<(), Error> {
    Err(match verdict {
        Verdict::Yes => return Ok(()),
        Verdict::Dismissed => Error::new(
            ErrorDomain::POLKIT,
            ErrorCode::AUTH_CANCELLED,
            "user cancelled authentication process",
        ),
        Verdict::NoAgent => {
            let detail = format!("no polkit agent available to authenticate action '{action}'");
            Error::new(ErrorDomain::POLKIT, ErrorCode::AUTH_UNAVAILABLE, detail)
        }
        Verdict::No => Error::new(ErrorDomain::POLKIT, ErrorCode::AUTH_FAILED, "access denied by policy"),
    })
}

impl Login for Polkit {
    fn login<'a>(&'a self, identity: &'a Identity, read_only: bool) -> Decision<'a> {
        let action = if read_only { MONITOR } else { MANAGE };
        Box::pin(async move {
            let flags = CheckAuthorizationFlags::ALLOW_USER_INTERACTION;
            let verdict = self.check(identity, action, &HashMap::new(), flags).await?;
            login_result(verdict, action).inspect_err(|error| {
                tracing::info!(%error, user = identity.user_id, process = identity.process_id, "a login was refused");
            })
        })
    }
}

/// `access_drivers = [ "polkit" ]`: asks about each call.
pub(crate) struct PolkitAccess(pub(crate) std::sync::Arc<Polkit>);

impl Access for PolkitAccess {
    fn allows(
        &self,
        identity: &Identity,
        permission: &Permission,
        device: Option<&str>,
    ) -> Result<bool, Error> {
        let mut details = HashMap::from([("connect_driver", "nodedev")]);
        details.extend(device.map(|name| ("node_device_name", name)));
        let action = permission.polkit_action();
        let verdict = async {
            let verdict = self.0.check(identity, &action, &details, CheckAuthorizationFlags::empty());
            tokio::time::timeout(ALONE, verdict).await.unwrap_or_else(|_| Err(too_late(&action)))
        };
        Ok(self.0.runtime.block_on(verdict)? == Verdict::Yes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts that libvirt's clients show, and react to: 94 makes virsh start an agent.
    #[test]
    fn refused_logins_have_libvirts_codes_and_texts() {
        for (verdict, code, text) in [
            (Verdict::Dismissed, 79, "authentication cancelled: user cancelled authentication process"),
            (
                Verdict::NoAgent,
                94,
                "authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'",
            ),
            (Verdict::No, 45, "authentication failed: access denied by policy"),
        ] {
            let error = login_result(verdict, MANAGE).unwrap_err();
            assert_eq!((error.code().0, error.domain().0, error.message()), (code, 60, text));
            assert_eq!(error.ints(), [-1, -1]);
        }
        assert!(login_result(Verdict::Yes, MANAGE).is_ok());
    }

    #[test]
    fn a_missing_bus_is_told_as_libvirt_tells_it() {
        let error = std::io::Error::from_raw_os_error(2);
        let error = no_bus(&zbus::Error::InputOutput(std::sync::Arc::new(error)));
        let text = "internal error: Unable to get system bus connection: Could not connect: No such file or directory";
        assert_eq!((error.code().0, error.domain().0, error.message()), (1, 47, text));
    }

    #[test]
    fn a_bus_without_polkit_is_told_as_libvirt_tells_it() {
        let unknown = zbus::fdo::Error::ServiceUnknown("The name x was not provided".into());
        let error = no_answer(&zbus::Error::FDO(Box::new(unknown)));
        let text = "error from service: GDBus.Error:org.freedesktop.DBus.Error.ServiceUnknown: The name x was not provided";
        assert_eq!((error.code().0, error.domain().0, error.message()), (89, 47, text));
    }

    #[test]
    fn nobody_is_asked_about_a_client_without_a_process() {
        assert!(subject(&Identity::default(), true).is_none());
        let network = Identity { x509_name: Some("CN=host".into()), ..Identity::default() };
        assert!(subject(&network, true).is_none());
        let own =
            Identity { user_id: Some(0), process_id: Some(std::process::id().into()), ..Identity::default() };
        assert!(subject(&own, true).is_some());
    }
}
