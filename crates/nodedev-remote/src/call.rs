use std::sync::mpsc;

use nodedev_driver::Result;
use nodedev_rpc::{Call, Rpc};

use crate::failure;
use crate::link::Link;
use crate::shared::{Answer, Message};

impl Link {
    /// Makes one call and reads its reply with `read`. `P` is the procedure of `call`.
    pub(crate) fn call<P: Rpc, T>(
        &self,
        call: &Call<'_>,
        read: impl for<'a> FnOnce(P::Reply<'a>) -> Result<T>,
    ) -> Result<T> {
        debug_assert_eq!(call.procedure(), P::PROCEDURE);
        let (answers, answer) = mpsc::channel();
        self.submit(call, 0, &answers)?;
        drop(answers);
        match answer.recv() {
            Ok((_, Answer::Reply(message))) => reply::<P>(&message).and_then(read),
            Ok((_, Answer::Lost(error))) => Err(error),
            // The reader answers or fails every call.
            Err(mpsc::RecvError) => Err(failure::closed()),
        }
    }
}

/// The result of a call, or the daemon's error.
pub(crate) fn reply<P: Rpc>(message: &Message) -> Result<P::Reply<'_>> {
    match message.packet().reply::<P>() {
        Ok(reply) => reply.map_err(|object| failure::of_daemon(&object)),
        Err(error) => {
            let why =
                std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            Err(failure::violation(format_args!("{}: {error}{why}", P::PROCEDURE.name())))
        }
    }
}
