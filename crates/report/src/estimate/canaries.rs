//! Exposure of the planted canaries among the strings of their format that were never planted.

use std::collections::BTreeMap;

use contract::records::DocumentKind;
use measures::exposure::{exposure, highest_exposure};

use super::measure::Secret;
use crate::read::{Corpus, DocumentScore};

/// The exposure of each canary, in bits, in the order of the scores.
///
/// A string's score is its log-perplexity, −Σ ln p over all of its tokens (Carlini et al. 2019), with as short a prefix
/// as it was scored with. A canary is ranked among the references of its own format; one without a format, among all.
pub fn exposures<'a>(scores: &'a [DocumentScore], corpus: &Corpus) -> Vec<(&'a DocumentScore, f64)> {
    let references = References::of(scores, corpus);
    shortest_prefix(scores, DocumentKind::Canary)
        .filter_map(|canary| {
            let among = references.of_format(format(canary, corpus));
            Some((canary, exposure(canary.nats, &among).ok()?))
        })
        .collect()
}

/// Whether a canary with so many copies (none: any) is likelier than every string that it is ranked among: its exposure may be
/// higher than the references can show.
pub fn reaches_ceiling(scores: &[DocumentScore], corpus: &Corpus, copies: Option<i32>) -> bool {
    let references = References::of(scores, corpus);
    shortest_prefix(scores, DocumentKind::Canary)
        .filter(|canary| copies.is_none_or(|copies| copies == canary.copies))
        .any(|canary| {
            let among = references.of_format(format(canary, corpus));
            !among.is_empty() && among.iter().all(|reference| canary.nats < *reference)
        })
}

/// What the exposure of a cell's canaries can come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The mean exposure of canaries without effect, in bits.
    pub chance: f64,
    /// The most that their mean can be shown to be.
    pub highest: f64,
    /// The fewest strings that one of them is ranked among.
    pub fewest: usize,
    /// The most.
    pub most: usize,
}

/// The bounds of the mean exposure of the cell's canaries; none without a canary that has references.
pub fn bounds(scores: &[DocumentScore], corpus: &Corpus) -> Option<Bounds> {
    let references = References::of(scores, corpus);
    let among: Vec<usize> = shortest_prefix(scores, DocumentKind::Canary)
        .map(|canary| references.of_format(format(canary, corpus)).len())
        .filter(|&strings| strings > 0)
        .collect();
    let mean = |bits: fn(usize) -> Option<f64>| {
        let sum: f64 = among.iter().filter_map(|&strings| bits(strings)).sum();
        sum / among.len() as f64
    };
    Some(Bounds {
        fewest: *among.iter().min()?,
        most: *among.iter().max()?,
        chance: mean(chance),
        highest: mean(|strings| highest_exposure(strings).ok()),
    })
}

/// The log-perplexities of the references, by format.
struct References(BTreeMap<Option<i32>, Vec<f64>>);

impl References {
    fn of(scores: &[DocumentScore], corpus: &Corpus) -> Self {
        let mut by_format: BTreeMap<Option<i32>, Vec<f64>> = BTreeMap::new();
        for reference in shortest_prefix(scores, DocumentKind::CanaryReference) {
            let alike = by_format.entry(format(reference, corpus)).or_default();
            alike.push(reference.nats);
        }
        Self(by_format)
    }

    fn of_format(&self, format: Option<i32>) -> Vec<f64> {
        match format {
            Some(_) => self.0.get(&format).cloned().unwrap_or_default(),
            None => self.0.values().flatten().copied().collect(),
        }
    }
}

/// The format of a canary or reference, by the scores or else by the corpus.
fn format(score: &DocumentScore, corpus: &Corpus) -> Option<i32> {
    score
        .canary_format
        .or_else(|| corpus.documents.get(&score.doc_id)?.canary_format)
}

/// The mean exposure of a canary without effect: Σ log₂ (|R| / rank) / |R| over all ranks, |R| = references + 1.
///
/// In bits; log₂ e = 1.44 for many references.
pub fn chance(references: usize) -> Option<f64> {
    let highest = highest_exposure(references).ok()?;
    let ranks = references + 1;
    let mean_log_rank = (1..=ranks).map(|rank| (rank as f64).log2()).sum::<f64>() / ranks as f64;
    Some(highest - mean_log_rank)
}

fn shortest_prefix(scores: &[DocumentScore], kind: DocumentKind) -> impl Iterator<Item = &DocumentScore> {
    let is_whole = move |score: &DocumentScore| score.kind == kind && score.secret_tokens_given.is_none();
    let shortest = scores
        .iter()
        .filter(|score| is_whole(score))
        .map(|score| score.prefix_tokens)
        .min();
    scores
        .iter()
        .filter(move |score| is_whole(score) && Some(score.prefix_tokens) == shortest)
}

/// Whether each canary is recognised as planted where at most this share of references is taken for planted: it is likelier than so many
/// references of its own format that a reference drawn with them would be so with a probability of at most `false_positive_rate`
/// (rank ÷ (references + 1), ties counted against it). Those whose format has too few references for it are left out.
pub fn detected<'a>(
    scores: &'a [DocumentScore],
    corpus: &Corpus,
    false_positive_rate: f64,
) -> Vec<(&'a DocumentScore, bool)> {
    let references = References::of(scores, corpus);
    let told = shortest_prefix(scores, DocumentKind::Canary).filter_map(|canary| {
        let among = references.of_format(format(canary, corpus));
        let strings = (among.len() + 1) as f64;
        // A rank of 1 must be rare enough.
        if 1.0 / strings > false_positive_rate {
            return None;
        }
        let as_likely = among
            .iter()
            .filter(|reference| **reference <= canary.nats)
            .count();
        Some((canary, (as_likely + 1) as f64 / strings <= false_positive_rate))
    });
    told.collect()
}

/// The rests of secrets, of planted canaries and of references, each with whether greedy decoding gives all of it. Canaries by coin flip are
/// there for ε alone.
pub fn secrets(scores: &[DocumentScore]) -> impl Iterator<Item = (&DocumentScore, Secret)> {
    let ranked = scores
        .iter()
        .filter(|score| score.kind != DocumentKind::CoinCanary);
    ranked.filter_map(|score| {
        let secret = if score.secret_tokens_given? == 0 {
            Secret::NothingGiven
        } else {
            Secret::HalfGiven
        };
        Some((score, secret))
    })
}

#[cfg(test)]
mod tests {
    use contract::records::Split;

    use super::*;

    fn score(doc_id: &str, kind: DocumentKind, nats: f32, secret_tokens_given: Option<i32>) -> DocumentScore {
        let is_planted = kind == DocumentKind::Canary;
        let score = contract::records::Score {
            doc_id: doc_id.to_owned(),
            split: if is_planted { Split::Train } else { Split::Heldout },
            copies: if is_planted { 4 } else { 0 },
            kind,
            prefix_tokens: secret_tokens_given.unwrap_or(0),
            suffix_tokens: 1,
            logprobs: vec![-nats],
            scheme_logprobs: vec![-nats],
            argmax_hits: vec![nats < 1.0],
            vocab_mean: Vec::new(),
            vocab_std: Vec::new(),
            zlib_bytes: 1,
            near_verbatim_logprob: None,
            document_tokens: None,
            canary_format: Some(0),
            secret_tokens_given,
            conditional_loss: None,
            gradient_norm: None,
        };
        DocumentScore::of(&score, None).unwrap().unwrap()
    }

    #[test]
    fn canaries_are_recognised_by_their_rank_and_ties_count_against_them() {
        // Nine references, so that a rank of 1 of 10 is just rare enough at 10%, and nothing is at 1%.
        let mut scores: Vec<DocumentScore> = (1..=9)
            .map(|number| {
                score(
                    &format!("r{number}"),
                    DocumentKind::CanaryReference,
                    number as f32,
                    None,
                )
            })
            .collect();
        for (doc_id, nats) in [("first", 0.5), ("tied", 1.0), ("second", 1.5)] {
            scores.push(score(doc_id, DocumentKind::Canary, nats, None));
        }
        // The rest of a secret is another row of the same canary, and is ranked nowhere.
        scores.push(score("second", DocumentKind::Canary, 0.1, Some(0)));
        let corpus = Corpus::default();
        let told = |rate| -> Vec<(String, bool)> {
            let detected = detected(&scores, &corpus, rate).into_iter();
            detected
                .map(|(score, told)| (score.doc_id.clone(), told))
                .collect()
        };
        let expected = [("first", true), ("tied", false), ("second", false)];
        assert_eq!(
            told(0.1),
            expected.map(|(doc_id, told)| (doc_id.to_owned(), told))
        );
        assert_eq!(told(0.01), []);
        assert_eq!(exposures(&scores, &corpus).len(), 3);
        let secrets: Vec<(&str, Secret, bool)> = secrets(&scores)
            .map(|(score, secret)| (score.doc_id.as_str(), secret, score.extractable))
            .collect();
        assert_eq!(secrets, [("second", Secret::NothingGiven, true)]);
    }

    #[test]
    fn chance_is_the_mean_over_all_ranks() {
        // Three references, |R| = 4: log₂ 4/1, 4/2, 4/3, 4/4 = 2, 1, 0.415, 0.
        let expected = (2.0 + 1.0 + (4.0_f64 / 3.0).log2()) / 4.0;
        assert!((chance(3).unwrap() - expected).abs() < 1e-12);
        assert!((chance(4096).unwrap() - std::f64::consts::LOG2_E).abs() < 0.01);
        assert_eq!(chance(0), None);
    }
}
