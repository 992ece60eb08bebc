//! Values under which a stage could do nothing sensible, refused when a pipeline file is read: a
//! function for each table.
//!
//! Every stage reads its file through here, and `plan` the whole one before anything runs: what a
//! stage would refuse after hours is refused at once.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::{
    Canaries, Candidates, Cluster, Confirmation, Corpus, Detection, Duplication, Extraction, Layout, LossOn,
    MAX_DOCUMENT_MB, Mode, ModeKind, OneOrMany, Pipeline, PromptSource, Reporting, RowShape, Rows,
    SimilaritySearch, StageResources, Strategy, Tuning,
};
use crate::records::PromptForm;

/// Placeholder of the random part in a canary's template.
pub const CANARY_DIGITS: &str = "{digits}";

/// The same where it is words, of a chosen perplexity.
pub const CANARY_WORDS: &str = "{words}";

/// Fewest words of a canary: fewer are soon guessed.
const MIN_CANARY_WORDS: usize = 4;

/// Fewest canaries by coin flip that can show anything about ε.
const MIN_COIN_FLIPS: usize = 20;

/// Fewest resamples that give the ends of a 95% interval: the 2.5% at either end are one of 40.
pub const MIN_RESAMPLES: usize = 40;

/// A wrong value: its key, and what is expected there.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) key: &'static str,
    pub(super) problem: String,
}

type Checked = Result<(), Problem>;

fn wrong(key: &'static str, problem: impl Into<String>) -> Checked {
    Err(Problem {
        key,
        problem: problem.into(),
    })
}

/// The first wrong value, table by table. Tables that the file leaves out have their defaults,
/// which pass.
pub(super) fn tables(pipeline: &Pipeline) -> Checked {
    pipeline.corpora.as_slice().iter().try_for_each(corpus)?;
    corpus_names(pipeline.corpora.as_slice())?;
    duplication(&pipeline.duplication)?;
    canaries(&pipeline.canaries, pipeline)?;
    checkpoints(pipeline)?;
    pipeline.mode.iter().try_for_each(mode)?;
    models_of_modes(pipeline)?;
    private_rows(pipeline)?;
    tuning(&pipeline.tuning)?;
    extraction(&pipeline.extraction)?;
    detection(&pipeline.detection)?;
    report(&pipeline.report)?;
    cluster(&pipeline.cluster)
}

/// A look before tuning tunes nothing, and looks at the texts as often as the corpus has them.
fn look(pipeline: &Pipeline) -> Checked {
    if !pipeline.mode.is_empty() || !pipeline.model.is_empty() {
        return wrong(
            "check",
            "looks at a corpus before tuning: expected no [[mode]] and no [[model]] beside it. The model that is going to be tuned is a \
             [[checkpoint]]",
        );
    }
    if pipeline.checkpoint.len() > 1 {
        return wrong(
            "checkpoint",
            format!(
                "expected at most one beside [check], found {}",
                pipeline.checkpoint.len()
            ),
        );
    }
    if pipeline.duplication.layout.as_slice() != [Layout::Found] || pipeline.canaries.are_planted() {
        return wrong(
            "duplication.layout",
            "expected \"found\" beside [check], and no canaries: it looks at the corpus as it is",
        );
    }
    Ok(())
}

/// What only the whole file can say: whether tables that different stages read go together.
pub(super) fn whole(pipeline: &Pipeline) -> Checked {
    if pipeline.check.is_some() {
        look(pipeline)?;
    }
    let corpora = pipeline.corpora.as_slice();
    if corpora.is_empty() || corpora.iter().any(|corpus| corpus.files.as_slice().is_empty()) {
        return wrong(
            "corpus.files",
            "expected at least one file, folder or glob, found none",
        );
    }
    let takes_other = pipeline.mode.iter().any(|mode| mode.other_share > 0.0);
    if takes_other && corpora.iter().any(|corpus| corpus.other.is_none()) {
        return wrong(
            "mode.other_share",
            "expected files of text of another kind in corpus.other, found none",
        );
    }
    // What the rows of other shapes hold their files say: `plan` looks there.
    let may_have_prompts = |corpus: &Corpus| corpus.prompt.is_some() || corpus.shape != RowShape::Text;
    if corpora.iter().any(may_have_prompts) {
        return Ok(());
    }
    let asks = |strategy: &Strategy| strategy.prompt.takes_questions();
    let strategies = &pipeline.extraction.strategy;
    // An audit asks so of the text that has prompts, beside other ways.
    let is_left_out = !pipeline.checkpoint.is_empty() && !strategies.iter().all(asks);
    if strategies.iter().any(asks) && !is_left_out {
        return wrong(
            "extraction.strategy.prompt",
            "\"question\" asks what users ask: expected the columns corpus.prompt and corpus.response, found none",
        );
    }
    Ok(())
}

/// Refuses a number outside `range`; NaN is outside every range.
fn number(key: &'static str, value: f64, range: RangeInclusive<f64>) -> Checked {
    if range.contains(&value) {
        Ok(())
    } else {
        let (low, high) = (range.start(), range.end());
        wrong(
            key,
            format!("expected a number from {low} to {high}, found {value}"),
        )
    }
}

fn over_zero(key: &'static str, value: f64) -> Checked {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        wrong(key, format!("expected a number over 0, found {value}"))
    }
}

fn at_least(key: &'static str, value: usize, least: usize) -> Checked {
    if value >= least {
        Ok(())
    } else {
        wrong(key, format!("expected at least {least}, found {value}"))
    }
}

/// A share of less than 1.
fn part(key: &'static str, value: f64) -> Checked {
    if (0.0..1.0).contains(&value) {
        Ok(())
    } else {
        wrong(
            key,
            format!("expected a share of at least 0 and less than 1, found {value} (30% is written 0.3)"),
        )
    }
}

/// The models that modes are for must be there. A file for a single cell names none.
fn models_of_modes(pipeline: &Pipeline) -> Checked {
    let named = pipeline.mode.iter().filter_map(|mode| mode.models.as_ref());
    for name in named.flat_map(OneOrMany::as_slice) {
        if pipeline.model.iter().all(|model| model.name != *name) {
            return wrong("mode.models", format!("there is no [[model]] named \"{name}\""));
        }
    }
    Ok(())
}

/// Names of training sets and cells begin with that of their corpus, where it has one.
fn corpus_names(corpora: &[Corpus]) -> Checked {
    let names: Vec<&str> = corpora
        .iter()
        .filter_map(|corpus| corpus.name.as_deref())
        .collect();
    let fits = |character: char| character.is_ascii_alphanumeric() || "._+-".contains(character);
    for (place, name) in names.iter().enumerate() {
        if name.is_empty() || !name.chars().all(fits) || name.starts_with(['-', '.']) {
            return wrong(
                "corpus.name",
                format!(
                    "\"{name}\" cannot begin the name of a folder: expected letters, digits and . _ + -, beginning with a letter or digit"
                ),
            );
        }
        if names[..place].contains(name) {
            return wrong("corpus.name", format!("two corpora are named \"{name}\""));
        }
    }
    if corpora.len() > 1 && names.len() < corpora.len() {
        return wrong(
            "corpus.name",
            format!(
                "expected a name for each of the {} corpora, found {}",
                corpora.len(),
                names.len()
            ),
        );
    }
    Ok(())
}

fn corpus(corpus: &Corpus) -> Checked {
    part("corpus.held_out", corpus.held_out)?;
    number("corpus.validation", corpus.validation, 0.0..=1.0)?;
    number("corpus.max_left_out", corpus.max_left_out, 0.0..=1.0)?;
    if !(1..=MAX_DOCUMENT_MB).contains(&corpus.max_document_mb) {
        return wrong(
            "corpus.max_document_mb",
            "expected 1 to 2000: a column of Parquet holds no longer texts",
        );
    }
    match (&corpus.prompt, &corpus.response) {
        (Some(_), None) if corpus.template.is_none() => {
            return wrong("corpus.response", "expected a column, for corpus.prompt is given");
        }
        (None, Some(_)) if corpus.template.is_none() => {
            return wrong("corpus.prompt", "expected a column, for corpus.response is given");
        }
        _ => {}
    }
    shape(corpus)?;
    if corpus.documents == Some(0) {
        return wrong("corpus.documents", "expected at least 1");
    }
    if corpus.max_other == 0 {
        return wrong(
            "corpus.max_other",
            "expected at least 1; leave corpus.other out to score none",
        );
    }
    if corpus
        .other
        .as_ref()
        .is_some_and(|files| files.as_slice().is_empty())
    {
        return wrong(
            "corpus.other",
            "expected a file, a folder or a glob, found an empty list",
        );
    }
    if corpus.max_chars.is_some_and(|most| corpus.min_chars > most) {
        return wrong("corpus.max_chars", "expected at least corpus.min_chars");
    }
    match corpus.delimiter {
        Some(delimiter) if !delimiter.is_ascii() || "\"\r\n".contains(delimiter) => wrong(
            "corpus.delimiter",
            format!("expected one ASCII character, no quote and no line end, found {delimiter:?}"),
        ),
        _ => Ok(()),
    }
}

/// Whether the keys of columns go with the shape of rows.
fn shape(corpus: &Corpus) -> Checked {
    let is_conversation = matches!(corpus.shape, RowShape::Messages | RowShape::Conversations);
    if corpus.messages.is_some() && !is_conversation {
        return wrong(
            "corpus.messages",
            "names the column of a conversation; expected corpus.shape = \"messages\" or \"conversations\" beside it",
        );
    }
    if corpus.prompt.is_some()
        && !matches!(
            corpus.shape,
            RowShape::Auto | RowShape::Text | RowShape::Completion
        )
    {
        return wrong(
            "corpus.prompt",
            "goes with corpus.shape = \"text\" or \"completion\"; leave one of them out",
        );
    }
    Ok(())
}

fn duplication(duplication: &Duplication) -> Checked {
    if duplication.layout.as_slice().is_empty() {
        return wrong(
            "duplication.layout",
            "expected bucketed, uniform or found, found none",
        );
    }
    if duplication.copies.is_empty() || duplication.copies.contains(&0) {
        return wrong("duplication.copies", "expected numbers of copies of at least 1");
    }
    if duplication
        .copies
        .iter()
        .any(|&copies| i32::try_from(copies).is_err())
    {
        return wrong(
            "duplication.copies",
            format!("expected numbers of at most {}", i32::MAX),
        );
    }
    let shares = &duplication.shares;
    if !shares.is_empty() && shares.len() != duplication.copies.len() {
        return wrong(
            "duplication.shares",
            "expected as many shares as there are numbers in duplication.copies",
        );
    }
    if shares.iter().any(|share| !share.is_finite() || *share <= 0.0) {
        return wrong("duplication.shares", "expected shares over 0");
    }
    let trained = duplication.trained_share;
    if !trained.is_finite() || trained <= 0.0 || trained > 1.0 {
        return wrong("duplication.trained_share", "expected a share over 0, at most 1");
    }
    if trained < 1.0 && duplication.layout.as_slice().contains(&Layout::Found) {
        return wrong(
            "duplication.trained_share",
            "a model that was tuned already has seen all of its training text: expected 1 with layout = \"found\"",
        );
    }
    if duplication.instances == Some(0) {
        return wrong("duplication.instances", "expected at least 1");
    }
    Ok(())
}

fn canaries(canaries: &Canaries, pipeline: &Pipeline) -> Checked {
    if canaries.manifest.is_some() && pipeline.duplication.layout.as_slice() != [Layout::Found] {
        return wrong(
            "canaries.manifest",
            "it tells which canaries were planted before tuning; expected duplication.layout = \"found\", as in an audit",
        );
    }
    if !canaries.are_planted() {
        return Ok(());
    }
    if pipeline.duplication.layout.as_slice().contains(&Layout::Found) {
        let key = if canaries.per_copies > 0 {
            "canaries.per_copies"
        } else {
            "canaries.coin_flips"
        };
        return wrong(
            key,
            "canaries are planted before training; expected 0 with duplication.layout = \"found\"",
        );
    }
    if (1..MIN_COIN_FLIPS).contains(&canaries.coin_flips) {
        return wrong(
            "canaries.coin_flips",
            format!(
                "expected 0 or at least {MIN_COIN_FLIPS}, found {}: fewer show nothing about ε",
                canaries.coin_flips
            ),
        );
    }
    at_least("canaries.references", canaries.references, 1)?;
    at_least("canaries.digits", canaries.digits, 1)?;
    at_least("canaries.words.number", canaries.words.number, MIN_CANARY_WORDS)?;
    let perplexity = canaries.words.perplexity;
    if !perplexity.is_finite() || perplexity <= 1.0 {
        return wrong(
            "canaries.words.perplexity",
            format!("expected a number over 1, found {perplexity}"),
        );
    }
    let (prompts, templates) = (canaries.prompt.as_slice(), canaries.template.as_slice());
    for (key, texts) in [("canaries.prompt", prompts), ("canaries.template", templates)] {
        if texts.is_empty() {
            return wrong(key, "expected at least one text, found an empty list");
        }
    }
    let secret = canaries.secret();
    // Templates and prompts are taken in turn.
    for turn in 0..prompts.len() * templates.len() {
        let (prompt, template) = (&prompts[turn % prompts.len()], &templates[turn % templates.len()]);
        let (in_template, in_prompt) = (template.contains(secret), prompt.contains(secret));
        if secret == CANARY_WORDS && [prompt, template].iter().any(|text| text.contains(CANARY_DIGITS)) {
            return wrong(
                "canaries.template",
                format!(
                    "expected {CANARY_DIGITS} in all templates or {CANARY_WORDS} in all, found both: the secrets of one run are \
                     of one kind"
                ),
            );
        }
        if !in_template && !in_prompt {
            return wrong(
                "canaries.template",
                format!("expected {secret} in the template or the prompt, found `{template}`"),
            );
        }
        if !in_template && pipeline.tuning.loss_on != LossOn::Text {
            return wrong(
                "canaries.template",
                format!(
                    "{secret} occurs only in canaries.prompt, where tuning.loss_on = \"{}\" takes no loss: it would never be \
                     learned. Put {secret} into the template `{template}`",
                    pipeline.tuning.loss_on.name()
                ),
            );
        }
    }
    Ok(())
}

fn checkpoints(pipeline: &Pipeline) -> Checked {
    let contexts = pipeline
        .checkpoint
        .iter()
        .filter_map(|checkpoint| checkpoint.context);
    if pipeline
        .extraction
        .context
        .into_iter()
        .chain(contexts)
        .any(|context| context < 2)
    {
        return wrong("context", "expected at least 2 tokens, the BOS among them");
    }
    Ok(())
}

/// The largest share of other text: nine times as much as there is of the training set.
const MOST_OTHER: f64 = 0.9;

/// Settings of a mode that change which text is learned.
const REMEDIES: &str = "without_copies, without_details, other_share and stop_at_ngrams";

fn mode(mode: &Mode) -> Checked {
    let rates = mode.learning_rate.as_slice();
    if rates.is_empty() || rates.iter().any(|rate| !rate.is_finite() || *rate <= 0.0) {
        return wrong("mode.learning_rate", "expected rates over 0");
    }
    let ranks = mode.rank_pattern.values().chain([&mode.rank]);
    if mode.kind == ModeKind::Lora && ranks.into_iter().any(|&rank| rank == 0) {
        return wrong("mode.rank", "expected a rank of at least 1");
    }
    let alphas = mode.alpha_pattern.values().copied().chain(mode.alpha);
    if alphas.into_iter().any(|alpha| !alpha.is_finite()) {
        return wrong("mode.alpha", "expected a finite number");
    }
    if mode
        .targets
        .as_ref()
        .is_some_and(|targets| targets.as_slice().is_empty())
    {
        return wrong(
            "mode.targets",
            "expected names of modules, \"all-linear\" or a regular expression, found an empty list",
        );
    }
    if !mode.layers.is_empty() {
        layers(mode)?;
    }
    if mode.goldfish == 1 {
        return wrong(
            "mode.goldfish",
            "1 would leave every token out of the loss; expected 2 or more, or 0 for none",
        );
    }
    if let Some(share) = mode.stop_at_ngrams {
        part("mode.stop_at_ngrams", share)?;
    }
    if !(0.0..=MOST_OTHER).contains(&mode.other_share) {
        return wrong(
            "mode.other_share",
            format!(
                "expected a share from 0 to {MOST_OTHER}, found {}",
                mode.other_share
            ),
        );
    }
    let remedies = [
        mode.without_copies,
        mode.without_details,
        mode.stop_at_ngrams.is_some(),
        mode.other_share > 0.0,
    ];
    if mode.kind == ModeKind::Pretrain && remedies.contains(&true) {
        return wrong(
            "mode.kind",
            format!("{REMEDIES} go with full, head and lora; found pretrain"),
        );
    }
    if let Some(epochs) = mode.epochs {
        over_zero("mode.epochs", epochs)?;
    }
    if let Some(rows) = mode.batch_size {
        at_least("mode.batch_size", rows, 1)?;
    }
    if let Some(privacy) = mode.privacy {
        over_zero("mode.privacy.noise_multiplier", privacy.noise_multiplier)?;
        over_zero("mode.privacy.max_grad_norm", privacy.max_grad_norm)?;
        if remedies.contains(&true) {
            return wrong(
                "mode.privacy",
                format!(
                    "{REMEDIES} look at training documents without any noise or change what a row is one of, and ε would not hold"
                ),
            );
        }
        if mode.kind == ModeKind::Pretrain {
            return wrong(
                "mode.privacy",
                "kind = \"pretrain\" makes its tokenizer from the corpus without any noise; expected full, head or lora",
            );
        }
    }
    part("mode.dropout", mode.dropout)
}

/// Differential privacy is counted by rows, so each must be of one text.
fn private_rows(pipeline: &Pipeline) -> Checked {
    let is_private = pipeline.mode.iter().any(|mode| mode.privacy.is_some());
    if is_private && pipeline.tuning.rows == Rows::Packed {
        return wrong(
            "tuning.rows",
            "\"packed\" puts texts into rows together, and mode.privacy protects each of its own: expected \"documents\"",
        );
    }
    Ok(())
}

fn layers(mode: &Mode) -> Checked {
    if mode.kind != ModeKind::Lora {
        return wrong(
            "mode.layers",
            format!("goes with kind = \"lora\", found \"{}\"", mode.kind.name()),
        );
    }
    // As in peft: a regular expression names blocks itself.
    let is_pattern =
        |name: &String| name != "all-linear" && name.contains(['*', '+', '(', '[', '|', '\\', '^', '$', '?']);
    let targets = mode
        .targets
        .as_ref()
        .map_or(&[][..], |targets| targets.as_slice());
    if targets.iter().any(is_pattern) {
        return wrong(
            "mode.layers",
            "goes with targets that are names or \"all-linear\"; a regular expression in mode.targets can name the blocks itself",
        );
    }
    Ok(())
}

fn tuning(tuning: &Tuning) -> Checked {
    at_least("tuning.batch_size", tuning.batch_size, 1)?;
    at_least(
        "tuning.gradient_accumulation_steps",
        tuning.gradient_accumulation_steps,
        1,
    )?;
    at_least("tuning.context", tuning.context, 2)?;
    at_least("tuning.log_every", tuning.log_every, 1)?;
    over_zero("tuning.epochs", tuning.epochs)?;
    part("tuning.warmup", tuning.warmup)?;
    part("tuning.betas", tuning.betas[0])?;
    part("tuning.betas", tuning.betas[1])?;
    number("tuning.weight_decay", tuning.weight_decay, 0.0..=f64::MAX)?;
    number("tuning.max_grad_norm", tuning.max_grad_norm, 0.0..=f64::INFINITY)?;
    number("tuning.save_seconds", tuning.save_seconds, 0.0..=f64::INFINITY)?;
    device("tuning.device", &tuning.device)
}

fn extraction(extraction: &Extraction) -> Checked {
    if extraction.batch_size == Some(0) {
        return wrong(
            "extraction.batch_size",
            "expected at least 1, or no such key for what suits the device",
        );
    }
    at_least("extraction.parts", extraction.parts, 1)?;
    at_least("extraction.new_tokens", extraction.new_tokens, 1)?;
    at_least("extraction.prefix_tokens", extraction.prefix_tokens, 1)?;
    if extraction.documents == Some(0) {
        return wrong(
            "extraction.documents",
            "expected at least 1, or no such key for all",
        );
    }
    if extraction.scored_documents == Some(0) {
        return wrong(
            "extraction.scored_documents",
            "expected at least 1, or no such key for all; extraction.score = false scores none",
        );
    }
    if extraction.scored_prefixes.contains(&0) {
        return wrong(
            "extraction.scored_prefixes",
            "expected lengths of at least 1 token",
        );
    }
    if extraction.details > Extraction::MOST_DETAILS {
        return wrong(
            "extraction.details",
            format!(
                "expected at most {}, found {}",
                Extraction::MOST_DETAILS,
                extraction.details
            ),
        );
    }
    let mut names = BTreeSet::new();
    if let Some(twin) = extraction
        .strategy
        .iter()
        .find(|strategy| !names.insert(&strategy.name))
    {
        return wrong(
            "extraction.strategy.name",
            format!("two strategies are called \"{}\"", twin.name),
        );
    }
    extraction
        .strategy
        .iter()
        .try_for_each(|one| strategy(one, extraction))?;
    if extraction.prompts.contains(&PromptSource::None) {
        at_least("extraction.unprompted", extraction.unprompted, 1)?;
    }
    device("extraction.device", &extraction.device)
}

fn strategy(strategy: &Strategy, extraction: &Extraction) -> Checked {
    let name = &strategy.name;
    if !(strategy.temperature.is_finite() && strategy.temperature >= 0.0) {
        return wrong(
            "extraction.strategy.temperature",
            format!("\"{name}\": expected 0 (greedy) or more"),
        );
    }
    if !(strategy.top_p > 0.0 && strategy.top_p <= 1.0) {
        return wrong(
            "extraction.strategy.top_p",
            format!("\"{name}\": expected a probability over 0 and at most 1"),
        );
    }
    if strategy.samples == 0 {
        return wrong(
            "extraction.strategy.samples",
            format!("\"{name}\": expected at least 1"),
        );
    }
    if strategy.documents == Some(0) {
        return wrong(
            "extraction.strategy.documents",
            format!("\"{name}\": expected at least 1, or no such key for all"),
        );
    }
    if strategy.beams > 0 && strategy.temperature == 0.0 {
        return wrong(
            "extraction.strategy.beams",
            format!(
                "\"{name}\": expected a temperature over 0, since beams are ranked by the scheme's probabilities"
            ),
        );
    }
    if strategy.prompt == PromptForm::File && extraction.prompt_file.is_none() {
        return wrong(
            "extraction.prompt_file",
            format!("\"{name}\" prompts with its lines; expected a text file"),
        );
    }
    if strategy.prompt == PromptForm::Optimised && (strategy.steps == 0 || strategy.prompt_tokens == 0) {
        return wrong(
            "extraction.strategy.steps",
            format!("\"{name}\": expected steps and prompt_tokens of at least 1"),
        );
    }
    if strategy.prompt == PromptForm::SelfMade {
        at_least("extraction.unprompted", extraction.unprompted, 1)?;
    }
    if strategy.prompt == PromptForm::Opening {
        at_least("extraction.opening_tokens", extraction.opening_tokens, 1)?;
    }
    Ok(())
}

/// Refuses settings under which nothing, or everything, would be found.
fn detection(detection: &Detection) -> Checked {
    at_least(
        "detection.verbatim_chars",
        detection.verbatim_chars.unwrap_or(usize::MAX),
        1,
    )?;
    at_least("detection.parts", detection.parts, 1)?;
    at_least("detection.candidate_limit", detection.candidate_limit, 1)?;
    at_least(
        "detection.boilerplate_documents",
        detection.boilerplate_documents,
        1,
    )?;
    number("detection.confirm_cosine", detection.confirm_cosine, 0.0..=1.0)?;
    number(
        "detection.confirm_probability",
        detection.confirm_probability,
        0.0..=1.0,
    )?;
    if let Some(candidates) = &detection.candidates {
        if candidates.is_empty() {
            return wrong(
                "detection.candidates",
                "expected at least one of bm25, exact, nearest, found none",
            );
        }
        if candidates.contains(&Candidates::Nearest) && detection.similarity == SimilaritySearch::Candidates {
            return wrong(
                "detection.candidates",
                "nearest needs every sentence of the corpus, and detection.similarity = \"candidates\" compares with a few. \
                 Leave one of them out",
            );
        }
    }
    if detection.confirm == Confirmation::Classifier && detection.classifier.is_none() {
        return wrong(
            "detection.classifier",
            "expected the folder of a classifier of sentence pairs, because detection.confirm is \"classifier\"; found none",
        );
    }
    Ok(())
}

fn report(report: &Reporting) -> Checked {
    at_least("report.resamples", report.resamples, MIN_RESAMPLES)
}

/// Options of sbatch that `plan` writes itself, long and short.
const OWN_OPTIONS: [(&str, &str); 5] = [
    ("--array", "-a"),
    ("--chdir", "-D"),
    ("--dependency", "-d"),
    ("--job-name", "-J"),
    ("--output", "-o"),
];

fn cluster(cluster: &Cluster) -> Checked {
    at_least("cluster.max_array_size", cluster.max_array_size, 2)?;
    at_least("cluster.cpus", cluster.cpus, 1)?;
    cluster
        .gflops
        .map_or(Ok(()), |rate| over_zero("cluster.gflops", rate))?;
    over_zero("cluster.time_factor", cluster.time_factor)?;
    over_zero("cluster.min_minutes", cluster.min_minutes)?;
    cluster
        .max_hours
        .map_or(Ok(()), |hours| over_zero("cluster.max_hours", hours))?;
    over_zero("cluster.memory_factor", cluster.memory_factor)?;
    over_zero("cluster.min_memory_gb", cluster.min_memory_gb)?;
    sbatch_word("cluster.partition", &cluster.partition)?;
    sbatch_word("cluster.account", &cluster.account)?;
    sbatch_options("cluster.options", &cluster.options)?;
    if let Some(line) = cluster.setup.iter().find(|line| line.contains("#SBATCH")) {
        return wrong(
            "cluster.setup",
            format!("`{line}` is an option of sbatch; expected it in cluster.options"),
        );
    }
    let stages = [
        ("cluster.dupgen", &cluster.dupgen),
        ("cluster.tuner", &cluster.tuner),
        ("cluster.extractor", &cluster.extractor),
        ("cluster.plagiarism", &cluster.plagiarism),
        ("cluster.report", &cluster.report),
        ("cluster.check", &cluster.check),
    ];
    stages
        .into_iter()
        .try_for_each(|(key, stage)| stage_resources(key, stage))
}

fn stage_resources(key: &'static str, stage: &StageResources) -> Checked {
    if stage.cpus == Some(0) {
        return wrong(key, "expected cpus of at least 1, found 0");
    }
    for (name, value) in [("hours", stage.hours), ("memory_gb", stage.memory_gb)] {
        if let Some(value) = value.filter(|&value| !(value.is_finite() && value > 0.0)) {
            return wrong(key, format!("expected {name} over 0, found {value}"));
        }
    }
    sbatch_word(key, stage.partition.as_deref().unwrap_or_default())?;
    sbatch_options(key, &stage.options)
}

/// Refuses names that would end a line of options or begin another one.
fn sbatch_word(key: &'static str, name: &str) -> Checked {
    if name.chars().any(|letter| letter.is_whitespace() || letter == '#') {
        return wrong(key, format!("expected a name without blanks, found \"{name}\""));
    }
    Ok(())
}

fn sbatch_options(key: &'static str, options: &[String]) -> Checked {
    for option in options {
        if !option.starts_with('-') || option.contains(['\n', '\r']) {
            return wrong(
                key,
                format!("expected options of sbatch as --qos=long, one each, found `{option}`"),
            );
        }
        let is_own = |&&(long, short): &&(&str, &str)| {
            let name = option.split(['=', ' ']).next().unwrap_or_default();
            name == long || (!option.starts_with("--") && option.starts_with(short))
        };
        if let Some((long, _)) = OWN_OPTIONS.iter().find(is_own) {
            return wrong(
                key,
                format!("{long} is written by plan; expected none, found `{option}`"),
            );
        }
    }
    Ok(())
}

/// `auto`, `cpu`, `cuda` or `cuda:N`; whether there is such a GPU is known only where the stage
/// runs.
fn device(key: &'static str, name: &str) -> Checked {
    let is_numbered = |number: &str| number.parse::<u32>().is_ok();
    if ["auto", "cpu", "cuda"].contains(&name) || name.strip_prefix("cuda:").is_some_and(is_numbered) {
        return Ok(());
    }
    wrong(
        key,
        format!("expected auto, cpu, cuda, or cuda:N, found \"{name}\""),
    )
}
