//! One text looked up in some shards.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

use crate::character_counts::units;
use crate::maximal::maximal_passages;
use crate::shard::Shard;
use crate::suffix_array::common_prefix;
use crate::symbol::Symbol;
use crate::{Match, Place};

/// Symbols from which a passage is long: comparing it costs more than finding what to compare.
const MIN_LONG_PASSAGE: usize = 256;

/// The longest pattern that is recognised when a text repeats it, in symbols.
const MAX_PERIOD: usize = 64;

pub(crate) struct Search<'corpus, S> {
    shards: &'corpus [&'corpus Shard<S>],
    query: &'corpus [S],
    /// Where characters (or tokens) of the query begin, and its end.
    boundaries: Vec<usize>,
    run: RefCell<Option<Run>>,
}

/// A stretch of the query that repeats a short pattern.
///
/// Every start in it may begin a long passage that ends only a little further than the one before.
/// To compare each with the corpus would take time quadratic in the stretch. But what occurs at a
/// start occurs there again a period later: as long as a passage and the symbol after it lie within
/// the stretch, they are known from an earlier start.
struct Run {
    period: usize,
    symbols: Range<usize>,
    /// Length of the longest passage from the starts with each remainder by the period.
    lengths: HashMap<usize, usize>,
    /// First places of passages, by the remainder of their start and their length.
    places: HashMap<(usize, usize), Option<Place>>,
}

impl<'corpus, S: Symbol> Search<'corpus, S> {
    pub(crate) fn new(shards: &'corpus [&'corpus Shard<S>], query: &'corpus [S]) -> Self {
        let mut boundaries = Vec::with_capacity(units(query) + 1);
        let begins = |&place: &usize| query[place].begins_unit();
        boundaries.extend((0..query.len()).filter(begins));
        boundaries.push(query.len());
        Self {
            shards,
            query,
            boundaries,
            run: RefCell::new(None),
        }
    }

    /// Hands the maximal passages that occur to `take`, in characters; see [`maximal_passages`].
    pub(crate) fn for_each_passage(&self, minimum: usize, take: impl FnMut(Range<usize>) -> usize) {
        let last = self.boundaries.len() - 1;
        let reach = |start: usize| {
            let from = self.boundaries[start];
            let length = self.longest_prefix(from);
            // The passage may end within a character, which then does not belong to it.
            let ends = &self.boundaries[start..=last.min(start + length)];
            start + ends.partition_point(|&end| end <= from + length) - 1
        };
        maximal_passages(last, minimum, reach, take);
    }

    /// Characters of the query as symbols.
    pub(crate) fn symbols(&self, characters: &Range<usize>) -> Range<usize> {
        self.boundaries[characters.start]..self.boundaries[characters.end]
    }

    /// Where the passage at `in_text`, which occurs, first occurs in the corpus.
    pub(crate) fn locate(&self, in_text: Range<usize>) -> Option<Match> {
        let place = self.first_place(self.symbols(&in_text))?;
        Some(Match {
            in_text,
            document: place.document,
            in_document: place.in_document,
        })
    }

    fn first_place(&self, symbols: Range<usize>) -> Option<Place> {
        let passage = &self.query[symbols.clone()];
        let first = || self.shards.iter().find_map(|shard| shard.first_place(passage));
        let mut run = self.run.borrow_mut();
        match run.as_mut().filter(|run| run.holds(&symbols)) {
            Some(run) => {
                let key = (run.remainder(symbols.start), passage.len());
                run.places.entry(key).or_insert_with(first).clone()
            }
            None => first(),
        }
    }

    /// Length of the longest passage from the symbol `from` on that occurs.
    fn longest_prefix(&self, from: usize) -> usize {
        let mut run = self.run.borrow_mut();
        if let Some(length) = run.as_ref().and_then(|run| run.known_length(from)) {
            return length;
        }
        let lengths = self
            .shards
            .iter()
            .map(|shard| shard.suffixes.longest_prefix(&self.query[from..]));
        let length = lengths.max().unwrap_or(0);
        if length >= MIN_LONG_PASSAGE {
            if run.as_ref().is_none_or(|run| !run.symbols.contains(&from)) {
                *run = Run::at(self.query, from);
            }
            if let Some(run) = run.as_mut() {
                run.learn(from, length);
            }
        }
        length
    }
}

impl Run {
    /// The stretch that begins at `from` and repeats a pattern of at most [`MAX_PERIOD`] symbols,
    /// if it is long.
    fn at<S: Symbol>(query: &[S], from: usize) -> Option<Self> {
        let rest = &query[from..];
        (1..=MAX_PERIOD.min(rest.len())).find_map(|period| {
            let repeated = common_prefix(rest, &rest[period..]);
            (repeated >= MIN_LONG_PASSAGE).then(|| Self {
                period,
                symbols: from..from + period + repeated,
                lengths: HashMap::new(),
                places: HashMap::new(),
            })
        })
    }

    fn holds(&self, symbols: &Range<usize>) -> bool {
        self.symbols.start <= symbols.start && symbols.end <= self.symbols.end
    }

    fn remainder(&self, start: usize) -> usize {
        (start - self.symbols.start) % self.period
    }

    /// Takes note that the longest passage from `start` on has `length` symbols, if the one after
    /// those still lies within.
    fn learn(&mut self, start: usize, length: usize) {
        if self.holds(&(start..start + length + 1)) {
            self.lengths.insert(self.remainder(start), length);
        }
    }

    fn known_length(&self, start: usize) -> Option<usize> {
        if start < self.symbols.start {
            return None;
        }
        let length = *self.lengths.get(&self.remainder(start))?;
        self.holds(&(start..start + length + 1)).then_some(length)
    }
}
