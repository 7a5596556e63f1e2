//! A call on its way to be run: where that is, and what becomes of the answer.

use nodedev_driver::ListFlags;
use nodedev_rpc::{Call, Cost, Fault, Header, Procedure};
use tokio::sync::SemaphorePermit;

use super::Caller;
use crate::ledger::Incoming;

/// A call that is to be run: owns what it was sent.
pub(crate) struct Work {
    pub(crate) header: Header,
    pub(crate) procedure: Procedure,
    pub(crate) payload: Vec<u8>,
    pub(crate) caller: Caller,
    /// What it counts as until it was run.
    pub(crate) _charge: Option<Incoming>,
}

impl Work {
    /// Whether the call takes no longer than handing it to another thread: what it asks for is in the driver's index,
    /// or kept here.
    pub(crate) fn is_instant(&self) -> bool {
        match self.procedure.cost() {
            Cost::Known => self.waits_for_nobody(),
            Cost::List => self.waits_for_nobody() && self.is_list_kept(),
            _ => false,
        }
    }

    /// Leave to run a call that looks at one device where it arrived, if no more of those who serve clients do that than
    /// may. It takes a few dozen microseconds, of which handing it to another thread and back would be half; but a device
    /// whose driver answers late must not keep them all.
    pub(crate) fn leave_to_look(&self) -> Option<SemaphorePermit<'_>> {
        let may = self.procedure.cost() == Cost::Describe && self.waits_for_nobody();
        if may { self.caller.service.lookers.try_acquire().ok() } else { None }
    }

    /// Whether neither access control nor the first look at the devices is to be waited for.
    fn waits_for_nobody(&self) -> bool {
        let service = &self.caller.service;
        service.access.allows_all() && service.hub.is_ready()
    }

    fn is_list_kept(&self) -> bool {
        let service = &self.caller.service;
        match Call::decode(self.procedure, &self.payload) {
            Ok(Call::ConnectListAllNodeDevices(wanted)) => {
                service.lists.has(&*service.driver, ListFlags::from_bits_retain(wanted.flags))
            }
            _ => false,
        }
    }

    /// Runs the call; its reply is in the client's queue afterwards.
    pub(crate) fn run(&self) {
        let Self { header, procedure, payload, caller, .. } = self;
        let answer = Call::decode(*procedure, payload)
            .map_err(|_| Fault::undecodable().into())
            .and_then(|call| caller.answer(header, &call));
        match answer {
            Ok(Some(frame)) => caller.listener.outbox.reply(frame),
            Ok(None) => {}
            Err(failure) => {
                failure.log(*procedure);
                caller.listener.outbox.reply(failure.encode(header).into());
            }
        }
    }
}
