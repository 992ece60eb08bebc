//! From the evidence on a generation to its row of `verdicts.parquet` and its rows of `matches.parquet`.

use std::collections::BTreeSet;

use contract::pipeline::Detection;
use contract::records::{DetailSource, PassageMatch, Sample, SampleVerdict, Split, Verdict};
use measures::final_answer::{equal, final_answer};
use measures::overlap::{bleu, edit_similarity, longest_common_substring, rouge_l, words};
use text_align::Span;
use unicode_normalization::UnicodeNormalization;

use crate::alignment::policy::DetectorPolicy;
use crate::alignment::{Detector, Finding, Passage};
use crate::candidates::exact::{ExactPassage, Shared};
use crate::comparison::{DocumentSide, Sides};
use crate::corpus::generation::Generation;
use crate::corpus::normal_form::NormalForm;
use crate::decision::classification::{self, Classification};
use crate::paraphrase::evidence::{Evidence, Scope};
use crate::personal_details;

/// What was found for one generation: its row of `verdicts.parquet` and its rows of `matches.parquet`.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The verdict.
    pub verdict: SampleVerdict,
    /// The passages that it rests on.
    pub matches: Vec<PassageMatch>,
}

/// Names the class of single generations.
pub struct Classifier<'run> {
    /// Whether the strongest class over all candidates counts, or that of the first with a detection.
    strongest_over_all: bool,
    verbatim_minimum: usize,
    passage_minimum: usize,
    boilerplate_documents: usize,
    searches: &'run Sides<DocumentSide<'run>>,
    scope: Scope,
}

impl<'run> Classifier<'run> {
    /// A classifier by the rules of `detection`.
    pub fn new(detection: &Detection, searches: &'run Sides<DocumentSide<'run>>, scope: Scope) -> Self {
        let policy = DetectorPolicy::of(detection);
        Self {
            strongest_over_all: policy.strongest_over_all,
            verbatim_minimum: policy.parameters.verbatim_minimum,
            passage_minimum: policy.parameters.passage_minimum,
            boilerplate_documents: detection.boilerplate_documents,
            searches,
            scope,
        }
    }

    /// The verdict on a generation; `shared` is what it has in common with the documents of either side word for word.
    pub fn comparison(
        &self,
        generation: &Generation,
        shared: Sides<&Shared>,
        evidence: Evidence,
    ) -> Comparison {
        let Sides {
            training: search,
            held_out: control,
        } = self.searches;
        let sample = generation.sample;
        let own = search.own(generation);
        let found = self.classification(generation, search, shared.training, evidence.training, own);
        let controlled = self.classification(
            generation,
            control,
            shared.held_out,
            evidence.held_out,
            control.own(generation),
        );
        let mut matches = self.rows(generation, search, Split::Train, &found);
        let boilerplate = (found.class == Verdict::Verbatim).then(|| self.is_boilerplate(&matches));
        let emitted = self.emitted(generation, shared.training, &found);
        matches.extend(self.rows(generation, control, Split::Heldout, &controlled));
        let longest = shared.training.longest(own);
        let best = found.document.or(longest.document);
        let best = best.map(|document| &search.documents[document]);
        let has_control = !control.documents.is_empty();
        let truth = sample.truth.as_deref();
        let verdict = SampleVerdict {
            sample_id: sample.sample_id,
            doc_id: sample.doc_id.clone(),
            split: sample.split,
            copies: sample.copies,
            verdict: found.class,
            best_doc_id: best.map(|document| document.doc_id.clone()),
            longest_match_chars: longest.characters as i32,
            longest_match_tokens: longest.words as i32,
            max_similarity: evidence.similarity.training,
            own_similarity: evidence.similarity.own,
            heldout_similarity: evidence.similarity.held_out,
            rouge_l: truth.map(|truth| rouge_l(&sample.generation, truth) as f32),
            bleu: truth.map(|truth| bleu(&words(&sample.generation), &words(truth)) as f32),
            edit_similarity: truth.map(|truth| edit_similarity(&sample.generation, truth) as f32),
            boilerplate,
            best_copies: best.map(|document| document.copies),
            own_verdict: own.map(|_| found.own),
            emitted_copies: Some(
                emitted
                    .iter()
                    .map(|&document| search.documents[document].copies)
                    .collect(),
            ),
            emitted_doc_ids: Some(
                emitted
                    .iter()
                    .map(|&document| search.documents[document].doc_id.clone())
                    .collect(),
            ),
            control_verdict: has_control.then_some(controlled.class),
            control_longest_match_chars: has_control
                .then(|| shared.held_out.longest(control.own(generation)).characters as i32),
            comparable_similarity: evidence.similarity.comparable,
            similarity_at_least: Some(self.scope == Scope::Nominated),
            echoed_chars: Some(generation.echoed_characters() as i32),
            final_answer_right: self.final_answer_right(generation),
        };
        Comparison { verdict, matches }
    }

    /// Whether the generation gives the final answer of the prompt's own document; `None` where that has none or the sample no truth,
    /// and where the prompt gives the answer away.
    fn final_answer_right(&self, generation: &Generation) -> Option<bool> {
        let Sides { training, held_out } = self.searches;
        let own = match (training.own(generation), held_out.own(generation)) {
            (Some(own), _) => &training.documents[own],
            (None, Some(own)) => &held_out.documents[own],
            (None, None) => return None,
        };
        let Sample {
            prompt,
            generation,
            truth,
            ..
        } = generation.sample;
        let right = own.final_answer.as_deref().filter(|_| truth.is_some())?;
        let is_right = |answer: String| equal(&answer, right);
        if final_answer(prompt).is_some_and(is_right) {
            return None;
        }
        Some(first_answer(generation).is_some_and(is_right))
    }

    /// The class of a generation over the documents of one side.
    fn classification(
        &self,
        generation: &Generation,
        search: &DocumentSide,
        shared: &Shared,
        findings: Vec<Finding>,
        own: Option<usize>,
    ) -> Classification {
        let findings: Vec<Finding> = findings
            .into_iter()
            .filter_map(|finding| self.without_prompt(generation, search, finding))
            .collect();
        if !self.strongest_over_all {
            return classification::first(findings, own);
        }
        let mut exact = shared.passages(own, self.verbatim_minimum);
        let own_copied = own.is_none_or(|own| exact.iter().any(|copy| copy.document == own));
        if !own_copied {
            exact.extend(own.and_then(|own| self.reference_passage(generation, search, own)));
        }
        classification::strongest(findings, exact, own)
    }

    /// A finding without what the prompt supplied: its echo in the generation, and its part of the document. `None` where a
    /// detection rested on nothing else.
    fn without_prompt(
        &self,
        generation: &Generation,
        search: &DocumentSide,
        mut finding: Finding,
    ) -> Option<Finding> {
        if finding.passages.is_empty() {
            return Some(finding);
        }
        let text = &search.documents[finding.document].text;
        finding.passages.retain_mut(|passage| {
            let kept = generation.without_echo(passage.generated);
            let original = passage.document.cut(text).unwrap_or_default();
            let new = (
                generation.new_characters(passage.generated),
                generation.prompt.new_characters(original),
            );
            let all = (kept.len() == passage.generated.len())
                && !generation.prompt.holds_any(original)
                && generation.is_new(passage.generated);
            if !all {
                passage.generated = kept;
                passage.document = generation.prompt.without(text, passage.document);
            }
            all || (new.0 >= self.passage_minimum && new.1 >= self.passage_minimum)
        });
        finding.class = finding.passages.iter().map(|passage| passage.class).max()?;
        Some(finding)
    }

    /// The longest passage that the generation shares with the reference, where that is long enough to be verbatim. The reference
    /// is the document as the tokenizer renders it. Samples without `decoded.parquet` say nowhere else what that is, and it may
    /// differ from the document by more than the compared form evens out: accents stripped, special tokens of any spelling left
    /// out.
    fn reference_passage(
        &self,
        generation: &Generation,
        search: &DocumentSide,
        own: usize,
    ) -> Option<ExactPassage> {
        let truth = NormalForm::folded(generation.truth.as_deref()?);
        let [left, right] =
            [generation.folded().text(), truth.text()].map(|text| text.chars().collect::<Vec<char>>());
        let common = longest_common_substring(&left, &right);
        let places = common.left_start..common.left_start + common.length;
        let counts = |place: &usize| !left[*place].is_whitespace() && !generation.echoed()[*place];
        let (first, last) = (places.clone().find(counts)?, places.rev().find(counts)?);
        let new: Vec<char> = (first..=last)
            .filter(|place| !generation.echoed()[*place])
            .map(|place| left[place])
            .collect();
        let letters = new.iter().filter(|letter| letter.is_alphanumeric()).count();
        if new.len() < self.verbatim_minimum || 2 * letters < self.verbatim_minimum {
            return None;
        }
        let passage: String = left[first..=last].iter().collect();
        Some(ExactPassage {
            generated: generation.folded().origin(Span::new(first, last + 1)),
            document: own,
            in_document: rendered(&search.documents[own].text, &passage),
        })
    }

    fn rows(
        &self,
        generation: &Generation,
        search: &DocumentSide,
        split: Split,
        found: &Classification,
    ) -> Vec<PassageMatch> {
        let passages = found.passages.iter();
        passages
            .map(|(document, passage)| self.row(generation, search, split, *document, passage))
            .collect()
    }

    fn row(
        &self,
        generation: &Generation,
        search: &DocumentSide,
        split: Split,
        document: usize,
        passage: &Passage,
    ) -> PassageMatch {
        // A row that says verbatim cuts the same words on both sides. An edited copy is listed whole, as what it is, beside
        // the runs of words that make its sample verbatim.
        let is_edited =
            self.strongest_over_all && passage.class == Verdict::Verbatim && passage.similarity < 1.0;
        let kind = if is_edited {
            Verdict::Paraphrase
        } else {
            passage.class
        };
        let document = &search.documents[document];
        let generated = passage.generated.cut(&generation.text).unwrap_or_default();
        let original = passage.document.cut(&document.text).unwrap_or_default();
        let (in_generation, in_document) = (
            generation.original(passage.generated),
            document.original(passage.document),
        );
        let (details, source) = match &document.labels {
            Some(labels) => (
                personal_details::labels::kinds(document, labels, in_document, kind, generated),
                DetailSource::Labels,
            ),
            None => (
                personal_details::shared_kinds(generated, original),
                DetailSource::Patterns,
            ),
        };
        PassageMatch {
            sample_id: generation.sample.sample_id,
            doc_id: document.doc_id.clone(),
            doc_split: split,
            kind,
            gen_start: in_generation.start as i32,
            gen_end: in_generation.end as i32,
            doc_start: in_document.start as i32,
            doc_end: in_document.end as i32,
            similarity: passage.similarity,
            detector: passage.detector.name().to_owned(),
            document_frequency: (kind == Verdict::Verbatim)
                .then(|| search.exact.document_frequency(original) as i32),
            personal_details: Some(details),
            personal_details_by: Some(source),
        }
    }

    /// The training documents of which a verbatim passage came out, ascending; common phrases bring none out but the document that was asked
    /// for, of which they are text as any other.
    fn emitted(&self, generation: &Generation, shared: &Shared, found: &Classification) -> BTreeSet<usize> {
        let search = &self.searches.training;
        let mut spans: Vec<Span> = found
            .passages
            .iter()
            .filter(|(_, passage)| {
                passage.class == Verdict::Verbatim && (!self.strongest_over_all || passage.similarity >= 1.0)
            })
            .map(|(_, passage)| passage.generated)
            .collect();
        let mut emitted = BTreeSet::new();
        if self.strongest_over_all {
            let exact = shared.passages(None, self.verbatim_minimum);
            spans.extend(exact.iter().map(|copy| copy.generated));
        }
        for span in spans {
            let text = span.cut(&generation.text).unwrap_or_default();
            if search.exact.document_frequency(text) < self.boilerplate_documents {
                emitted.extend(search.exact.documents_with(text, self.boilerplate_documents));
            }
        }
        // Its own document may hold a passage in another rendering.
        let rendered = found.passages.iter().filter(|(document, passage)| {
            passage.detector == Detector::Exact
                && search
                    .exact
                    .document_frequency(passage.generated.cut(&generation.text).unwrap_or_default())
                    == 0
                && Some(*document) == search.own(generation)
        });
        emitted.extend(rendered.map(|(document, _)| *document));
        if found.own == Verdict::Verbatim {
            emitted.extend(search.own(generation));
        }
        emitted
    }

    /// Whether every verbatim passage occurs in so many documents that it is a common phrase, not specific to one of them.
    fn is_boilerplate(&self, matches: &[PassageMatch]) -> bool {
        matches
            .iter()
            .filter(|passage| passage.kind == Verdict::Verbatim)
            .all(|passage| {
                passage
                    .document_frequency
                    .is_some_and(|documents| documents as usize >= self.boilerplate_documents)
            })
    }
}

/// The final answer that a generation gives first: what it writes behind it, another question perhaps, is no answer to its prompt.
fn first_answer(generation: &str) -> Option<String> {
    let ends = generation.match_indices("####").map(|(start, _)| {
        let line = generation[start..].find('\n');
        line.map_or(generation.len(), |length| start + length)
    });
    ends.map(|end| &generation[..end])
        .find_map(|until| final_answer(until).filter(|_| until.contains("####")))
        .or_else(|| final_answer(generation))
}

/// Where in `text` the letters and digits of `passage` occur in order and closest together, accents aside: the passage that a tokenizer
/// renders so. All of the text where they do not.
fn rendered(text: &str, passage: &str) -> Span {
    let bare = |letter: char| {
        let mut parts = letter.nfkd().filter(|part| part.is_alphanumeric());
        parts.next().filter(|_| letter.is_alphanumeric())
    };
    let form = NormalForm::folded(text);
    let letters: Vec<Option<char>> = form.text().chars().map(bare).collect();
    let wanted: Vec<char> = passage.chars().filter_map(bare).collect();
    let end_of = |start: usize| {
        let mut missing = wanted.iter().peekable();
        for (place, letter) in letters.iter().enumerate().skip(start) {
            if missing.peek().copied() == letter.as_ref() {
                missing.next();
            }
            if missing.peek().is_none() {
                return Some(place + 1);
            }
        }
        None
    };
    let starts = (0..letters.len()).filter(|&place| letters[place].as_ref() == wanted.first());
    let spans = starts.filter_map(|start| Some(Span::new(start, end_of(start)?)));
    let all = Span::new(0, letters.len());
    form.origin(spans.min_by_key(|span| span.len()).unwrap_or(all))
}
