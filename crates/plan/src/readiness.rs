//! What a stage would refuse when its turn comes, after hours of training: refused by the plan.
//!
//! Files are looked at as far as that takes seconds: the beginnings of the corpus files, with the models' own tokenizers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use contract::paths::normalized;
use contract::pipeline::{BadDocuments, ModeKind, PromptSource, Strategy};
use contract::prompt_form::FormSource;
use contract::records::{PersonalDetailLabel, PromptForm};
use contract::{Error, PipelineFile, parquet};
use corpus_files::{CorpusFile, RawDocument, find_files, find_held_out_files, other_columns};

use crate::corpora::MAX_FILES;
use crate::tokens::{TokenCounter, tokenizer_folder};
use crate::{Plan, PlannedCorpus};

/// Fewest seeds under which some documents have a shadow model on either side.
const MIN_SEEDS_OF_SHADOW_MODELS: usize = 3;

/// Refuses what would be refused later.
///
/// # Errors
/// [`Error::Configuration`] for settings that do not fit the models or the text, [`Error::Input`] for files that are not there or
/// cannot be used.
pub(crate) fn check(plan: &Plan) -> Result<(), Error> {
    check_named_files(plan.pipeline)?;
    for corpus in &plan.corpora {
        check_control(plan.pipeline, corpus)?;
        check_other(corpus)?;
    }
    check_contexts(plan)?;
    check_questions(plan)?;
    warn_of_few_shadow_models(plan.pipeline);
    for corpus in &plan.corpora {
        let texts: Vec<String> = corpus.first_documents()?.iter().map(prompted_text).collect();
        check_prompts(plan, &texts)?;
    }
    Ok(())
}

/// What prompts of a document are made of and go on with: its text, or of a rendered conversation the assistant's turn.
fn prompted_text(document: &RawDocument) -> String {
    let spans = document.assistant_spans.iter().flatten();
    let turn = spans.clone().find(|(_, end)| *end > document.prompt_chars);
    match turn {
        Some(&(_, end)) => {
            let turn = document.text.chars().take(end).skip(document.prompt_chars);
            turn.collect()
        }
        None => document.text.clone(),
    }
}

/// Where users' questions are asked, there must be some; and of several corpora, those without must be asked otherwise.
fn check_questions(plan: &Plan) -> Result<(), Error> {
    let strategies = &plan.pipeline.extraction.strategy;
    let asks = |strategy: &Strategy| strategy.prompt.takes_questions();
    let audits = !plan.pipeline.checkpoint.is_empty();
    if !strategies.iter().any(asks) || audits && !strategies.iter().all(asks) {
        return Ok(());
    }
    let mut without = Vec::new();
    for corpus in &plan.corpora {
        if corpus.has_prompts()? == Some(false) {
            without.push(corpus);
        }
    }
    let Some(first) = without.first() else {
        return Ok(());
    };
    let name = first.settings.name.as_deref().unwrap_or("the corpus");
    if without.len() == plan.corpora.len() || strategies.iter().all(asks) {
        return Err(Error::Configuration(format!(
            "{}: extraction.strategy.prompt: \"question\" asks what users ask: expected conversations, or the columns corpus.prompt and \
             corpus.response, found text without a prompt{}",
            plan.pipeline.path.display(),
            if plan.corpora.len() > 1 {
                format!(" in {name}")
            } else {
                String::new()
            }
        )));
    }
    for corpus in without {
        let name = corpus.settings.name.as_deref().unwrap_or_default();
        tracing::warn!(
            "{name} has no prompts of users: the strategies of prompt \"question\" are left out there"
        );
    }
    Ok(())
}

/// A document takes a run that was trained with it and one that was not, beside the run that is asked.
fn warn_of_few_shadow_models(pipeline: &PipelineFile) {
    if pipeline.duplication.trained_share < 1.0 && pipeline.seeds.len() < MIN_SEEDS_OF_SHADOW_MODELS {
        tracing::warn!(
            "duplication.trained_share = {}: runs are shadow models for one another from {MIN_SEEDS_OF_SHADOW_MODELS} seeds on, found {}: \
             there will be no LiRA and no RMIA",
            pipeline.duplication.trained_share,
            pipeline.seeds.len()
        );
    }
}

/// Files and folders that stages after tuning read.
fn check_named_files(pipeline: &PipelineFile) -> Result<(), Error> {
    let folder = |path: &str| pipeline.resolve(path).join("config.json");
    let named = [
        (
            "extraction.prompt_file",
            pipeline
                .extraction
                .prompt_file
                .as_deref()
                .map(|path| pipeline.resolve(path)),
        ),
        (
            "canaries.manifest",
            pipeline
                .canaries
                .manifest
                .as_deref()
                .map(|path| pipeline.resolve(path)),
        ),
        (
            "detection.personal_details",
            pipeline
                .detection
                .personal_details
                .as_deref()
                .map(|path| pipeline.resolve(path)),
        ),
        (
            "detection.encoder",
            pipeline.detection.encoder.as_deref().map(folder),
        ),
        (
            "detection.classifier",
            pipeline.detection.classifier.as_deref().map(folder),
        ),
    ];
    for (key, path) in named {
        if let Some(path) = path.filter(|path| !path.is_file()) {
            return Err(Error::input(
                normalized(&path),
                format!("is not there: correct {key}"),
            ));
        }
    }
    if let Some(labels) = &pipeline.detection.personal_details {
        // Its footer says whether all columns are there.
        parquet::Reader::<PersonalDetailLabel>::open(&normalized(&pipeline.resolve(labels)))?;
    }
    Ok(())
}

/// Held-out text must be other files than the corpus: text that was trained on shows nothing.
fn check_control(pipeline: &PipelineFile, corpus: &PlannedCorpus) -> Result<(), Error> {
    let base = pipeline.resolve(".");
    let Some(held_out) = find_held_out_files(&corpus.settings, &base)? else {
        return Ok(());
    };
    let training = find_files(&corpus.settings, &base)?.files;
    match find_same(&held_out.files, &training) {
        None => Ok(()),
        Some((held_out, training)) => Err(Error::Configuration(format!(
            "corpus.held_out_files (HELD_OUT): {held_out} holds the same as {training} of corpus.files (CORPUS). Text that the model \
             was tuned on is no control: name text of the same kind that it has not seen, or leave HELD_OUT out"
        ))),
    }
}

/// Other text must be readable, and other files than the corpus: of text that was trained on nothing is forgotten.
fn check_other(corpus: &PlannedCorpus) -> Result<(), Error> {
    if let Some((other, twin)) = find_same(&corpus.other, &corpus.texts) {
        return Err(Error::Configuration(format!(
            "corpus.other (OTHER): {other} holds the same as {twin} of the corpus. Other text shows what tuning makes the model forget: \
             name text of another kind, or leave OTHER out"
        )));
    }
    let mut first = corpus.other.iter().take(MAX_FILES);
    first.try_for_each(|file| other_columns(&corpus.settings, &corpus.columns, file).map(drop))
}

/// The first of `files` that holds the same as one of `others`, and that one.
fn find_same(files: &[CorpusFile], others: &[CorpusFile]) -> Option<(String, String)> {
    let shown = |file: &CorpusFile| normalized(&file.path).display().to_string();
    files.iter().find_map(|file| {
        let twin = others.iter().find(|other| is_same(&other.path, &file.path))?;
        Some((shown(file), shown(twin)))
    })
}

/// Whether two paths lead to the same file, or to files of the same bytes.
fn is_same(first: &Path, second: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    if real(first).is_some() && real(first) == real(second) {
        return true;
    }
    let size = |path: &Path| path.metadata().map(|metadata| metadata.len()).ok();
    size(first).is_some_and(|bytes| bytes > 0)
        && size(first) == size(second)
        && has_same_bytes(first, second).unwrap_or(false)
}

fn has_same_bytes(first: &Path, second: &Path) -> std::io::Result<bool> {
    let (mut first, mut second) = (File::open(first)?, File::open(second)?);
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let read = first.read(&mut left)?;
        if read == 0 {
            return Ok(second.read(&mut right)? == 0);
        }
        if second.read_exact(&mut right[..read]).is_err() || left[..read] != right[..read] {
            return Ok(false);
        }
    }
}

/// Training rows and prompts must fit into the models' contexts.
fn check_contexts(plan: &Plan) -> Result<(), Error> {
    let pipeline = plan.pipeline;
    let extraction = &pipeline.extraction;
    for cell in &plan.cells {
        let Some(model) = &cell.weights else { continue };
        let (name, context) = (&cell.combination.model.name, model.config.context);
        let wrong = |problem: String| {
            Error::Configuration(format!(
                "{}: {problem} tokens of model {name} ({})",
                pipeline.path.display(),
                model.folder.join("config.json").display()
            ))
        };
        if cell.is_tuned() && pipeline.tuning.context > context {
            return Err(wrong(format!(
                "tuning.context = {} is beyond the context of {context}",
                pipeline.tuning.context
            )));
        }
        // The BOS comes before every prompt.
        let needed = 1 + extraction.prefix_tokens + extraction.new_tokens;
        if cell.is_extracted() && needed > context {
            return Err(wrong(format!(
                "extraction.prefix_tokens = {} and extraction.new_tokens = {} need {needed} tokens with the BOS, which is beyond the \
                 context of {context}",
                extraction.prefix_tokens, extraction.new_tokens
            )));
        }
    }
    Ok(())
}

/// Some documents must be longer than a prompt.
fn check_prompts(plan: &Plan, texts: &[String]) -> Result<(), Error> {
    let extraction = &plan.pipeline.extraction;
    let asks_of_documents = extraction
        .prompts
        .iter()
        .any(|source| *source != PromptSource::None);
    let mut forms = extraction.strategy.iter().map(|strategy| strategy.prompt.facts());
    let has_prefixes = forms.any(|facts| facts.source == FormSource::Tokens);
    if !asks_of_documents || !has_prefixes || texts.is_empty() {
        return Ok(());
    }
    let prefix = extraction.prefix_tokens;
    for (folder, cut) in tokenizers_of(plan) {
        let counter = TokenCounter::load(&folder)?;
        let lengths = texts
            .iter()
            .map(|text| counter.count(text))
            .collect::<Result<Vec<usize>, Error>>()?;
        // One of the tokens that training read is the BOS.
        let read = |length: usize| cut.map_or(length, |context| length.min(context.saturating_sub(1)));
        let half = prefix.div_ceil(2);
        let short = lengths.iter().filter(|&&length| read(length) <= half).count();
        let longest = lengths.iter().map(|&length| read(length)).max().unwrap_or(0);
        let looked_at = format!(
            "{short} of the {} documents looked at have no more than half of extraction.prefix_tokens = {prefix} tokens, as far as training \
             reads them, with the tokenizer in {}; the longest has {longest} (of a conversation its longest answer is looked at)",
            lengths.len(),
            folder.display()
        );
        let refused = match extraction.short_documents {
            BadDocuments::Error => short > 0,
            BadDocuments::Skip => short == lengths.len(),
        };
        if refused && !may_ask_users(plan)? {
            return Err(Error::Configuration(format!(
                "{}: {looked_at}. Lower it: SET=\"extraction.prefix_tokens={}\"",
                plan.pipeline.path.display(),
                (longest / 2).max(1)
            )));
        }
        if 2 * short > lengths.len() {
            tracing::warn!("{looked_at}. Those give no prompt, and are in no rate");
        }
    }
    Ok(())
}

/// Whether conversations with short answers may still be asked for what their users wrote.
fn may_ask_users(plan: &Plan) -> Result<bool, Error> {
    let mut strategies = plan.pipeline.extraction.strategy.iter();
    if !strategies.any(|strategy| strategy.prompt == PromptForm::QuestionBeginning) {
        return Ok(false);
    }
    for corpus in &plan.corpora {
        if corpus.has_prompts()? == Some(true) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The folders of the tokenizers that cut prompts, each with what training read of a text.
fn tokenizers_of(plan: &Plan) -> BTreeMap<PathBuf, Option<usize>> {
    let mut found = BTreeMap::new();
    for cell in plan.cells.iter().filter(|cell| cell.is_extracted()) {
        let folder = tokenizer_folder(cell);
        if let Some(folder) = folder.filter(|_| cell.combination.kind() != ModeKind::Pretrain) {
            found.insert(folder, cell.combination.trained_tokens.0);
        }
    }
    found
}
