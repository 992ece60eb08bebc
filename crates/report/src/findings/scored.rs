//! What the scores are about: which documents, up to where, and what was left out.

use contract::pipeline::LossOn;
use contract::records::Split;

use crate::analysis::{Analysis, Series, Setting};
use crate::checks::cut_documents;
use crate::format::{count, listing};
use crate::measure::Measure;
use crate::membership::{FALSE_POSITIVE_RATES, NonMembers, non_members_needed};
use crate::run::HeldOutCounts;
use crate::tallies::Where;

const TRAINED: Where<'_> = Where {
    split: Split::Train,
    strategy: None,
};

/// How many documents training cut off; `None` where none was, or nobody said.
pub fn cut_sentence(setting: &Setting, analysis: &Analysis<'_>) -> Option<String> {
    let counted = |series: &Series, split: Split| {
        let at = Where {
            split,
            strategy: None,
        };
        let tallies = series.tallies.of(Measure::DocumentsCut, at, None);
        let cut = tallies.iter().filter(|tally| tally.part > 0.0).count();
        (cut, tallies.len())
    };
    // The untuned model is scored up to the same token as the tuned ones, so any series tells.
    let (_, series) = setting.shown().last()?;
    if series.tallies.of(Measure::DocumentsCut, TRAINED, None).is_empty()
        && let Some((cut, documents)) = series
            .cells
            .iter()
            .find_map(|&cell| cut_documents(&analysis.cells[cell]))
    {
        return (cut > 0).then(|| {
            format!(
                "{} of {} training documents are longer than what training read of a text: what came after cannot come out.",
                count(cut as u64),
                count(documents as u64)
            )
        });
    }
    let ((cut, trained), (held_out_cut, held_out)) =
        (counted(series, Split::Train), counted(series, Split::Heldout));
    let of_responses = |&cell: &usize| analysis.cells[cell].data.loss_on == LossOn::Response;
    if trained + held_out == 0 && series.cells.iter().any(of_responses) {
        return Some(
            "Training took loss on responses alone, and the scores are those of their tokens: how many documents were cut cannot be read \
             off them, and there are no bits per byte."
                .to_owned(),
        );
    }
    (cut + held_out_cut > 0).then(|| {
        format!(
            "{} of {} training documents and {} of {} held-out ones are longer than what training read of a text; their scores end \
             there, and bits per byte leave them out.",
            count(cut as u64),
            count(trained as u64),
            count(held_out_cut as u64),
            count(held_out as u64)
        )
    })
}

/// Which documents chose, and which say how useful the chosen model is; `None` where they were not told apart.
pub fn loss_sentence(setting: &Setting, analysis: &Analysis<'_>) -> Option<String> {
    let HeldOutCounts { validation, test, .. } = corpus_counts(setting, analysis)?;
    match (validation, test) {
        (0, 0) => None,
        (_, 0) => Some(format!(
            "All {validation} held-out documents chose checkpoint and learning rate by their loss (`corpus.validation = 1`), so that the \
             held-out loss shown is that of the same documents."
        )),
        _ => Some(format!(
            "Held-out loss on this page is that over the {test} test documents, which chose nothing. Checkpoint and learning rate were \
             chosen by the loss over {validation} validation documents."
        )),
    }
}

/// Whom members are told from, and how many held-out documents were left out.
pub fn non_members_sentence(setting: &Setting, analysis: &Analysis<'_>) -> Option<String> {
    let cells = setting.shown().flat_map(|(_, series)| &series.cells);
    let NonMembers {
        used,
        validation,
        near_duplicates,
    } = cells
        .map(|&cell| analysis.cells[cell].non_members)
        .min_by_key(|counts| counts.used)?;
    let left_out: Vec<String> = [
        (
            validation,
            "validation document",
            ", by which the checkpoint was chosen",
        ),
        (near_duplicates, "near-duplicate", " of training text"),
    ]
    .into_iter()
    .filter(|(number, ..)| *number > 0)
    .map(|(number, what, which)| format!("{number} {what}{}{which}", if number == 1 { "" } else { "s" }))
    .collect();
    let mut sentence = format!("Non-members are {used} held-out documents");
    if !left_out.is_empty() {
        sentence += &format!("; left out: {}", listing(&left_out));
    }
    sentence += ".";
    for rate in FALSE_POSITIVE_RATES {
        let needed = non_members_needed(rate);
        if used < needed {
            sentence += &format!(
                " A rate at {}% falsely accused needs {needed} or more non-members; there are {used}, so it is left blank.",
                rate * 100.0
            );
        }
    }
    Some(sentence)
}

fn corpus_counts(setting: &Setting, analysis: &Analysis<'_>) -> Option<HeldOutCounts> {
    let (_, series) = setting.shown().last()?;
    let cell = *series.cells.first()?;
    Some(analysis.cells[cell].corpus.held_out)
}
