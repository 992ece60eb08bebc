//! What reading the corpus left out, passed over, guessed or changed, as rows of `corpus.parquet`.

use std::path::Path;

use contract::records::{CorpusFact, CorpusFactKind, Split};
use corpus_files::PassedOver;

use crate::collection::{Files, Side, Tally};
use crate::cut::Cut;

/// What the rows say of documents of `corpus.other`.
const OTHER_TEXT: &str = "other text";

/// What the rows are made from, beside the tally of reading.
pub(crate) struct Results<'a> {
    pub(crate) files: &'a Files,
    pub(crate) cuts: &'a [Cut],
    /// Models whose tokenizer is not there yet.
    pub(crate) without_tokenizer: &'a [String],
    pub(crate) near_duplicates: usize,
    /// What the chat template writes through the header of an answer where the user says nothing; none where nothing was rendered.
    pub(crate) template_opening: Option<&'a str>,
}

/// The rows, those of one kind together.
pub(crate) fn corpus_facts(tally: &Tally, results: &Results<'_>) -> Vec<CorpusFact> {
    let files = results.files;
    let mut facts = Vec::new();
    for ((file, documents), number) in files.all.iter().zip(&tally.read).zip(0..) {
        facts.push(CorpusFact {
            reason: (files.side_of(number) == Some(Side::Other)).then(|| OTHER_TEXT.to_owned()),
            file: name(&file.path),
            split: files.split_of(number),
            documents: count(*documents),
            ..of_kind(CorpusFactKind::Read)
        });
    }
    for (&(reason, side), left_out) in &tally.left_out {
        let of_other = if side == Some(Side::Other) {
            format!(" ({OTHER_TEXT})")
        } else {
            String::new()
        };
        facts.push(CorpusFact {
            reason: Some(format!("{reason}{of_other}")),
            split: side.map(Side::split),
            documents: count(left_out.documents),
            detail: left_out.first.clone(),
            ..of_kind(CorpusFactKind::LeftOut)
        });
    }
    for (passed, side) in &files.passed_over {
        facts.push(passed_over(passed, side.map(Side::split)));
    }
    for guess in &files.guesses {
        facts.push(CorpusFact {
            reason: Some(guess.what.to_owned()),
            detail: Some(guess.taken.clone()),
            ..of_kind(CorpusFactKind::Guessed)
        });
    }
    for (file, guess) in &tally.guesses {
        facts.push(CorpusFact {
            reason: Some(guess.what.to_owned()),
            file: name(&files.all[*file as usize].path),
            split: files.split_of(*file),
            detail: Some(guess.taken.clone()),
            ..of_kind(CorpusFactKind::Guessed)
        });
    }
    for ((file, how), recognised) in &tally.recognised {
        facts.push(CorpusFact {
            reason: Some("columns".to_owned()),
            file: name(&files.all[*file as usize].path),
            split: files.split_of(*file),
            documents: count(recognised.documents),
            detail: Some(how.clone()),
            ..of_kind(CorpusFactKind::Recognised)
        });
    }
    if let Some(opening) = results.template_opening {
        facts.push(CorpusFact {
            detail: Some(opening.to_owned()),
            ..of_kind(CorpusFactKind::TemplateOpening)
        });
    }
    for (&(file, column), unused) in &tally.unused {
        facts.push(CorpusFact {
            reason: Some("column".to_owned()),
            file: name(&files.all[file as usize].path),
            split: files.split_of(file),
            documents: count(unused.documents),
            detail: Some(unused_column(column)),
            ..of_kind(CorpusFactKind::Guessed)
        });
    }
    for (&file, replaced) in &tally.replaced {
        facts.push(CorpusFact {
            reason: Some("half a surrogate pair".to_owned()),
            file: name(&files.all[file as usize].path),
            split: files.split_of(file),
            documents: count(replaced.documents),
            detail: replaced.first.clone(),
            ..of_kind(CorpusFactKind::Replaced)
        });
    }
    facts.extend(cut(results));
    let (same, variants) = tally.copies_found;
    for (reason, documents) in [
        ("exact", same),
        ("up to white space, case and normal form", variants),
    ] {
        if documents > 0 {
            facts.push(CorpusFact {
                reason: Some(reason.to_owned()),
                split: Some(Split::Train),
                documents: count(documents),
                ..of_kind(CorpusFactKind::Copies)
            });
        }
    }
    if tally.renamed > 0 {
        facts.push(CorpusFact {
            documents: count(tally.renamed),
            ..of_kind(CorpusFactKind::Renamed)
        });
    }
    if results.near_duplicates > 0 {
        facts.push(CorpusFact {
            split: Some(Split::Heldout),
            documents: count(results.near_duplicates),
            ..of_kind(CorpusFactKind::NearDuplicates)
        });
    }
    facts
}

/// What to say of a column beside the prompt that is not asked for.
pub(crate) fn unused_column(column: &str) -> String {
    format!(
        "the column {column} is no part of the text. If training joined it to the prompt, say how in corpus.template (`alpaca`, or \
         text with columns in braces)"
    )
}

fn passed_over(passed: &PassedOver, split: Option<Split>) -> CorpusFact {
    CorpusFact {
        reason: Some(passed.reason.to_owned()),
        file: name(&passed.path),
        split,
        detail: Some(format!("{}: {}", passed.path.display(), passed.explanation)),
        ..of_kind(CorpusFactKind::PassedOver)
    }
}

/// One row for each model and side with documents that are too long, and one for each model of which that is not known.
fn cut(results: &Results<'_>) -> Vec<CorpusFact> {
    let mut facts = Vec::new();
    for cut in results.cuts {
        for model in &cut.models {
            for (split, (longer, all)) in [(Split::Train, cut.training), (Split::Heldout, cut.held_out)] {
                if longer > 0 {
                    facts.push(CorpusFact {
                        reason: Some(model.clone()),
                        split: Some(split),
                        documents: count(longer),
                        detail: Some(format!("of {all}, at tuning.context = {} tokens", cut.context)),
                        ..of_kind(CorpusFactKind::Cut)
                    });
                }
            }
        }
    }
    for model in results.without_tokenizer {
        facts.push(CorpusFact {
            reason: Some(model.clone()),
            detail: Some("not counted, for the model has no tokenizer.json yet".to_owned()),
            ..of_kind(CorpusFactKind::Cut)
        });
    }
    facts
}

fn of_kind(fact: CorpusFactKind) -> CorpusFact {
    CorpusFact {
        fact,
        reason: None,
        file: None,
        split: None,
        documents: None,
        detail: None,
    }
}

fn name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}

fn count(documents: usize) -> Option<i64> {
    i64::try_from(documents).ok()
}
