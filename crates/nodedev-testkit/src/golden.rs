//! Golden files: expected outputs kept in the repository.
//!
//! `UPDATE_GOLDEN=1 cargo test` writes what was found in place of what was expected; the change is then read as a diff
//! in the same commit. What a golden file says must have come from the real thing, never only from our own output.

use std::path::Path;
use std::{env, fs, io};

use crate::answers::Answers;
use crate::compare::{Tolerance, diff};

/// Whether golden files are to be rewritten.
pub fn updating() -> bool {
    env::var_os("UPDATE_GOLDEN").is_some_and(|value| !value.is_empty() && value != "0")
}

/// Holds `found` against the golden file `path`.
///
/// # Panics
/// If they differ, with the difference, unless golden files are being rewritten.
pub fn assert_golden(path: &Path, found: &[u8]) {
    if updating() {
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, found));
        assert!(written.is_ok(), "cannot write {}: {written:?}", path.display());
        return;
    }
    let expected = match fs::read(path) {
        Ok(expected) => expected,
        Err(error) => panic!("cannot read {}: {error}; UPDATE_GOLDEN=1 makes it", path.display()),
    };
    if expected != found {
        let text = diff(&String::from_utf8_lossy(&expected), &String::from_utf8_lossy(found));
        panic!("{} differs (UPDATE_GOLDEN=1 rewrites it):\n{text}", path.display());
    }
}

/// Holds `found` against the golden folder `dir`, as [`Answers::read`] reads it.
///
/// # Errors
/// If the folder can't be read, or written while golden files are being rewritten.
///
/// # Panics
/// If they differ, with every difference.
pub fn assert_answers(dir: &Path, found: &Answers, tolerance: Tolerance) -> io::Result<()> {
    if updating() {
        return found.write(dir);
    }
    let expected = Answers::read(dir)?;
    assert!(!expected.xml.is_empty(), "no golden files in {}", dir.display());
    let report = expected.differences(found, tolerance);
    assert!(report.is_empty(), "{} devices expected in {}\n{report}", expected.xml.len(), dir.display());
    Ok(())
}
