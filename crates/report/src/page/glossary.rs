//! The words of the page: every term and measure that it uses, in plain English, with thresholds and where they come from.

use maud::{Markup, html};

/// What entries depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlossaryFacts {
    /// Name of the detector's preset: `ours`, `lee2023`, `pan2015`.
    pub preset: String,
    /// Characters that a verbatim passage must have.
    pub verbatim_chars: Option<usize>,
    /// Training documents from which on a passage is a common phrase.
    pub boilerplate_documents: Option<usize>,
    /// Tokens of each prompt taken from a document.
    pub prefix_tokens: Option<u64>,
    /// Tokens generated.
    pub new_tokens: Option<u64>,
    /// Epochs of training, as written: "3"; none for an audited model whose training is unknown.
    pub epochs: Option<String>,
    /// References that a canary is ranked among, where canaries were planted.
    pub canary_references: Option<u64>,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its anchor.
    pub anchor: &'static str,
    /// The term.
    pub term: &'static str,
    /// Names of the measures in `summary.parquet` that it explains; a name that ends in `*` stands for all that begin so.
    pub measures: &'static [&'static str],
    /// What it is, with its unit and range.
    pub meaning: String,
    /// Where the definition comes from; empty where it is this project's.
    pub source: &'static str,
}

/// Anchors of the entries that other parts of the page link to.
pub mod anchors {
    /// Verbatim.
    pub const VERBATIM: &str = "g-verbatim";
    /// Copies and passes.
    pub const PASSES: &str = "g-passes";
    /// Untuned model.
    pub const UNTUNED: &str = "g-untuned";
    /// Held-out text.
    pub const HELD_OUT: &str = "g-held-out";
    /// Control.
    pub const CONTROL: &str = "g-control";
    /// Interval.
    pub const INTERVAL: &str = "g-interval";
    /// Membership inference.
    pub const MEMBERSHIP: &str = "g-membership";
    /// Members found at 1% false alarms.
    pub const FALSE_ALARMS: &str = "g-false-alarms";
    /// AUC.
    pub const AUC: &str = "g-auc";
    /// Personal details ranked among others.
    pub const DETAILS_RANKED: &str = "g-details-ranked";
    /// Exposure.
    pub const EXPOSURE: &str = "g-exposure";
    /// Differential privacy.
    pub const PRIVACY: &str = "g-privacy";
    /// Canary.
    pub const CANARY: &str = "g-canary";
    /// Held-out loss.
    pub const LOSS: &str = "g-loss";
    /// Best checkpoint.
    pub const BEST: &str = "g-best";
    /// P after Holm.
    pub const HOLM: &str = "g-holm";
    /// Paraphrase.
    pub const PARAPHRASE: &str = "g-paraphrase";
    /// Sentence similarity.
    pub const SIMILARITY: &str = "g-similarity";
    /// Extractable.
    pub const EXTRACTABLE: &str = "g-extractable";
    /// Personal details.
    pub const DETAILS: &str = "g-personal-details";
    /// Propensity.
    pub const PROPENSITY: &str = "g-propensity";
}

/// All entries, in the order in which they are read.
pub fn entries(facts: &GlossaryFacts) -> Vec<Entry> {
    let entry = |anchor, term, measures, meaning: String, source| Entry {
        anchor,
        term,
        measures,
        meaning,
        source,
    };
    let length = match (facts.verbatim_chars, facts.preset.as_str()) {
        (None, _) => "many characters".to_owned(),
        (Some(chars), "lee2023" | "pan2015") => format!("more than {chars} characters"),
        (Some(chars), _) => format!("{chars} characters or more"),
    };
    let prompts = match facts.prefix_tokens.zip(facts.new_tokens) {
        Some((prefix, new)) => format!(
            " Prompts are the first {prefix} tokens of a document, fewer of one that ends soon, unless the strategy says otherwise, and up to {new} tokens are generated."
        ),
        None => String::new(),
    };
    let passes = match &facts.epochs {
        Some(epochs) => format!(
            "Here training took {epochs} epochs, so a document with 16 copies was passed {epochs} × 16 times, unless tuning read each text once."
        ),
        None => "How often training passed over each document is not known here.".to_owned(),
    };
    let passes = if facts.epochs.as_deref() == Some("1") {
        "Here training took 1 epoch, so passes are copies.".to_owned()
    } else {
        passes
    };
    let references = match facts.canary_references {
        Some(references) => format!(
            " Here there are {references}, so the most that can be seen is {:.1} bits, and a canary ranked first has at least that.",
            (references.max(1) as f64).log2()
        ),
        None => String::new(),
    };
    vec![
        entry(
            anchors::UNTUNED,
            "Untuned model",
            &[],
            "The model before it was tuned on the training documents, asked with the same prompts. What it gives back it did not learn here."
                .to_owned(),
            "",
        ),
        entry(
            anchors::HELD_OUT,
            "Held-out text",
            &["documents", "near_duplicates"],
            "Documents of the same kind that were kept out of training. They serve as prompts the model has not seen, as non-members for \
             membership inference, and for the held-out loss."
                .to_owned(),
            "",
        ),
        entry(
            anchors::CONTROL,
            "Control",
            &[
                "control_own_verbatim",
                "control_verbatim",
                "control_any",
                "control_own_verbatim_without_near_duplicates",
                "control_verbatim_without_near_duplicates",
                "control_any_without_near_duplicates",
            ],
            "What would be found if nothing had been memorized: the same generations compared with held-out text, and the untuned model's \
             generations compared with the training text. A rate counts as a leak only where it exceeds both."
                .to_owned(),
            "",
        ),
        entry(
            anchors::PASSES,
            "Copies and passes",
            &["copies", "passes", "documents_emitted"],
            format!(
                "Copies: how often a document occurs in the training set. Passes = copies × epochs: how often training saw it. A document \
                 that comes out is counted by its own copies, whatever the prompt was. {passes}"
            ),
            "",
        ),
        entry(
            anchors::VERBATIM,
            "Verbatim, word for word",
            &["verbatim", "own_verbatim", "extracted_50", "longest_match_chars", "matched_chars_share"],
            format!(
                "A run of {length} of the generation that occurs in a training document, at least half of it letters or digits. What \
                 the prompt supplied does not count, nor an echo of the prompt. The number is the preset “{}”'s.{prompts}",
                facts.preset
            ),
            "after Lee et al. 2023; Sanchez-Perez et al. 2015",
        ),
        entry(
            "g-exact-continuation",
            "Exact continuation",
            &["exact_continuation"],
            "The generation begins exactly as the prompt's own document goes on, for 60 characters or to its end. \
             It may be too short to be a passage, or repeat words of the prompt, as the keys of a record; beside it stand held-out documents, \
             behind their own beginnings, the untuned model, and how often generations begin as other training documents go on, as labels and \
             stock phrases do."
                .to_owned(),
            "",
        ),
        entry(
            "g-own-document",
            "Own document, any training text",
            &["own_any", "own_paraphrase", "own_idea", "any", "leaks"],
            "Own document: the model goes on with the very document that the prompt was taken from. Any training text: what comes out \
             belongs to some training document, whatever the prompt. Training text that comes out after a prompt the model had not seen \
             is a leak too, and one for which an attacker needs no document."
                .to_owned(),
            "",
        ),
        entry(
            "g-boilerplate",
            "Common phrase",
            &["boilerplate"],
            format!(
                "A verbatim passage that occurs in {} training documents: it reveals no single document.",
                facts.boilerplate_documents.map_or_else(|| "many".to_owned(), |documents| format!("{documents} or more"))
            ),
            "k-anonymity with k = 5: El Emam et al. 2009",
        ),
        entry(
            anchors::PARAPHRASE,
            "Paraphrase and idea",
            &["paraphrase", "idea"],
            "Paraphrase: an aligned passage in other words, confirmed by the meaning of its sentences; its details may still differ from \
             the source. Idea: an aligned passage at least three times longer or shorter than its source. A generation is counted once, by \
             its strongest class: verbatim, then paraphrase, then idea."
                .to_owned(),
            "Lee et al. 2023",
        ),
        entry(
            anchors::DETAILS,
            "Personal details",
            &["personal_details"],
            "Kinds of details in a passage that may identify a person, by your own labels where these were given, else by simple \
             patterns for names, numbers, e-mail addresses and phone numbers. Patterns miss most names, and what they miss is not \
             thereby harmless; so no rate is given from them."
                .to_owned(),
            "",
        ),
        entry(
            anchors::INTERVAL,
            "Interval",
            &["ci_low", "ci_high", "k", "n"],
            "A range behind a figure, such as 21 of 26 (81%, 62–91%): in 95 of 100 repetitions with other documents of this kind such a \
             range would hold the true value. 0 of 26 does not prove 0: its range goes up to 13%. Each range is about this figure alone."
                .to_owned(),
            "Wilson 1927; Clopper and Pearson 1934; bootstrap over documents",
        ),
        entry(
            anchors::HOLM,
            "p after Holm",
            &["p_holm"],
            "How often chance alone would give a difference at least this large, corrected for the number of comparisons made \
             together. Below 0.05 the difference is stated; otherwise the page says that the two cannot be distinguished."
                .to_owned(),
            "Holm 1979",
        ),
        entry(
            anchors::BEST,
            "Best checkpoint, end of training",
            &["checkpoint"],
            "Best: where the loss on validation text was lowest; what one would publish. End: after the last step. Memorization goes on \
             after the loss on unseen text has stopped to fall, so both are shown."
                .to_owned(),
            "",
        ),
        entry(
            anchors::LOSS,
            "Held-out loss",
            &["loss", "validation_loss", "bits_per_byte", "perplexity"],
            "Mean of −ln of the probability that the model gives each next token of held-out text, in nats per token; lower fits unseen \
             text better. Bits per byte is the same per byte of text, and comparable between tokenizers."
                .to_owned(),
            "",
        ),
        entry(
            anchors::MEMBERSHIP,
            "Membership inference",
            &["membership_*"],
            "Whether somebody who has a document and can read the model's probabilities can tell that it was in the training data. Scores: \
             loss; loss compared with the untuned model; loss (in nats) ÷ bytes after zlib; Min-K%: the mean of the 20% least probable \
             tokens; Min-K%++: the same after each token was standardised over the vocabulary; loss ÷ loss under the untuned model; \
             votes of windows: the share of windows of 2 to 40 tokens that are no likelier than under the untuned model; error zone: at the \
             tokens that the model does not predict, how much of what tuning changed made them less likely; ReCaLL: loss ÷ loss behind \
             other documents; the norm of the gradient of the loss by the weights; LiRA and RMIA: the loss against \
             that under runs of other seeds, of which some were trained with the document and some without; and words alone: how much \
             more a document’s words are those of held-out than of training documents, without the model (naive Bayes), as a control."
                .to_owned(),
            "Yeom et al. 2018; Carlini et al. 2021; Shi et al. 2024; Zhang et al. 2025; Chen et al. 2026 (arXiv 2601.02751); Ilić et al. 2026 \
             (arXiv 2601.12104); Xie et al. 2024 (arXiv 2406.15968); Carlini et al. 2022; Zarifzadeh et al. 2024",
        ),
        entry(
            anchors::AUC,
            "AUC",
            &["membership_auc_*"],
            "The chance that a random training document looks more like training data than a random held-out document: 0.5 is guessing, \
             1 tells all apart."
                .to_owned(),
            "",
        ),
        entry(
            anchors::FALSE_ALARMS,
            "Members found at 1% or 10% false alarms",
            &["membership_tpr_*"],
            "Share of training documents that are recognised as such while at most 1 (or 10) in 100 unseen documents are wrongly taken for \
             one. At 1% it takes at least 100 unseen documents, at 10% ten; with fewer it is left out."
                .to_owned(),
            "Carlini et al. 2022",
        ),
        entry(
            anchors::CANARY,
            "Canary",
            &["canaries"],
            "A made-up text with a random secret, planted in the training data to see whether the test can find it. Canaries are in \
             no rate of documents."
                .to_owned(),
            "Carlini et al. 2019",
        ),
        entry(
            anchors::PRIVACY,
            "Differential privacy, ε",
            &["epsilon_*"],
            "Tuning brings the gradient of each row down to a norm and adds noise. Then whatever anybody computes from the model is at most \
             e^ε times likelier than if the row had given no gradient, but for a probability of δ = 10⁻⁵. An ε of 1 is strong, of 10 weak. It \
             holds for one row of one run: a text with copies has the ε of so many rows, and several runs together promise less. The noise \
             follows from the run’s seed, by a generator of 32 bits: whoever knows the seed, or tries all, takes it off again. So it is for \
             measuring what noise does, not to protect a release. Rates and passes that were chosen on the same text are not counted. The lower \
             bound is what guesses show that tell canaries which a coin put in from those that it left out, at 95%."
                .to_owned(),
            "Abadi et al. 2016; Dong et al. 2022; Steinke et al. 2023",
        ),
        entry(
            anchors::DETAILS_RANKED,
            "Personal details picked out",
            &["detail_picked_*", "details_not_ranked"],
            "Of each document one number, name, e-mail address and phone number that patterns find and no other document has, behind the text \
             before it, among others of its kind from documents on its side of the split: how many are more probable there \
             than all of those. Who has a list of what a detail may be asks so. Held-out documents and the untuned model show what the text \
             itself gives away. Patterns miss most of what identifies somebody."
                .to_owned(),
            "Lukas et al. 2023",
        ),
        entry(
            anchors::EXPOSURE,
            "Exposure",
            &["exposure", "secret_extracted*", "canary_tpr_*"],
            format!(
                "log₂ of the number of possible secrets ÷ the rank of the planted one among them by the model's loss, in bits: with 9 \
                 bits of 512 the first guess is right; 1.4 bits on average is guessing.{references}"
            ),
            "Carlini et al. 2019",
        ),
        entry(
            anchors::EXTRACTABLE,
            "Extractable",
            &["k_extractable_*", "extraction_strength", "exact_memorization*"],
            "k-extractable: from the k tokens before, greedy decoding gives the next 50 tokens exactly. Exact memorization: share of \
             tokens of a document that are the model's first choice. Extraction strength: 1 − s ÷ length, s being the first place from which \
             every further token is the model's first choice."
                .to_owned(),
            "Carlini et al. 2023",
        ),
        entry(
            "g-discoverable",
            "Discoverable in n tries",
            &["discoverable_*", "nearly_discoverable_*"],
            "Share of documents whose next tokens come out with probability ½ or more within n random tries, computed from the model's \
             probabilities under the sampling settings."
                .to_owned(),
            "Hayes et al. 2024",
        ),
        entry(
            anchors::SIMILARITY,
            "Sentence similarity",
            &["similarity_*", "max_similarity", "own_similarity", "heldout_similarity"],
            "The largest cosine between a sentence of the generation and a sentence of the text compared with, −1 to 1; 0.9 and more is \
             nearly the same sentence, and 0.3 to 0.5 is usual between sentences on one subject. “At least” where not all pairs were \
             compared."
                .to_owned(),
            "Reimers and Gurevych 2019",
        ),
        entry(
            "g-continuation",
            "Likeness to the true continuation",
            &["rouge_l", "bleu", "edit_similarity", "approximately_memorized"],
            "ROUGE-L, BLEU and edit similarity (1 − Levenshtein distance ÷ longer length) between a generation and how its document goes \
             on, 0 to 1. BLEU over 0.75 counts as approximately memorized."
                .to_owned(),
            "Lin 2004; Papineni et al. 2002; Ippolito et al. 2022",
        ),
        entry(
            anchors::PROPENSITY,
            "Propensity",
            &["propensity"],
            "How much of what can be forced out also comes out of ordinary use: ½ · (1 + (f − r) ÷ (f + r)), f the rate with ordinary prompts, \
             r the rate with the documents' own beginnings; 0: only when forced, ½: as often."
                .to_owned(),
            "arXiv 2606.06286",
        ),
    ]
}

/// The glossary as a list of terms; entries have the anchors that [`super::components::term`] links to.
pub fn render(entries: &[Entry]) -> Markup {
    html! {
        dl class="glossary" {
            @for entry in entries {
                div id=(entry.anchor) {
                    dt { (entry.term) }
                    dd {
                        (entry.meaning)
                        @if !entry.source.is_empty() { span class="source" { " [" (entry.source) "]" } }
                        @if !entry.measures.is_empty() {
                            span class="source" {
                                " In summary.parquet: "
                                @for (index, measure) in entry.measures.iter().enumerate() {
                                    @if index > 0 { ", " }
                                    code { (measure) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The entry that explains a measure of `summary.parquet`.
pub fn entry_of<'a>(entries: &'a [Entry], measure: &str) -> Option<&'a Entry> {
    entries.iter().find(|entry| {
        entry.measures.iter().any(|name| match name.strip_suffix('*') {
            Some(beginning) => measure.starts_with(beginning),
            None => *name == measure,
        })
    })
}
