//! The loss of the same training texts in each form.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use causal_lm::CausalLm;
use contract::records::{DocumentKind, TrainingInstance};
use contract::{Error, Progress, parquet};
use tch::{Kind, Tensor};
use text_tokens::TextTokenizer;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::choice::FormLoss;
use super::templates::{Rendered, TEMPLATES, Template, split};
use super::{Form, TextBegin};
use crate::LoadedModel;
use crate::scoring::{BATCH_TOKENS, hidden_states};

/// Training documents that forms are compared on, at most.
const MAX_DOCUMENTS: usize = 64;

/// As many are compared whatever it costs, where there are so many.
const MIN_DOCUMENTS: usize = 12;

/// Characters of a text, or of a response, whose loss counts: as many as fit into what training read. What stands before a text matters
/// most at its beginning.
const CHARS: [usize; 4] = [240, 120, 60, 30];

/// Tokens that the model reads in all templates together, about, behind each of what may stand before a text.
const MAX_FORWARD_TOKENS: usize = 32_000;

/// Documents whose end is looked at, at most.
const MAX_ENDS: usize = 16;

/// A training document.
#[derive(Debug, Clone)]
struct TrialText {
    text: String,
    prompt_chars: usize,
}

/// The training documents that forms are compared on: those with the most copies, otherwise by hash.
#[derive(Debug)]
pub(crate) struct TrialTexts {
    /// Where any document has a prompt, only such.
    texts: Vec<TrialText>,
}

impl TrialTexts {
    /// Draws them from `train.parquet`; canaries are none.
    ///
    /// # Errors
    /// [`Error::Input`] where the file cannot be used.
    pub(crate) fn draw(train: &Path, seed: u64) -> Result<Self, Error> {
        let mut drawn = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for batch in parquet::Reader::<TrainingInstance>::open(train)? {
            for instance in batch? {
                if instance.kind != DocumentKind::Document || seen.contains(&instance.doc_id) {
                    continue;
                }
                let prompt_chars = usize::try_from(instance.prompt_chars).unwrap_or(0);
                let has_prompt = !split(&instance.text, prompt_chars).0.trim().is_empty();
                let hash = xxh3_64_with_seed(instance.doc_id.as_bytes(), seed);
                seen.insert(instance.doc_id.clone());
                // The first of the map are the ones that are wanted.
                let key = (!has_prompt, -instance.copies, hash, instance.doc_id);
                let prompt_chars = if has_prompt { prompt_chars } else { 0 };
                drawn.insert(
                    key,
                    TrialText {
                        text: instance.text,
                        prompt_chars,
                    },
                );
                if drawn.len() > MAX_DOCUMENTS {
                    drawn.pop_last();
                }
            }
        }
        let mut texts: Vec<TrialText> = drawn.into_values().collect();
        if texts.iter().any(|text| text.prompt_chars > 0) {
            texts.retain(|text| text.prompt_chars > 0);
        }
        Ok(Self { texts })
    }
}

/// A text as tokens, without BOS, and which of them count.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    tokens: Vec<i64>,
    /// The first token that counts.
    start: usize,
}

/// The same training texts as tokens in each template, and what may stand before them.
#[derive(Debug)]
pub(crate) struct Trial {
    /// The corpus' own template first.
    rows: Vec<TemplateRows>,
    /// Each once; what the tokenizer puts before a text first.
    begins: Vec<(TextBegin, Vec<i64>)>,
    /// Tokens that count of each text in the corpus' own form.
    tokens: Vec<usize>,
}

impl Trial {
    /// Texts as `model` reads them, whose training cut them at `context` tokens. None where no text is long enough.
    ///
    /// # Errors
    /// [`Error::Run`] where the tokenizer fails.
    pub(crate) fn new(
        model: &LoadedModel,
        context: Option<usize>,
        texts: &TrialTexts,
    ) -> Result<Option<Self>, Error> {
        let begins = begins(model)?;
        let longest_bos = begins.iter().map(|(_, bos)| bos.len()).max().unwrap_or(0);
        let renderer = Renderer {
            tokenizer: &model.tokenizer,
            max_tokens: longest(model, context).saturating_sub(longest_bos),
        };
        let Some(rows) = renderer.rows(texts)? else {
            return Ok(None);
        };
        let own = rows[0].1.iter();
        let tokens = own.map(|row| row.tokens.len() - row.start).collect();
        Ok(Some(Self { rows, begins, tokens }))
    }

    /// Tokens that count of each text in the corpus' own form.
    pub(super) fn tokens(&self) -> &[usize] {
        &self.tokens
    }

    /// The loss of the same texts in each form: every template behind everything that may stand before a text. A template with one more
    /// token makes up for a BOS that is missing where positions are learned, so that neither can be found without the other.
    pub(super) fn losses(&self, model: &CausalLm) -> Result<Vec<FormLoss>, Error> {
        let mut losses = Vec::new();
        let forms = (self.rows.len() * self.begins.len()) as u64;
        let mut progress = Progress::new("forms of texts", forms, "forms");
        for (template, rows) in &self.rows {
            for (begin, bos) in &self.begins {
                losses.push(FormLoss {
                    form: Form {
                        begin: *begin,
                        template: *template,
                    },
                    nats: nats(model, bos, rows)?,
                    base_nats: None,
                });
                progress.advance(1, "");
            }
        }
        Ok(losses)
    }

    /// Adds the losses of the same tokens under the untuned model, unless its embedding is too small for them.
    ///
    /// # Errors
    /// [`Error::Run`] where LibTorch fails.
    pub(super) fn add_base_losses<'l>(
        &self,
        untuned: &CausalLm,
        losses: impl Iterator<Item = &'l mut FormLoss>,
    ) -> Result<(), Error> {
        let rows = self.rows.iter().flat_map(|(_, rows)| rows);
        let texts = rows
            .map(|row| &row.tokens)
            .chain(self.begins.iter().map(|(_, bos)| bos));
        let largest = texts.flatten().max();
        if largest.is_some_and(|&largest| largest >= untuned.config.vocabulary as i64) {
            tracing::warn!("the untuned model has no embedding of some tokens: its loss is not known");
            return Ok(());
        }
        for loss in losses {
            let bos = self.begins.iter().find(|(begin, _)| *begin == loss.form.begin);
            let rows = self
                .rows
                .iter()
                .find(|(template, _)| *template == loss.form.template);
            if let (Some((_, bos)), Some((_, rows))) = (bos, rows) {
                loss.base_nats = Some(nats(untuned, bos, rows)?);
            }
        }
        Ok(())
    }
}

/// What the model expects behind whole texts in this form: `eos`, `newline`, or `nothing` that is likelier than not.
///
/// # Errors
/// [`Error::Run`] where LibTorch or the tokenizer fails.
pub(super) fn end(
    loaded: &LoadedModel,
    context: Option<usize>,
    texts: &TrialTexts,
    form: Form,
) -> Result<&'static str, Error> {
    let LoadedModel { model, tokenizer, .. } = loaded;
    let newline = match tokenizer.encode("\n")?[..] {
        [token] => Some(token),
        _ => None,
    };
    let bos = form.begin.bos(&model.config, tokenizer)?;
    let (mut eos_sum, mut newline_sum, mut count) = (0.0, 0.0, 0);
    let _guard = tch::no_grad_guard();
    for text in &texts.texts {
        let whole = rendered(form.template, text);
        let inputs = [&bos[..], &tokenizer.encode(&whole.text)?].concat();
        // Where training cut a text, its end was not seen.
        if inputs.is_empty() || inputs.len() >= longest(loaded, context) || count == MAX_ENDS {
            continue;
        }
        let hidden = hidden_states(model, &inputs, 1)?;
        let last = select(&hidden, 0, inputs.len() - 1, 1)?;
        for &token in &model.config.eos_token_ids {
            eos_sum += (-nats_of(model, &last, &[token])?).exp();
        }
        if let Some(newline) = newline {
            newline_sum += (-nats_of(model, &last, &[newline])?).exp();
        }
        count += 1;
    }
    let half = 0.5 * count as f64;
    Ok(if eos_sum > half {
        "eos"
    } else if newline_sum > half {
        "newline"
    } else {
        "nothing"
    })
}

/// What may stand before a text, each once.
fn begins(model: &LoadedModel) -> Result<Vec<(TextBegin, Vec<i64>)>, Error> {
    let mut begins: Vec<(TextBegin, Vec<i64>)> = Vec::new();
    for begin in TextBegin::ALL {
        let bos = begin.bos(&model.model.config, &model.tokenizer)?;
        if begins.iter().all(|(_, other)| *other != bos) {
            begins.push((begin, bos));
        }
    }
    Ok(begins)
}

/// Tokens that training read of a text at most, the BOS among them.
fn longest(model: &LoadedModel, context: Option<usize>) -> usize {
    let own = model.model.config.context;
    context.map_or(own, |context| context.min(own))
}

/// Makes tokens of texts in templates.
struct Renderer<'a> {
    tokenizer: &'a TextTokenizer,
    /// Tokens of a text that fit behind the longest BOS.
    max_tokens: usize,
}

impl Renderer<'_> {
    /// The same texts in each template, the corpus' own first. Where no document with its prompt is short enough in all of them, only
    /// the beginnings of texts are compared. None where nothing has a token that counts.
    fn rows(&self, texts: &TrialTexts) -> Result<Option<Vec<TemplateRows>>, Error> {
        let has_prompts = texts.texts.iter().any(|text| text.prompt_chars > 0);
        if has_prompts {
            let mut templates = vec![None];
            for template in &TEMPLATES {
                if template.suits(self.tokenizer)? {
                    templates.push(Some(template));
                }
            }
            if let Some(rows) = self.rows_of(&texts.texts, &templates)? {
                return Ok(Some(rows));
            }
            tracing::warn!(
                "no prompt with the beginning of its response fits into {} tokens in every template: none but the corpus' own is \
                 tried",
                self.max_tokens
            );
        }
        let plain = texts.texts.iter().map(|text| TrialText {
            prompt_chars: 0,
            ..text.clone()
        });
        self.rows_of(&plain.collect::<Vec<_>>(), &[None])
    }

    /// The documents that fit in every one of these templates, as many as are read at once; templates that make the same of all of them
    /// count once.
    fn rows_of(
        &self,
        texts: &[TrialText],
        templates: &[Option<&'static Template>],
    ) -> Result<Option<Vec<TemplateRows>>, Error> {
        let mut of_templates: Vec<TemplateRows> =
            templates.iter().map(|template| (*template, Vec::new())).collect();
        let mut forward_tokens = 0;
        for (documents, text) in texts.iter().enumerate() {
            if documents >= MIN_DOCUMENTS && forward_tokens > MAX_FORWARD_TOKENS {
                break;
            }
            for chars in CHARS {
                let rows = templates
                    .iter()
                    .map(|template| self.row(*template, text, chars))
                    .collect::<Result<Vec<_>, Error>>()?;
                if rows.iter().any(|row| row.tokens.len() > self.max_tokens) {
                    continue;
                }
                if rows.iter().all(|row| row.start < row.tokens.len()) {
                    forward_tokens += rows.iter().map(|row| row.tokens.len()).sum::<usize>();
                    for ((_, of_template), row) in of_templates.iter_mut().zip(rows) {
                        of_template.push(row);
                    }
                }
                break;
            }
        }
        if of_templates[0].1.is_empty() {
            return Ok(None);
        }
        let mut distinct: Vec<TemplateRows> = Vec::new();
        for (template, rows) in of_templates {
            if distinct.iter().all(|(_, others)| *others != rows) {
                distinct.push((template, rows));
            }
        }
        Ok(Some(distinct))
    }

    /// A document in a template, cut: the beginning of its response counts, or of its text behind the first token, which nothing may
    /// stand before.
    fn row(&self, template: Option<&'static Template>, text: &TrialText, chars: usize) -> Result<Row, Error> {
        let tokenizer = self.tokenizer;
        let (prompt, response) = split(&text.text, text.prompt_chars);
        let cut = TrialText {
            text: [prompt, beginning(response, chars)].concat(),
            prompt_chars: text.prompt_chars,
        };
        let Rendered {
            text, prompt_chars, ..
        } = rendered(template, &cut);
        if prompt_chars == 0 {
            return Ok(Row {
                tokens: tokenizer.encode(&text)?,
                start: 1,
            });
        }
        let text = tokenizer.tokenize(&text)?;
        let before = text.beginning_within(prompt_chars);
        // Where no token begins with the response, the one before it holds its first characters.
        let through = text.beginning_within(prompt_chars + 1);
        let start = if through > before {
            before
        } else {
            before.saturating_sub(1)
        };
        Ok(Row {
            tokens: text.ids,
            start: start.max(1),
        })
    }
}

/// Nats of the tokens that count in each row, behind `bos`.
fn nats(model: &CausalLm, bos: &[i64], rows: &[Row]) -> Result<Vec<f64>, Error> {
    let _guard = tch::no_grad_guard();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&place| (rows[place].tokens.len(), place));
    let mut nats = vec![0.0; rows.len()];
    let mut rest = &order[..];
    while let Some(&first) = rest.first() {
        // Of like length, so that there is little padding.
        let fits = |&(number, &place): &(usize, &usize)| {
            (number + 1) * (bos.len() + rows[place].tokens.len()) <= BATCH_TOKENS
        };
        let count = rest.iter().enumerate().take_while(fits).count().max(1);
        let (batch, later) = rest.split_at(count);
        let longest = batch.last().map_or(first, |&place| rows[place].tokens.len());
        let mut inputs = Vec::with_capacity(count * (bos.len() + longest));
        for &place in batch {
            let tokens = &rows[place].tokens;
            inputs.extend(bos);
            inputs.extend(tokens);
            // Padding on the right: causal attention never looks there.
            inputs.extend(std::iter::repeat_n(tokens[0], longest - tokens.len()));
        }
        let hidden = hidden_states(model, &inputs, count as i64)?;
        for (number, &place) in batch.iter().enumerate() {
            let row = &rows[place];
            let from = bos.len() + row.start - 1;
            let own = select(&hidden, number, from, row.tokens.len() - row.start)?;
            nats[place] = nats_of(model, &own, &row.tokens[row.start..])?;
        }
        rest = later;
    }
    Ok(nats)
}

/// Hidden states `[length, width]` of one row of `[rows, tokens, width]`.
fn select(hidden: &Tensor, row: usize, from: usize, length: usize) -> Result<Tensor, causal_lm::Error> {
    let row = hidden.f_select(0, row as i64)?;
    Ok(row.f_narrow(0, from as i64, length as i64)?)
}

/// Nats of `targets` where `hidden` `[targets, width]` predicts them.
fn nats_of(model: &CausalLm, hidden: &Tensor, targets: &[i64]) -> Result<f64, causal_lm::Error> {
    let logprobs = model.logits(hidden)?.f_log_softmax(-1, Kind::Float)?;
    let targets = Tensor::f_from_slice(targets)?
        .f_to_device(model.device())?
        .f_unsqueeze(-1)?;
    let sum = logprobs.f_gather(-1, &targets, false)?.f_sum(Kind::Double)?;
    Ok(-sum.f_double_value(&[])?)
}

/// The same documents in one template, the corpus' own where there is none.
type TemplateRows = (Option<&'static Template>, Vec<Row>);

fn rendered(template: Option<&'static Template>, text: &TrialText) -> Rendered {
    match template {
        Some(template) => template.render(&text.text, text.prompt_chars),
        None => Rendered {
            text: text.text.clone(),
            prompt_chars: text.prompt_chars,
            preamble_chars: 0,
        },
    }
}

/// The first characters of a text, up to white space where there is any, so that no word is cut.
fn beginning(text: &str, chars: usize) -> &str {
    let (first, rest) = split(text, chars);
    if rest.is_empty() || rest.starts_with(char::is_whitespace) {
        return first;
    }
    match first.rfind(char::is_whitespace) {
        Some(end) if !first[..end].trim().is_empty() => &first[..end],
        _ => first,
    }
}
