//! Finds values in text and in bytes, in linear time, and puts others in their places.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, MatchKind};

use super::identities::replace_letter;
use crate::spelling::View;

/// A value that is looked for as it is written.
pub(super) struct Pattern {
    pub(super) value: Vec<u8>,
    pub(super) new: Vec<u8>,
    pub(super) beside: Beside,
}

/// What may stand beside a value, where it is to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    Anything,
    /// No hexadecimal digit: part of a longer number it means something else.
    NoDigit,
    /// No letter and no digit.
    NoLetter,
}

impl Beside {
    fn holds(self, text: &[u8], start: usize, end: usize) -> bool {
        let beside = [start.checked_sub(1).and_then(|at| text.get(at)), text.get(end)];
        let mut beside = beside.into_iter().flatten();
        match self {
            Self::Anything => true,
            Self::NoDigit => !beside.any(u8::is_ascii_hexdigit),
            Self::NoLetter => !beside.any(u8::is_ascii_alphanumeric),
        }
    }
}

/// What is looked for, what replaces it, and what may stand beside it.
type Patterns = BTreeMap<Vec<u8>, (Vec<u8>, Beside)>;

#[derive(Default)]
struct Finder {
    automaton: Option<AhoCorasick>,
    /// What replaces each pattern, and what may stand beside it.
    new: Vec<(Vec<u8>, Beside)>,
}

impl Finder {
    fn build(patterns: Patterns) -> Self {
        let (patterns, new): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
        // Building fails only beyond the limits of the automaton, far from what a host has; what is written is searched
        // again by other means.
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns).ok();
        Self { automaton, new }
    }
}

/// Replaces values.
#[derive(Default)]
pub(super) struct Replacer {
    patterns: [Patterns; 3],
    long: Finder,
    short: Finder,
    binary: Finder,
}

impl Replacer {
    /// Adds letters and digits that are looked for whatever separates them.
    pub(super) fn add_long(&mut self, plain: &[u8], new: &[u8]) {
        self.patterns[0].entry(plain.to_vec()).or_insert_with(|| (new.to_vec(), Beside::Anything));
    }

    pub(super) fn add_short(&mut self, pattern: Pattern) {
        if !pattern.value.is_empty() {
            self.patterns[1].entry(pattern.value).or_insert((pattern.new, pattern.beside));
        }
    }

    pub(super) fn add_binary(&mut self, value: Vec<u8>, new: Vec<u8>) {
        self.patterns[2].entry(value).or_insert((new, Beside::Anything));
    }

    /// To be called when all are there.
    pub(super) fn build(&mut self) {
        let [long, short, binary] = std::mem::take(&mut self.patterns);
        self.long = Finder::build(long);
        self.short = Finder::build(short);
        self.binary = Finder::build(binary);
    }

    /// Replaces all values in a text.
    pub(super) fn text(&self, text: &[u8]) -> Vec<u8> {
        self.replace_short(&self.replace_long(text))
    }

    /// Replaces all values in bytes, which may also be text. The length stays.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut masked = bytes.to_vec();
        if let Some(automaton) = &self.binary.automaton {
            for found in automaton.find_iter(bytes) {
                masked[found.range()].copy_from_slice(&self.binary.new[found.pattern()].0);
            }
        }
        let text = self.text(&masked);
        if text.len() == masked.len() { text } else { self.replace_long(&masked) }
    }

    fn replace_long(&self, text: &[u8]) -> Vec<u8> {
        let mut masked = text.to_vec();
        let Some(automaton) = &self.long.automaton else { return masked };
        let view = View::new(text);
        for found in automaton.find_iter(&view.letters) {
            let new = &self.long.new[found.pattern()].0;
            for (place, letter) in view.places[found.range()].iter().zip(new) {
                replace_letter(&mut masked[*place], *letter);
            }
        }
        masked
    }

    fn replace_short(&self, text: &[u8]) -> Vec<u8> {
        let Some(automaton) = &self.short.automaton else { return text.to_vec() };
        let mut masked = Vec::with_capacity(text.len());
        let mut done = 0;
        for found in automaton.find_iter(text) {
            let (new, beside) = &self.short.new[found.pattern()];
            if !beside.holds(text, found.start(), found.end()) {
                continue;
            }
            masked.extend_from_slice(&text[done..found.start()]);
            masked.extend_from_slice(new);
            done = found.end();
        }
        masked.extend_from_slice(&text[done..]);
        masked
    }
}

/// Whether no letter or digit is beside a part of a text.
pub(crate) fn stands_alone(text: &[u8], start: usize, end: usize) -> bool {
    Beside::NoLetter.holds(text, start, end)
}
