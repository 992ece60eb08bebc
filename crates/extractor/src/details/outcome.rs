//! What a person reads of details that were ranked.

use std::collections::BTreeMap;

use contract::parts::Part;
use contract::records::Split;
use personal_details::DetailKind;

use super::{PlacedDetails, Probes};

/// Of details beyond those that are asked for.
const MANY: &str = "personal details not ranked: 200 of each kind are, on either side of the split";

/// How many personal details were ranked first, and how many were not ranked.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ranked {
    /// Others that each was ranked with.
    others: usize,
    /// Those ranked first, and all, by kind: of training documents, then of held-out ones.
    counts: BTreeMap<String, [(usize, usize); 2]>,
    without_others: BTreeMap<DetailKind, usize>,
    not_chosen: usize,
    near_duplicates: usize,
    /// Those that are not read to their end.
    not_read: usize,
}

impl Ranked {
    /// Counts what came of the probes of a part, or of all.
    pub(crate) fn new(probes: &Probes, part: Option<Part>, scores: &PlacedDetails) -> Self {
        let mut counts: BTreeMap<String, [(usize, usize); 2]> = BTreeMap::new();
        for (_, score) in scores {
            let sides = counts.entry(score.detail.clone()).or_default();
            let (first, all) = &mut sides[usize::from(score.split != Split::Train)];
            *first += usize::from(score.is_first());
            *all += 1;
        }
        Self {
            others: probes.others,
            counts,
            without_others: probes.without_others.clone(),
            not_chosen: probes.not_chosen,
            near_duplicates: probes.near_duplicates,
            not_read: probes.of_part(part).count() - scores.len(),
        }
    }

    /// Each line a number and what it counts.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (kind, [(first, all), (of_held_out, all_held_out)]) in &self.counts {
            lines.push(format!(
                "{first:>7} of {all} personal details of training documents ({kind}) are likelier behind their own text than {} others each; of \
                 held-out documents {of_held_out} of {all_held_out}; by chance 1 in {}",
                self.others,
                self.others + 1
            ));
        }
        for (kind, count) in &self.without_others {
            lines.push(format!(
                "{count:>7} personal details ({}) not ranked: fewer than {} others of their kind occur on their side of the split \
                 (extraction.details)",
                kind.name(),
                self.others
            ));
        }
        for (count, what) in [
            (self.not_chosen, MANY),
            (
                self.not_read,
                "personal details not ranked: training did not read them to their end, or its form of the text does not have them",
            ),
            (
                self.near_duplicates,
                "held-out documents whose personal details are no control: near-duplicates of training documents",
            ),
        ] {
            if count > 0 {
                lines.push(format!("{count:>7} {what}"));
            }
        }
        lines
    }
}
