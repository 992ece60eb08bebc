//! The sentences of a pair of texts as weighted term vectors.
//!
//! The weight of a term in a sentence is its count × ln(N / df): N is the number of sentences of both texts together,
//! df the number of those that contain the term. So weights belong to the pair, not to a text.
//!
//! Most pairs are unrelated, and their sentences share too few terms for a seed. So a pair is first read with plain
//! counts, into tables that are used again for the next pair, and weighed only where [`PairVectors::has_likely_seed`].

use std::ops::Range;

use crate::Span;
use crate::parameters::{Mode, Parameters, Sides};
use crate::prepared::{PreparedText, Term};

/// A term of a sentence: its number in the pair, and its weight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) term: u32,
    pub(crate) weight: f64,
}

/// The sentences of one side, short ones joined to their successors.
#[derive(Debug, Default)]
pub(crate) struct SentenceVectors {
    spans: Vec<Span>,
    /// Sentence `i` has the entries `starts[i]..starts[i + 1]`, in the alphabetical order of their stems.
    starts: Vec<usize>,
    entries: Vec<Entry>,
    /// Squared length of each vector.
    pub(crate) squares: Vec<f64>,
    joined: Vec<Term>,
}

impl SentenceVectors {
    /// Number of sentences.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn entries(&self, sentences: Range<usize>) -> &[Entry] {
        &self.entries[self.starts[sentences.start]..self.starts[sentences.end]]
    }

    /// From the start of the first of `sentences` to the end of the last; there must be one.
    pub(crate) fn span(&self, sentences: &Range<usize>) -> Span {
        Span::new(
            self.spans[sentences.start].start,
            self.spans[sentences.end - 1].end,
        )
    }

    /// Number of different terms of a sentence.
    pub(crate) fn distinct_terms(&self, sentence: usize) -> usize {
        self.starts[sentence + 1] - self.starts[sentence]
    }

    /// Takes the sentences over from `text`, with plain counts for weights. `number` translates its stems.
    fn read(&mut self, text: &PreparedText, number: impl Fn(u32) -> u32, minimum_words: usize, mode: Mode) {
        self.spans.clear();
        self.starts.clear();
        self.starts.push(0);
        self.entries.clear();
        self.joined.clear();
        let last = text.sentence_count().saturating_sub(1);
        let mut open: Option<Span> = None;
        let mut words = 0;
        for (index, (span, terms)) in text.sentence_terms().enumerate() {
            let span = match open.take() {
                None => span,
                Some(first) if mode.joining_loses_white_space() => {
                    Span::new(first.start, first.end + span.len())
                }
                Some(first) => Span::new(first.start, span.end),
            };
            words += terms.iter().map(|term| term.count as usize).sum::<usize>();
            let is_short = words < minimum_words && index < last;
            if is_short || !self.joined.is_empty() {
                self.joined.extend_from_slice(terms);
            }
            if is_short {
                open = Some(span);
                continue;
            }
            let terms = if self.joined.is_empty() {
                terms
            } else {
                add_up(&mut self.joined, text);
                &self.joined
            };
            self.entries.extend(terms.iter().map(|term| Entry {
                term: number(term.stem),
                weight: f64::from(term.count),
            }));
            self.joined.clear();
            self.spans.push(span);
            self.starts.push(self.entries.len());
            words = 0;
        }
    }

    /// The sentences by their entries: in each group those whose entries are the same, in order.
    pub(crate) fn groups_of_equals(&self) -> Vec<Vec<u32>> {
        let entries = |sentence: u32| self.entries(sentence as usize..sentence as usize + 1);
        let key = |entry: &Entry| (entry.term, entry.weight.to_bits());
        let mut sentences: Vec<u32> = (0..self.len() as u32).collect();
        sentences.sort_by(|&a, &b| entries(a).iter().map(key).cmp(entries(b).iter().map(key)));
        sentences
            .chunk_by(|&a, &b| entries(a).iter().map(key).eq(entries(b).iter().map(key)))
            .map(<[u32]>::to_vec)
            .collect()
    }

    /// Turns counts into weights.
    fn weigh(&mut self, frequencies: &[u32], logarithms: &[f64]) {
        for entry in &mut self.entries {
            entry.weight *= logarithms[frequencies[entry.term as usize] as usize];
        }
        self.squares.clear();
        let squares = self.starts.windows(2).map(|bounds| {
            self.entries[bounds[0]..bounds[1]]
                .iter()
                .map(|entry| entry.weight * entry.weight)
                .sum::<f64>()
        });
        self.squares.extend(squares);
    }
}

/// Puts the terms of joined sentences in alphabetical order and adds up those of the same stem.
fn add_up(terms: &mut Vec<Term>, text: &PreparedText) {
    let letters = |term: &Term| text.stems.word(term.stem as usize);
    terms.sort_unstable_by(|a, b| letters(a).cmp(letters(b)));
    terms.dedup_by(|next, kept| {
        let is_same = next.stem == kept.stem;
        kept.count += if is_same { next.count } else { 0 };
        is_same
    });
}

/// Both sides of a pair, and where each term occurs in the source.
///
/// Terms are numbered: those of the suspicious text as there, and then those that only the source has.
#[derive(Debug, Default)]
pub(crate) struct PairVectors {
    pub(crate) sides: Sides<SentenceVectors>,
    /// How many numbers there are.
    pub(crate) terms: usize,
    /// Number of each stem of the source.
    source_numbers: Vec<u32>,
    /// Term `t` has the postings `posting_starts[t]..posting_starts[t + 1]`, ascending by sentence.
    posting_starts: Vec<u32>,
    postings: Vec<Posting>,
    /// How many sentences of both sides have each term.
    frequencies: Vec<u32>,
    logarithms: Vec<f64>,
    /// For [`Self::has_likely_seed`].
    shared: Vec<u32>,
}

/// A source sentence that contains a term, the term's place there, and its weight once there are weights.
#[derive(Debug, Clone, Copy, Default)]
struct Posting {
    sentence: u32,
    entry: u32,
    weight: f64,
}

impl PairVectors {
    /// Reads a pair in place of the one before. False if the texts share no term, so that no two of their sentences
    /// can be alike.
    pub(crate) fn read(
        &mut self,
        suspicious: &PreparedText,
        source: &PreparedText,
        parameters: &Parameters,
    ) -> bool {
        let first_new = suspicious.stems.len() as u32;
        self.terms = suspicious.stems.len() + source.stems.len();
        self.source_numbers.clear();
        self.source_numbers.extend(first_new..self.terms as u32);
        let mut has_shared = false;
        let numbers = &mut self.source_numbers;
        suspicious.stems.for_each_shared(&source.stems, |left, right| {
            numbers[right as usize] = left;
            has_shared = true;
        });
        if !has_shared {
            return false;
        }
        let (minimum, mode) = (parameters.min_sentence_words, parameters.mode);
        self.sides.suspicious.read(suspicious, |stem| stem, minimum, mode);
        let numbers = &self.source_numbers;
        self.sides
            .source
            .read(source, |stem| numbers[stem as usize], minimum, mode);
        self.index(first_new);
        true
    }

    /// Lists the source sentences of each term below `known`, those that the suspicious text may have too.
    fn index(&mut self, known: u32) {
        let source = &self.sides.source;
        self.posting_starts.clear();
        self.posting_starts.resize(known as usize + 2, 0);
        // Counted two places on, summed up, and then moved one place by filling in: what is left are the starts.
        for entry in source.entries.iter().filter(|entry| entry.term < known) {
            self.posting_starts[entry.term as usize + 2] += 1;
        }
        for term in 2..self.posting_starts.len() {
            self.posting_starts[term] += self.posting_starts[term - 1];
        }
        let count = self.posting_starts.last().map_or(0, |&count| count as usize);
        self.postings.clear();
        self.postings.resize(count, Posting::default());
        for (sentence, bounds) in source.starts.windows(2).enumerate() {
            for entry in bounds[0]..bounds[1] {
                let term = source.entries[entry].term;
                if term < known {
                    let place = &mut self.posting_starts[term as usize + 1];
                    self.postings[*place as usize] = Posting {
                        sentence: sentence as u32,
                        entry: entry as u32,
                        weight: 0.0,
                    };
                    *place += 1;
                }
            }
        }
    }

    /// Whether two sentences share so many terms that their Dice coefficient exceeds `minimum_dice`.
    pub(crate) fn has_likely_seed(&mut self, minimum_dice: f64) -> bool {
        let Self {
            sides,
            posting_starts,
            postings,
            shared,
            ..
        } = self;
        for bounds in sides.suspicious.starts.windows(2) {
            shared.clear();
            shared.resize(sides.source.len(), 0);
            for entry in &sides.suspicious.entries[bounds[0]..bounds[1]] {
                for posting in postings_of(posting_starts, postings, entry.term) {
                    shared[posting.sentence as usize] += 1;
                }
            }
            let terms = bounds[1] - bounds[0];
            let is_alike = |(source, &shared): (usize, &u32)| {
                shared > 0 && dice(shared, terms + sides.source.distinct_terms(source)) > minimum_dice
            };
            if shared.iter().enumerate().any(is_alike) {
                return true;
            }
        }
        false
    }

    /// Turns the counts of a pair just read into weights.
    pub(crate) fn weigh(&mut self) {
        self.frequencies.clear();
        self.frequencies.resize(self.terms, 0);
        let (suspicious, source) = (&mut self.sides.suspicious, &mut self.sides.source);
        for entry in suspicious.entries.iter().chain(&source.entries) {
            self.frequencies[entry.term as usize] += 1;
        }
        let count = suspicious.len() + source.len();
        self.logarithms.clear();
        // Index 0 is never read: every term of an entry occurs in some sentence.
        let logarithms = (0..=count).map(|frequency| (count as f64 / frequency as f64).ln());
        self.logarithms.extend(logarithms);
        suspicious.weigh(&self.frequencies, &self.logarithms);
        source.weigh(&self.frequencies, &self.logarithms);
        for posting in &mut self.postings {
            posting.weight = source.entries[posting.entry as usize].weight;
        }
    }

    /// The source sentences in `sources` that contain `term`, in order, and its weight in each.
    pub(crate) fn weights(&self, term: u32, sources: &Range<usize>) -> impl Iterator<Item = (usize, f64)> {
        let postings = postings_of(&self.posting_starts, &self.postings, term);
        let (first, end) = (sources.start, sources.end);
        let skipped = postings.partition_point(|posting| (posting.sentence as usize) < first);
        postings[skipped..]
            .iter()
            .map(|posting| (posting.sentence as usize, posting.weight))
            .take_while(move |&(sentence, _)| sentence < end)
    }

    #[cfg(test)]
    pub(crate) fn of(
        suspicious: &PreparedText,
        source: &PreparedText,
        parameters: &Parameters,
    ) -> Option<Self> {
        let mut vectors = Self::default();
        let has_shared = vectors.read(suspicious, source, parameters);
        has_shared.then(|| {
            vectors.weigh();
            vectors
        })
    }
}

fn postings_of<'a>(starts: &[u32], postings: &'a [Posting], term: u32) -> &'a [Posting] {
    let term = term as usize;
    &postings[starts[term] as usize..starts[term + 1] as usize]
}

/// Dice coefficient 2|A∩B| / (|A| + |B|) of two sets.
pub(crate) fn dice(shared: u32, sizes: usize) -> f64 {
    2.0 * f64::from(shared) / sizes as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparisons::tests::{near, text};

    #[test]
    fn short_sentences_join_the_next_and_only_exact_mode_loses_white_space() {
        // 0..9 "gold drum" has two words and is joined to 11..15 "lamp"; 17..26 "fish horn" is the last and stays alone.
        let prepared = text(&["gold drum", "lamp", "fish horn"]);
        for (mode, end) in [(Mode::Fixed, 15), (Mode::Exact, 13)] {
            let parameters = Parameters {
                mode,
                ..Parameters::lee2023()
            };
            let vectors = PairVectors::of(&prepared, &prepared, &parameters).expect("shared terms");
            let side = &vectors.sides.source;
            assert_eq!(side.spans, [Span::new(0, end), Span::new(17, 26)]);
            assert_eq!(side.distinct_terms(0), 3);
        }
        // Words count, not distinct terms, and two short sentences in a row are still too short.
        let doubled = text(&["gold", "gold", "gold fish", "horn"]);
        let vectors = PairVectors::of(&doubled, &doubled, &Parameters::lee2023()).expect("shared terms");
        assert_eq!(vectors.sides.source.spans, [Span::new(0, 21), Span::new(23, 27)]);
        // N = 4, gold has df 2: 3 ln 2; fish: ln 2. In alphabetical order fish comes first.
        let weights: Vec<f64> = vectors
            .sides
            .source
            .entries(0..1)
            .iter()
            .map(|entry| entry.weight)
            .collect();
        near(weights[0], 2.0_f64.ln());
        near(weights[1], 3.0 * 2.0_f64.ln());
    }

    #[test]
    fn a_seed_is_likely_where_the_dice_coefficient_of_two_sentences_is_high() {
        let suspicious = text(&["lamp zinc moon", "fish drum gold"]);
        // The second pair of sentences shares two of its three and four terms, 4/7; others less.
        let source = text(&["lamp horn clay corn", "bark fish gold horn"]);
        let mut vectors = PairVectors::default();
        assert!(vectors.read(&suspicious, &source, &Parameters::lee2023()));
        for (minimum, expected) in [(0.0, true), (0.57, true), (4.0 / 7.0, false)] {
            assert_eq!(vectors.has_likely_seed(minimum), expected, "{minimum}");
        }
        assert!(!vectors.read(&suspicious, &text(&["horn clay corn"]), &Parameters::lee2023()));
    }
}
