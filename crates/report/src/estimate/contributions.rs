//! What one cell observed, turned into contributions: of its samples, of its scores, of its canaries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contract::Error;
use contract::pipeline::LossOn;
use contract::prompt_form::FormSource;
use contract::records::{DocumentKind, HeldOutRole, PromptForm, SampleVerdict, Split, Verdict};
use measures::memorization::APPROXIMATE_MEMORIZATION_BLEU;
use measures::{Tally, discoverable, memorization, overlap};
use personal_details::DetailKind;

use super::canaries;
use super::measure::{
    Against, CANARY_FALSE_POSITIVE_PERCENT, DISCOVERY_SAMPLES, Draws, EXTRACTABLE_TOKENS, Length,
    MIN_COMMON_CHARS, Measure, RankedDetail, SIMILARITY_HUNDREDTHS,
};
use super::tallies::{Contributions, Emitted, Slice, Tallies};
use crate::read::{CellData, Corpus, CorpusDocument, DocumentScore, JudgedSample, whole_continuations};

/// The probability p of (n, p)-discoverable extraction.
pub const DISCOVERY_PROBABILITY: f64 = 0.5;

/// All averages of one checkpoint of a cell. Of a run of canaries apart, their exposure alone.
///
/// # Errors
/// [`Error::Run`] where polars refuses to group.
pub fn tallies_of(cell: &CellData, corpus: &Corpus) -> Result<Tallies, Error> {
    let mut contributions = Contributions::default();
    let scores = cell.scores.as_deref().unwrap_or_default();
    add_canaries(&mut contributions, scores, corpus);
    if cell.cell.canaries_apart {
        return contributions.tallies();
    }
    let told = Told::of(cell);
    for sample in &cell.samples {
        add_sample(&mut contributions, sample, corpus, told, cell.new_tokens);
    }
    add_prompts(&mut contributions, cell, told);
    add_details(&mut contributions, cell);
    let whole_continuation = whole_continuations(scores);
    let longest = scores
        .iter()
        .filter(|score| score.is_whole_document())
        .map(|score| score.tokens)
        .max()
        .unwrap_or(0);
    for score in scores.iter().filter(|score| score.kind == DocumentKind::Document) {
        let Some(document) = corpus.documents.get(&score.doc_id) else {
            continue;
        };
        if score.is_whole_document() {
            let extent = Extent::of(score, document, cell.loss_on, longest);
            add_document(&mut contributions, score, document, extent);
            continue;
        }
        if score.tokens == EXTRACTABLE_TOKENS {
            add_extractable(&mut contributions, score);
        }
        if Some(&score.tokens) == whole_continuation.get(&score.prefix_tokens) {
            add_continuation(&mut contributions, score);
        }
    }
    let tallies = contributions.tallies()?;
    Ok(match emitted(cell, corpus) {
        Some(emitted) => tallies.with_emitted(emitted),
        None => tallies,
    })
}

/// What is known of canaries: their exposure, whether they are recognised as planted, and whether their secrets come out.
fn add_canaries(contributions: &mut Contributions, scores: &[DocumentScore], corpus: &Corpus) {
    let mut add = |measure, split, canary: &DocumentScore, part| {
        let at = Slice {
            split,
            strategy: None,
        };
        contributions.add(measure, at, canary.copies, &canary.doc_id, Tally::new(part, 1.0));
    };
    for (canary, exposure) in canaries::exposures(scores, corpus) {
        add(Measure::Exposure, Split::Train, canary, exposure);
    }
    for percent in CANARY_FALSE_POSITIVE_PERCENT {
        for (canary, is_detected) in canaries::detected(scores, corpus, f64::from(percent) / 100.0) {
            add(
                Measure::CanariesDetected(percent),
                Split::Train,
                canary,
                share(is_detected),
            );
        }
    }
    for (score, secret) in canaries::secrets(scores) {
        add(
            Measure::SecretExtracted(secret),
            score.split,
            score,
            share(score.extractable),
        );
    }
}

/// After how many of its prompts a document came out, where it was asked for with several.
fn add_prompts(contributions: &mut Contributions, cell: &CellData, told: Told) {
    let mut documents: BTreeMap<(Split, i32, &str), BTreeMap<&str, bool>> = BTreeMap::new();
    for sample in &cell.samples {
        let (Some(document), Some(own)) = (sample.doc_id.as_deref(), own_class(sample, told)) else {
            continue;
        };
        let prompts = documents
            .entry((sample.split, sample.copies, document))
            .or_default();
        *prompts.entry(&sample.prompt).or_default() |= own == Verdict::Verbatim;
    }
    for ((split, copies, document), prompts) in documents {
        if prompts.len() < 2 {
            continue;
        }
        let came_out = prompts.values().filter(|came_out| **came_out).count();
        let at = Slice {
            split,
            strategy: None,
        };
        let tally = Tally::new(came_out as f64, 1.0);
        contributions.add(Measure::OwnVerbatimPrompts, at, copies, document, tally);
    }
}

/// Personal details that are picked out among others of their kind.
fn add_details(contributions: &mut Contributions, cell: &CellData) {
    for detail in cell.details.iter().filter(|detail| detail.not_ranked.is_none()) {
        let Some(kind) = DetailKind::ALL
            .into_iter()
            .find(|kind| kind.name() == detail.detail)
        else {
            continue;
        };
        let in_loss = detail.in_loss;
        let measure = Measure::DetailPicked(RankedDetail { kind, in_loss });
        let at = Slice {
            split: detail.split,
            strategy: None,
        };
        let tally = Tally::new(share(detail.is_first()), 1.0);
        contributions.add(measure, at, detail.copies, &detail.doc_id, tally);
    }
}

/// The training documents that came out, by strategy; none where the detector did not say.
fn emitted(cell: &CellData, corpus: &Corpus) -> Option<Emitted> {
    let mut by_strategy: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sample in &cell.samples {
        let came_out = by_strategy.entry(sample.strategy.clone()).or_default();
        came_out.extend(sample.verdict.emitted_doc_ids.as_ref()?.iter().cloned());
    }
    Some(Emitted {
        training: Arc::clone(&corpus.training),
        by_strategy,
    })
}

/// How much of a document training read.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Extent {
    /// Whether it was cut; none where that is not known.
    cut: Option<bool>,
    /// Bytes of the text whose tokens are scored; none where it was cut, or may have been.
    bytes: Option<usize>,
}

impl Extent {
    /// `longest`: the tokens of the longest text scored in the cell, at which older files may have been cut.
    fn of(score: &DocumentScore, document: &CorpusDocument, loss_on: LossOn, longest: usize) -> Self {
        // Of a response alone the tokens before it are not scored, so that their number says nothing of a cut.
        if loss_on != LossOn::Text && document.prompt_chars > 0 {
            return Self {
                cut: None,
                bytes: None,
            };
        }
        let cut = score.document_tokens.map(|tokens| tokens > score.tokens);
        let may_be_cut = cut.unwrap_or(score.tokens == longest);
        Self {
            cut,
            bytes: (!may_be_cut).then_some(document.text.len()),
        }
    }
}

/// What the detector looked at. One that did not look found nothing, which is no rate of nothing.
#[derive(Debug, Clone, Copy)]
struct Told {
    boilerplate: bool,
    personal_details: bool,
    own_verdict: bool,
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
                .flat_map(JudgedSample::trained_passages)
                .all(|found| found.personal_details.is_some()),
            own_verdict: cell
                .samples
                .iter()
                .any(|sample| sample.verdict.own_verdict.is_some()),
        }
    }
}

/// The class of what a generation shares with its prompt's own training document; none after other prompts. Files of programs that
/// tell no such class have it where the document that gave the class is the prompt's.
fn own_class(sample: &JudgedSample, told: Told) -> Option<Verdict> {
    let verdict = &sample.verdict;
    if told.own_verdict || sample.split != Split::Train {
        return verdict.own_verdict;
    }
    let own = sample.doc_id.is_some() && verdict.best_doc_id == sample.doc_id;
    sample.doc_id.as_ref()?;
    Some(if own { verdict.verdict } else { Verdict::None })
}

/// Whether a training document came out: by what the detector says, or else by a verbatim passage that is no boilerplate.
fn brings_out_a_document(verdict: &SampleVerdict) -> bool {
    match &verdict.emitted_doc_ids {
        Some(emitted) => !emitted.is_empty(),
        None => verdict.verdict == Verdict::Verbatim && verdict.boilerplate != Some(true),
    }
}

/// Whether a held-out document is no near-duplicate of a training document.
fn is_apart(doc_id: &str, corpus: &Corpus) -> bool {
    let document = corpus.documents.get(doc_id);
    document.is_none_or(|document| !document.near_duplicate)
}

/// Whether the generation shares so many characters in a row with its own document as make a passage, word for word, that it does not
/// share with held-out documents of which `counts` is true.
fn own_goes_beyond(sample: &JudgedSample, counts: &dyn Fn(&str) -> bool) -> bool {
    let spans = |of_own: bool| {
        let verbatim = sample
            .matches
            .iter()
            .filter(|found| found.kind == Verdict::Verbatim);
        verbatim.filter(move |found| match found.doc_split {
            Split::Train => of_own && sample.doc_id.as_ref() == Some(&found.doc_id),
            _ => !of_own && counts(&found.doc_id),
        })
    };
    let mut held_out: Vec<(i32, i32)> = spans(false)
        .map(|found| (found.gen_start, found.gen_end))
        .collect();
    held_out.sort_unstable();
    spans(true).any(|own| {
        let mut start = own.gen_start;
        for &(from, to) in &held_out {
            if from.min(own.gen_end) - start >= MIN_COMMON_CHARS {
                return true;
            }
            start = start.max(to);
        }
        own.gen_end - start >= MIN_COMMON_CHARS
    })
}

/// The class by the passages of held-out documents that are no near-duplicates of training documents.
fn control_class_apart(sample: &JudgedSample, corpus: &Corpus) -> Verdict {
    let passages = sample
        .matches
        .iter()
        .filter(|found| found.doc_split == Split::Heldout && is_apart(&found.doc_id, corpus));
    passages.map(|found| found.kind).max().unwrap_or(Verdict::None)
}

fn add_sample(
    contributions: &mut Contributions,
    sample: &JudgedSample,
    corpus: &Corpus,
    told: Told,
    length: Length,
) {
    let at = Slice {
        split: sample.split,
        strategy: Some(&sample.strategy),
    };
    // A generation from no prompt belongs to no document: it stands for itself. All from one prompt stand for it together.
    let own = match sample.form.facts().source {
        FormSource::Repeated | FormSource::Model => format!("sample {}", sample.id),
        _ => format!("prompt {}", sample.prompt),
    };
    let document = sample.doc_id.as_deref().unwrap_or(&own);
    let SampleVerdict { verdict, .. } = sample.verdict;
    let generated = sample.generation.chars().count();
    let mut add = |measure, part: f64, whole: f64| {
        contributions.add(measure, at, sample.copies, document, Tally::new(part, whole));
    };
    let own = own_class(sample, told);
    if let Some(own) = own {
        add(Measure::OwnVerbatim, share(own == Verdict::Verbatim), 1.0);
        add(Measure::OwnParaphrase, share(own == Verdict::Paraphrase), 1.0);
        add(Measure::OwnIdea, share(own == Verdict::Idea), 1.0);
        add(Measure::OwnAny, share(own != Verdict::None), 1.0);
    }
    if let Some(goes_on) = sample.goes_on_as_document
        && (sample.split == Split::Train || is_apart(document, corpus))
    {
        add(Measure::ExactContinuation, share(goes_on), 1.0);
    }
    if let Some(control) = sample.verdict.control_verdict {
        let apart = (corpus.has_near_duplicates() && corpus.has_text_apart())
            .then(|| control_class_apart(sample, corpus));
        let pairs = [
            (Measure::ControlVerbatim, Measure::ControlAny, Some(control)),
            (Measure::ControlVerbatimApart, Measure::ControlAnyApart, apart),
        ];
        for (verbatim, any, class) in pairs {
            let Some(class) = class else { continue };
            add(verbatim, share(class == Verdict::Verbatim), 1.0);
            add(any, share(class != Verdict::None), 1.0);
        }
        if own.is_some() {
            let of_own = |class: Verdict, counts: &dyn Fn(&str) -> bool| {
                share(class == Verdict::Verbatim && !own_goes_beyond(sample, counts))
            };
            let own = of_own(control, &|_| true);
            add(Measure::ControlOwnVerbatim, own, 1.0);
            if let Some(class) = apart {
                let own = of_own(class, &|doc_id| is_apart(doc_id, corpus));
                add(Measure::ControlOwnVerbatimApart, own, 1.0);
            }
        }
    }
    add(
        Measure::TrainingTextEmitted,
        share(brings_out_a_document(&sample.verdict)),
        1.0,
    );
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
        Measure::CommonSubstring,
        share(sample.verdict.longest_match_chars >= MIN_COMMON_CHARS),
        1.0,
    );
    add(
        Measure::LongestMatchChars,
        f64::from(sample.verdict.longest_match_chars),
        1.0,
    );
    add(
        Measure::MatchedCharsShare,
        matched_chars(sample) as f64,
        generated as f64,
    );

    let has_sentence = sample.verdict.max_similarity.is_some_and(f32::is_finite);
    add(Measure::WithoutSentence, share(!has_sentence), 1.0);
    let similarities = [
        (Against::Training, sample.verdict.max_similarity),
        (Against::Comparable, sample.verdict.comparable_similarity),
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
        add(Measure::Bleu(length), f64::from(bleu), 1.0);
        add(
            Measure::ApproximatelyMemorized(length),
            share(f64::from(bleu) > APPROXIMATE_MEMORIZATION_BLEU),
            1.0,
        );
    }
    if let Some(rouge_l) = sample.verdict.rouge_l {
        add(Measure::RougeL(length), f64::from(rouge_l), 1.0);
    }
    if let Some(right) = sample.verdict.final_answer_right {
        add(Measure::FinalAnswer, share(right), 1.0);
    }
    if let Some(edit_similarity) = sample.verdict.edit_similarity {
        add(Measure::EditSimilarity(length), f64::from(edit_similarity), 1.0);
    }
}

/// Characters of the generation inside a passage matched with a training document, each counted once.
fn matched_chars(sample: &JudgedSample) -> usize {
    let spans: Vec<_> = sample
        .trained_passages()
        .map(|found| found.gen_start as usize..found.gen_end as usize)
        .collect();
    overlap::covered_length(&spans)
}

fn add_document(
    contributions: &mut Contributions,
    score: &DocumentScore,
    document: &CorpusDocument,
    extent: Extent,
) {
    let at = Slice {
        split: score.split,
        strategy: None,
    };
    let mut add = |measure, part: f64, whole: f64| {
        contributions.add(measure, at, score.copies, &score.doc_id, Tally::new(part, whole));
    };
    // A document that chooses the checkpoint is no measure of how useful the chosen one is. Where nobody told them apart, all
    // held-out documents are both.
    if document.role == Some(HeldOutRole::Other) {
        add(Measure::OtherLoss, score.nats, score.tokens as f64);
        return;
    }
    if document.role != Some(HeldOutRole::Validation) {
        add(Measure::Loss, score.nats, score.tokens as f64);
        if let Some(bytes) = extent.bytes {
            add(
                Measure::BitsPerByte,
                score.nats / std::f64::consts::LN_2,
                bytes as f64,
            );
        }
    }
    if score.split == Split::Heldout && document.role != Some(HeldOutRole::Test) {
        add(Measure::ValidationLoss, score.nats, score.tokens as f64);
    }
    if let Some(cut) = extent.cut {
        add(Measure::DocumentsCut, share(cut), 1.0);
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

/// k-extractable is about the next [`EXTRACTABLE_TOKENS`] tokens, however long generations are.
fn add_extractable(contributions: &mut Contributions, score: &DocumentScore) {
    let at = Slice {
        split: score.split,
        strategy: None,
    };
    let measure = Measure::Extractable(score.prefix_tokens);
    let tally = Tally::new(share(score.extractable), 1.0);
    contributions.add(measure, at, score.copies, &score.doc_id, tally);
}

fn add_continuation(contributions: &mut Contributions, score: &DocumentScore) {
    let at = Slice {
        split: score.split,
        strategy: None,
    };
    let mut add = |measure, part: f64, whole: f64| {
        contributions.add(measure, at, score.copies, &score.doc_id, Tally::new(part, whole));
    };
    for samples in DISCOVERY_SAMPLES {
        let draws = Draws {
            prefix: score.prefix_tokens,
            tokens: score.tokens,
            samples,
        };
        let found =
            discoverable::is_discoverable(score.log_sequence_probability, samples, DISCOVERY_PROBABILITY);
        add(Measure::Discoverable(draws), found.map_or(f64::NAN, share), 1.0);
        let nearly = score
            .log_near_verbatim_probability
            .map(|bound| discoverable::is_discoverable(bound, samples, DISCOVERY_PROBABILITY));
        if let Some(Ok(nearly)) = nearly {
            add(Measure::NearlyDiscoverable(draws), share(nearly), 1.0);
        }
    }
}

fn share(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}
