//! What C holds in place of objects.
//!
//! A handle is no address but a number that is never given twice, disguised as a pointer. So a handle that was freed, or
//! that is no handle at all, is told from a good one by looking it up, and no memory is touched to find out.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Bit that no address of a program has: on 64-bit machines neither user space nor the kernel is there.
const MARK: usize = if usize::BITS == 64 { 1 << (usize::BITS - 2) } else { 0 };
/// Distance between two handles, so that they look aligned.
const STEP: usize = 16;

static NEXT: AtomicUsize = AtomicUsize::new(MARK + STEP);

/// The objects that C holds handles of: `T` behind pointers to `P`.
pub(crate) struct Handles<T, P> {
    objects: RwLock<Option<HashMap<usize, T>>>,
    kind: PhantomData<fn() -> P>,
}

impl<T, P> Handles<T, P> {
    pub(crate) const fn new() -> Self {
        Self { objects: RwLock::new(None), kind: PhantomData }
    }

    /// A handle that was never given before.
    pub(crate) fn next() -> *mut P {
        std::ptr::without_provenance_mut(NEXT.fetch_add(STEP, Ordering::Relaxed))
    }

    /// Makes a handle mean an object.
    pub(crate) fn insert(&self, handle: *mut P, object: T) {
        self.write().get_or_insert_default().insert(handle.addr(), object);
    }

    /// Makes handles, each never given before, mean objects.
    pub(crate) fn insert_all(&self, new: impl ExactSizeIterator<Item = T>) -> Vec<*mut P> {
        let first = NEXT.fetch_add(STEP * new.len(), Ordering::Relaxed);
        let handles = (0..new.len()).map(|index| std::ptr::without_provenance_mut(first + STEP * index));
        let handles: Vec<*mut P> = handles.collect();
        let mut objects = self.write();
        let objects = objects.get_or_insert_default();
        objects.extend(handles.iter().map(|handle| handle.addr()).zip(new));
        handles
    }

    /// What `look` finds in the object of a handle.
    pub(crate) fn with<R>(&self, handle: *mut P, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.read().as_ref()?.get(&handle.addr()).map(look)
    }

    /// Changes the object of a handle; when `change` says so, the handle becomes invalid and the object is given back.
    pub(crate) fn change<R>(
        &self,
        handle: *mut P,
        change: impl FnOnce(&mut T) -> (R, Keep),
    ) -> Option<(R, Option<T>)> {
        let mut objects = self.write();
        let objects = objects.as_mut()?;
        let (result, keep) = change(objects.get_mut(&handle.addr())?);
        Some((result, if keep == Keep::No { objects.remove(&handle.addr()) } else { None }))
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<HashMap<usize, T>>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<HashMap<usize, T>>> {
        self.objects.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a handle stays valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use super::{Handles, Keep};

    static NUMBERS: Handles<u8, u8> = Handles::new();

    #[test]
    fn a_handle_that_was_given_back_is_never_good_again() {
        let first = Handles::<u8, u8>::next();
        assert_eq!(NUMBERS.with(first, |number| *number), None);
        NUMBERS.insert(first, 1);
        assert_eq!(NUMBERS.with(first, |number| *number), Some(1));
        assert_eq!(NUMBERS.change(first, |number| (*number, Keep::Yes)), Some((1, None)));
        assert_eq!(NUMBERS.change(first, |_| ((), Keep::No)), Some(((), Some(1))));
        let second = Handles::<u8, u8>::next();
        NUMBERS.insert(second, 2);
        assert_ne!(first, second);
        assert_eq!(NUMBERS.with(first, |number| *number), None);
        assert_eq!(NUMBERS.change(first, |_| ((), Keep::No)), None);
    }

    #[test]
    fn foreign_pointers_are_no_handles() {
        let mut own = 0;
        NUMBERS.insert(Handles::<u8, u8>::next(), 1);
        for foreign in [std::ptr::null_mut(), &raw mut own, std::ptr::without_provenance_mut(usize::MAX)] {
            assert_eq!(NUMBERS.with(foreign, |number| *number), None, "{foreign:?}");
        }
    }
}
