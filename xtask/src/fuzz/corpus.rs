//! The inputs that a target starts from, and those that it found.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use nodedev_fuzz::Target;
use nodedev_testkit::{repository, target};

/// Bounds of what the repository keeps for a target: bytes, and files.
const KEPT_BYTES: u64 = 16 << 10;
const KEPT_FILES: usize = 64;

/// The inputs of one target, in cargo's target folder. What was found stays there for the next run.
pub(super) struct Corpus {
    folder: PathBuf,
    kept: PathBuf,
    seeds: Vec<Vec<u8>>,
}

impl Corpus {
    /// Lays the target's seeds, and what the repository keeps, beside what was found before.
    pub(super) fn lay(of: &Target) -> Result<Self> {
        let kept = repository().join("fuzz/corpora").join(of.name);
        let corpus = Self { folder: target().join("fuzz/corpora").join(of.name), kept, seeds: (of.seeds)()? };
        let work = corpus.work();
        fs::create_dir_all(&work)?;
        corpus.lay_seeds(&work)?;
        for (file, _) in files(&corpus.kept)? {
            fs::copy(&file, work.join(file.file_name().unwrap_or_default()))?;
        }
        let words = of.words.iter().map(|word| format!("\"{}\"\n", quoted(word)));
        fs::write(corpus.words(), words.collect::<String>())?;
        Ok(corpus)
    }

    fn lay_seeds(&self, folder: &Path) -> Result<()> {
        for (number, seed) in self.seeds.iter().enumerate() {
            fs::write(folder.join(format!("{SEED}{number}")), seed)?;
        }
        Ok(())
    }

    /// The folder that libFuzzer reads and writes.
    pub(super) fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// The words of the format, as libFuzzer reads them.
    pub(super) fn words(&self) -> PathBuf {
        self.folder.join("words")
    }

    /// What libFuzzer printed.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Number and bytes of all inputs.
    pub(super) fn len(&self) -> Result<(u64, u64)> {
        let files = files(&self.work())?;
        Ok((files.len() as u64, files.iter().map(|(_, length)| length).sum()))
    }

    /// Keeps in the repository the smallest inputs that reach what the seeds do not, within its bounds. `merge` adds to a
    /// folder what others have that reach more.
    pub(super) fn keep(&self, merge: impl Fn(&Path, &[&Path]) -> Result<()>) -> Result<()> {
        let merged = self.folder.join("merged");
        if merged.exists() {
            fs::remove_dir_all(&merged)?;
        }
        fs::create_dir_all(&merged)?;
        self.lay_seeds(&merged)?;
        merge(&merged, &[&self.work()])?;
        let is_seed = |file: &Path| {
            file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(SEED.as_bytes()))
        };
        let found = files(&merged)?.into_iter().filter(|(file, _)| !is_seed(file)).collect();
        if self.kept.exists() {
            fs::remove_dir_all(&self.kept)?;
        }
        fs::create_dir_all(&self.kept)?;
        for file in chosen(found) {
            fs::copy(&file, self.kept.join(file.file_name().unwrap_or_default()))?;
        }
        Ok(())
    }
}

/// What names of seeds begin with; libFuzzer names inputs by their hash.
const SEED: &str = "seed-";

/// The smallest files, within the bounds.
fn chosen(mut files: Vec<(PathBuf, u64)>) -> Vec<PathBuf> {
    files.sort_by_cached_key(|(file, length)| (*length, file.clone()));
    let mut left = KEPT_BYTES;
    let within = files.into_iter().take(KEPT_FILES).take_while(|(_, length)| {
        let fits = *length <= left;
        left = left.saturating_sub(*length);
        fits
    });
    within.map(|(file, _)| file).collect()
}

/// The files in a folder with their lengths; none if there is no folder.
fn files(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    if folder.exists() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            files.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(files)
}

/// A word as libFuzzer's dictionaries have it.
fn quoted(word: &[u8]) -> String {
    let byte = |byte: &u8| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(*byte)),
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\x{byte:02X}"),
    };
    word.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_libfuzzer_reads_them() {
        for (word, want) in [(&b"a b"[..], "a b"), (b"\"\\", "\\\"\\\\"), (b"\n\0\xff~", "\\x0A\\x00\\xFF~")]
        {
            assert_eq!(quoted(word), want);
        }
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes_and_number() {
        let files = |lengths: &[u64]| {
            let file = |(at, length): (usize, &u64)| (PathBuf::from(format!("{at:03}")), *length);
            chosen(lengths.iter().enumerate().map(file).collect())
        };
        assert_eq!(files(&[3, 1, KEPT_BYTES]), [Path::new("001"), Path::new("000")]);
        assert_eq!(files(&[KEPT_BYTES]).len(), 1);
        assert_eq!(files(&[KEPT_BYTES + 1]).len(), 0);
        assert_eq!(files(&[1; 100]).len(), KEPT_FILES);
    }
}
