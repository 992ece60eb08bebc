//! What the documents come to: the table at the end, which the page shows too.

use std::fmt;

use contract::pipeline::LossOn;
use contract::records::{CorpusFact, CorpusFactKind, DocumentCheck, Split};
use page_parts::percent;

use crate::risk;

/// Bits of exposure from which a document is counted as at risk: a passage that occurs four times and more. In the runs of this crate's README
/// no document below it came out word for word; it is a line to count by, and no promise.
pub(crate) const EXPOSED_BITS: f32 = 2.0;

/// The numbers of one corpus.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Different documents to train on.
    pub documents: usize,
    /// How often they occur, taken together.
    pub instances: i64,
    /// What the table shows, from its first row on.
    pub rows: Vec<SummaryRow>,
    /// What was left out, not looked at or guessed, in sentences.
    pub remarks: Vec<String>,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryRow {
    /// What is counted.
    pub label: &'static str,
    /// How many, and of how many; none where that is not known.
    pub count: Option<(usize, usize)>,
    /// Whether there may be more.
    pub at_least: bool,
    /// What it means, or why it is not known.
    pub remark: String,
}

impl Summary {
    /// Counts. `context`: tokens of a row of training, where a model is known. `is_scored`: whether that model scored documents.
    pub(crate) fn of(
        documents: &[DocumentCheck],
        facts: &[CorpusFact],
        context: Option<usize>,
        loss_on: LossOn,
        is_scored: bool,
    ) -> Self {
        let training: Vec<&DocumentCheck> = of_split(documents, Split::Train);
        let held_out: Vec<&DocumentCheck> = of_split(documents, Split::Heldout);
        let counted = Counted { training: &training };
        let mut rows = vec![left_out_row(facts), counted.copies(facts), counted.near_copies()];
        rows.extend(counted.details());
        rows.extend(counted.tokens(context));
        rows.push(counted.no_loss(context.is_some(), loss_on));
        rows.push(counted.exposed());
        rows.extend(held_out_rows(&held_out, facts));
        let mut summary = Self {
            documents: training.len(),
            instances: training.iter().map(|document| i64::from(document.copies)).sum(),
            rows,
            remarks: left_out(facts),
        };
        summary
            .remarks
            .extend(counted.remarks(context.is_some(), is_scored));
        summary.remarks.extend(losses(&training, &held_out));
        summary
    }
}

fn of_split(documents: &[DocumentCheck], split: Split) -> Vec<&DocumentCheck> {
    documents
        .iter()
        .filter(|document| document.split == split)
        .collect()
}

/// Personal details that patterns found in a document.
pub(crate) fn details_of(document: &DocumentCheck) -> [(&'static str, i32); 4] {
    [
        ("numbers", document.numbers),
        ("names", document.names),
        ("e-mails", document.emails),
        ("phones", document.phones),
    ]
}

/// The training documents, counted.
struct Counted<'a> {
    training: &'a [&'a DocumentCheck],
}

impl Counted<'_> {
    fn count(&self, is: impl Fn(&DocumentCheck) -> bool) -> usize {
        self.training.iter().filter(|document| is(document)).count()
    }

    fn row(
        &self,
        label: &'static str,
        is: impl Fn(&DocumentCheck) -> bool,
        remark: impl Into<String>,
    ) -> SummaryRow {
        SummaryRow {
            label,
            count: Some((self.count(is), self.training.len())),
            at_least: false,
            remark: remark.into(),
        }
    }

    fn copies(&self, facts: &[CorpusFact]) -> SummaryRow {
        let more: i64 = self
            .training
            .iter()
            .map(|document| i64::from(document.copies) - 1)
            .sum();
        let variants: i64 = facts
            .iter()
            .filter(|fact| fact.fact == CorpusFactKind::Copies && fact.reason.as_deref() != Some("exact"))
            .filter_map(|fact| fact.documents)
            .sum();
        let most = self
            .training
            .iter()
            .map(|document| document.copies)
            .max()
            .unwrap_or(0);
        let remark = if more == 0 {
            "none occurs twice".to_owned()
        } else {
            format!(
                "occur more than once, at most {most} times; {more} copies, {variants} of them the same up to white space and case alone"
            )
        };
        self.row("copies", |document| document.copies > 1, remark)
    }

    fn near_copies(&self) -> SummaryRow {
        let at_least = self.training.iter().any(|document| document.near_copies_at_least);
        let short = self.count(|document| document.near_copies.is_none());
        let not_compared = if short == 0 {
            String::new()
        } else {
            format!("; {short} of fewer than 8 words are not compared")
        };
        SummaryRow {
            at_least,
            ..self.row(
                "near copies",
                |document| document.near_copies.is_some_and(|near| near > 0),
                format!(
                    "share at least half of their 8-grams of words with one other document{not_compared}"
                ),
            )
        }
    }

    /// One row for each kind, and one for any.
    fn details(&self) -> Vec<SummaryRow> {
        let kinds = [
            ("  numbers", 0, "dates, codes, records"),
            ("  names", 1, "of persons"),
            ("  e-mails", 2, "addresses"),
            ("  phones", 3, "numbers"),
        ];
        let mut rows = vec![self.row(
            "personal details",
            has_details,
            "by patterns, which miss most of what identifies somebody: none found is not none there",
        )];
        rows.extend(kinds.into_iter().map(|(label, kind, what)| {
            let found: i64 = self
                .training
                .iter()
                .map(|document| i64::from(details_of(document)[kind].1))
                .sum();
            self.row(
                label,
                move |document| details_of(document)[kind].1 > 0,
                format!("{found} {what}"),
            )
        }));
        rows
    }

    /// What the context cuts, and the share of tokens that carries loss.
    fn tokens(&self, context: Option<usize>) -> Vec<SummaryRow> {
        let Some(context) = context else {
            let without = "not known without MODEL=";
            return ["cut by the context", "tokens with loss"]
                .map(|label| SummaryRow {
                    label,
                    count: None,
                    at_least: false,
                    remark: without.to_owned(),
                })
                .to_vec();
        };
        let sum = |of: fn(&DocumentCheck) -> Option<i32>| -> i64 {
            let tokens = self.training.iter().filter_map(|document| of(document));
            tokens.map(i64::from).sum()
        };
        let all = sum(|document| document.tokens);
        let read = sum(|document| document.read_tokens);
        let loss = sum(|document| document.loss_tokens);
        let share = percent((all - read) as f64 / (all.max(1)) as f64);
        vec![
            self.row(
                "cut by the context",
                |document| document.read_tokens < document.tokens,
                format!("longer than {context} tokens; {share} of all tokens lie behind and are not trained"),
            ),
            SummaryRow {
                label: "tokens with loss",
                count: Some((loss as usize, all as usize)),
                at_least: false,
                remark: "of all tokens of the corpus; the others are prompts, templates, or cut off"
                    .to_owned(),
            },
        ]
    }

    fn no_loss(&self, is_counted: bool, loss_on: LossOn) -> SummaryRow {
        let by = if is_counted {
            "none of their tokens"
        } else {
            "none of their text"
        };
        self.row(
            "no loss",
            has_no_loss,
            format!(
                "documents of which {by} carries loss on \"{}\": nothing is learned from them",
                loss_on.name()
            ),
        )
    }

    fn exposed(&self) -> SummaryRow {
        let is_exposed =
            |document: &DocumentCheck| document.exposure_bits.is_some_and(|bits| bits >= EXPOSED_BITS);
        let with_details = self.count(|document| is_exposed(document) && has_details(document));
        self.row(
            "at risk",
            is_exposed,
            format!(
                "50 words of theirs occur {} times or more, in copies, near copies and other documents; {with_details} of them with \
                 personal details",
                2_f32.powf(EXPOSED_BITS)
            ),
        )
    }

    fn remarks(&self, is_model: bool, is_scored: bool) -> Vec<String> {
        let mut remarks = Vec::new();
        let sources = risk::by_source_of(self.training);
        let by = |source: &str| sources.get(source).copied().unwrap_or(0);
        if !is_model || !is_scored {
            remarks.push(
                "the risk is made of copies and zlib alone: MODEL= adds what the model thinks of the texts before tuning".to_owned(),
            );
        } else if by(risk::BY_ZLIB) > 0 {
            remarks.push(format!(
                "the model scored {} documents, evenly over their numbers of copies; for the other {} zlib stands for its loss \
                 (SET=extraction.scored_documents=N scores more)",
                by(risk::BY_MODEL),
                by(risk::BY_ZLIB)
            ));
        }
        remarks
    }
}

pub(crate) fn has_details(document: &DocumentCheck) -> bool {
    details_of(document).iter().any(|(_, found)| *found > 0)
}

fn has_no_loss(document: &DocumentCheck) -> bool {
    document
        .loss_tokens
        .map_or(document.zlib_bits_per_char.is_none(), |tokens| tokens == 0)
}

/// How many documents of the files to tune on are no part of the corpus. Copies and held-out text are none of them.
fn left_out_row(facts: &[CorpusFact]) -> SummaryRow {
    let of_training = |kind: CorpusFactKind| -> usize {
        let facts = facts
            .iter()
            .filter(|fact| fact.fact == kind && fact.split != Some(Split::Heldout));
        facts.filter_map(|fact| fact.documents).sum::<i64>() as usize
    };
    let left_out = of_training(CorpusFactKind::LeftOut);
    SummaryRow {
        label: "left out",
        count: Some((left_out, of_training(CorpusFactKind::Read))),
        at_least: false,
        remark: if left_out == 0 {
            "every document that the files hold was read".to_owned()
        } else {
            "of all that the files hold, for the reasons below; a trainer may take them".to_owned()
        },
    }
}

/// What held-out text shares with training text: as it is, nearly, and by passages.
fn held_out_rows(held_out: &[&DocumentCheck], facts: &[CorpusFact]) -> Vec<SummaryRow> {
    let exact: i64 = facts
        .iter()
        .filter(|fact| {
            fact.fact == CorpusFactKind::LeftOut && fact.reason.as_deref() == Some(CorpusFact::ALSO_TRAINED)
        })
        .filter_map(|fact| fact.documents)
        .sum();
    let exact = exact as usize;
    let all = held_out.len() + exact;
    if all == 0 {
        return vec![SummaryRow {
            label: "held out",
            count: None,
            at_least: false,
            remark: "no held-out text: HELD_OUT= names it. Without it an audit after tuning has no control"
                .to_owned(),
        }];
    }
    let of = |label, count, remark: String| SummaryRow {
        label,
        count: Some((count, all)),
        at_least: false,
        remark,
    };
    let near = held_out
        .iter()
        .filter(|document| document.nearest_share.is_some())
        .count();
    let sharing = held_out
        .iter()
        .filter(|document| document.longest_shared_words.is_some_and(|words| words > 0))
        .count();
    let longest = held_out
        .iter()
        .filter_map(|document| document.longest_shared_words)
        .max()
        .unwrap_or(0);
    vec![
        of(
            "held out, the same",
            exact,
            "held-out documents whose text is trained on, whatever its white space and case: no control"
                .to_owned(),
        ),
        of(
            "held out, near",
            near,
            "share at least half of their 8-grams with one training document: hardly a control".to_owned(),
        ),
        of(
            "held out, passages",
            sharing,
            format!("share a passage of 8 words or more with training text, the longest {longest} words"),
        ),
    ]
}

/// What reading left out, passed over, replaced or guessed.
fn left_out(facts: &[CorpusFact]) -> Vec<String> {
    let sentence = |fact: &CorpusFact| {
        let documents = fact.documents.unwrap_or(0);
        let file = fact
            .file
            .as_deref()
            .map_or(String::new(), |file| format!("{file}: "));
        let reason = fact.reason.as_deref().unwrap_or_default();
        let detail = fact
            .detail
            .as_deref()
            .map_or(String::new(), |detail| format!(" ({detail})"));
        match fact.fact {
            // That has a row of its own.
            CorpusFactKind::LeftOut if reason == CorpusFact::ALSO_TRAINED => None,
            CorpusFactKind::LeftOut => Some(format!("{documents} documents left out: {reason}{detail}")),
            CorpusFactKind::PassedOver => Some(format!(
                "passed over: {}",
                fact.detail.as_deref().unwrap_or(reason)
            )),
            CorpusFactKind::Guessed => Some(format!("guessed: {file}{reason}{detail}")),
            CorpusFactKind::Recognised => Some(format!(
                "recognised: {documents} documents as {}",
                fact.detail.as_deref().unwrap_or(reason)
            )),
            CorpusFactKind::Replaced => Some(format!(
                "{documents} documents with half a surrogate pair, now U+FFFD"
            )),
            CorpusFactKind::Renamed => Some(format!(
                "{documents} documents numbered, whose identity another one had"
            )),
            _ => None,
        }
    };
    facts.iter().filter_map(sentence).collect()
}

/// The loss of both sides before tuning: where they differ much, held-out text is of another kind.
fn losses(training: &[&DocumentCheck], held_out: &[&DocumentCheck]) -> Option<String> {
    let mean = |documents: &[&DocumentCheck]| {
        let losses: Vec<f64> = documents
            .iter()
            .filter_map(|document| document.untuned_loss)
            .map(f64::from)
            .collect();
        (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64)
    };
    let on_training = mean(training)?;
    let on_held_out = mean(held_out).map_or(String::new(), |loss| {
        format!(", {loss:.2} on held-out ones; where the two differ much, held-out text is of another kind, and no control")
    });
    Some(format!(
        "loss before tuning: {on_training:.2} nats per token on training documents{on_held_out}"
    ))
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{:<20}{:>9}{:>8}   different ones; {} with their copies",
            "documents", self.documents, "", self.instances
        )?;
        for row in &self.rows {
            let (count, share) = match row.count {
                Some((count, all)) => (
                    format!("{}{count}", if row.at_least { "≥" } else { "" }),
                    if all == 0 {
                        String::new()
                    } else {
                        percent(count as f64 / all as f64)
                    },
                ),
                None => ("-".to_owned(), String::new()),
            };
            writeln!(
                formatter,
                "{:<20}{count:>9}{share:>8}   {}",
                row.label, row.remark
            )?;
        }
        for remark in &self.remarks {
            writeln!(formatter, "· {remark}")?;
        }
        write!(
            formatter,
            "check: {} documents; check.parquet has a row for each, those most at risk first",
            self.documents
        )
    }
}
