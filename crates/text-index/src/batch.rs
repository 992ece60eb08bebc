//! Many texts looked up together, in one shard after another.
//!
//! A search jumps about in its shard, and a disk takes longer for a few thousand jumps than for all of the file in order. So where there
//! are many texts, each shard is read ahead as a whole: however large the corpus, its files are read once for all texts, and one shard is
//! as much of it as has to fit in memory. (To read the next one meanwhile saves little and takes twice as much.)

use std::cmp::Reverse;
use std::ops::Range;

use rayon::prelude::*;

use crate::Match;
use crate::corpus::Corpus;
use crate::maximal::drop_nested;
use crate::search::Search;
use crate::shard::Shard;
use crate::symbol::Symbol;

/// Symbols of a shard for each symbol of the texts up to which it is read ahead. A text jumps about once for each of its symbols, and in
/// the time of a jump a disk reads some thousands of symbols with their part of the index.
const READ_AHEAD_PER_SYMBOL: usize = 4096;

impl<S: Symbol> Corpus<S> {
    /// The maximal passages of each of `queries` with at least `minimum` characters that occur, by their place in it.
    pub(crate) fn matches_of_each(
        &self,
        queries: &[&[S]],
        minimum: usize,
        after_shard: impl FnMut(),
    ) -> Vec<Vec<Match>> {
        let look = |shard: &Shard<S>, query: &[S], found: &mut Vec<Match>| {
            let shards = [shard];
            let search = Search::new(&shards, query);
            let mut passages = Vec::new();
            search.for_each_passage(minimum, |passage| {
                passages.push(passage);
                minimum
            });
            // What an earlier shard holds, alone or within more, has its first place there. Of known passages, which ascend by start and
            // by end, the last one that begins no later reaches furthest.
            passages.retain(|passage| {
                let no_later = found.partition_point(|known| known.in_text.start <= passage.start);
                let reach = no_later.checked_sub(1).map_or(0, |last| found[last].in_text.end);
                reach < passage.end
            });
            found.extend(passages.into_iter().filter_map(|passage| search.locate(passage)));
            // Of equal ones that of the earlier shard stays.
            found.sort_by_key(|found| (found.in_text.start, Reverse(found.in_text.end)));
            drop_nested(found, |found| &found.in_text);
        };
        self.in_each_shard(queries, look, after_shard)
    }

    /// The longest passage of each of `queries` that occurs; of several the first in it.
    pub(crate) fn longest_match_of_each(
        &self,
        queries: &[&[S]],
        after_shard: impl FnMut(),
    ) -> Vec<Option<Match>> {
        let look = |shard: &Shard<S>, query: &[S], longest: &mut Option<Match>| {
            let shards = [shard];
            let search = Search::new(&shards, query);
            let minimum = longest.as_ref().map_or(1, Match::len);
            let mut found = None;
            search.for_each_passage(minimum, |passage| {
                let length = passage.len();
                found = Some(passage);
                length + 1
            });
            let is_better = |passage: &Range<usize>| {
                longest.as_ref().is_none_or(|longest| {
                    passage.len() > longest.len() || passage.start < longest.in_text.start
                })
            };
            if let Some(passage) = found.filter(is_better) {
                *longest = search.locate(passage);
            }
        };
        self.in_each_shard(queries, look, after_shard)
    }

    /// What `look` gathers about each query in all shards, one after another, on the threads of the current rayon pool.
    fn in_each_shard<Found: Default + Send>(
        &self,
        queries: &[&[S]],
        look: impl Fn(&Shard<S>, &[S], &mut Found) + Sync,
        mut after_shard: impl FnMut(),
    ) -> Vec<Found> {
        let symbols: usize = queries.iter().map(|query| query.len()).sum();
        let mut found: Vec<Found> = queries.iter().map(|_| Found::default()).collect();
        for shard in &self.shards {
            if shard.suffixes.text.len() / READ_AHEAD_PER_SYMBOL <= symbols {
                shard.prefetch();
            }
            let of_each = found.par_iter_mut().zip(queries);
            of_each.for_each(|(found, query)| look(shard, query, found));
            after_shard();
        }
        found
    }
}
