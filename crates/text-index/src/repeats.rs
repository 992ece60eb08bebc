//! Passages that occur more than once in the corpus.
//!
//! The longest repeated passage that begins at a position is shared with one of the two neighbours
//! of its suffix in suffix order. Going through the text from left to right, what is shared with a
//! neighbour shrinks by at most one symbol per position (Kasai et al., "Linear-time
//! longest-common-prefix computation in suffix arrays", 2001), so all comparisons together take
//! linear time. Where a repeated passage ends never falls from one position to the next; so only
//! every so-many-th position is looked at first, and of the rest only those that may begin a long
//! repeat. That leaves out nearly all of a natural text.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

use crate::Place;
use crate::character_counts::units;
use crate::corpus::Corpus;
use crate::maximal::drop_nested;
use crate::search::Search;
use crate::shard::Shard;
use crate::suffix_array::common_prefix;
use crate::symbol::Symbol;

/// Positions that are looked at closely at once; bounds the memory that a corpus full of repeats
/// takes.
const CLOSE_POSITIONS: usize = 1 << 24;

/// Positions that one thread goes through in a row.
const RUN: usize = 1 << 16;

/// Every maximal passage of at least `minimum` characters (or tokens) that occurs at least twice in
/// the corpus, at each of its places, in the order of the corpus.
pub(crate) fn repeats<S: Symbol>(corpus: &Corpus<S>, minimum: usize) -> Vec<Place> {
    let minimum = minimum.max(1);
    let mut places = Vec::new();
    for (number, shard) in corpus.shards.iter().enumerate() {
        let mut passages = within_shard(shard, minimum);
        if corpus.shards.len() > 1 {
            let others = corpus.shards.iter().enumerate();
            let others: Vec<&Shard<S>> = others
                .filter(|(other, _)| *other != number)
                .map(|(_, shard)| shard)
                .collect();
            passages.extend(in_other_shards(shard, &others, minimum));
            passages.sort_unstable_by_key(|passage| (passage.start, std::cmp::Reverse(passage.end)));
        }
        drop_nested(&mut passages, |passage| passage);
        places.par_extend(passages.into_par_iter().map(|passage| shard.place(passage)));
    }
    places
}

/// The maximal passages of the documents of `shard` that occur in one of the `others`.
fn in_other_shards<S: Symbol>(shard: &Shard<S>, others: &[&Shard<S>], minimum: usize) -> Vec<Range<usize>> {
    let of_document = |local: usize| {
        let span = shard.span(local);
        let search = Search::new(others, &shard.suffixes.text[span.clone()]);
        let mut passages = Vec::new();
        search.for_each_passage(minimum, |passage| {
            let symbols = search.symbols(&passage);
            passages.push(span.start + symbols.start..span.start + symbols.end);
            minimum
        });
        passages
    };
    (0..shard.starts.len())
        .into_par_iter()
        .flat_map_iter(of_document)
        .collect()
}

/// The maximal passages that occur at least twice in `shard`, and some that lie within those; by
/// their start.
fn within_shard<S: Symbol>(shard: &Shard<S>, minimum: usize) -> Vec<Range<usize>> {
    let length = shard.suffixes.text.len();
    // A power of two, so that places within a block are cheap to tell; small against the minimum,
    // so that few blocks that hold no repeat have to be looked at.
    let block = (1 << (minimum / 3).max(1).ilog2()).min(32);
    let reaches = block_reaches(shard, block);
    // A block may begin a repeat if the start of the next one reaches to where a repeat from its
    // own start would end.
    let blocks = length.div_ceil(block);
    let close: Vec<u32> = (0..blocks)
        .filter(|&number| {
            reaches.get(number + 1).copied().unwrap_or(length as u32) as usize >= number * block + minimum
        })
        .map(|number| number as u32)
        .collect();
    close
        .chunks((CLOSE_POSITIONS / block).max(1))
        .flat_map(|close| in_blocks(shard, block, close, minimum))
        .collect()
}

/// The positions next to some positions in suffix order.
struct Neighbours {
    before: Vec<AtomicU32>,
    after: Vec<AtomicU32>,
}

/// There is no neighbour.
const NONE: u32 = u32::MAX;

impl Neighbours {
    /// The neighbours of `count` positions of `shard`; `slot` numbers them, and is `None` for the
    /// other positions.
    fn of<S: Symbol>(shard: &Shard<S>, count: usize, slot: impl Fn(usize) -> Option<usize> + Sync) -> Self {
        let nothing = || (0..count).map(|_| AtomicU32::new(NONE)).collect();
        let neighbours = Self {
            before: nothing(),
            after: nothing(),
        };
        let positions: &[i32] = &shard.suffixes.positions;
        let runs = positions.len().div_ceil(RUN);
        // No two ranks have the same slot, so the order in which threads store does not matter.
        (0..runs).into_par_iter().for_each(|run| {
            for rank in run * RUN..positions.len().min((run + 1) * RUN) {
                let Some(slot) = slot(positions[rank] as usize) else {
                    continue;
                };
                if rank > 0 {
                    neighbours.before[slot].store(positions[rank - 1] as u32, Ordering::Relaxed);
                }
                if let Some(&next) = positions.get(rank + 1) {
                    neighbours.after[slot].store(next as u32, Ordering::Relaxed);
                }
            }
        });
        neighbours
    }
}

/// How much a position shares with each of its neighbours, carried from one position to the next.
#[derive(Clone, Copy, Default)]
struct Shared {
    before: usize,
    after: usize,
}

impl Shared {
    /// The same at `position`, which is `distance` symbols after the last one.
    fn advance<S: Symbol>(
        &mut self,
        text: &[S],
        distance: usize,
        position: usize,
        neighbours: &Neighbours,
        slot: usize,
    ) {
        let shared = |neighbour: &AtomicU32, before: usize| match neighbour.load(Ordering::Relaxed) {
            NONE => 0,
            neighbour => {
                let known = before.saturating_sub(distance);
                known + common_prefix(&text[position + known..], &text[neighbour as usize + known..])
            }
        };
        self.before = shared(&neighbours.before[slot], self.before);
        self.after = shared(&neighbours.after[slot], self.after);
    }

    fn longest(self) -> usize {
        self.before.max(self.after)
    }
}

/// Where the longest repeated passage from the first position of each block ends; separators count
/// like other symbols.
fn block_reaches<S: Symbol>(shard: &Shard<S>, block: usize) -> Vec<u32> {
    let text: &[S] = &shard.suffixes.text;
    let blocks = text.len().div_ceil(block);
    let first_of_block = |position: usize| position.is_multiple_of(block).then(|| position / block);
    let neighbours = Neighbours::of(shard, blocks, first_of_block);
    let mut reaches = vec![0; blocks];
    let run = RUN / block;
    reaches
        .par_chunks_mut(run)
        .enumerate()
        .for_each(|(number, reaches)| {
            let mut shared = Shared::default();
            for (within, reach) in reaches.iter_mut().enumerate() {
                let slot = number * run + within;
                shared.advance(text, block, slot * block, &neighbours, slot);
                *reach = (slot * block + shared.longest()) as u32;
            }
        });
    reaches
}

/// The repeated passages that begin in the blocks numbered `close`, without those that lie within
/// the one before.
fn in_blocks<S: Symbol>(shard: &Shard<S>, block: usize, close: &[u32], minimum: usize) -> Vec<Range<usize>> {
    let text: &[S] = &shard.suffixes.text;
    let chosen = ChosenBlocks::new(text.len().div_ceil(block), close);
    let slot = |position: usize| Some(chosen.slot(position / block)? * block + position % block);
    let neighbours = Neighbours::of(shard, close.len() * block, slot);
    let run = (RUN / block).min(close.len().div_ceil(rayon::current_num_threads()).max(1));
    close
        .par_chunks(run)
        .enumerate()
        .flat_map_iter(|(number, blocks)| {
            let mut found = Vec::new();
            let mut furthest = 0;
            let mut shared = Shared::default();
            let mut last = 0;
            for (within, &block_number) in blocks.iter().enumerate() {
                let start = block_number as usize * block;
                for position in start..text.len().min(start + block) {
                    let slot = (number * run + within) * block + position - start;
                    shared.advance(text, position - last, position, &neighbours, slot);
                    last = position;
                    if shared.longest() < minimum || !text[position].begins_unit() {
                        continue;
                    }
                    let end = cut(shard, position, position + shared.longest());
                    if end > furthest {
                        furthest = end;
                        if units(&text[position..end]) >= minimum {
                            found.push(position..end);
                        }
                    }
                }
            }
            found
        })
        .collect()
}

/// The end of a passage without what lies beyond its document, and without a character that it does
/// not hold whole.
fn cut<S: Symbol>(shard: &Shard<S>, start: usize, end: usize) -> usize {
    let text: &[S] = &shard.suffixes.text;
    let document_end = shard.span(shard.document_at(start)).end;
    if end >= document_end {
        return document_end.max(start);
    }
    // The separator begins a unit, so this ends at the end of the document at the latest.
    (start..=end)
        .rev()
        .find(|&end| text[end].begins_unit())
        .unwrap_or(start)
}

/// Some of the blocks of a text, numbered in their order.
struct ChosenBlocks {
    /// A bit per block.
    bits: Vec<u64>,
    /// Blocks chosen before those of each entry of `bits`.
    before: Vec<u32>,
}

impl ChosenBlocks {
    /// `chosen` ascend and are below `blocks`.
    fn new(blocks: usize, chosen: &[u32]) -> Self {
        let mut bits = vec![0_u64; blocks.div_ceil(64)];
        for &block in chosen {
            bits[block as usize / 64] |= 1 << (block % 64);
        }
        let mut total = 0;
        let before = bits
            .iter()
            .map(|bits| {
                let before = total;
                total += bits.count_ones();
                before
            })
            .collect();
        Self { bits, before }
    }

    fn slot(&self, block: usize) -> Option<usize> {
        let bits = self.bits[block / 64];
        let bit = 1 << (block % 64);
        (bits & bit != 0).then(|| self.before[block / 64] as usize + (bits & (bit - 1)).count_ones() as usize)
    }
}
