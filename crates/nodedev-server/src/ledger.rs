//! How many bytes are held for each user, and how many may be.
//!
//! A client costs memory in three ways: what it sent and nobody has looked at yet, what waits until it reads, and what it
//! registered for. Each is counted for its user, whatever the number of the user's connections, and for all users but
//! root and the daemon's own together, so that none of them fills the memory. Where there is no room, the user's own clients wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::sync::Notify;

use crate::identity::User;

/// What bytes are held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Messages that are not whole yet, and calls that wait for their turn.
    Input,
    /// Replies and events that the client has not read.
    Output,
    /// Registrations for events.
    Registrations,
}

/// A number for each [`Kind`], in its order.
type Each<T> = [T; 3];

const MIB: usize = 1 << 20;
/// What one user may have who is neither root nor the daemon's own.
const USER: Each<usize> = [16 * MIB, 32 * MIB, 32 * MIB];
/// What all of them together may have, and root with the daemon's own user besides them.
const ALL: Each<usize> = [128 * MIB, 64 * MIB, 64 * MIB];

/// What is held, and how much that may be.
#[derive(Debug)]
struct Purse {
    held: Each<AtomicUsize>,
    limits: Each<usize>,
}

impl Purse {
    fn new(limits: Each<usize>) -> Self {
        Self { held: Default::default(), limits }
    }

    fn has_room(&self, kind: Kind) -> bool {
        self.held[kind as usize].load(Ordering::SeqCst) < self.limits[kind as usize]
    }

    fn add(&self, kind: Kind, bytes: usize) {
        self.held[kind as usize].fetch_add(bytes, Ordering::SeqCst);
    }

    /// Adds as much as leaves it within `limit`.
    fn try_add(&self, kind: Kind, bytes: usize, limit: usize) -> bool {
        let more = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= limit);
        self.held[kind as usize].fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// Takes back; says whether there was no room before.
    fn release(&self, kind: Kind, bytes: usize) -> bool {
        self.held[kind as usize].fetch_sub(bytes, Ordering::SeqCst) >= self.limits[kind as usize]
    }
}

/// All users' accounts.
pub(crate) struct Ledger {
    /// What those have together who are neither root nor the daemon's own user.
    strangers: Purse,
    accounts: Mutex<Accounts>,
    freed: Notify,
    /// Clients whose messages wait for room.
    waiting: AtomicUsize,
    /// Told when there may be room again for replies.
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct Accounts {
    by_user: HashMap<User, Weak<Account>>,
    /// How many there may be until those are looked for that nobody has any more.
    next_look: usize,
}

/// What is held for one user.
pub(crate) struct Account {
    user: User,
    purse: Purse,
    ledger: Arc<Ledger>,
    /// Shared bytes that wait for clients of this user, by their address: how often.
    bodies: Mutex<HashMap<usize, usize>>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("user", &self.user)
            .field("purse", &self.purse)
            .finish_non_exhaustive()
    }
}

impl Ledger {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            strangers: Purse::new(ALL),
            accounts: Mutex::default(),
            freed: Notify::new(),
            waiting: AtomicUsize::new(0),
            wake: OnceLock::new(),
        })
    }

    /// Has `wake` called whenever there may be room again. Once.
    pub(crate) fn on_room(&self, wake: impl Fn() + Send + Sync + 'static) {
        // Nobody else sets it.
        let _ = self.wake.set(Box::new(wake));
    }

    /// The account of a user.
    pub(crate) fn account(self: &Arc<Self>, user: User) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = accounts.by_user.get(&user).and_then(Weak::upgrade) {
            return known;
        }
        if accounts.by_user.len() >= accounts.next_look {
            accounts.by_user.retain(|_, account| account.strong_count() > 0);
            accounts.next_look = 2 * accounts.by_user.len() + 16;
        }
        let limits = if user == User::Own { ALL } else { USER };
        let (purse, ledger) = (Purse::new(limits), Arc::clone(self));
        let account = Arc::new(Account { user, purse, ledger, bodies: Mutex::default() });
        accounts.by_user.insert(user, Arc::downgrade(&account));
        account
    }
}

impl Account {
    pub(crate) fn user(&self) -> User {
        self.user
    }

    /// What all strangers have, if this is one's.
    fn shared(&self) -> Option<&Purse> {
        (self.user != User::Own).then_some(&self.ledger.strangers)
    }

    /// Whether there is any room.
    pub(crate) fn has_room(&self, kind: Kind) -> bool {
        self.purse.has_room(kind) && self.shared().is_none_or(|all| all.has_room(kind))
    }

    /// Counts bytes, whether there is room or not.
    pub(crate) fn charge(self: &Arc<Self>, kind: Kind, bytes: usize) -> Charge {
        self.purse.add(kind, bytes);
        if let Some(all) = self.shared() {
            all.add(kind, bytes);
        }
        Charge { account: Arc::clone(self), kind, bytes }
    }

    /// Counts bytes if there is room for them.
    pub(crate) fn try_charge(self: &Arc<Self>, kind: Kind, bytes: usize) -> Option<Charge> {
        self.try_within(kind, bytes, self.purse.limits[kind as usize])
    }

    fn try_within(self: &Arc<Self>, kind: Kind, bytes: usize, limit: usize) -> Option<Charge> {
        if !self.purse.try_add(kind, bytes, limit) {
            return None;
        }
        if let Some(all) = self.shared()
            && !all.try_add(kind, bytes, all.limits[kind as usize])
        {
            // Those who were refused meanwhile would have been refused by what all have as well, and wait for that.
            self.purse.release(kind, bytes);
            return None;
        }
        Some(Charge { account: Arc::clone(self), kind, bytes })
    }

    /// Waits until there is room for a message, and counts it. One of somebody who may send long ones has all the room that
    /// there is for all.
    pub(crate) async fn room_for_message(self: &Arc<Self>, bytes: usize, is_long: bool) -> Charge {
        let kind = Kind::Input;
        let limit = if is_long { ALL[kind as usize] } else { self.purse.limits[kind as usize] };
        if let Some(charge) = self.try_within(kind, bytes, limit) {
            return charge;
        }
        let _waits = Waits::new(&self.ledger.waiting);
        loop {
            let mut freed = std::pin::pin!(self.ledger.freed.notified());
            freed.as_mut().enable();
            // What is freed from here on is told.
            if let Some(charge) = self.try_within(kind, bytes, limit) {
                return charge;
            }
            freed.await;
        }
    }

    /// Waits until there is any room.
    pub(crate) async fn room(&self, kind: Kind) {
        while !self.has_room(kind) {
            let mut freed = std::pin::pin!(self.ledger.freed.notified());
            freed.as_mut().enable();
            if self.has_room(kind) {
                return;
            }
            freed.await;
        }
    }

    fn release(&self, kind: Kind, bytes: usize) {
        let own = self.purse.release(kind, bytes);
        let shared = self.shared().is_some_and(|all| all.release(kind, bytes));
        match kind {
            // Any room will do.
            Kind::Output if own || shared => {
                self.ledger.freed.notify_waiters();
                if let Some(wake) = self.ledger.wake.get() {
                    wake();
                }
            }
            // Who waits wants room for so and so many bytes.
            Kind::Input if self.ledger.waiting.load(Ordering::SeqCst) > 0 => {
                self.ledger.freed.notify_waiters();
            }
            _ => {}
        }
    }

    fn bodies(&self) -> MutexGuard<'_, HashMap<usize, usize>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that others may share: once, however many of the user's clients they wait for.
    pub(crate) fn hold(self: &Arc<Self>, bytes: &Arc<[u8]>) -> Held {
        let held = Held { bytes: Arc::clone(bytes), account: Arc::clone(self) };
        let mut bodies = self.bodies();
        let times = bodies.entry(held.key()).or_insert(0);
        *times += 1;
        if *times == 1 {
            self.purse.add(Kind::Output, bytes.len());
            if let Some(all) = self.shared() {
                all.add(Kind::Output, bytes.len());
            }
        }
        drop(bodies);
        held
    }

    #[cfg(test)]
    pub(crate) fn held(&self, kind: Kind) -> usize {
        self.purse.held[kind as usize].load(Ordering::SeqCst)
    }
}

/// Counts somebody who waits.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Bytes that are counted as long as this lives.
#[derive(Debug)]
pub(crate) struct Charge {
    account: Arc<Account>,
    kind: Kind,
    bytes: usize,
}

impl Charge {
    /// Takes over what another one of the same account and kind counts.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Leaves so much to another one.
    pub(crate) fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { account: Arc::clone(&self.account), kind: self.kind, bytes }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.account.release(self.kind, self.bytes);
        }
    }
}

/// Shared bytes that wait for a client.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: Arc<[u8]>,
    account: Arc<Account>,
}

impl Held {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// No other bytes can have this address as long as these are held.
    fn key(&self) -> usize {
        self.bytes.as_ptr().addr()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut bodies = self.account.bodies();
        let key = self.key();
        let is_last = bodies.get_mut(&key).is_some_and(|times| {
            *times -= 1;
            *times == 0
        });
        if is_last {
            bodies.remove(&key);
        }
        drop(bodies);
        if is_last {
            self.account.release(Kind::Output, self.bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOMEBODY: User = User::Id(1000);

    #[test]
    fn a_user_has_one_account_however_many_clients_and_none_when_the_last_has_gone() {
        let ledger = Ledger::new();
        let (one, same, other) =
            (ledger.account(SOMEBODY), ledger.account(SOMEBODY), ledger.account(User::Id(1001)));
        let charge = one.charge(Kind::Output, 100);
        assert_eq!((same.held(Kind::Output), other.held(Kind::Output)), (100, 0));
        drop((one, same, charge));
        assert_eq!(ledger.account(SOMEBODY).held(Kind::Output), 0);
        for number in 0..10_000 {
            ledger.account(User::Id(number));
        }
        assert!(ledger.accounts.lock().unwrap().by_user.len() < 100, "accounts that nobody has stay");
    }

    #[test]
    fn no_user_gets_more_than_the_share_and_all_together_no_more_than_there_is() {
        for kind in [Kind::Input, Kind::Output, Kind::Registrations] {
            let ledger = Ledger::new();
            let mut held = Vec::new();
            let mut sum = 0;
            for number in 0..100 {
                let account = ledger.account(User::Id(number));
                assert!(account.try_charge(kind, USER[kind as usize] + 1).is_none());
                held.extend(
                    account.try_charge(kind, USER[kind as usize]).inspect(|charge| sum += charge.bytes),
                );
                assert!(account.try_charge(kind, 1).is_none() || sum < ALL[kind as usize]);
            }
            assert_eq!(sum, ALL[kind as usize], "{kind:?}");
            // Root does not notice.
            assert!(ledger.account(User::Own).try_charge(kind, ALL[kind as usize]).is_some());
            held.clear();
            assert!(ledger.account(User::Id(7)).try_charge(kind, USER[kind as usize]).is_some());
        }
    }

    #[test]
    fn shared_bytes_count_once_for_each_user() {
        let ledger = Ledger::new();
        let bytes: Arc<[u8]> = vec![0; 1000].into();
        let (one, other) = (ledger.account(SOMEBODY), ledger.account(User::Id(1001)));
        let held = [one.hold(&bytes), one.hold(&bytes), one.hold(&bytes)];
        let others = other.hold(&bytes);
        assert_eq!((one.held(Kind::Output), other.held(Kind::Output)), (1000, 1000));
        drop(others);
        let [first, second, third] = held;
        drop((first, second));
        assert_eq!((one.held(Kind::Output), other.held(Kind::Output)), (1000, 0));
        drop(third);
        assert_eq!(one.held(Kind::Output), 0);
    }

    #[tokio::test]
    async fn who_waits_for_room_gets_it_when_others_have_left() {
        let ledger = Ledger::new();
        let account = ledger.account(SOMEBODY);
        let half = USER[Kind::Input as usize] / 2;
        let held = [account.charge(Kind::Input, half), account.charge(Kind::Input, half)];
        let waits = tokio::spawn({
            let account = Arc::clone(&account);
            async move { account.room_for_message(half + 1, false).await.bytes }
        });
        tokio::task::yield_now().await;
        let [first, second] = held;
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waits.is_finished(), "one half is not enough");
        drop(second);
        assert_eq!(waits.await.unwrap(), half + 1);
        assert_eq!(account.held(Kind::Input), 0);
    }
}
