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
    let unreadable = corpus.unreadable_documents();
    let share = unreadable as f64 / read as f64;
    let said = format!(
        "{} of {} documents ({}) could not be read",
        count(unreadable),
        count(read),
        percent(share)
    );
    let documents = usize::try_from(read).unwrap_or(usize::MAX);
    if share <= Corpus::default().max_left_out {
        return Finding::passed(format!("{said}."), documents);
    }
    Finding::warning(
        "not all of the corpus was read",
        format!(
            "{said}: they are in no rate, and the model may have been tuned on them. “What was read” says why; mend the file, or name its format."
        ),
        documents,
    )
}
