//! One run of the stage: what it works on, by which settings, and the steps that it consists of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use causal_lm::{arithmetic, load_checkpoint, resolve};
use contract::pipeline::{Begin, Extraction};
use contract::records::{CorpusFact, CorpusFactKind, CoursePoint, DecodedDocument, Sample, Score, TextForm};
use contract::{Error, Progress, Provenance, StageArguments, files, parquet};
use tch::{Device, Kind};
use text_tokens::TextTokenizer;

use crate::documents::{self, Documents, Remarks};
use crate::forms::{self, Form, TrialTexts};
use crate::generation::{self, Drawn};
use crate::prompts::{self, Prompts, Skipped};
use crate::scoring::{self, LeftOut};
use crate::{Checkpoints, LoadedModel, course, ranking};

/// The role of the checkpoint whose results they are among their inputs.
const ASKED: &str = "checkpoint";

/// The folder below `--out` for what the best checkpoint gave.
const BEST: &str = "best";

/// Files, settings and seed.
pub(crate) struct Run<'a> {
    checkpoints: Checkpoints<'a>,
    /// The one that is asked, and those before it.
    last: &'a Path,
    earlier: &'a [PathBuf],
    corpus: &'a Path,
    out: &'a Path,
    /// With what `auto` means here and where training ended: both are part of what was done.
    pub(crate) settings: Extraction,
    user_prompts: Vec<String>,
    /// Whether a chat template rendered the training texts: they are complete then, and have their form.
    is_rendered: bool,
    /// What that template writes where the user says nothing, through the header of an answer.
    template_opening: Option<String>,
    /// In which form texts are read, and the ones that were tried.
    form: Form,
    tried: Vec<TextForm>,
    seed: u64,
    threads: usize,
    device: Device,
    kind: Kind,
    /// Of the last checkpoint's results, and of the best one's.
    provenance: Provenance,
    best_provenance: Option<Provenance>,
}

/// A corpus as tokens, with its prompts. Models that read it alike share it.
pub(crate) struct Corpus {
    reads_as: ReadsAs,
    documents: Documents,
    prompts: Option<(Prompts, Skipped)>,
}

/// What makes a model read a corpus as it does: its tokenizer, its context, and where documents are cut.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ReadsAs {
    tokenizer: String,
    context: usize,
    most_tokens: usize,
}

/// What one checkpoint gave.
pub(crate) struct Answers {
    pub(crate) drawn: Drawn,
    /// Empty where the settings ask for none and nobody follows the checkpoint.
    pub(crate) scores: Vec<Score>,
    pub(crate) skipped: Skipped,
    pub(crate) remarks: Remarks,
    pub(crate) left_out: LeftOut,
    /// Documents that its tokenizer gives back otherwise than they are written.
    decoded: Arc<[DecodedDocument]>,
    /// Documents of other text.
    other: Arc<BTreeSet<String>>,
    /// What stands before a generation from nothing.
    bos: Vec<i64>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        stage: &'a StageArguments,
        corpus: &'a Path,
        checkpoints: Checkpoints<'a>,
    ) -> Result<Self, Error> {
        let Some((last, earlier)) = checkpoints.folders.split_last() else {
            return Err(Error::Configuration(
                "expected at least one checkpoint".to_owned(),
            ));
        };
        let pipeline = stage.pipeline()?;
        let seed = stage.seed(&pipeline);
        let (train, held_out) = (corpus.join("train.parquet"), corpus.join("heldout.parquet"));
        let device = torch_device::device(&pipeline.extraction.device)?;
        let (context, loss_on) = pipeline.trained_tokens();
        let settings = Extraction {
            precision: resolve(pipeline.extraction.precision, device),
            context,
            loss_on: Some(loss_on),
            ..pipeline.extraction.clone()
        };
        // Where tokens are chosen makes no difference to what they are, and of a file its content counts, which is an input.
        let recorded = Extraction {
            compute_path: None,
            prompt_file: None,
            ..settings.clone()
        };
        let mut common = Provenance::new("extractor")
            .with_configuration(&recorded)?
            .with_seed(seed)
            .with_input("train.parquet", &train)?
            .with_input("heldout.parquet", &held_out)?;
        for (role, folder) in [("base", checkpoints.base), ("reference", checkpoints.reference)] {
            if let Some(folder) = folder {
                common = common.with_input(role, folder)?;
            }
        }
        if let Some(file) = checkpoints.forms {
            if settings.begin != Begin::Auto {
                return Err(Error::Configuration(
                    "--forms: expected extraction.begin = \"auto\", which leaves the form open; leave --forms out, or set that".to_owned(),
                ));
            }
            common = common.with_input("forms", file)?;
        }
        let mut user_prompts = Vec::new();
        if let Some(file) = settings.prompt_file.as_ref().map(|file| pipeline.resolve(file)) {
            user_prompts = prompts::read_file(&file)?;
            common = common.with_input("prompts", &file)?;
        }
        let best_provenance = match checkpoints.best {
            Some(best) => Some(common.clone().with_input(ASKED, best)?),
            None => None,
        };
        let mut provenance = common.with_input(ASKED, last)?;
        for (number, folder) in earlier.iter().enumerate() {
            provenance = provenance.with_input(&earlier_role(number), folder)?;
        }
        let is_rendered = documents::are_rendered(&train)?;
        let form = if is_rendered {
            Form::RENDERED
        } else {
            Form::of_corpus(settings.begin)
        };
        Ok(Self {
            is_rendered,
            template_opening: template_opening(corpus)?,
            checkpoints,
            last,
            earlier,
            corpus,
            out: &stage.out,
            kind: arithmetic(settings.precision, device),
            form,
            tried: Vec::new(),
            settings,
            user_prompts,
            seed,
            threads: stage.threads(),
            device,
            provenance,
            best_provenance,
        })
    }

    /// Takes away what this run does not make: results of another would be taken for its own.
    pub(crate) fn remove_stale(&self) -> Result<(), Error> {
        let mut stale = Vec::new();
        if self.earlier.is_empty() {
            stale.push(self.course_file());
        }
        if !self.tries_forms() {
            stale.push(self.forms_file());
        }
        if self.best_provenance.is_none() {
            stale.extend(files(&self.out.join(BEST)));
        }
        for file in stale {
            files::remove_if_present(&file)?;
        }
        Ok(())
    }

    /// Whether everything that this run would make is there.
    pub(crate) fn is_done(&self) -> bool {
        let mut outputs = files(self.out).to_vec();
        if !self.earlier.is_empty() {
            outputs.push(self.course_file());
        }
        if self.tries_forms() {
            outputs.push(self.forms_file());
        }
        let is_done = |provenance: &Provenance, files: &[PathBuf]| {
            provenance.is_done(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>())
        };
        let best = self.best_provenance.as_ref();
        is_done(&self.provenance, &outputs)
            && best.is_none_or(|best| is_done(best, &files(&self.out.join(BEST))))
    }

    /// Whether the form of texts is to be found out here.
    fn tries_forms(&self) -> bool {
        self.settings.begin == Begin::Auto && self.checkpoints.forms.is_none() && !self.is_rendered
    }

    /// With `begin = "auto"` finds out from the last checkpoint in which form training wrote texts, or takes what was found out for
    /// another model.
    pub(crate) fn find_form(&mut self) -> Result<(), Error> {
        if self.is_rendered {
            tracing::info!(
                "training texts are conversations that a chat template rendered: prompts end within the assistant's turn, and nothing is \
                 put before a text"
            );
            return Ok(());
        }
        if let Some(file) = self.checkpoints.forms {
            self.form = forms::read_chosen(file)?;
            tracing::info!("texts are written as {} says: {}", file.display(), self.form);
        }
        if !self.tries_forms() {
            return Ok(());
        }
        let texts = TrialTexts::draw(&self.corpus.join("train.parquet"), self.seed)?;
        let model = self.load(self.last)?;
        let untuned = || match self.checkpoints.reference.or(self.checkpoints.base) {
            Some(folder) => Ok(Some(load_checkpoint(folder, None, self.kind, self.device)?.0)),
            None => Ok(None),
        };
        match forms::find(model, self.settings.context, &texts, untuned)? {
            Some((form, tried)) => {
                self.form = form;
                self.tried = tried;
            }
            None => tracing::warn!(
                "in which form training wrote texts is not known: no training document is long enough to tell. Prompts begin as \
                 the tokenizer begins texts"
            ),
        }
        Ok(())
    }

    /// Asks the last checkpoint.
    pub(crate) fn ask_last(&self, corpus: &mut Option<Corpus>) -> Result<Answers, Error> {
        self.ask(self.last, corpus, !self.earlier.is_empty())
    }

    /// Asks the best checkpoint, where it is another than the last.
    pub(crate) fn ask_best(&self, corpus: &mut Option<Corpus>) -> Result<Option<Answers>, Error> {
        let (Some(best), false) = (self.checkpoints.best, self.best_is_last()) else {
            return Ok(None);
        };
        tracing::info!("asking the checkpoint with the best held-out loss");
        let is_followed = (0..self.earlier.len()).any(|number| self.is_best(&earlier_role(number)));
        Ok(Some(self.ask(best, corpus, is_followed)?))
    }

    /// Whether the best checkpoint is the last.
    pub(crate) fn best_is_last(&self) -> bool {
        self.is_best(ASKED)
    }

    /// Whether the best checkpoint is the one that has this role among the inputs.
    fn is_best(&self, role: &str) -> bool {
        let best = self.best_provenance.as_ref();
        best.is_some_and(|best| best.inputs.get(ASKED) == self.provenance.inputs.get(role))
    }

    /// Loads a checkpoint, draws generations from it and scores the corpus; its weights are let go of.
    fn ask(&self, folder: &Path, corpus: &mut Option<Corpus>, is_followed: bool) -> Result<Answers, Error> {
        let settings = &self.settings;
        let mut models = LoadedModel::side_by_side(self.threads, || self.load(folder))?;
        let corpus = self.read_corpus(&models[0], corpus)?;
        let (prompts, skipped) = match &mut corpus.prompts {
            Some(chosen) => chosen,
            unchosen => {
                let LoadedModel { model, tokenizer, .. } = &models[0];
                let documents = &corpus.documents;
                unchosen.insert(prompts::choose(
                    documents,
                    settings,
                    &model.config,
                    tokenizer,
                    &self.user_prompts,
                    self.template_opening.as_deref(),
                )?)
            }
        };
        let mut drawn = generation::generate(&mut models, settings, prompts, self.seed)?;
        // One copy is enough from here on.
        let model = models.swap_remove(0);
        drop(models);
        let documents = &corpus.documents;
        let mut left_out = LeftOut::default();
        let mut scores = Vec::new();
        if settings.score {
            ranking::score(&model, &mut drawn.samples)?;
            scores = scoring::score(&model, settings, documents)?;
            left_out = scoring::left_out(settings, documents);
        } else if is_followed {
            scores = scoring::score(&model, &course::settings(settings), documents)?;
        }
        Ok(Answers {
            drawn,
            scores,
            skipped: *skipped,
            remarks: documents.remarks(&model.tokenizer, corpus.reads_as.most_tokens),
            left_out,
            decoded: Arc::clone(&documents.decoded),
            other: Arc::clone(&documents.other),
            bos: model.add_bos(&[]),
        })
    }

    fn load(&self, folder: &Path) -> Result<LoadedModel, Error> {
        let (mut model, files) = load_checkpoint(folder, self.checkpoints.base, self.kind, self.device)?;
        if self.kind == Kind::Float && model.can_be_merged() {
            // One product instead of three; in bf16 the sum would round small updates away.
            model.merge()?;
        }
        LoadedModel::beginning_as(model, TextTokenizer::load(&files)?, self.form.begin)
    }

    /// The corpus as `model` reads it: the one at hand, or else read anew in its place.
    fn read_corpus<'c>(
        &self,
        model: &LoadedModel,
        corpus: &'c mut Option<Corpus>,
    ) -> Result<&'c mut Corpus, Error> {
        let reads_as = ReadsAs {
            tokenizer: model.tokenizer.digest().to_owned(),
            context: model.model.config.context,
            most_tokens: if self.is_rendered {
                model.whole_context(self.settings.context)
            } else {
                model.trained_tokens(self.settings.context)
            },
        };
        let at_hand = corpus.take().filter(|corpus| corpus.reads_as == reads_as);
        let read = match at_hand {
            Some(corpus) => corpus,
            None => {
                let most = reads_as.most_tokens;
                let (tokenizer, template) = (&model.tokenizer, self.form.template);
                let documents = rayon::ThreadPoolBuilder::new()
                    .num_threads(self.threads)
                    .build()
                    .map_err(|error| Error::Run(format!("cannot start threads: {error}")))?
                    .install(|| {
                        let prefix = self.settings.prefix_tokens;
                        Documents::load(self.corpus, tokenizer, most, template, prefix)
                    })?;
                tracing::info!("{} documents and canaries read as tokens", documents.all.len());
                Corpus {
                    documents,
                    reads_as,
                    prompts: None,
                }
            }
        };
        Ok(corpus.insert(read))
    }

    /// Ranks generations from nothing by the untuned model, where there is one and anything to rank.
    pub(crate) fn rank_by_reference<'s>(
        &self,
        answers: impl Iterator<Item = &'s mut Answers>,
    ) -> Result<(), Error> {
        let Some(folder) = self.checkpoints.reference.filter(|_| self.settings.score) else {
            return Ok(());
        };
        let ranked: Vec<&mut Answers> = answers
            .filter(|answers| ranking::is_ranked(&answers.drawn.samples))
            .collect();
        if ranked.is_empty() {
            return Ok(());
        }
        let (reference, _) = load_checkpoint(folder, None, self.kind, self.device)?;
        for answers in ranked {
            ranking::score_by_reference(&reference, &answers.bos, &mut answers.drawn.samples)?;
        }
        Ok(())
    }

    /// How the documents are remembered over the checkpoints, those that were asked included: their scores are there already.
    pub(crate) fn follow(
        &self,
        corpus: &mut Option<Corpus>,
        last: &Answers,
        best: Option<&Answers>,
    ) -> Result<Vec<CoursePoint>, Error> {
        if self.earlier.is_empty() {
            return Ok(Vec::new());
        }
        let settings = course::settings(&self.settings);
        let mut points = Vec::new();
        let mut progress = Progress::new("following", self.earlier.len() as u64, "checkpoints");
        for (number, folder) in self.earlier.iter().enumerate() {
            let role = earlier_role(number);
            let asked = if self.provenance.inputs.get(&role) == self.provenance.inputs.get(ASKED) {
                Some(last)
            } else {
                best.filter(|_| self.is_best(&role))
            };
            points.extend(match asked {
                Some(answers) => course::points(folder, &answers.scores, &answers.other, &settings),
                None => {
                    let model = self.load(folder)?;
                    let corpus = self.read_corpus(&model, corpus)?;
                    let scores = scoring::score(&model, &settings, &corpus.documents)?;
                    course::points(folder, &scores, &corpus.documents.other, &settings)
                }
            });
            progress.advance(1, "");
        }
        points.extend(course::points(self.last, &last.scores, &last.other, &settings));
        Ok(points)
    }

    /// Writes what the last checkpoint gave and, where one was named, the best; `best` is none where it is the last.
    pub(crate) fn write(
        &self,
        last: &Answers,
        best: Option<&Answers>,
        course: &[CoursePoint],
    ) -> Result<(), Error> {
        if !self.earlier.is_empty() {
            parquet::write_all(&self.course_file(), &self.provenance, course)?;
        }
        if self.tries_forms() {
            parquet::write_all(&self.forms_file(), &self.provenance, &self.tried)?;
        }
        if let Some(provenance) = &self.best_provenance {
            self.write_answers(&self.out.join(BEST), provenance, best.unwrap_or(last))?;
        }
        self.write_answers(self.out, &self.provenance, last)
    }

    fn write_answers(&self, folder: &Path, provenance: &Provenance, answers: &Answers) -> Result<(), Error> {
        let [decoded, samples, scores] = files(folder);
        parquet::write_all(&decoded, provenance, &answers.decoded)?;
        let wanted: &[Score] = if self.settings.score { &answers.scores } else { &[] };
        parquet::write_all::<Score>(&scores, provenance, wanted)?;
        parquet::write_all::<Sample>(&samples, provenance, &answers.drawn.samples)
    }

    fn forms_file(&self) -> PathBuf {
        self.out.join("forms.parquet")
    }

    fn course_file(&self) -> PathBuf {
        self.out.join("course.parquet")
    }
}

/// What `corpus.parquet` says that the chat template writes through the header of an answer; none where nothing was rendered, or another
/// program made the corpus.
fn template_opening(corpus: &Path) -> Result<Option<String>, Error> {
    let file = corpus.join("corpus.parquet");
    if !file.is_file() {
        return Ok(None);
    }
    let facts = parquet::read_all::<CorpusFact>(&file)?.into_iter();
    let mut openings = facts.filter(|fact| fact.fact == CorpusFactKind::TemplateOpening);
    Ok(openings.next().and_then(|fact| fact.detail))
}

/// The name that an earlier checkpoint has among the inputs.
fn earlier_role(number: usize) -> String {
    format!("{ASKED} {number}")
}

/// What a checkpoint that is asked gives: its tokenizer's form of documents, samples and scores.
fn files(folder: &Path) -> [PathBuf; 3] {
    ["decoded.parquet", "samples.parquet", "scores.parquet"].map(|name| folder.join(name))
}
