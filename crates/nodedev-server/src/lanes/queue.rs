//! Whose call is next.

use std::collections::{HashMap, VecDeque};

use super::Job;
use crate::identity::User;

/// Calls that wait. Users take turns, each with one call; calls of one user are run in the order in which they came.
/// A call whose user has no room for another reply is passed over until there is some.
///
/// A call may wait for a device that does not answer, or for somebody who decides about it. So no user but root and the
/// daemon's own has more than half of the threads, and all of them together leave one.
#[derive(Default)]
pub(super) struct Queue {
    users: HashMap<User, Calls>,
    /// The users who have calls that wait, each once.
    turns: VecDeque<User>,
    waiting: usize,
    threads: usize,
    /// Calls that are run for others than root and the daemon's own user.
    strangers: usize,
}

#[derive(Default)]
struct Calls {
    waiting: VecDeque<Job>,
    running: usize,
}

impl Queue {
    pub(super) fn new(threads: usize) -> Self {
        Self { threads, ..Self::default() }
    }

    /// How many calls wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn push(&mut self, job: Job) {
        let user = job.user();
        let calls = self.users.entry(user).or_default();
        if calls.waiting.is_empty() {
            self.turns.push_back(user);
        }
        calls.waiting.push_back(job);
        self.waiting += 1;
    }

    /// The next call that may be run. [`Queue::done`] is to be told when it was.
    pub(super) fn next(&mut self) -> Option<Job> {
        for _ in 0..self.turns.len() {
            let user = self.turns.pop_front()?;
            let job = self.next_of(user);
            if self.users.get(&user).is_some_and(|calls| !calls.waiting.is_empty()) {
                self.turns.push_back(user);
            }
            if job.is_some() {
                return job;
            }
        }
        None
    }

    fn next_of(&mut self, user: User) -> Option<Job> {
        let is_stranger = user != User::Own;
        let calls = self.users.get_mut(&user)?;
        let is_full =
            calls.running >= (self.threads / 2).max(1) || self.strangers >= (self.threads - 1).max(1);
        if is_stranger && is_full {
            return None;
        }
        if !calls.waiting.front()?.may_run() {
            return None;
        }
        let job = calls.waiting.pop_front()?;
        calls.running += 1;
        self.waiting -= 1;
        self.strangers += usize::from(is_stranger);
        Some(job)
    }

    /// A call of a user was run.
    pub(super) fn done(&mut self, user: User) {
        let Some(calls) = self.users.get_mut(&user) else { return };
        calls.running = calls.running.saturating_sub(1);
        self.strangers = self.strangers.saturating_sub(usize::from(user != User::Own));
        if calls.running == 0 && calls.waiting.is_empty() {
            self.users.remove(&user);
        }
    }
}
