//! What one cell observed, turned into contributions: of its samples, of its scores, of its canaries.

use std::collections::BTreeMap;

use contract::Error;
use contract::records::{DocumentKind, PassageMatch, PromptForm, SampleVerdict, Split, Verdict};
use measures::memorization::APPROXIMATE_MEMORIZATION_BLEU;
use measures::{Tally, discoverable, memorization, overlap};

use crate::canaries;
use crate::measure::{Against, DISCOVERY_SAMPLES, EXTRACTED_CHARS, Measure, SIMILARITY_HUNDREDTHS};
use crate::run::{CellData, Corpus, JudgedSample};
use crate::scores::DocumentScore;
use crate::tallies::{Contributions, Tallies, Where};

/// The probability p of (n, p)-discoverable extraction.
pub const DISCOVERY_PROBABILITY: f64 = 0.5;

/// All averages of a cell.
///
/// Samples prompted with a canary are left out of the rates: canaries are measured by their exposure.
///
/// # Errors
/// [`Error::Run`] where polars refuses to group.
pub fn tallies_of(cell: &CellData, corpus: &Corpus) -> Result<Tallies, Error> {
    let mut contributions = Contributions::default();
    let told = Told::of(cell);
    for sample in &cell.samples {
        let source = sample
            .doc_id
            .as_ref()
            .and_then(|doc_id| corpus.documents.get(doc_id));
        if source.is_none_or(|document| document.kind == DocumentKind::Document) {
            add_sample(&mut contributions, sample, told);
        }
    }
    let scored = || {
        cell.scores
            .iter()
            .flatten()
            .filter(|score| score.kind == DocumentKind::Document)
    };
    // Scoring ends at the model's context. A document as long as the longest may have been cut there, and then its bytes
    // are more than those of its scored tokens.
    // A continuation that the document's end cuts short is easier to give whole, so it is not counted among the whole ones.
    let mut whole_continuation: BTreeMap<i32, usize> = BTreeMap::new();
    for score in scored() {
        let longest = whole_continuation.entry(score.prefix_tokens).or_default();
        *longest = score.tokens.max(*longest);
    }
    let longest = scored()
        .filter(|score| score.is_whole_document())
        .map(|score| score.tokens)
        .max()
        .unwrap_or(0);
    for score in scored() {
        let text = corpus
            .documents
            .get(&score.doc_id)
            .filter(|_| score.tokens < longest);
        if score.is_whole_document() {
            add_document(
                &mut contributions,
                score,
                text.map(|document| document.text.len()),
            );
        } else if Some(&score.tokens) == whole_continuation.get(&score.prefix_tokens) {
            add_continuation(&mut contributions, score);
        }
    }
    for (canary, exposure) in canaries::exposures(cell.scores.as_deref().unwrap_or_default()) {
        let at = Where {
            split: Split::Train,
            strategy: None,
        };
        contributions.add(
            Measure::Exposure,
            at,
            canary.copies,
            &canary.doc_id,
            Tally::new(exposure, 1.0),
        );
    }
    contributions.tallies()
}

/// What the detector looked at. One that did not look found nothing, which is no rate of nothing.
#[derive(Debug, Clone, Copy)]
struct Told {
    boilerplate: bool,
    personal_details: bool,
}

impl Told {
    fn of(cell: &CellData) -> Self {
        let verbatim = |sample: &&JudgedSample| sample.verdict.verdict == Verdict::Verbatim;
        Self {
            boilerplate: cell
                .samples
                .iter()
                .filter(verbatim)
                .all(|sample| sample.verdict.boilerplate.is_some()),
            personal_details: cell
                .samples
                .iter()
                .flat_map(|sample| &sample.matches)
                .all(|found| found.personal_details.is_some()),
        }
    }
}

fn add_sample(contributions: &mut Contributions, sample: &JudgedSample, told: Told) {
    let at = Where {
        split: sample.split,
        strategy: Some(&sample.strategy),
    };
    // A generation from no prompt belongs to no document: it stands for itself.
    let own = format!("sample {}", sample.id);
    let document = sample.doc_id.as_deref().unwrap_or(&own);
    let SampleVerdict { verdict, .. } = sample.verdict;
    let generated = sample.generation.chars().count();
    let mut add = |measure, part: f64, whole: f64| {
        contributions.add(measure, at, sample.copies, document, Tally::new(part, whole));
    };
    add(Measure::Verbatim, share(verdict == Verdict::Verbatim), 1.0);
    if told.boilerplate {
        let boilerplate = sample.verdict.boilerplate == Some(true);
        add(Measure::Boilerplate, share(boilerplate), 1.0);
    }
    if told.personal_details {
        add(
            Measure::PersonalDetails,
            share(!sample.personal_details().is_empty()),
            1.0,
        );
    }
    add(Measure::Paraphrase, share(verdict == Verdict::Paraphrase), 1.0);
    add(Measure::Idea, share(verdict == Verdict::Idea), 1.0);
    add(Measure::Any, share(verdict != Verdict::None), 1.0);
    add(
        Measure::Extracted,
        share(sample.verdict.longest_match_chars >= EXTRACTED_CHARS),
        1.0,
    );
    add(
        Measure::LongestMatchChars,
        f64::from(sample.verdict.longest_match_chars),
        1.0,
    );
    add(
        Measure::MatchedCharsShare,
        matched_chars(&sample.matches) as f64,
        generated as f64,
    );

    let similarities = [
        (Against::Training, sample.verdict.max_similarity),
        (Against::Own, sample.verdict.own_similarity),
        (Against::HeldOut, sample.verdict.heldout_similarity),
    ];
    for (against, similarity) in similarities {
        let Some(similarity) = similarity.filter(|similarity| similarity.is_finite()) else {
            continue;
        };
        add(Measure::Similarity(against), f64::from(similarity), 1.0);
        for hundredths in SIMILARITY_HUNDREDTHS {
            // Compared as stored: a cosine of 0.7 is under 0.7 once it is widened.
            let reached = similarity >= f32::from(hundredths) / 100.0;
            add(
                Measure::SimilarityReaching(against, hundredths),
                share(reached),
                1.0,
            );
        }
    }
    if let Some(tokens) = sample.tokens_read {
        add(Measure::TokensRead, tokens as f64, 1.0);
    }
    if sample.form == PromptForm::Optimised {
        let ratio = memorization::compression_ratio(sample.generated_tokens, sample.prompt_tokens);
        let ratio = ratio.ok().filter(|_| sample.is_truth).unwrap_or(0.0);
        add(Measure::Compressed, share(ratio > 1.0), 1.0);
        add(Measure::CompressionRatio, ratio, 1.0);
    }
    if let Some(bleu) = sample.verdict.bleu {
        add(Measure::Bleu, f64::from(bleu), 1.0);
        add(
            Measure::ApproximatelyMemorized,
            share(f64::from(bleu) > APPROXIMATE_MEMORIZATION_BLEU),
            1.0,
        );
    }
    if let Some(rouge_l) = sample.verdict.rouge_l {
        add(Measure::RougeL, f64::from(rouge_l), 1.0);
    }
    if let Some(edit_similarity) = sample.verdict.edit_similarity {
        add(Measure::EditSimilarity, f64::from(edit_similarity), 1.0);
    }
}

/// Characters of the generation inside a passage matched with a training document, each counted once.
fn matched_chars(matches: &[PassageMatch]) -> usize {
    let spans: Vec<_> = matches
        .iter()
        .filter(|found| found.doc_split == Split::Train)
        .map(|found| found.gen_start as usize..found.gen_end as usize)
        .collect();
    overlap::covered_length(&spans)
}

fn add_document(contributions: &mut Contributions, score: &DocumentScore, bytes: Option<usize>) {
    let at = Where {
        split: score.split,
        strategy: None,
    };
    let mut add = |measure, part: f64, whole: f64| {
        contributions.add(measure, at, score.copies, &score.doc_id, Tally::new(part, whole));
    };
    add(Measure::Loss, score.nats, score.tokens as f64);
    if let Some(bytes) = bytes {
        add(
            Measure::BitsPerByte,
            score.nats / std::f64::consts::LN_2,
            bytes as f64,
        );
    }
    add(Measure::ExactMemorization, score.exact_memorization, 1.0);
    add(Measure::ExtractionStrength, score.extraction_strength, 1.0);
    for (place, share) in (0..).zip(&score.by_place) {
        add(
            Measure::ExactMemorizationAt(place),
            share.unwrap_or(f64::NAN),
            1.0,
        );
    }
}

fn add_continuation(contributions: &mut Contributions, score: &DocumentScore) {
    let at = Where {
        split: score.split,
        strategy: None,
    };
    let mut add = |measure, part: f64, whole: f64| {
        contributions.add(measure, at, score.copies, &score.doc_id, Tally::new(part, whole));
    };
    let prefix = score.prefix_tokens;
    add(Measure::KExtractable(prefix), share(score.extractable), 1.0);
    for samples in DISCOVERY_SAMPLES {
        let found =
            discoverable::is_discoverable(score.log_sequence_probability, samples, DISCOVERY_PROBABILITY);
        add(
            Measure::Discoverable { prefix, samples },
            found.map_or(f64::NAN, share),
            1.0,
        );
        let nearly = score
            .log_near_verbatim_probability
            .map(|bound| discoverable::is_discoverable(bound, samples, DISCOVERY_PROBABILITY));
        if let Some(Ok(nearly)) = nearly {
            add(
                Measure::NearlyDiscoverable { prefix, samples },
                share(nearly),
                1.0,
            );
        }
    }
}

fn share(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}
