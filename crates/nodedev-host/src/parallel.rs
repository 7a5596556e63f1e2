//! Work on many things by several threads, whose results come in order.
//!
//! A batch of items goes to whichever thread is free. Few batches are ahead of what was handed over, so that a slow caller
//! lets only these gather. The calling thread takes part: it hands over what is done, and does some of the work while the next result is not there yet.
//! So one thread alone is a plain loop, and a thread that cannot be started is only one less.

use std::collections::VecDeque;
use std::mem;
use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use nodedev_sys::Root;
use nodedev_sys::threads::spawn_reader;

/// How many items a thread takes at once: so many that taking them costs nothing beside the work.
const BATCH: usize = 16;
/// How many batches there are for each thread that are being worked on, or are done and not handed over yet. It is what a slow
/// caller lets gather.
const AHEAD: usize = 4;
/// Most threads, unless the caller says how many.
const MOST: usize = 8;
/// Most threads, whoever asks for more.
const LIMIT: usize = 256;
/// Fewer items are not worth a thread: at 200 devices two threads take as long as one, at 400 three quarters.
const WORTH_THREADS: usize = 256;

/// How many threads work at once, the calling one among them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Jobs {
    /// As many as there are processors, and eight at most; one where there is little to do.
    #[default]
    Automatic,
    /// As many as this, where there are things for each to do.
    Given(NonZeroUsize),
}

impl Jobs {
    /// How many threads work on so many items.
    pub(crate) fn threads(self, items: usize) -> usize {
        match self {
            Self::Given(jobs) => jobs.get().min(LIMIT).min(items.div_ceil(BATCH)),
            Self::Automatic if items < WORTH_THREADS => 1,
            Self::Automatic => thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MOST),
        }
    }
}

/// Does `work` on each item and shows the results to `take` in the calling thread, in order, until it says stop. Each thread has what
/// `start` makes for itself, and of the program's files uses none but the root's. Of items behind the one at which it stops, some may
/// have been worked on too.
///
/// What `take` leaves of a result is dropped by the thread that made it: memory that one thread gets and another gives back costs
/// both of them.
pub(crate) fn in_order<S, T: Send, B>(
    root: &Root,
    threads: usize,
    items: Range<usize>,
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> T + Sync,
    mut take: impl FnMut(usize, &mut T) -> ControlFlow<B>,
) -> ControlFlow<B> {
    if threads <= 1 {
        let mut own = start();
        for item in items {
            take(item, &mut work(&mut own, item))?;
        }
        return ControlFlow::Continue(());
    }
    let line = Line::new(items, threads);
    thread::scope(|scope| {
        // However this ends, the others must not wait for it.
        let _end = End(&line);
        for maker in 1..threads {
            let (line, start, work) = (&line, &start, &work);
            let helper = move || {
                let _end = EndOfPanic(line);
                let mut own = start();
                while let Some((batch, spent)) = line.next(maker) {
                    drop(spent);
                    line.put(
                        batch.start,
                        Done { maker, results: batch.map(|item| work(&mut own, item)).collect() },
                    );
                }
            };
            // What there are no threads for, the others do.
            if spawn_reader(scope, "nodedev-look", root, helper).is_err() {
                break;
            }
        }
        let mut own = start();
        let mut spent = None;
        loop {
            match line.step(spent.take()) {
                Step::Take(first, mut done) => {
                    for (item, result) in (first..).zip(&mut done.results) {
                        take(item, result)?;
                    }
                    spent = Some(done);
                }
                Step::Work(batch) => {
                    let start = batch.start;
                    line.put(
                        start,
                        Done { maker: CALLER, results: batch.map(|item| work(&mut own, item)).collect() },
                    );
                }
                Step::End => return ControlFlow::Continue(()),
            }
        }
    })
}

/// Number of the calling thread among those that work.
const CALLER: usize = 0;

/// Items on their way through the threads, by batches.
struct Line<T> {
    state: Mutex<State<T>>,
    /// There is room for one more batch.
    room: Condvar,
    /// The batch that is to be handed over next is done.
    ready: Condvar,
}

struct State<T> {
    /// What nobody has begun yet.
    rest: Range<usize>,
    /// First item of the batch that is to be handed over next.
    head: usize,
    /// That batch and those behind it, as far as they are done; as many as there may be at once.
    done: VecDeque<Option<Done<T>>>,
    /// What was handed over of each thread's, for it to drop.
    spent: Vec<Vec<Done<T>>>,
    /// No more is wanted.
    ended: bool,
    /// Threads that wait for room, and whether the calling one waits.
    waiting: usize,
    caller_waits: bool,
}

/// A batch that a thread is done with.
struct Done<T> {
    /// Number of that thread.
    maker: usize,
    results: Vec<T>,
}

/// What the calling thread does next.
enum Step<T> {
    /// Hand over a batch, the first item of which is this.
    Take(usize, Done<T>),
    Work(Range<usize>),
    End,
}

impl<T> State<T> {
    /// A batch to work on, if there is room for it.
    fn begin(&mut self) -> Option<Range<usize>> {
        let has_room = self.rest.start - self.head < self.done.len() * BATCH;
        if self.rest.is_empty() || !has_room {
            return None;
        }
        let start = self.rest.start;
        self.rest.start = self.rest.end.min(start + BATCH);
        Some(start..self.rest.start)
    }
}

impl<T> Line<T> {
    fn new(items: Range<usize>, threads: usize) -> Self {
        let state = State {
            head: items.start,
            rest: items,
            done: (0..threads * AHEAD).map(|_| None).collect(),
            spent: (0..threads).map(|_| Vec::new()).collect(),
            ended: false,
            waiting: 0,
            caller_waits: false,
        };
        Self { state: Mutex::new(state), room: Condvar::new(), ready: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch for a thread, and what it is to drop. `None` if there is no more.
    fn next(&self, maker: usize) -> Option<(Range<usize>, Vec<Done<T>>)> {
        let mut state = self.state();
        loop {
            if state.ended || state.rest.is_empty() {
                return None;
            }
            if let Some(batch) = state.begin() {
                return Some((batch, mem::take(&mut state.spent[maker])));
            }
            state.waiting += 1;
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    /// Puts in what was done of the batch that begins with `start`.
    fn put(&self, start: usize, batch: Done<T>) {
        let mut state = self.state();
        let place = (start - state.head) / BATCH;
        if let Some(slot) = state.done.get_mut(place) {
            *slot = Some(batch);
        }
        if place == 0 && state.caller_waits {
            drop(state);
            self.ready.notify_one();
        }
    }

    /// What the calling thread does next, after it has handed over a batch; waits where it can do nothing.
    fn step(&self, spent: Option<Done<T>>) -> Step<T> {
        // Its own it drops here, before it has the lock.
        let spent = spent.filter(|batch| batch.maker != CALLER);
        let mut state = self.state();
        if let Some(batch) = spent {
            state.spent[batch.maker].push(batch);
        }
        loop {
            if let Some(batch) = state.done.front_mut().and_then(Option::take) {
                let first = state.head;
                state.head += batch.results.len();
                state.done.rotate_left(1);
                if state.waiting > 0 {
                    self.room.notify_one();
                }
                return Step::Take(first, batch);
            }
            if state.ended || state.head == state.rest.end {
                return Step::End;
            }
            if let Some(batch) = state.begin() {
                return Step::Work(batch);
            }
            state.caller_waits = true;
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.caller_waits = false;
        }
    }

    fn end(&self) {
        self.state().ended = true;
        self.room.notify_all();
        self.ready.notify_all();
    }
}

/// Ends the work when it is dropped.
struct End<'a, T>(&'a Line<T>);

impl<T> Drop for End<'_, T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Ends the work if the thread panics: what it had begun will never be done. The scope hands the panic on.
struct EndOfPanic<'a, T>(&'a Line<T>);

impl<T> Drop for EndOfPanic<'_, T> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::*;

    const ITEMS: usize = 1000;

    fn root() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sys")).unwrap();
        let root = Root::open(folder.path()).unwrap();
        (folder, root)
    }

    /// Something that takes longer for some items than for others.
    fn work(item: usize) -> usize {
        if item.is_multiple_of(37) {
            thread::sleep(Duration::from_micros(300));
        }
        item * 3
    }

    #[test]
    fn results_come_in_order_from_any_number_of_threads() {
        let (_folder, root) = root();
        for threads in [1, 2, 3, 8] {
            for items in [0..0, 5..6, 3..BATCH, 0..BATCH + 1, 10..ITEMS] {
                let made = AtomicUsize::new(0);
                let mut taken = Vec::new();
                let start = || made.fetch_add(1, Ordering::Relaxed);
                let flow = in_order(
                    &root,
                    threads,
                    items.clone(),
                    start,
                    |_, item| work(item),
                    |item, done| {
                        taken.push((item, *done));
                        ControlFlow::<()>::Continue(())
                    },
                );
                assert!(flow.is_continue());
                assert_eq!(taken, items.map(|item| (item, item * 3)).collect::<Vec<_>>(), "{threads}");
                assert!(made.into_inner() <= threads);
            }
        }
    }

    #[test]
    fn it_stops_where_it_is_told_to() {
        let (_folder, root) = root();
        for threads in [1, 2, 8] {
            for last in [0, BATCH - 1, BATCH, ITEMS / 2, ITEMS - 1] {
                let begun = AtomicUsize::new(0);
                let mut taken = 0;
                let count = |(): &mut (), _| {
                    begun.fetch_add(1, Ordering::Relaxed);
                };
                let flow = in_order(
                    &root,
                    threads,
                    0..ITEMS,
                    || (),
                    count,
                    |item, ()| {
                        taken += 1;
                        if item == last { ControlFlow::Break(item) } else { ControlFlow::Continue(()) }
                    },
                );
                assert_eq!((flow, taken), (ControlFlow::Break(last), last + 1));
                let ahead = if threads == 1 { 1 } else { (threads * AHEAD + 1) * BATCH };
                assert!(begun.into_inner() <= last + ahead, "{threads}");
            }
        }
    }

    /// Counts how many of it there are.
    struct Counted<'a>(&'a AtomicUsize);

    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_slow_caller_lets_only_few_results_gather() {
        let (_folder, root) = root();
        for threads in [1, 2, 8] {
            let (there, mut most) = (AtomicUsize::new(0), 0);
            let work = |(): &mut (), _| {
                there.fetch_add(1, Ordering::Relaxed);
                Counted(&there)
            };
            let flow = in_order(
                &root,
                threads,
                0..ITEMS,
                || (),
                work,
                |item, _| {
                    if item.is_multiple_of(50) {
                        thread::sleep(Duration::from_millis(2));
                    }
                    most = most.max(there.load(Ordering::Relaxed));
                    ControlFlow::<()>::Continue(())
                },
            );
            assert!(flow.is_continue());
            // Those that were handed over wait until their thread drops them.
            let bound = if threads == 1 { 1 } else { 3 * threads * AHEAD * BATCH };
            assert!(most <= bound, "{most} of {threads} threads");
            assert_eq!(there.into_inner(), 0);
        }
    }

    #[test]
    fn a_panic_ends_it_and_is_handed_on() {
        let (_folder, root) = root();
        for (of_work, of_caller) in [(Some(500), None), (None, Some(500))] {
            let begin = Instant::now();
            let run = std::panic::AssertUnwindSafe(|| {
                let work = |(): &mut (), item| assert_ne!(Some(item), of_work, "meant");
                let _ = in_order(
                    &root,
                    4,
                    0..ITEMS,
                    || (),
                    work,
                    |item, ()| {
                        assert_ne!(Some(item), of_caller, "meant");
                        ControlFlow::<()>::Continue(())
                    },
                );
            });
            assert!(std::panic::catch_unwind(run).is_err());
            assert!(begin.elapsed() < Duration::from_secs(20));
        }
    }

    #[test]
    fn few_items_and_one_job_need_no_thread() {
        let given = |jobs| Jobs::Given(NonZeroUsize::new(jobs).unwrap());
        for (jobs, items, want) in [
            (given(1), 100_000, 1),
            (given(8), 100_000, 8),
            (given(8), BATCH * 2, 2),
            (given(8), 1, 1),
            (given(8), 0, 0),
            (given(100_000), 100_000, LIMIT),
            (Jobs::Automatic, WORTH_THREADS - 1, 1),
        ] {
            assert_eq!(jobs.threads(items), want, "{jobs:?} {items}");
        }
        let processors = thread::available_parallelism().unwrap().get();
        assert_eq!(Jobs::Automatic.threads(WORTH_THREADS), processors.min(MOST));
    }
}
