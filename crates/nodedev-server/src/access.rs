//! Who may do what.

use nodedev_driver::{Error, ErrorCode, ErrorDomain};
use nodedev_rpc::Permission;

use crate::identity::Identity;

/// Decides about each call, and about each device in a result: libvirt's `access_drivers`.
pub trait Access: Send + Sync {
    /// Whether [`Access::allows`] always says yes. Then it need not be asked, and results can be shared by clients.
    fn allows_all(&self) -> bool {
        false
    }

    /// Whether `identity` has `permission`; with a device of this name, where it is about one. May take as long as it
    /// takes to ask somebody: it is called on a thread that may wait.
    ///
    /// # Errors
    /// Why it could not be decided; the call then fails with this error.
    fn allows(
        &self,
        identity: &Identity,
        permission: &Permission,
        device: Option<&str>,
    ) -> Result<bool, Error>;
}

/// Whoever may connect may do everything: libvirt's default.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

impl Access for AllowAll {
    fn allows_all(&self) -> bool {
        true
    }

    fn allows(&self, _: &Identity, _: &Permission, _: Option<&str>) -> Result<bool, Error> {
        Ok(true)
    }
}

/// The error of a call that is not allowed.
pub(crate) fn denied() -> Error {
    Error::new(ErrorDomain::ACCESS, ErrorCode::ACCESS_DENIED, "'nodedev' denied access")
}

#[cfg(test)]
mod tests {
    use nodedev_rpc::Procedure;

    use super::*;

    #[test]
    fn whoever_connects_may_do_everything_and_need_not_be_asked_for() {
        assert!(AllowAll.allows_all());
        for permission in Procedure::ALL.iter().flat_map(|procedure| procedure.permissions()) {
            let allowed = AllowAll.allows(&Identity::default(), permission, Some("computer"));
            assert_eq!(allowed, Ok(true), "{permission:?}");
        }
    }
}
