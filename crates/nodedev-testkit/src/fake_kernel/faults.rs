//! Which steps fail.

use std::collections::HashMap;

use super::errno::EIO;

#[derive(Debug, Default)]
pub(super) struct Faults {
    /// How many steps were tried.
    pub(super) steps: usize,
    /// Errors by the number of the step.
    pub(super) errors: HashMap<usize, i32>,
    /// Errors of steps that are done all the same, as a rename whose sync fails.
    pub(super) late: HashMap<usize, i32>,
    /// From this step on everything fails.
    pub(super) crash: Option<usize>,
    /// Whether a step failed.
    pub(super) hit: bool,
}

impl Faults {
    /// Counts a step, and gives the number of the error that it fails with.
    pub(super) fn next(&mut self) -> Option<i32> {
        self.steps += 1;
        let failed = match self.crash {
            Some(crash) if self.steps >= crash => Some(EIO),
            _ => self.errors.get(&self.steps).copied(),
        };
        self.hit |= failed.is_some();
        failed
    }

    /// The number of the error that the last step fails with although it was done.
    pub(super) fn late(&mut self) -> Option<i32> {
        let failed = self.late.get(&self.steps).copied();
        self.hit |= failed.is_some();
        failed
    }

    /// Whether everything fails by now.
    pub(super) fn has_crashed(&self) -> bool {
        self.crash.is_some_and(|crash| self.steps >= crash)
    }

    /// Whether the last step was the one of the crash.
    pub(super) fn crashed_now(&self) -> bool {
        self.crash == Some(self.steps)
    }
}
