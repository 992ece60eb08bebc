//! Membership inference: can training documents be distinguished from held-out ones by their scores alone?

use std::collections::BTreeMap;
use std::fmt;

use contract::records::{HeldOutRole, Split};
use measures::interval::binomial_mid_p;
use measures::membership;
use measures::test::auc_exceeds;

use super::figure::{Confidence, Estimate, IntervalKind, UnitOf};
use super::shadows::Shadows;
use crate::read::{Corpus, DocumentScore};

/// False-positive rates at which the true-positive rate is given.
pub const FALSE_POSITIVE_RATES: [f64; 2] = [0.01, 0.1];

/// Non-members that it takes for a true-positive rate at such a false-positive rate.
pub fn non_members_needed(false_positive_rate: f64) -> usize {
    (1.0 / false_positive_rate).round() as usize
}

/// The largest p-value, one-sided, at which words alone distinguish the two sides.
const MAX_P_VALUE_OF_WORDS: f64 = 0.025;

/// The scores that documents are distinguished by; for each, lower means more likely a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MembershipScore {
    /// Loss.
    Loss,
    /// Loss − loss under the untuned model.
    Reference,
    /// Total nats ÷ zlib bytes.
    Zlib,
    /// Min-K%.
    MinK,
    /// Min-K%++.
    MinKPlusPlus,
    /// Loss ÷ loss under the untuned model.
    Ratio,
    /// Windows of tokens that are no likelier than under the untuned model.
    Windows,
    /// Losses among the changes at tokens that the model does not predict.
    ErrorZone,
    /// Loss ÷ loss behind other documents (ReCaLL).
    Conditional,
    /// Norm of the gradient of the loss.
    GradientNorm,
    /// Losses among shadow models that were trained with the document, and without.
    Lira,
    /// Loss against shadow models that were trained without the document.
    Rmia,
    /// The words of the documents alone, without the model: what a score has to exceed.
    Words,
}

impl MembershipScore {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 13] = [
        Self::Loss,
        Self::Reference,
        Self::Zlib,
        Self::MinK,
        Self::MinKPlusPlus,
        Self::Ratio,
        Self::Windows,
        Self::ErrorZone,
        Self::Conditional,
        Self::GradientNorm,
        Self::Lira,
        Self::Rmia,
        Self::Words,
    ];

    /// Whether it asks the model at all.
    pub fn is_of_model(self) -> bool {
        self != Self::Words
    }

    /// Whether it takes the model's weights, and not its probabilities alone.
    pub fn takes_weights(self) -> bool {
        self == Self::GradientNorm
    }

    /// Whether it compares with models of other seeds.
    pub fn takes_shadows(self) -> bool {
        matches!(self, Self::Lira | Self::Rmia)
    }

    /// The name on the page.
    pub fn title(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Reference => "loss compared with the untuned model",
            Self::Zlib => "loss compared with zlib",
            Self::MinK => "Min-K%",
            Self::MinKPlusPlus => "Min-K%++",
            Self::Ratio => "loss ÷ the untuned model’s",
            Self::Windows => "votes of windows",
            Self::ErrorZone => "error zone",
            Self::Conditional => "loss ÷ loss behind other documents (ReCaLL)",
            Self::GradientNorm => "norm of the gradient",
            Self::Lira => "LiRA, runs of other seeds as shadow models",
            Self::Rmia => "RMIA, the same",
            Self::Words => "words alone",
        }
    }

    /// Name of its area under the ROC curve in `summary.parquet`.
    pub fn auc(self) -> String {
        format!("membership_auc_{self}")
    }

    /// Name of its true-positive rate at such a false-positive rate.
    pub fn tpr(self, false_positive_rate: f64) -> String {
        format!("membership_tpr_at_{false_positive_rate}_fpr_{self}")
    }
}

/// The name in `summary.parquet`.
impl fmt::Display for MembershipScore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Loss => "loss",
            Self::Reference => "reference",
            Self::Zlib => "zlib",
            Self::MinK => "min_k",
            Self::MinKPlusPlus => "min_k_plus_plus",
            Self::Ratio => "ratio",
            Self::Windows => "windows",
            Self::ErrorZone => "error_zone",
            Self::Conditional => "conditional",
            Self::GradientNorm => "gradient_norm",
            Self::Lira => "lira",
            Self::Rmia => "rmia",
            Self::Words => "words",
        })
    }
}

/// How well one score distinguishes members from held-out documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Separation {
    /// The score.
    pub score: MembershipScore,
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
    /// Those that members are distinguished from.
    pub used: usize,
    /// Left out, because they chose the checkpoint or the learning rate.
    pub validation: usize,
    /// Left out, because they are near-duplicates of training documents, and chose nothing.
    pub near_duplicates: usize,
}

/// The scores of one cell's members and non-members, by document.
#[derive(Debug, Clone, Default)]
pub struct Scored<'a> {
    /// For each score the members: their copies and score.
    members: BTreeMap<MembershipScore, BTreeMap<&'a str, (i32, f64)>>,
    /// For each score the non-members.
    others: BTreeMap<MembershipScore, BTreeMap<&'a str, f64>>,
    /// Whom members are distinguished from.
    pub non_members: NonMembers,
}

/// Why a held-out document is no fair non-member.
enum Unfit {
    Validation,
    NearDuplicate,
    Other,
}

fn unfit(score: &DocumentScore, corpus: &Corpus) -> Option<Unfit> {
    let document = corpus.documents.get(&score.doc_id)?;
    match document.role {
        Some(HeldOutRole::Validation) => Some(Unfit::Validation),
        Some(HeldOutRole::Other) => Some(Unfit::Other),
        _ => document.near_duplicate.then_some(Unfit::NearDuplicate),
    }
}

/// Whether a held-out document that was scored is a fair non-member.
pub(super) fn is_non_member(score: &DocumentScore, corpus: &Corpus) -> bool {
    unfit(score, corpus).is_none()
}

impl<'a> Scored<'a> {
    /// Every score of every whole document of a cell. Non-members are the held-out documents that chose nothing and are no
    /// near-duplicates of training documents. `untuned` are the untuned model's scores of the same documents; without them there
    /// is none of the scores that compare with it. `shadows` are the same way of tuning under other seeds. `words` are the scores by the
    /// documents' words alone.
    pub fn of(
        scores: &'a [DocumentScore],
        untuned: Option<&[DocumentScore]>,
        shadows: &Shadows<'_>,
        corpus: &Corpus,
        words: &BTreeMap<&str, f64>,
    ) -> Self {
        let untuned: BTreeMap<&str, f64> = untuned
            .unwrap_or_default()
            .iter()
            .filter(|score| score.is_whole_document())
            .map(|score| (score.doc_id.as_str(), score.loss()))
            .collect();
        let mut scored = Self::default();
        for score in scores.iter().filter(|score| score.is_whole_document()) {
            let is_member = score.split == Split::Train;
            if !is_member {
                let counts = &mut scored.non_members;
                match unfit(score, corpus) {
                    None => counts.used += 1,
                    Some(Unfit::Validation) => counts.validation += 1,
                    Some(Unfit::NearDuplicate) => counts.near_duplicates += 1,
                    Some(Unfit::Other) => {}
                }
                if unfit(score, corpus).is_some() {
                    continue;
                }
            }
            for kind in MembershipScore::ALL {
                let value = match kind {
                    MembershipScore::Words => words.get(score.doc_id.as_str()).copied(),
                    MembershipScore::Lira => shadows.lira(score),
                    MembershipScore::Rmia => shadows.rmia(score),
                    _ => value(score, kind, &untuned),
                };
                let Some(value) = value else {
                    continue;
                };
                if is_member {
                    let members = scored.members.entry(kind).or_default();
                    members.insert(&score.doc_id, (score.copies, value));
                } else {
                    let others = scored.others.entry(kind).or_default();
                    others.insert(&score.doc_id, value);
                }
            }
        }
        scored
    }

    /// Members with so many copies (none: all) and non-members by one score, each in the order of their identities.
    pub fn sides(&self, score: MembershipScore, copies: Option<i32>) -> (Vec<f64>, Vec<f64>) {
        let members = self.members.get(&score).into_iter().flatten();
        let members = members
            .filter(|(_, (found, _))| copies.is_none_or(|copies| copies == *found))
            .map(|(_, (_, value))| *value);
        let others = self.others.get(&score).into_iter().flatten();
        (members.collect(), others.map(|(_, value)| *value).collect())
    }

    /// The documents that both scores are of, as [`Scored::sides`]: by the first score, and by the second.
    fn both(
        &self,
        first: MembershipScore,
        second: MembershipScore,
        copies: Option<i32>,
    ) -> [(Vec<f64>, Vec<f64>); 2] {
        let has = |score: MembershipScore, id: &&str, is_member: bool| {
            if is_member {
                self.members
                    .get(&score)
                    .is_some_and(|members| members.contains_key(id))
            } else {
                self.others
                    .get(&score)
                    .is_some_and(|others| others.contains_key(id))
            }
        };
        [(first, second), (second, first)].map(|(of, other)| {
            let members = self.members.get(&of).into_iter().flatten();
            let members = members
                .filter(|(id, (found, _))| {
                    copies.is_none_or(|copies| copies == *found) && has(other, id, true)
                })
                .map(|(_, (_, value))| *value);
            let others = self.others.get(&of).into_iter().flatten();
            let others = others.filter(|(id, _)| has(other, id, false));
            (members.collect(), others.map(|(_, value)| *value).collect())
        })
    }

    /// Whether the words of the documents, without the model, distinguish members with so many copies by more than chance.
    pub fn words_distinguish(&self, copies: Option<i32>) -> bool {
        let (members, others) = self.sides(MembershipScore::Words, copies);
        auc_exceeds(&members, &others).is_ok_and(|p_value| p_value <= MAX_P_VALUE_OF_WORDS)
    }

    /// The one-sided p-value that a score distinguishes members better than their words alone do, where these distinguish them at
    /// all: then the two sides are of different kinds. None where they do not; 1 where there are too few to say.
    pub fn exceeds_words(&self, score: MembershipScore, copies: Option<i32>) -> Option<f64> {
        if !self.words_distinguish(copies) {
            return None;
        }
        let [(members, others), (word_members, word_others)] =
            self.both(score, MembershipScore::Words, copies);
        let difference = membership::auc_difference(&members, &others, &word_members, &word_others);
        Some(difference.map_or(1.0, |(_, _, p_value)| p_value))
    }

    /// The numbers of copies of the members, ascending.
    fn copies(&self, score: MembershipScore) -> Vec<i32> {
        let members = self.members.get(&score).into_iter().flatten();
        let mut copies: Vec<i32> = members.map(|(_, (copies, _))| *copies).collect();
        copies.sort_unstable();
        copies.dedup();
        copies
    }

    /// How well each score distinguishes all members, and those of each number of copies.
    pub fn separations(&self) -> Vec<Separation> {
        let mut separations = Vec::new();
        for score in MembershipScore::ALL {
            let copies = self.copies(score);
            for copies in std::iter::once(None).chain(copies.into_iter().map(Some)) {
                let (members, others) = self.sides(score, copies);
                separations.extend(separation(score, copies, &members, &others));
            }
        }
        separations
    }
}

fn value(score: &DocumentScore, kind: MembershipScore, untuned: &BTreeMap<&str, f64>) -> Option<f64> {
    match kind {
        MembershipScore::Loss => Some(score.loss()),
        MembershipScore::Reference => {
            membership::reference_difference(score.loss(), *untuned.get(score.doc_id.as_str())?).ok()
        }
        MembershipScore::Zlib => {
            membership::zlib_ratio(score.nats, u64::try_from(score.zlib_bytes).ok()?).ok()
        }
        MembershipScore::MinK => Some(score.min_k),
        MembershipScore::MinKPlusPlus => score.min_k_plus_plus,
        MembershipScore::Ratio => {
            membership::loss_ratio(score.loss(), *untuned.get(score.doc_id.as_str())?).ok()
        }
        MembershipScore::Windows => score.window_votes,
        MembershipScore::ErrorZone => score.error_zone,
        MembershipScore::Conditional => {
            membership::conditional_ratio(score.loss(), score.conditional_loss?).ok()
        }
        MembershipScore::GradientNorm => score.gradient_norm,
        MembershipScore::Lira | MembershipScore::Rmia | MembershipScore::Words => None,
    }
}

fn separation(
    score: MembershipScore,
    copies: Option<i32>,
    members: &[f64],
    others: &[f64],
) -> Option<Separation> {
    let value = membership::auc(members, others).ok()?;
    let interval = membership::auc_interval(members, others).ok();
    Some(Separation {
        score,
        copies,
        auc: Estimate {
            interval: interval.map(|ends| Confidence {
                ends,
                kind: IntervalKind::DeLong,
            }),
            observations: members.len() + others.len(),
            ..Estimate::exact(value, members.len(), UnitOf::Documents)
        },
        true_positive_rates: FALSE_POSITIVE_RATES.map(|rate| true_positives(members, others, rate)),
    })
}

/// Members found at the threshold that accuses a further non-member with at most this probability; none where there are too few
/// non-members for one.
fn true_positives(members: &[f64], others: &[f64], false_positive_rate: f64) -> Option<Estimate> {
    let threshold = membership::conservative_threshold(others, false_positive_rate).ok()??;
    let (found, members) = membership::tpr_at(members, threshold).ok()?;
    let ends = binomial_mid_p(found, members).ok();
    Some(Estimate {
        interval: ends.map(|ends| Confidence {
            ends,
            kind: IntervalKind::Exact,
        }),
        ..Estimate::share(found as usize, members as usize, UnitOf::Documents)?
    })
}
