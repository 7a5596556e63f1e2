//! From failures to the errors that clients get.

use nodedev_driver::{Error, ErrorCode};
use nodedev_rpc::{ErrorObject, Fault, Header, Str, program};

use crate::hub::Refused;

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The dispatcher refused it.
    Fault(Fault),
    /// The driver, or access control, did.
    Error(Error),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Fault(fault) => Self::Fault(fault),
            Refused::Error(error) => Self::Error(error),
        }
    }
}

impl Failure {
    /// The message that tells the client.
    pub(crate) fn encode(&self, call: &Header) -> Vec<u8> {
        let fault;
        let object = match self {
            Self::Fault(fault) => fault.object(),
            // The driver says that it lacks the function by the name of its own; a client is told the one it called, if
            // that is one of libvirt's.
            Self::Error(error)
                if error.code() == ErrorCode::NO_SUPPORT && call.program == program::REMOTE =>
            {
                fault = Fault::no_support(call.procedure);
                fault.object()
            }
            Self::Error(error) => object(error),
        };
        let mut out = Vec::new();
        if object.encode_reply(call, &mut out).is_err() {
            let short = Fault::unencodable();
            // Always short enough.
            let _ = short.object().encode_reply(call, &mut out);
        }
        out
    }

    /// For the log.
    pub(crate) fn log(&self, procedure: impl std::fmt::Debug) {
        match self {
            Self::Fault(fault) => tracing::debug!(?procedure, ?fault, "a call was refused"),
            Self::Error(error) => {
                tracing::debug!(?procedure, %error, code = error.code().0, "a call failed");
            }
        }
    }
}

fn object(error: &Error) -> ErrorObject<'_> {
    let [str1, str2, str3] = error.strings().map(|text| text.map(Str::truncated));
    let [int1, int2] = error.ints();
    ErrorObject {
        code: error.code().0,
        domain: error.domain().0,
        message: Some(Str::truncated(error.message())),
        level: error.level() as i32,
        guest: None,
        str1,
        str2,
        str3,
        int1,
        int2,
        network: None,
    }
}
