//! The suffix automaton of a word sequence (Blumer et al. 1985): built in linear time, it tells for each position of
//! another sequence the longest run that ends there and occurs in the first one too.

use std::collections::HashMap;
use std::ops::Range;

const ROOT: u32 = 0;

/// A run of words that occurs in both sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where in the sequence that was searched.
    pub(crate) searched: Range<usize>,
    /// Where it first occurs in the sequence that the automaton was built from.
    pub(crate) indexed: Range<usize>,
}

/// The states are classes of runs that end at the same positions.
pub(crate) struct SuffixAutomaton {
    states: Vec<State>,
    /// Where a word leads from a state. Never iterated, so its order does not matter.
    targets: HashMap<(u32, u32), u32>,
    /// The words that lead out of each state, as lists within this table.
    edges: Vec<Edge>,
}

#[derive(Clone, Copy)]
struct State {
    /// Length of the longest run of the class.
    length: usize,
    /// Class of the longest suffix that ends at more positions.
    link: Option<u32>,
    /// End (exclusive) of the first occurrence.
    first_end: usize,
    first_edge: Option<u32>,
}

struct Edge {
    word: u32,
    next: Option<u32>,
}

impl SuffixAutomaton {
    pub(crate) fn of(words: &[u32]) -> Self {
        let root = State {
            length: 0,
            link: None,
            first_end: 0,
            first_edge: None,
        };
        let mut automaton = Self {
            states: Vec::with_capacity(2 * words.len() + 1),
            targets: HashMap::with_capacity(3 * words.len()),
            edges: Vec::with_capacity(3 * words.len()),
        };
        automaton.states.push(root);
        let mut whole = ROOT;
        for &word in words {
            whole = automaton.append(whole, word);
        }
        automaton
    }

    /// Adds `word` after the sequence that is the longest of the class `whole`, and returns the class of the new one.
    fn append(&mut self, whole: u32, word: u32) -> u32 {
        let length = self.states[whole as usize].length + 1;
        let added = self.add(State {
            length,
            link: Some(ROOT),
            first_end: length,
            first_edge: None,
        });
        let mut suffix = Some(whole);
        while let Some(state) = suffix {
            if let Some(&target) = self.targets.get(&(state, word)) {
                let link = self.class_of_extension(state, word, target);
                self.states[added as usize].link = Some(link);
                return added;
            }
            self.connect(state, word, added);
            suffix = self.states[state as usize].link;
        }
        added
    }

    /// The class of the longest run of `state` followed by `word`, split off from `target` if that holds longer runs.
    fn class_of_extension(&mut self, state: u32, word: u32, target: u32) -> u32 {
        let length = self.states[state as usize].length + 1;
        if self.states[target as usize].length == length {
            return target;
        }
        let copy = self.add(State {
            length,
            first_edge: None,
            ..self.states[target as usize]
        });
        let mut edge = self.states[target as usize].first_edge;
        while let Some(index) = edge {
            let Edge { word, next } = self.edges[index as usize];
            let reached = self.targets[&(target, word)];
            self.connect(copy, word, reached);
            edge = next;
        }
        self.states[target as usize].link = Some(copy);
        let mut suffix = Some(state);
        while let Some(state) = suffix {
            match self.targets.get_mut(&(state, word)) {
                Some(reached) if *reached == target => *reached = copy,
                _ => break,
            }
            suffix = self.states[state as usize].link;
        }
        copy
    }

    fn add(&mut self, state: State) -> u32 {
        self.states.push(state);
        self.states.len() as u32 - 1
    }

    fn connect(&mut self, from: u32, word: u32, to: u32) {
        self.targets.insert((from, word), to);
        let next = self.states[from as usize].first_edge;
        self.states[from as usize].first_edge = Some(self.edges.len() as u32);
        self.edges.push(Edge { word, next });
    }

    /// The runs of `words` that also occur in the indexed sequence and lie in no longer such run of `words`, in order.
    pub(crate) fn longest_runs(&self, words: &[u32]) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut state = ROOT;
        let mut length = 0;
        for (position, &word) in words.iter().enumerate() {
            let (next, matched) = self.advance(state, length, word);
            // A run that is not longer than the one before started later: that one could not go on, so it is maximal.
            if matched <= length {
                runs.extend(self.run(state, length, position));
            }
            (state, length) = (next, matched);
        }
        runs.extend(self.run(state, length, words.len()));
        runs
    }

    /// The longest suffix of the run of `length` words in `state` that `word` continues.
    fn advance(&self, mut state: u32, mut length: usize, word: u32) -> (u32, usize) {
        loop {
            if let Some(&target) = self.targets.get(&(state, word)) {
                return (target, length + 1);
            }
            let Some(link) = self.states[state as usize].link else {
                return (ROOT, 0);
            };
            state = link;
            length = self.states[state as usize].length;
        }
    }

    fn run(&self, state: u32, length: usize, end: usize) -> Option<Run> {
        let first_end = self.states[state as usize].first_end;
        (length > 0).then(|| Run {
            searched: end - length..end,
            indexed: first_end - length..first_end,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn longest_runs(indexed: &str, searched: &str) -> Vec<(Range<usize>, Range<usize>)> {
        let words = |text: &str| text.chars().map(u32::from).collect::<Vec<_>>();
        SuffixAutomaton::of(&words(indexed))
            .longest_runs(&words(searched))
            .into_iter()
            .map(|run| (run.searched, run.indexed))
            .collect()
    }

    #[test]
    fn runs_by_hand() {
        // In xabcyabz: abc (at 1), and from ...bca none longer; "bz" is inside "abz" (at 5).
        assert_eq!(longest_runs("xabcyabz", "abcabz"), [(0..3, 1..4), (3..6, 5..8)]);
        // Overlapping runs both stay: abc and bcd.
        assert_eq!(longest_runs("abc-bcd", "abcd"), [(0..3, 0..3), (1..4, 4..7)]);
        assert_eq!(longest_runs("aaaa", "aa"), [(0..2, 0..2)]);
        assert_eq!(
            longest_runs("aa", "aaaa"),
            [(0..2, 0..2), (1..3, 0..2), (2..4, 0..2)]
        );
        assert_eq!(longest_runs("", "abc"), []);
        assert_eq!(longest_runs("abc", "xyz"), []);
    }

    /// The same by trying every run.
    fn by_exhaustion(indexed: &[u32], searched: &[u32]) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for start in 0..searched.len() {
            let longest = (start + 1..=searched.len()).rev().find_map(|end| {
                let length = end - start;
                let at = indexed
                    .windows(length)
                    .position(|window| window == &searched[start..end])?;
                Some(Run {
                    searched: start..end,
                    indexed: at..at + length,
                })
            });
            if let Some(run) = longest
                && runs
                    .last()
                    .is_none_or(|last| last.searched.end < run.searched.end)
            {
                runs.push(run);
            }
        }
        runs
    }

    proptest! {
        #[test]
        fn agrees_with_exhaustion(
            indexed in prop::collection::vec(0_u32..3, 0..40),
            searched in prop::collection::vec(0_u32..3, 0..40),
        ) {
            prop_assert_eq!(SuffixAutomaton::of(&indexed).longest_runs(&searched), by_exhaustion(&indexed, &searched));
        }
    }
}
