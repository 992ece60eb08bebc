//! Findings that only meaning can resolve, and the fewest sentences that have to be encoded for it.
//!
//! A passage is confirmed by any pair of its sentences. So the pair that shares most words is tried first, and only where it
//! does not suffice, and the finding could still decide the class, are the others encoded.

use std::collections::BTreeMap;

use contract::records::Verdict;

use crate::alignment::Finding;
use crate::candidates::exact::ExactPassage;
use crate::candidates::pairs::Pair;
use crate::candidates::word_overlap::SentenceWords;
use crate::corpus::sentences::{SentenceTable, SplitText};

/// A finding that has yet to be confirmed, in whole or in part.
#[derive(Debug, Clone)]
pub(crate) struct PendingPair {
    /// The generation and the document.
    pub(crate) pair: Pair,
    /// The finding as if all of it were confirmed.
    pub(crate) whole: Finding,
}

impl PendingPair {
    /// For each passage the two sentences that share most words without being equal.
    pub(crate) fn first_sentences(
        &self,
        table: &SentenceTable,
        generation: &SplitText,
        document: &SplitText,
    ) -> Vec<usize> {
        let mut numbers = Vec::new();
        for passage in &self.whole.passages {
            let words = |number: usize| (number, SentenceWords::of(&table.texts()[number]));
            let right: Vec<_> = document
                .within(passage.document)
                .iter()
                .map(|sentence| words(sentence.number))
                .collect();
            let mut best: Option<(f32, usize, usize)> = None;
            for (left, left_words) in generation
                .within(passage.generated)
                .iter()
                .map(|sentence| words(sentence.number))
            {
                for (right, right_words) in &right {
                    let overlap = left_words.agreement(right_words).overlap;
                    let better = best.is_none_or(|(best, ..)| overlap > best);
                    if better && !table.equal(left, *right) {
                        best = Some((overlap, left, *right));
                    }
                }
            }
            numbers.extend(best.into_iter().flat_map(|(_, left, right)| [left, right]));
        }
        numbers
    }

    /// All sentences of the passages.
    pub(crate) fn sentences(&self, generation: &SplitText, document: &SplitText) -> Vec<usize> {
        let sentences = self.whole.passages.iter().flat_map(|passage| {
            let generated = generation.within(passage.generated);
            generated.iter().chain(document.within(passage.document))
        });
        sentences.map(|sentence| sentence.number).collect()
    }
}

/// Of what was `found` for a generation, unconfirmed, the findings that its class may rest on and that are not all copies, and that
/// of the prompt's `own` document. Where there is a verbatim passage, or are `copies`, no other document without one can decide.
pub(crate) fn decisive<'found>(
    found: impl Iterator<Item = &'found Finding> + Clone,
    copies: &[ExactPassage],
    own: Option<usize>,
) -> Vec<&'found Finding> {
    // What alignment takes for a copy may repeat the prompt, or be blank space: exact passages alone count.
    let is_copied = |finding: &Finding| copies.iter().any(|copy| copy.document == finding.document);
    let any_copied = !copies.is_empty();
    found
        .filter(|finding| !any_copied || is_copied(finding) || own == Some(finding.document))
        .filter(|finding| {
            finding
                .passages
                .iter()
                .any(|passage| passage.class != Verdict::Verbatim)
        })
        .collect()
}

/// Of `pending`, those that `resolved` (of each, in their order) leaves smaller than they could be, and that could still decide the
/// class of their generation, with all of their passages they would come to no less than the best that is resolved; or that are
/// about the prompt's `own` document, which has a class of its own.
pub(crate) fn open<'pending>(
    pending: &'pending [PendingPair],
    resolved: &[Finding],
    own: impl Fn(usize) -> Option<usize>,
) -> Vec<&'pending PendingPair> {
    let strength = |finding: &Finding| (finding.class, finding.matched_characters());
    let mut best: BTreeMap<usize, (Verdict, usize)> = BTreeMap::new();
    for (open, resolved) in pending.iter().zip(resolved) {
        let best = best.entry(open.pair.generation).or_insert((Verdict::None, 0));
        *best = (*best).max(strength(resolved));
    }
    pending
        .iter()
        .zip(resolved)
        .filter(|(open, resolved)| {
            let most = strength(&open.whole);
            let is_own = own(open.pair.generation) == Some(open.pair.document);
            strength(resolved) < most && (is_own || most >= best[&open.pair.generation])
        })
        .map(|(open, _)| open)
        .collect()
}

#[cfg(test)]
mod tests {
    use text_align::Span;

    use super::*;
    use crate::alignment::{Detector, Passage};

    fn finding(class: Verdict, passages: &[(usize, usize)]) -> Finding {
        let passage = |&(start, end): &(usize, usize)| Passage {
            class,
            generated: Span::new(start, end),
            document: Span::new(start, end),
            similarity: 0.5,
            detector: Detector::Alignment,
        };
        Finding {
            document: 0,
            class,
            passages: passages.iter().map(passage).collect(),
        }
    }

    #[test]
    fn only_what_could_still_decide_stays_open() {
        let pair = |generation, document, passages: &[(usize, usize)]| PendingPair {
            pair: Pair {
                document,
                generation,
                place: 0,
            },
            whole: finding(Verdict::Paraphrase, passages),
        };
        let nothing = || finding(Verdict::None, &[]);
        let confirmed = |passages: &[(usize, usize)]| finding(Verdict::Paraphrase, passages);
        let (pending, resolved): (Vec<_>, Vec<_>) = [
            // Generation 0: 60 characters are confirmed; 50 cannot beat that, 60 and 90 can.
            (pair(0, 1, &[(0, 60)]), confirmed(&[(0, 60)])),
            (pair(0, 2, &[(0, 50)]), nothing()),
            (pair(0, 3, &[(0, 60)]), nothing()),
            (pair(0, 4, &[(0, 40), (50, 100)]), confirmed(&[(0, 40)])),
            // Generation 1: nothing is confirmed.
            (pair(1, 5, &[(0, 50)]), nothing()),
        ]
        .into_iter()
        .unzip();
        let open: Vec<usize> = open(&pending, &resolved, |generation| (generation == 0).then_some(2))
            .iter()
            .map(|open| open.pair.document)
            .collect();
        // Document 2 is the prompt's own: its class is asked for too.
        assert_eq!(open, [2, 3, 4, 5]);
    }
    #[test]
    fn a_copy_leaves_only_documents_that_are_copied_to_be_confirmed() {
        let at = |document, class, passages: &[(usize, usize)]| Finding {
            document,
            ..finding(class, passages)
        };
        let mut mixed = at(3, Verdict::Verbatim, &[(0, 60), (70, 130)]);
        mixed.passages[1].class = Verdict::Paraphrase;
        let found = [
            at(0, Verdict::Paraphrase, &[(0, 60)]),
            at(1, Verdict::Idea, &[(0, 60)]),
            at(2, Verdict::Verbatim, &[(0, 60)]),
            mixed,
        ];
        let copy = ExactPassage {
            generated: Span::new(0, 60),
            document: 1,
            in_document: Span::new(0, 60),
        };
        let documents = |found: &[Finding], copies: &[ExactPassage]| {
            decisive(found.iter(), copies, Some(0))
                .iter()
                .map(|finding| finding.document)
                .collect::<Vec<_>>()
        };
        assert_eq!(documents(&found[..2], &[]), [0, 1]);
        assert_eq!(documents(&found[1..2], &[copy]), [1]);
        // Without an exact passage nothing is a copy yet; document 2 has nothing to confirm, and document 0 is the prompt's own.
        assert_eq!(documents(&found, &[]), [0, 1, 3]);
        assert_eq!(documents(&found, &[copy]), [0, 1]);
    }
}
