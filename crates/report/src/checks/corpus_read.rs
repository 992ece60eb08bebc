//! Documents that could not be read are in no rate.

use contract::pipeline::Corpus;
use contract::records::CorpusFactKind;

use super::{Evidence, Finding, PlausibilityCheck};
use crate::format::{count, percent};

pub(super) const CHECK: PlausibilityCheck = PlausibilityCheck {
    name: "corpus_read",
    title: "The corpus was read as a whole",
    applies: |evidence| !evidence.is_untuned() && !evidence.is_of_canaries(),
    find,
};

fn find(evidence: &Evidence<'_>) -> Finding {
    let corpus = evidence.cell.corpus;
    let Some(read) = corpus.documents_of(CorpusFactKind::Read).filter(|read| *read > 0) else {
        return Finding::not_made("the corpus comes without corpus.parquet");
    };
    let left_out = corpus.documents_of(CorpusFactKind::LeftOut).unwrap_or(0);
    let share = left_out as f64 / read as f64;
    let said = format!("{} of {} documents ({}) were left out", count(left_out), count(read), percent(share));
    let documents = usize::try_from(read).unwrap_or(usize::MAX);
    if share <= Corpus::default().max_left_out {
        return Finding::passed(format!("{said}."), documents);
    }
    Finding::warning(
        "not all of the corpus was read",
        format!("{said}: they are in no rate. “What was read” below says why; if the model saw them, mend the file or name its format."),
        documents,
    )
}
