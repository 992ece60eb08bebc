//! What a person reads of details that were ranked.

use std::collections::BTreeMap;

use contract::records::Split;

use super::{PlacedDetails, Probes};

/// How many personal details were picked out among others, and how many were not ranked.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ranked {
    /// Those picked out, and all that were ranked, of training documents and of held-out ones; by kind, and whether training took loss on them.
    counts: BTreeMap<(String, bool), [(usize, usize); 2]>,
    /// Those that were not ranked, by reason.
    left_out: BTreeMap<String, usize>,
    near_duplicates: usize,
}

impl Ranked {
    /// Counts what came of some probes.
    pub(crate) fn new(probes: &Probes, scores: &PlacedDetails) -> Self {
        let mut ranked = Self {
            near_duplicates: probes.near_duplicates,
            ..Self::default()
        };
        for (_, score) in scores {
            if let Some(reason) = &score.not_ranked {
                *ranked.left_out.entry(reason.clone()).or_default() += 1;
                continue;
            }
            let key = (score.detail.clone(), score.in_loss);
            let (picked, all) =
                &mut ranked.counts.entry(key).or_default()[usize::from(score.split != Split::Train)];
            *picked += usize::from(score.is_first());
            *all += 1;
        }
        ranked
    }

    /// Each line a number and what it counts.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for ((kind, in_loss), [(picked, all), (of_held_out, all_held_out)]) in &self.counts {
            let outside = if *in_loss { "" } else { ", outside the loss" };
            lines.push(format!(
                "{picked:>7} of {all} personal details of training documents ({kind}{outside}) are picked out among others behind their own text; of \
                 held-out documents {of_held_out} of {all_held_out}"
            ));
        }
        for (reason, count) in &self.left_out {
            lines.push(format!("{count:>7} personal details not ranked: {reason}"));
        }
        if self.near_duplicates > 0 {
            lines.push(format!(
                "{:>7} held-out documents whose personal details are no control: near-duplicates of training documents",
                self.near_duplicates
            ));
        }
        lines
    }
}
