//! Many calls at once.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::mpsc;

use nodedev_driver::Result;
use nodedev_rpc::{Call, Rpc};

use crate::call::reply;
use crate::failure;
use crate::link::Link;
use crate::shared::Answer;

/// Calls of one caller that may be without an answer, or answered and not taken: with a round trip of 50 ms, 10,000
/// calls a second.
pub const WINDOW_CALLS: usize = 512;
/// Bytes of calls that may be on their way; a single call may be larger.
pub const WINDOW_BYTES: usize = 1 << 20;

impl Link {
    /// Makes all `calls`, which are of procedure `P`, and gives the result of each to `take` in their order, until it says
    /// stop. Answers may come in any order.
    ///
    /// # Errors
    /// If the connection is lost. Errors of single calls are given to `take`.
    pub(crate) fn each<'c, P: Rpc>(
        &self,
        calls: impl IntoIterator<Item = Call<'c>>,
        mut take: impl FnMut(usize, Result<P::Reply<'_>>) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut calls = calls.into_iter().enumerate();
        let (answers, answered) = mpsc::channel();
        // Size and answer of the calls from `first` on.
        let mut window: VecDeque<(usize, Option<_>)> = VecDeque::new();
        let (mut first, mut bytes) = (0_usize, 0);
        loop {
            while window.len() < WINDOW_CALLS && (bytes < WINDOW_BYTES || window.is_empty()) {
                let Some((index, call)) = calls.next() else { break };
                debug_assert_eq!(call.procedure(), P::PROCEDURE);
                let size = self.submit(&call, index, &answers)?;
                window.push_back((size, None));
                bytes += size;
            }
            match window.pop_front() {
                None => return Ok(()),
                Some((size, Some(message))) => {
                    bytes -= size;
                    if take(first, reply::<P>(&message)).is_break() {
                        return Ok(());
                    }
                    first += 1;
                }
                Some(waiting) => {
                    window.push_front(waiting);
                    match answered.recv() {
                        Ok((index, Answer::Reply(message))) => {
                            if let Some((_, place)) =
                                index.checked_sub(first).and_then(|at| window.get_mut(at))
                            {
                                *place = Some(message);
                            }
                        }
                        Ok((_, Answer::Lost(error))) => return Err(error),
                        Err(mpsc::RecvError) => return Err(failure::closed()),
                    }
                }
            }
        }
    }
}
