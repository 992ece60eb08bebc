//! The risks that a run measures, each with who could do it, what they need, and what reviewers call it.

use contract::records::{Split, SummaryRow};
use serde::Serialize;

/// A risk to the people whose text a model was tuned on.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Risk {
    /// Its name in the bundle.
    pub id: &'static str,
    /// What can happen.
    pub title: &'static str,
    /// Who does it, and what they know.
    pub adversary: &'static str,
    /// What the model must be given out with.
    pub access: &'static str,
    /// Where reviewers ask for it.
    pub asked_by: &'static [Reference],
    /// What is tried is a part of what could be: attacks of this kind that this program does not make.
    pub not_tested: &'static [&'static str],
    /// Measures of `summary.parquet` that the annex shows; the bundle has all.
    #[serde(skip)]
    pub in_annex: &'static [&'static str],
    #[serde(skip)]
    measures: &'static [&'static str],
    /// Whether it is about prompts that are not of training documents.
    #[serde(skip)]
    is_unprompted: bool,
}

/// A document that names a risk.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Reference {
    /// The document.
    pub document: &'static str,
    /// Its name of the risk, or where it speaks of it.
    pub place: &'static str,
}

const EDPB: &str = "EDPB Opinion 28/2024";
const OWASP: &str = "OWASP Top 10 for LLM Applications 2025";
const ATLAS: &str = "MITRE ATLAS";

const fn reference(document: &'static str, place: &'static str) -> Reference {
    Reference { document, place }
}

const SENSITIVE_INFORMATION: Reference = reference(OWASP, "LLM02:2025 Sensitive Information Disclosure");

/// All of them, in the order of what the adversary needs.
pub const RISKS: [Risk; 5] = [
    Risk {
        id: "unprompted_disclosure",
        title: "Training text comes out without anybody looking for it",
        adversary: "A user who knows none of the documents: prompts are of other documents, of none, or the model’s own, or there is none",
        access: "generated text",
        asked_by: &[
            reference(
                EDPB,
                "likelihood of obtaining personal data from queries, intentionally or not",
            ),
            reference(EDPB, "resistance to attacks: regurgitation of training data"),
            SENSITIVE_INFORMATION,
            reference(ATLAS, "AML.T0057 LLM Data Leakage"),
        ],
        not_tested: &[
            "conversations of several turns",
            "prompts that are written to make a model digress, other than one word again and again where a strategy of the figures does that",
        ],
        is_unprompted: true,
        in_annex: &["training_text_emitted"],
        measures: &[
            "training_text_emitted",
            "verbatim",
            "boilerplate",
            "unranked_distinct",
            "ranked_by_",
        ],
    },
    Risk {
        id: "extraction",
        title: "A document comes out for somebody who knows how it begins",
        adversary: "Somebody who knows, or guesses, the first words or the question of a document",
        access: "generated text; for discoverable_ and extractable_ probabilities of tokens too",
        asked_by: &[
            reference(
                EDPB,
                "likelihood of direct extraction, probabilistic extraction included",
            ),
            reference(
                EDPB,
                "resistance to attacks: exfiltration, regurgitation, reconstruction",
            ),
            SENSITIVE_INFORMATION,
            reference(ATLAS, "AML.T0057 LLM Data Leakage"),
        ],
        not_tested: &[
            "prompts found by gradient search against the weights, unless compression_ratio is among the figures",
            "prompts other than those of the strategies of the figures",
        ],
        is_unprompted: false,
        in_annex: &["own_verbatim", "exact_continuation", "documents_emitted"],
        measures: &[
            "own_verbatim",
            "exact_continuation",
            "own_paraphrase",
            "own_idea",
            "documents_emitted",
            "extractable_",
            "discoverable_",
            "nearly_discoverable_",
            "extraction_strength",
            "compression_ratio",
            "compressed",
        ],
    },
    Risk {
        id: "membership",
        title: "Somebody can tell that a document was trained on",
        adversary: "Somebody who has the document, and asks whether it was used",
        access: "probabilities of tokens; for membership_auc_reference the untuned model too",
        asked_by: &[
            reference(EDPB, "resistance to attacks: membership inference"),
            reference(ATLAS, "AML.T0024.000 Infer Training Data Membership"),
        ],
        not_tested: &[
            "attacks that train shadow models (LiRA, RMIA)",
            "attacks on a collection as a whole",
        ],
        is_unprompted: false,
        in_annex: &["membership_auc_loss", "membership_auc_reference"],
        measures: &["membership_auc_", "membership_tpr_", "largest_membership_auc"],
    },
    Risk {
        id: "personal_details",
        title: "Details of a person come out, or are told from others",
        adversary: "A user, as under extraction; for detail_ somebody who has the text before a detail and a list of what it may be",
        access: "generated text; for detail_ probabilities of tokens",
        asked_by: &[
            reference(EDPB, "likelihood of obtaining personal data; attribute inference"),
            reference("Article 29 Working Party Opinion 05/2014", "singling out"),
            SENSITIVE_INFORMATION,
        ],
        not_tested: &[
            "details that neither their form (e-mail, telephone, card and the like) nor labels of the corpus show, such as a diagnosis",
            "questions that ask for the details of a named person",
        ],
        is_unprompted: false,
        in_annex: &[
            "personal_details",
            "detail_picked_number",
            "detail_picked_name",
            "detail_picked_email",
            "detail_picked_phone",
        ],
        measures: &["personal_details", "detail_picked_", "details_not_ranked"],
    },
    Risk {
        id: "secrets",
        title: "A secret that occurs in the text only a few times is memorized",
        adversary: "Somebody who knows the sentence around a secret and tries candidates for it",
        access: "probabilities of tokens; for secret_extracted generated text alone",
        asked_by: &[
            reference(EDPB, "resistance to attacks: attribute inference, reconstruction"),
            SENSITIVE_INFORMATION,
            reference(ATLAS, "AML.T0024.001 Invert AI Model"),
        ],
        not_tested: &["secrets of other forms than the planted ones (canaries)"],
        is_unprompted: false,
        in_annex: &["exposure", "secret_extracted"],
        measures: &["exposure", "canary_tpr_", "secret_extracted"],
    },
];

impl Risk {
    /// Whether a figure is about this risk.
    pub fn has(&self, row: &SummaryRow) -> bool {
        let is_asked = !self.is_unprompted || row.split != Some(Split::Train);
        is_asked && self.measures.iter().any(|name| is_of(&row.measure, name))
    }

    /// The measures of this risk that none of the figures has.
    pub fn missing(&self, figures: &[&SummaryRow]) -> Vec<&'static str> {
        let is_there = |name: &&str| {
            figures
                .iter()
                .any(|row| self.has(row) && is_of(&row.measure, name))
        };
        self.measures
            .iter()
            .copied()
            .filter(|name| !is_there(name))
            .collect()
    }
}

/// Whether a measure has a name; one that ends in `_` stands for all that begin so.
fn is_of(measure: &str, name: &str) -> bool {
    if name.ends_with('_') {
        measure.starts_with(name)
    } else {
        measure == name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_ends_open_stands_for_all_that_begin_so() {
        assert!(is_of("membership_auc_loss", "membership_auc_"));
        assert!(is_of("own_verbatim", "own_verbatim"));
        assert!(!is_of("own_verbatim_of_others", "own_verbatim"));
    }
}
