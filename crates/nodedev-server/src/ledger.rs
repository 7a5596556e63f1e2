//! How many bytes are held for each user, and how many may be.
//!
//! A client costs memory in three ways: what it sent and nobody has looked at yet, what waits until it reads, and what it
//! registered for. Each is counted for its user, whatever the number of the user's connections, and for all users but
//! root and the daemon's own together, so that none of them fills the memory. Where there is no room,
//! clients of the user, or of all but root, are not read for a while; what happens is told to those who read, all the same.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::identity::User;

/// What bytes are held for, beside messages that are not whole yet and calls that wait for their turn ([`Incoming`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Replies and events that the client has not read.
    Output,
    /// Registrations for events.
    Registrations,
}

/// A number for each [`Kind`], in its order.
type Each<T> = [T; 2];

const MIB: usize = 1 << 20;
/// What one user may have who is neither root nor the daemon's own.
const USER: Each<usize> = [32 * MIB, 32 * MIB];
/// What all of them together may have, and root with the daemon's own user besides them.
const ALL: Each<usize> = [64 * MIB, 64 * MIB];

/// The same for what comes in: small messages, and others. Halves of long messages then never keep a user's small ones waiting.
const USER_INPUT: [usize; 2] = [8 * MIB, 16 * MIB];
const ALL_INPUT: [usize; 2] = [32 * MIB, 128 * MIB];
/// What is a small message, with what it costs besides.
const SMALL: usize = 8 << 10;
/// Bytes of messages are counted by so many.
const UNIT: usize = 256;

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

    /// Adds as much as there is room for, or nothing.
    fn try_add(&self, kind: Kind, bytes: usize) -> bool {
        let limit = self.limits[kind as usize];
        let more = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= limit);
        self.held[kind as usize].fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// Takes back; says whether there is room again that was not there before.
    fn release(&self, kind: Kind, bytes: usize) -> bool {
        let (before, limit) =
            (self.held[kind as usize].fetch_sub(bytes, Ordering::SeqCst), self.limits[kind as usize]);
        before >= limit && before - bytes < limit
    }
}

/// All users' accounts.
pub(crate) struct Ledger {
    /// What those have together who are neither root nor the daemon's own user.
    strangers: Purse,
    input: Room,
    accounts: Mutex<Accounts>,
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
    input: Room,
    ledger: Arc<Ledger>,
    /// There is room for replies again: one who waits is told, and tells the next.
    freed: Notify,
    /// Shared bytes that wait for clients of this user, by their address: how often.
    bodies: Mutex<HashMap<usize, usize>>,
}

/// Room for small messages, and for others.
type Room = [Arc<Semaphore>; 2];

fn room(bytes: [usize; 2]) -> Room {
    bytes.map(|bytes| Arc::new(Semaphore::new(bytes / UNIT)))
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
            input: room(ALL_INPUT),
            accounts: Mutex::default(),
            wake: OnceLock::new(),
        })
    }

    /// Has `wake` called whenever there may be room again. Once.
    pub(crate) fn on_room(&self, wake: impl Fn() + Send + Sync + 'static) {
        // Nobody else sets it.
        let _ = self.wake.set(Box::new(wake));
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account of a user.
    pub(crate) fn account(self: &Arc<Self>, user: User) -> Arc<Account> {
        let mut accounts = self.accounts();
        if let Some(known) = accounts.by_user.get(&user).and_then(Weak::upgrade) {
            return known;
        }
        if accounts.by_user.len() >= accounts.next_look {
            accounts.by_user.retain(|_, account| account.strong_count() > 0);
            accounts.next_look = 2 * accounts.by_user.len() + 16;
        }
        let (limits, input) = if user == User::Own { (ALL, ALL_INPUT) } else { (USER, USER_INPUT) };
        let account = Arc::new(Account {
            user,
            purse: Purse::new(limits),
            input: room(input),
            ledger: Arc::clone(self),
            freed: Notify::new(),
            bodies: Mutex::default(),
        });
        accounts.by_user.insert(user, Arc::downgrade(&account));
        account
    }

    /// All users together have room for replies again: of each, one who waits is told.
    fn freed(&self) {
        let waiting: Vec<_> = self.accounts().by_user.values().filter_map(Weak::upgrade).collect();
        waiting.iter().for_each(|account| account.freed.notify_one());
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
        if !self.purse.try_add(kind, bytes) {
            return None;
        }
        if let Some(all) = self.shared()
            && !all.try_add(kind, bytes)
        {
            let own = self.purse.release(kind, bytes);
            self.tell(kind, own, false);
            return None;
        }
        Some(Charge { account: Arc::clone(self), kind, bytes })
    }

    /// Waits until there is room for a message, and counts it. One of somebody who may send long ones has all the room that
    /// there is for all.
    pub(crate) async fn room_for_message(&self, bytes: usize, is_long: bool) -> Incoming {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let class = usize::from(bytes > SMALL);
        let own = (!is_long || self.user == User::Own).then(|| Arc::clone(&self.input[class]));
        let all = (self.user != User::Own).then(|| Arc::clone(&self.ledger.input[class]));
        let mut permits = [None, None];
        for (permit, room) in permits.iter_mut().zip([own, all]) {
            if let Some(room) = room {
                // They are never closed.
                *permit = room.acquire_many_owned(units).await.ok();
            }
        }
        Incoming(permits)
    }

    /// Waits until there is any room for replies.
    pub(crate) async fn room_for_replies(&self) {
        if self.has_room(Kind::Output) {
            return;
        }
        while !self.has_room(Kind::Output) {
            self.freed.notified().await;
        }
        self.freed.notify_one();
    }

    fn release(&self, kind: Kind, bytes: usize) {
        let own = self.purse.release(kind, bytes);
        let all = self.shared().is_some_and(|all| all.release(kind, bytes));
        self.tell(kind, own, all);
    }

    /// Tells those who wait that there is room again: of this user, or of all.
    fn tell(&self, kind: Kind, own: bool, all: bool) {
        if kind != Kind::Output {
            return;
        }
        if own {
            self.freed.notify_one();
        }
        if all {
            self.ledger.freed();
        }
        if let Some(wake) = self.ledger.wake.get().filter(|_| own || all) {
            wake();
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

/// What a message counts as, of which the user's part and that of all is returned when this goes.
#[derive(Debug)]
pub(crate) struct Incoming([Option<OwnedSemaphorePermit>; 2]);

impl Incoming {
    /// Leaves so many bytes to another one.
    pub(crate) fn split(&mut self, bytes: usize) -> Self {
        let units = bytes.div_ceil(UNIT);
        Self(self.0.each_mut().map(|permit| {
            let permit = permit.as_mut()?;
            permit.split(units.min(permit.num_permits()))
        }))
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
        for kind in [Kind::Output, Kind::Registrations] {
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
    async fn a_message_waits_for_room_and_small_ones_not_for_that_of_long_ones() {
        let ledger = Ledger::new();
        let account = ledger.account(SOMEBODY);
        let half = USER_INPUT[1] / 2;
        let (first, mut second) =
            (account.room_for_message(half, false).await, account.room_for_message(half, false).await);
        let waits = tokio::spawn({
            let account = Arc::clone(&account);
            async move { drop(account.room_for_message(half + 1, false).await) }
        });
        tokio::task::yield_now().await;
        drop(account.room_for_message(SMALL, false).await);
        drop(account.room_for_message(64 << 20, true).await);
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waits.is_finished(), "one half is not enough");
        drop(second.split(1));
        waits.await.unwrap();
    }

    #[tokio::test]
    async fn all_who_wait_for_room_for_replies_go_on_when_there_is_some() {
        let ledger = Ledger::new();
        let full: Vec<_> =
            (0..2).map(|user| ledger.account(User::Id(user)).charge(Kind::Output, USER[0])).collect();
        let waiting: Vec<_> = (0..300)
            .map(|number| {
                // One who has nothing, and waits for what the others have together.
                let account = ledger.account(User::Id(number % 3));
                tokio::spawn(async move { account.room_for_replies().await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|task| !task.is_finished()));
        drop(full);
        for task in waiting {
            task.await.unwrap();
        }
    }
}
