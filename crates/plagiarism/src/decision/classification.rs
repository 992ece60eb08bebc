//! From what was found in single documents to the class of a generation.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use contract::records::Verdict;
use measures::overlap::covered_length;
use text_align::Span;

use crate::alignment::{Detector, Finding, Passage};
use crate::candidates::exact::ExactPassage;

/// Characters on either side that a passage must have left, where what made it verbatim does not count, to be alike in other words.
const MIN_PARAPHRASE: usize = 150;

/// The class of a generation, and what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    /// The class.
    pub class: Verdict,
    /// The document that gave the class; `None` if and only if the class is `None`.
    pub document: Option<usize>,
    /// The class of what is shared with the prompt's own document.
    pub own: Verdict,
    /// The passages with the index of the document of each, by their place in the generation. Where the class is verbatim, the
    /// verbatim ones among them have the same words on both sides (similarity 1), beside edited copies that hold them.
    pub passages: Vec<(usize, Passage)>,
}

impl Classification {
    fn nothing(own: Verdict) -> Self {
        Self {
            class: Verdict::None,
            document: None,
            own,
            passages: Vec::new(),
        }
    }

    fn of(finding: Finding, own: Verdict) -> Self {
        let document = finding.document;
        let passages = finding
            .passages
            .into_iter()
            .map(|passage| (document, passage))
            .collect();
        Self {
            class: finding.class,
            document: Some(document),
            own,
            passages,
        }
    }
}

/// The published rule (Lee et al., WWW 2023): the first candidate with a detection gives the class, and if that is not
/// confirmed there is none. `findings` come in the order of the candidates.
pub fn first(findings: Vec<Finding>, own: Option<usize>) -> Classification {
    let of_own = findings.iter().find(|finding| Some(finding.document) == own);
    let of_own = of_own.map_or(Verdict::None, |finding| finding.class);
    match findings.into_iter().next() {
        Some(finding) if finding.class != Verdict::None => Classification::of(finding, of_own),
        _ => Classification::nothing(of_own),
    }
}

/// This project's rule: the strongest class over all candidates, and an exact passage is verbatim wherever it occurs.
///
/// Among documents of the strongest class the one with most evidence wins, the characters that it covers times how alike they
/// are; then the one that copies most of them word for word, then the prompt's `own` document, then the first. Exact passages
/// of other documents are listed too where more than half of them is new.
pub fn strongest(findings: Vec<Finding>, mut exact: Vec<ExactPassage>, own: Option<usize>) -> Classification {
    exact.sort_by_key(|copy| Reverse(copy.generated.len()));
    let mut by_document: BTreeMap<usize, Finding> = findings
        .into_iter()
        .map(|finding| (finding.document, with_copies_alone_verbatim(finding, &exact)))
        .collect();
    for copy in &exact {
        let finding = by_document
            .entry(copy.document)
            .or_insert_with(|| verbatim(copy.document));
        finding.class = Verdict::Verbatim;
        for passage in &mut finding.passages {
            if holds(passage, copy) {
                passage.class = Verdict::Verbatim;
                if is_nearly(passage, copy) && is_only_copy(passage, copy, &exact) {
                    *passage = self::passage(copy);
                } else if passage.similarity < 1.0 && is_mostly_in(copy, passage) {
                    // An edited copy holds the runs that it was edited from, whole.
                    passage.generated = cover(passage.generated, copy.generated);
                    passage.document = cover(passage.document, copy.in_document);
                }
            }
        }
        if is_new(copy, &finding.passages) {
            finding.passages.push(passage(copy));
        }
    }

    let of_own = own.and_then(|own| by_document.get(&own));
    let of_own = of_own.map_or(Verdict::None, |finding| finding.class);
    let rank = |finding: &Finding| {
        (
            finding.copied_characters(),
            own == Some(finding.document),
            Reverse(finding.document),
        )
    };
    let found = by_document
        .into_values()
        .filter(|finding| finding.class != Verdict::None);
    let Some(winner) = found.max_by(|left, right| {
        let class = left.class.cmp(&right.class);
        let evidence = || left.evidence().total_cmp(&right.evidence());
        class
            .then_with(evidence)
            .then_with(|| rank(left).cmp(&rank(right)))
    }) else {
        return Classification::nothing(of_own);
    };
    let mut classification = Classification::of(winner, of_own);
    for copy in &exact {
        if is_new(copy, classification.passages.iter().map(|(_, listed)| listed)) {
            classification.passages.push((copy.document, passage(copy)));
        }
    }
    classification
        .passages
        .sort_by_key(|(document, passage)| (passage.generated, *document, passage.document));
    classification
}

/// The finding with verbatim passages where one of the `exact` passages is in them. Another one was verbatim by what repeats the
/// prompt or by blank space: what is left of it is alike in other words, if it is long enough for that.
fn with_copies_alone_verbatim(mut finding: Finding, exact: &[ExactPassage]) -> Finding {
    let document = finding.document;
    let had_passages = !finding.passages.is_empty();
    finding.passages.retain_mut(|passage| {
        let is_copied = || {
            exact
                .iter()
                .any(|copy| copy.document == document && holds(passage, copy))
        };
        if passage.class != Verdict::Verbatim || is_copied() {
            return true;
        }
        let is_long = passage.generated.len() >= MIN_PARAPHRASE && passage.document.len() >= MIN_PARAPHRASE;
        passage.class = Verdict::Paraphrase;
        is_long && passage.similarity < 1.0
    });
    if had_passages {
        let class = finding.passages.iter().map(|passage| passage.class).max();
        finding.class = class.unwrap_or(Verdict::None);
    }
    finding
}

fn verbatim(document: usize) -> Finding {
    Finding {
        document,
        class: Verdict::Verbatim,
        passages: Vec::new(),
    }
}

fn passage(copy: &ExactPassage) -> Passage {
    Passage {
        class: Verdict::Verbatim,
        generated: copy.generated,
        document: copy.in_document,
        similarity: 1.0,
        detector: Detector::Exact,
    }
}

/// Whether a passage and an exact passage of the same document share characters on both sides.
fn holds(passage: &Passage, copy: &ExactPassage) -> bool {
    passage.generated.intersection(copy.generated).is_some()
        && passage.document.intersection(copy.in_document).is_some()
}

/// Whether an exact passage makes up three quarters of a passage that holds it, on both sides: the rest is a few words that
/// both texts happen to have beside the copy.
fn is_nearly(passage: &Passage, copy: &ExactPassage) -> bool {
    passage.similarity < 1.0
        && 4 * copy.generated.len() >= 3 * passage.generated.len()
        && 4 * copy.in_document.len() >= 3 * passage.document.len()
}

/// Whether at least half of an exact passage lies in a passage, on both sides.
fn is_mostly_in(copy: &ExactPassage, passage: &Passage) -> bool {
    let half = |inner: Span, outer: Span| {
        let common = inner.intersection(outer).map_or(0, Span::len);
        2 * common >= inner.len()
    };
    half(copy.generated, passage.generated) && half(copy.in_document, passage.document)
}

/// From the start of the first span to the end of the last.
fn cover(left: Span, right: Span) -> Span {
    Span::new(left.start.min(right.start), left.end.max(right.end))
}

/// Whether no other of the `exact` passages is in a passage: one with several copies is one copy that was edited.
fn is_only_copy(passage: &Passage, copy: &ExactPassage, exact: &[ExactPassage]) -> bool {
    let mut others = exact
        .iter()
        .filter(|other| other.document == copy.document && *other != copy);
    !others.any(|other| holds(passage, other))
}

/// Whether more than half of an exact passage lies outside the copies listed already, edited ones aside: the passage that a class
/// rests on is always listed. Alignment finds the same copies, a little shorter (whole words only) or longer.
fn is_new<'listed>(copy: &ExactPassage, listed: impl IntoIterator<Item = &'listed Passage>) -> bool {
    let known: Vec<_> = listed
        .into_iter()
        .filter(|passage| passage.class == Verdict::Verbatim && passage.similarity >= 1.0)
        .filter_map(|passage| passage.generated.intersection(copy.generated))
        .map(|span| span.start..span.end)
        .collect();
    2 * covered_length(&known) < copy.generated.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A finding in `document` with one passage over `generated`, which is at the same place there.
    fn finding(document: usize, class: Verdict, generated: (usize, usize)) -> Finding {
        let span = Span::new(generated.0, generated.1);
        let passage = Passage {
            class,
            generated: span,
            document: span,
            similarity: 0.5,
            detector: Detector::Alignment,
        };
        let passages = if class == Verdict::None {
            Vec::new()
        } else {
            vec![passage]
        };
        Finding {
            document,
            class,
            passages,
        }
    }

    fn copy(document: usize, generated: (usize, usize)) -> ExactPassage {
        let span = Span::new(generated.0, generated.1);
        ExactPassage {
            generated: span,
            document,
            in_document: span,
        }
    }

    use Verdict::{Idea, None as Nothing, Paraphrase, Verbatim};

    #[test]
    fn strongest_class_then_length_then_own_document_then_order() {
        for (findings, own, class, document) in [
            (vec![], None, Nothing, None),
            (vec![finding(0, Nothing, (0, 90))], None, Nothing, None),
            (
                vec![finding(0, Idea, (0, 90)), finding(1, Paraphrase, (0, 60))],
                None,
                Paraphrase,
                Some(1),
            ),
            (
                vec![finding(2, Verbatim, (0, 60)), finding(1, Paraphrase, (0, 90))],
                None,
                Verbatim,
                Some(2),
            ),
            (
                vec![finding(2, Idea, (0, 60)), finding(1, Idea, (30, 99))],
                None,
                Idea,
                Some(1),
            ),
            (
                vec![finding(2, Idea, (0, 60)), finding(1, Idea, (30, 90))],
                None,
                Idea,
                Some(1),
            ),
            (
                vec![finding(2, Idea, (0, 60)), finding(1, Idea, (30, 90))],
                Some(2),
                Idea,
                Some(2),
            ),
        ] {
            let copies = findings.iter().filter(|finding| finding.class == Verbatim);
            let copies = copies.map(|finding| copy(finding.document, (0, finding.passages[0].generated.end)));
            let classification = strongest(findings.clone(), copies.collect(), own);
            assert_eq!(
                (classification.class, classification.document),
                (class, document),
                "{findings:?}"
            );
            assert_eq!(classification.passages.is_empty(), class == Nothing);
        }
    }

    #[test]
    fn first_detection_decides_even_if_it_is_not_confirmed() {
        let weak_then_strong = vec![finding(4, Idea, (0, 60)), finding(1, Verbatim, (0, 99))];
        let classification = first(weak_then_strong, Some(1));
        assert_eq!((classification.document, classification.own), (Some(4), Verbatim));
        let unconfirmed = vec![finding(4, Nothing, (0, 60)), finding(1, Verbatim, (0, 99))];
        assert_eq!(first(unconfirmed, Some(4)), Classification::nothing(Nothing));
        assert_eq!(first(Vec::new(), None), Classification::nothing(Nothing));
    }

    #[test]
    fn exact_passages_count_and_are_listed_once() {
        // Alignment found a paraphrase in document 0; document 1 holds a copy: that is stronger.
        let classification = strongest(
            vec![finding(0, Paraphrase, (0, 200))],
            vec![copy(1, (10, 70))],
            Some(0),
        );
        assert_eq!(
            (classification.class, classification.document, classification.own),
            (Verbatim, Some(1), Paraphrase)
        );
        assert_eq!(classification.passages, [(1, passage(&copy(1, (10, 70))))]);

        // What alignment listed as verbatim is not listed again, but cut exactly; a copy from elsewhere is, if more than half is new.
        let aligned = finding(0, Verbatim, (0, 200));
        let copies = vec![copy(0, (0, 203)), copy(1, (150, 249)), copy(2, (150, 260))];
        let classification = strongest(vec![aligned], copies, None);
        assert_eq!(classification.document, Some(0));
        let listed: Vec<_> = classification
            .passages
            .iter()
            .map(|(document, passage)| (*document, passage.generated.end))
            .collect();
        assert_eq!(listed, [(0, 203), (2, 260)]);
    }

    #[test]
    fn much_that_is_a_little_alike_proves_less_than_most_of_it_word_for_word() {
        let alike = |document, end, similarity| {
            let mut finding = finding(document, Paraphrase, (0, end));
            finding.passages[0].similarity = similarity;
            finding
        };
        // 100 characters at 0.9 against 150 at 0.5, and against 200.
        for (end, winner) in [(150, 1), (200, 0)] {
            let classification = strongest(vec![alike(0, end, 0.5), alike(1, 100, 0.9)], Vec::new(), None);
            assert_eq!(classification.document, Some(winner), "{end}");
        }
    }

    #[test]
    fn edited_copy_is_listed_whole_and_so_are_the_copies_that_its_class_rests_on() {
        let extents = |copies: Vec<ExactPassage>| {
            let classification = strongest(vec![finding(0, Paraphrase, (0, 200))], copies, None);
            assert_eq!(classification.class, Verbatim);
            let extent = |(_, passage): &(usize, Passage)| {
                (
                    passage.generated.start,
                    passage.generated.end,
                    passage.similarity >= 1.0,
                )
            };
            classification.passages.iter().map(extent).collect::<Vec<_>>()
        };
        // 150 of 200 characters are three quarters, 149 are not; of two copies neither delimits the passage.
        assert_eq!(extents(vec![copy(0, (0, 150))]), [(0, 150, true)]);
        assert_eq!(
            extents(vec![copy(0, (0, 149))]),
            [(0, 149, true), (0, 200, false)]
        );
        assert_eq!(
            extents(vec![copy(0, (0, 150)), copy(0, (155, 200))]),
            [(0, 150, true), (0, 200, false), (155, 200, true)]
        );
        // A run that is mostly in it belongs to it, whole; another one is a passage of its own.
        assert_eq!(
            extents(vec![copy(0, (120, 230))]),
            [(0, 230, false), (120, 230, true)]
        );
        assert_eq!(
            extents(vec![copy(0, (150, 260))]),
            [(0, 200, false), (150, 260, true)]
        );
        assert_eq!(
            extents(vec![copy(0, (0, 150)), copy(0, (205, 260))]),
            [(0, 150, true), (205, 260, true)]
        );
    }

    #[test]
    fn verbatim_passage_without_an_exact_one_is_a_paraphrase_if_it_is_long() {
        // What alignment took for a copy repeats the prompt, say.
        for (length, class) in [(149, Nothing), (150, Paraphrase)] {
            let classification = strongest(vec![finding(3, Verbatim, (0, length))], Vec::new(), Some(3));
            assert_eq!(
                (classification.class, classification.own),
                (class, class),
                "{length}"
            );
        }
    }
}
