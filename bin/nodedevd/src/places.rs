//! How many clients there may be, and how many of one user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nodedev_server::User;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places for clients. None of them is kept for anybody, but others than root and the daemon's own user do not get all of
/// them, nor one user more than half of what they get.
pub(crate) struct Places {
    all: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    /// For one user.
    each: usize,
    users: Mutex<Users>,
}

#[derive(Default)]
struct Users {
    by_user: HashMap<User, Weak<Semaphore>>,
    /// How many there may be until those are looked for of whom nobody is there any more.
    next_look: usize,
}

/// A client's place.
pub(crate) struct Place {
    _permits: [Option<OwnedSemaphorePermit>; 3],
}

impl Places {
    /// So many places, of which some are for root and the daemon's own user alone.
    pub(crate) fn new(count: usize, reserved: usize) -> Self {
        let strangers = (count - reserved.min(count)).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS))),
            strangers: Arc::new(Semaphore::new(strangers)),
            each: (strangers / 2).max(1),
            users: Mutex::default(),
        }
    }

    fn of(&self, user: User) -> Arc<Semaphore> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = users.by_user.get(&user).and_then(Weak::upgrade) {
            return known;
        }
        if users.by_user.len() >= users.next_look {
            users.by_user.retain(|_, places| places.strong_count() > 0);
            users.next_look = 2 * users.by_user.len() + 16;
        }
        let places = Arc::new(Semaphore::new(self.each));
        users.by_user.insert(user, Arc::downgrade(&places));
        places
    }

    /// The places that a user's client needs one of each of, in this order: who waits for one that all may have is not one
    /// of too many of the same user.
    fn wanted(&self, user: User) -> [Option<Arc<Semaphore>>; 3] {
        let all = Some(Arc::clone(&self.all));
        match user {
            User::Own => [None, None, all],
            user => [Some(self.of(user)), Some(Arc::clone(&self.strangers)), all],
        }
    }

    /// A place for a client of a user, if there is one.
    pub(crate) fn try_enter(&self, user: User) -> Option<Place> {
        let mut permits = [None, None, None];
        for (permit, wanted) in permits.iter_mut().zip(self.wanted(user)) {
            if let Some(wanted) = wanted {
                *permit = Some(wanted.try_acquire_owned().ok()?);
            }
        }
        Some(Place { _permits: permits })
    }

    /// Waits for a place for a client of a user.
    pub(crate) async fn enter(&self, user: User) -> Place {
        let mut permits = [None, None, None];
        for (permit, wanted) in permits.iter_mut().zip(self.wanted(user)) {
            if let Some(wanted) = wanted {
                // They are never closed.
                *permit = wanted.acquire_owned().await.ok();
            }
        }
        Place { _permits: permits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(places: &Places, user: User) -> Vec<Place> {
        std::iter::from_fn(|| places.try_enter(user)).collect()
    }

    #[test]
    fn one_user_has_no_more_than_half_and_all_strangers_leave_some() {
        for (all, reserved, each, strangers) in
            [(20, 0, 10, 20), (80, 10, 35, 70), (2, 0, 1, 2), (1, 0, 1, 1)]
        {
            let places = Places::new(all, reserved);
            let one = count(&places, User::Id(1));
            assert_eq!(one.len(), each, "{all}");
            let other = count(&places, User::Address(std::net::Ipv4Addr::LOCALHOST.into()));
            assert_eq!(one.len() + other.len(), strangers, "{all}");
            assert!(places.try_enter(User::Id(3)).is_none());
            assert_eq!(count(&places, User::Own).len(), all - strangers, "{all}");
        }
        // Root alone may have them all.
        assert_eq!(count(&Places::new(80, 10), User::Own).len(), 80);
    }

    #[test]
    fn users_who_have_gone_are_forgotten() {
        let places = Places::new(100, 0);
        for number in 0..10_000 {
            drop(places.try_enter(User::Id(number)));
        }
        assert!(places.users.lock().unwrap().by_user.len() < 100);
    }

    #[tokio::test]
    async fn who_waits_is_let_in_when_one_of_the_same_user_goes() {
        let places = Arc::new(Places::new(4, 0));
        let mut one = count(&places, User::Id(1));
        let waits = tokio::spawn({
            let places = Arc::clone(&places);
            async move { drop(places.enter(User::Id(1)).await) }
        });
        drop(places.enter(User::Id(2)).await);
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        one.pop();
        waits.await.unwrap();
    }
}
