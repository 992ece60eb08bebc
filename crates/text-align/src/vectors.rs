//! The sentences of a pair of texts as weighted term vectors.
//!
//! The weight of a term in a sentence is its count × ln(N / df): N is the number of sentences of both texts together,
//! df the number of those that contain the term. So weights belong to the pair, not to a text.

use std::ops::Range;

use crate::Span;
use crate::lexicon::Numbering;
use crate::parameters::{Mode, Parameters, Sides};
use crate::prepared::PreparedText;

/// A term of a sentence: its number in the pair, and its weight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) term: u32,
    pub(crate) weight: f64,
}

/// The sentences of one side, short ones joined to their successors.
#[derive(Debug)]
pub(crate) struct SentenceVectors {
    spans: Vec<Span>,
    /// Sentence `i` has the entries `starts[i]..starts[i + 1]`, ascending by term.
    starts: Vec<usize>,
    entries: Vec<Entry>,
    /// Squared length of each vector.
    pub(crate) squares: Vec<f64>,
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

    /// Takes the sentences over from `text`, with plain counts for weights. `numbers` translates its stems.
    fn join_short(text: &PreparedText, numbers: &[u32], minimum_words: usize, mode: Mode) -> Self {
        let sentences = text.sentence_terms();
        let mut joined = Self {
            spans: Vec::with_capacity(sentences.len()),
            starts: Vec::with_capacity(sentences.len() + 1),
            entries: Vec::new(),
            squares: Vec::new(),
        };
        joined.starts.push(0);
        let last = sentences.len().saturating_sub(1);
        let mut open: Option<Span> = None;
        let mut words = 0;
        for (index, (span, terms)) in sentences.enumerate() {
            let is_joined = open.is_some();
            let span = match open.take() {
                None => span,
                Some(first) if mode.joining_loses_white_space() => {
                    Span::new(first.start, first.end + span.len())
                }
                Some(first) => Span::new(first.start, span.end),
            };
            let entries = terms.iter().map(|&(rank, count)| Entry {
                term: numbers[rank as usize],
                weight: f64::from(count),
            });
            joined.entries.extend(entries);
            words += terms.iter().map(|&(_, count)| count as usize).sum::<usize>();
            if words < minimum_words && index < last {
                open = Some(span);
                continue;
            }
            if is_joined {
                joined.merge_open_entries();
            }
            joined.spans.push(span);
            joined.starts.push(joined.entries.len());
            words = 0;
        }
        joined
    }

    /// Puts the entries of the sentence that is being built in order and adds up those of the same term.
    fn merge_open_entries(&mut self) {
        let start = self.starts.last().copied().unwrap_or(0);
        self.entries[start..].sort_unstable_by_key(|entry| entry.term);
        let mut kept = start;
        for next in start + 1..self.entries.len() {
            let entry = self.entries[next];
            if self.entries[kept].term == entry.term {
                self.entries[kept].weight += entry.weight;
            } else {
                kept += 1;
                self.entries[kept] = entry;
            }
        }
        self.entries.truncate(kept + 1);
    }

    /// Turns counts into weights.
    fn weigh(&mut self, frequencies: &[u32], logarithms: &[f64]) {
        for entry in &mut self.entries {
            entry.weight *= logarithms[frequencies[entry.term as usize] as usize];
        }
        self.squares = (0..self.len())
            .map(|i| self.entries(i..i + 1).iter().map(|e| e.weight * e.weight).sum())
            .collect();
    }
}

/// Both sides of a pair, and where each term stands in the source.
#[derive(Debug)]
pub(crate) struct PairVectors {
    pub(crate) sides: Sides<SentenceVectors>,
    /// How many terms the pair has; they are numbered from 0.
    pub(crate) terms: usize,
    /// Term `t` has the postings `posting_starts[t]..posting_starts[t + 1]`, ascending by sentence.
    posting_starts: Vec<usize>,
    postings: Vec<Posting>,
}

/// A source sentence that contains a term, and the weight of the term there.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Posting {
    pub(crate) sentence: u32,
    pub(crate) weight: f64,
}

impl PairVectors {
    /// `None` if the texts share no term, so that no two of their sentences can be alike.
    pub(crate) fn of(
        suspicious: &PreparedText,
        source: &PreparedText,
        parameters: &Parameters,
    ) -> Option<Self> {
        let numbering = Numbering::of(&suspicious.stems, &source.stems);
        if numbering.shared == 0 {
            return None;
        }
        let join = |text, numbers: &[u32]| {
            SentenceVectors::join_short(text, numbers, parameters.minimum_sentence_words, parameters.mode)
        };
        let mut sides = Sides {
            suspicious: join(suspicious, &numbering.first),
            source: join(source, &numbering.second),
        };

        let mut frequencies = vec![0_u32; numbering.size];
        for entry in sides.suspicious.entries.iter().chain(&sides.source.entries) {
            frequencies[entry.term as usize] += 1;
        }
        let count = sides.suspicious.len() + sides.source.len();
        // Index 0 is never read: every numbered term stands in some sentence.
        let logarithms: Vec<f64> = (0..=count)
            .map(|frequency| (count as f64 / frequency as f64).ln())
            .collect();
        sides.suspicious.weigh(&frequencies, &logarithms);
        sides.source.weigh(&frequencies, &logarithms);
        Some(Self::index(sides, numbering.size))
    }

    fn index(sides: Sides<SentenceVectors>, terms: usize) -> Self {
        let mut posting_starts = vec![0; terms + 1];
        for entry in &sides.source.entries {
            posting_starts[entry.term as usize + 1] += 1;
        }
        for term in 0..terms {
            posting_starts[term + 1] += posting_starts[term];
        }
        let mut postings = vec![Posting::default(); sides.source.entries.len()];
        let mut free = posting_starts.clone();
        for sentence in 0..sides.source.len() {
            for entry in sides.source.entries(sentence..sentence + 1) {
                let place = &mut free[entry.term as usize];
                postings[*place] = Posting {
                    sentence: sentence as u32,
                    weight: entry.weight,
                };
                *place += 1;
            }
        }
        Self {
            sides,
            terms,
            posting_starts,
            postings,
        }
    }

    /// The source sentences that contain `term`, in order.
    pub(crate) fn postings(&self, term: u32) -> &[Posting] {
        let term = term as usize;
        &self.postings[self.posting_starts[term]..self.posting_starts[term + 1]]
    }
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
        // N = 4, gold has df 2: 3 ln 2; fish: ln 2. In order of the stems fish comes first.
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
}
