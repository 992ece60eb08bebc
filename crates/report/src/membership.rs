//! Membership inference: can training documents be told from held-out ones by their scores alone?

use std::fmt;

use contract::Error;
use contract::records::{HeldOutRole, Split};
use measures::{MeasureError, membership};
use polars::prelude::{DataFrame, DataFrameJoinOps, df};

use crate::rates::{Bootstrap, Estimate};
use crate::run::Corpus;
use crate::scores::DocumentScore;

/// False-positive rates at which the true-positive rate is given.
pub const FALSE_POSITIVE_RATES: [f64; 2] = [0.01, 0.1];

/// Non-members that it takes for a true-positive rate at such a false-positive rate: with fewer, not one may be accused.
pub fn non_members_needed(false_positive_rate: f64) -> usize {
    (1.0 / false_positive_rate).round() as usize
}

/// The scores that documents are told apart by; for each, lower means more likely a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attack {
    /// Loss.
    Loss,
    /// Loss − loss under the untuned model.
    Reference,
    /// Total loss ÷ zlib bytes.
    Zlib,
    /// Min-K%.
    MinK,
    /// Min-K%++.
    MinKPlusPlus,
}

impl Attack {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 5] = [
        Self::Loss,
        Self::Reference,
        Self::Zlib,
        Self::MinK,
        Self::MinKPlusPlus,
    ];

    /// The name on the page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Reference => "loss − untuned loss",
            Self::Zlib => "loss ÷ zlib",
            Self::MinK => "Min-K%",
            Self::MinKPlusPlus => "Min-K%++",
        }
    }
}

/// The name in `summary.parquet`.
impl fmt::Display for Attack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Loss => "loss",
            Self::Reference => "reference",
            Self::Zlib => "zlib",
            Self::MinK => "min_k",
            Self::MinKPlusPlus => "min_k_plus_plus",
        })
    }
}

/// How well one score tells members from held-out documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Separation {
    /// The score.
    pub attack: Attack,
    /// Copies of the members looked at; none: all.
    pub copies: Option<i32>,
    /// Area under the ROC curve; guessing gives ½.
    pub auc: Estimate,
    /// True-positive rate at each of [`FALSE_POSITIVE_RATES`]; none with fewer non-members than
    /// [`non_members_needed`].
    pub true_positive_rates: [Option<Estimate>; 2],
}

/// The held-out documents that were scored, by whether they are fair non-members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NonMembers {
    /// Those that members are told from.
    pub used: usize,
    /// Left out, because they chose the checkpoint or the learning rate.
    pub validation: usize,
    /// Left out, because they are near-duplicates of training documents, and chose nothing.
    pub near_duplicates: usize,
}

impl NonMembers {
    /// Counts the scored held-out documents.
    pub fn of(scores: &[DocumentScore], corpus: &Corpus) -> Self {
        let mut counts = Self::default();
        for score in whole_documents(scores).filter(|score| score.split == Split::Heldout) {
            *match unfit(score, corpus) {
                None => &mut counts.used,
                Some(Unfit::Validation) => &mut counts.validation,
                Some(Unfit::NearDuplicate) => &mut counts.near_duplicates,
            } += 1;
        }
        counts
    }
}

/// Why a held-out document is no fair non-member.
enum Unfit {
    Validation,
    NearDuplicate,
}

fn unfit(score: &DocumentScore, corpus: &Corpus) -> Option<Unfit> {
    let document = corpus.documents.get(&score.doc_id)?;
    if document.role == Some(HeldOutRole::Validation) {
        return Some(Unfit::Validation);
    }
    document.near_duplicate.then_some(Unfit::NearDuplicate)
}

/// Every attack on one cell, for all members and for those of each number of copies. Non-members are the held-out documents
/// that chose nothing and are no near-duplicates of training documents.
///
/// `base` are the untuned model's scores of the same documents; without them there is no reference attack.
///
/// # Errors
/// [`Error::Run`] where polars refuses to join the two.
pub fn separations(
    scores: &[DocumentScore],
    base: Option<&[DocumentScore]>,
    corpus: &Corpus,
    bootstrap: Bootstrap,
) -> Result<Vec<Separation>, Error> {
    let mut separations = Vec::new();
    let scores: Vec<&DocumentScore> = whole_documents(scores)
        .filter(|score| score.split == Split::Train || unfit(score, corpus).is_none())
        .collect();
    for attack in Attack::ALL {
        let scored = match (attack, base) {
            (Attack::Reference, Some(base)) => reference_scores(&scores, base)?,
            (Attack::Reference, None) => continue,
            _ => scores
                .iter()
                .filter_map(|score| Some((score.split, score.copies, own_score(score, attack)?)))
                .collect(),
        };
        let mut copies: Vec<i32> = scored
            .iter()
            .filter(|(split, ..)| *split == Split::Train)
            .map(|(_, copies, _)| *copies)
            .collect();
        copies.sort_unstable();
        copies.dedup();
        for copies in std::iter::once(None).chain(copies.into_iter().map(Some)) {
            separations.extend(separation(&scored, attack, copies, bootstrap));
        }
    }
    Ok(separations)
}

fn whole_documents(scores: &[DocumentScore]) -> impl Iterator<Item = &DocumentScore> {
    scores.iter().filter(|score| score.is_whole_document())
}

fn own_score(score: &DocumentScore, attack: Attack) -> Option<f64> {
    match attack {
        Attack::Loss => Some(score.loss()),
        Attack::Zlib => membership::zlib_ratio(score.nats, u64::try_from(score.zlib_bytes).ok()?).ok(),
        Attack::MinK => Some(score.min_k),
        Attack::MinKPlusPlus => score.min_k_plus_plus,
        Attack::Reference => None,
    }
}

/// Loss less the base model's, for each document that both scored.
fn reference_scores(
    tuned: &[&DocumentScore],
    base: &[DocumentScore],
) -> Result<Vec<(Split, i32, f64)>, Error> {
    let refused = |error| Error::Run(format!("scores cannot be joined with the base model's: {error}"));
    let rows: Vec<i64> = (0..tuned.len() as i64).collect();
    let frame = df!(
        "doc_id" => tuned.iter().map(|score| score.doc_id.as_str()).collect::<Vec<_>>(),
        "row" => rows,
    )
    .map_err(refused)?;
    let joined = frame
        .inner_join(&losses(base).map_err(refused)?, ["doc_id"], ["doc_id"])
        .map_err(refused)?;
    let rows = joined
        .column("row")
        .and_then(|column| column.i64())
        .map_err(refused)?;
    let losses = joined
        .column("loss")
        .and_then(|column| column.f64())
        .map_err(refused)?;
    Ok(rows
        .iter()
        .zip(losses.iter())
        .filter_map(|(row, base_loss)| {
            let score = tuned[usize::try_from(row?).ok()?];
            Some((
                score.split,
                score.copies,
                membership::reference_difference(score.loss(), base_loss?).ok()?,
            ))
        })
        .collect())
}

/// One row per document: a base model may have been scored on several corpora that share documents.
fn losses(base: &[DocumentScore]) -> polars::prelude::PolarsResult<DataFrame> {
    let mut documents: Vec<(&str, f64)> = whole_documents(base)
        .map(|score| (score.doc_id.as_str(), score.loss()))
        .collect();
    documents.sort_by(|left, right| left.0.cmp(right.0));
    documents.dedup_by(|later, kept| later.0 == kept.0);
    df!(
        "doc_id" => documents.iter().map(|(doc_id, _)| *doc_id).collect::<Vec<_>>(),
        "loss" => documents.iter().map(|(_, loss)| *loss).collect::<Vec<_>>(),
    )
}

fn separation(
    scored: &[(Split, i32, f64)],
    attack: Attack,
    copies: Option<i32>,
    Bootstrap { resamples, seed }: Bootstrap,
) -> Option<Separation> {
    let side = |side: Split, copies: Option<i32>| -> Vec<f64> {
        scored
            .iter()
            .filter(|(split, found, _)| *split == side && copies.is_none_or(|copies| copies == *found))
            .map(|(.., score)| *score)
            .collect()
    };
    let (members, others) = (side(Split::Train, copies), side(Split::Heldout, None));
    let found_at = |rate: f64| -> Result<Option<Estimate>, MeasureError> {
        if others.len() < non_members_needed(rate) {
            return Ok(None);
        }
        Ok(Some(Estimate {
            value: membership::tpr_at_fpr(&members, &others, rate)?,
            interval: membership::tpr_interval(&members, &others, rate, resamples, seed).ok(),
            observations: members.len(),
            documents: members.len(),
        }))
    };
    let [low, high] = FALSE_POSITIVE_RATES.map(found_at);
    Some(Separation {
        attack,
        copies,
        auc: Estimate {
            value: membership::auc(&members, &others).ok()?,
            interval: membership::auc_interval(&members, &others).ok(),
            observations: members.len() + others.len(),
            documents: members.len() + others.len(),
        },
        true_positive_rates: [low.ok()?, high.ok()?],
    })
}
