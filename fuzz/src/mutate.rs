//! Inputs made from others.

use nodedev_testkit::random::Random;

/// Makes inputs out of seeds and words.
pub(crate) struct Mutator<'a> {
    random: Random,
    seeds: &'a [Vec<u8>],
    words: &'a [&'a [u8]],
}

/// Values that sit at the edge of a length, a sign or an encoding.
const EDGES: &[u8] = &[0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff, 0x0a, 0x20];

impl<'a> Mutator<'a> {
    pub(crate) fn new(seed: u64, seeds: &'a [Vec<u8>], words: &'a [&'a [u8]]) -> Self {
        Self { random: Random::new(seed), seeds, words }
    }

    /// One input of at most `longest` bytes.
    pub(crate) fn input(&mut self, longest: usize) -> Vec<u8> {
        let mut input = self.seed();
        for _ in 0..=self.below(6) {
            self.mutate(&mut input);
        }
        input.truncate(longest);
        input
    }

    fn seed(&mut self) -> Vec<u8> {
        if self.seeds.is_empty() {
            return Vec::new();
        }
        let at = self.below(self.seeds.len());
        self.seeds[at].clone()
    }

    /// A number below `end`; 0 if that is 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.random.next() % end.max(1) as u64).unwrap_or(0)
    }

    /// A part of something of that length, mostly short.
    fn part(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        let longest = if self.below(4) == 0 { length - start } else { (length - start).min(16) };
        start..start + self.below(longest + 1)
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let length = input.len();
        match self.below(10) {
            0 if length > 0 => {
                let (at, bit) = (self.below(length), self.below(8));
                input[at] ^= 1 << bit;
            }
            1 if length > 0 => {
                let (at, edge) = (self.below(length), self.below(EDGES.len()));
                input[at] = EDGES[edge];
            }
            2 => {
                let part = self.part(length);
                input.drain(part);
            }
            3 => {
                let (from, at) = (self.part(length), self.below(length + 1));
                let copied = input[from].to_vec();
                input.splice(at..at, copied);
            }
            4 | 5 if !self.words.is_empty() => {
                let (word, place) = (self.below(self.words.len()), self.part(length));
                input.splice(place, self.words[word].iter().copied());
            }
            6 => {
                let other = self.seed();
                let (from, place) = (self.part(other.len()), self.part(length));
                input.splice(place, other[from].iter().copied());
            }
            7 => input.truncate(self.below(length + 1)),
            8 => {
                // The same part again and again: depth, counts, and what is not linear.
                let (from, at, times) = (self.part(length), self.below(length + 1), 1 << self.below(11));
                let repeated = input[from].repeat(times);
                input.splice(at..at, repeated);
            }
            _ => {
                let (at, count) = (self.below(length + 1), self.below(8));
                let random: Vec<u8> = (0..count).map(|_| self.random.next().to_le_bytes()[0]).collect();
                input.splice(at..at, random);
            }
        }
        input.truncate(1 << 17);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_inputs_again() {
        let seeds = vec![b"<device/>".to_vec(), vec![0; 64]];
        let inputs = |seed| {
            let mut mutator = Mutator::new(seed, &seeds, &[b"name"]);
            (0..200).map(|_| mutator.input(100)).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
        assert!(inputs(1).iter().all(|input| input.len() <= 100));
    }

    #[test]
    fn no_seeds_are_enough() {
        let mut mutator = Mutator::new(1, &[], &[]);
        assert!((0..100).any(|_| !mutator.input(100).is_empty()));
    }
}
