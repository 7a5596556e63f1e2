use std::process::ExitCode;

/// How the program ends; the numbers are part of its interface and listed in `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Done = 0,
    /// The command failed; for `diff`, the two differ; for `format`, the document has mistakes.
    Failed = 1,
    /// The command line is wrong; for `diff`, also any failure.
    Usage = 2,
    /// Some of what was asked for was done, and some was not.
    Partial = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// How many of several devices were done.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) done: usize,
    pub(crate) failed: usize,
}

impl Tally {
    /// The exit code of a command over several devices.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self { failed: 0, .. } => Exit::Done,
            Self { done: 0, .. } => Exit::Failed,
            _ => Exit::Partial,
        }
    }
}
