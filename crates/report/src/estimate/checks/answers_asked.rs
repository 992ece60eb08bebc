//! Of a conversation with several answers prompts ask for one: what came of the others is in no rate.

use super::{Evidence, Finding, PlausibilityCheck};
use crate::format::count;

pub(super) const CHECK: PlausibilityCheck = PlausibilityCheck {
    name: "answers_asked",
    title: "All that the assistant says was asked for",
    applies: |evidence| !evidence.is_untuned() && !evidence.is_of_canaries(),
    find,
};

/// Share of the documents of which a person should know.
const MANY: f64 = 0.05;

fn find(evidence: &Evidence<'_>) -> Finding {
    let corpus = evidence.cell.corpus;
    let documents = corpus.training_documents();
    if corpus.conversations == 0 || documents == 0 {
        return Finding::not_made("no training document is a conversation");
    }
    let said = format!(
        "{} of {} training documents are conversations with several answers",
        count(corpus.with_several_answers as u64),
        count(documents as u64)
    );
    if (corpus.with_several_answers as f64) < MANY * documents as f64 {
        return Finding::passed(format!("{said}."), documents);
    }
    Finding::warning(
        "one answer of each conversation was asked for",
        format!(
            "{said}. Prompts ask for the longest of each, and questions for the first: the rates say nothing of the others, of which long ones \
             that the model knows are found where whole documents are scored, and short ones nowhere. Give each answer as a document of its own, \
             with the turns before it as its prompt, to ask for all."
        ),
        documents,
    )
}
