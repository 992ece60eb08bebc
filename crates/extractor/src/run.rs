//! One run of the stage: what it works on, by which settings, and the steps that it consists of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use causal_lm::{arithmetic, load_checkpoint, resolve};
use contract::parts::{Part, Parts, Places};
use contract::pipeline::{Begin, Extraction, LossOn};
use contract::records::{
    CorpusFact, CorpusFactKind, CoursePoint, DecodedDocument, DetailScore, HeldOutDocument, HeldOutRole,
    Sample, Score, TextForm,
};
use contract::{Error, Progress, Provenance, StageArguments, files, parquet};
use model_folder::{Checkpoint, Endpoint};
use tch::{Device, Kind};
use text_tokens::TextTokenizer;

use crate::details::{self, PlacedDetails, Probes, Ranked, Wanted};
use crate::documents::{self, Documents, Remarks};
use crate::endpoint::Served;
use crate::forms::{self, Form, TrialTexts};
use crate::generation::{self, Drawn};
use crate::prompts::{self, Prompts, Skipped};
use crate::scoring::{self, LeftOut, PlacedScores};
use crate::{Checkpoints, LoadedModel, course, membership, new_tokens, ranking, self_made};

/// Lets generations go on past end tokens that stand within documents, and says so.
fn go_on_past_inner_ends(models: &mut [LoadedModel], documents: &Documents) -> Result<(), Error> {
    let Some(first) = models.first() else {
        return Ok(());
    };
    let inner = documents.ends_within(&first.end_tokens);
    for (token, count) in &inner {
        tracing::warn!(
            "the end token {:?} stands within {count} training documents: generations go on past it",
            first
                .tokenizer
                .decode_keeping(&[*token], &BTreeSet::from([*token]))?
        );
    }
    let inner: BTreeSet<i64> = inner.into_keys().collect();
    for model in models {
        model.go_on_past(&inner);
    }
    Ok(())
}

/// The role of the checkpoint whose results they are among their inputs.
const ASKED: &str = "checkpoint";

/// The folder below `--out` for what the best checkpoint gave.
const BEST: &str = "best";

/// Files, settings and seed.
pub(crate) struct Run<'a> {
    checkpoints: Checkpoints<'a>,
    /// The one that is asked, and those before it.
    last: &'a Path,
    /// Where it is asked over an API.
    served: Option<Served>,
    /// Whether what is there already is made anew.
    is_forced: bool,
    earlier: &'a [PathBuf],
    corpus: &'a Path,
    out: PathBuf,
    /// Which part of the work is done; none for the whole.
    part: Option<Part>,
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
    /// None until they are asked for.
    details: Option<Probes>,
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
    pub(crate) scores: PlacedScores,
    /// Personal details, each among others of its kind.
    details: PlacedDetails,
    pub(crate) ranked: Ranked,
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
        let served = Served::open(last)?;
        let new_tokens = match &served {
            Some(served) => {
                served.check(&pipeline.extraction.strategy, documents::are_rendered(&train)?)?;
                check_alone(&checkpoints)?;
                new_tokens::enough(&pipeline.extraction, &train, &served.tokenizer, served.context())?
            }
            None => {
                let checkpoint = Checkpoint::open(last, checkpoints.base)?;
                let tokenizer = TextTokenizer::load(&checkpoint.tokenizer)?;
                new_tokens::enough(
                    &pipeline.extraction,
                    &train,
                    &tokenizer,
                    checkpoint.model.config.context,
                )?
            }
        };
        let settings = Extraction {
            new_tokens,
            // An API gives no probabilities of a text that somebody else wrote.
            score: pipeline.extraction.score && served.is_none(),
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
        if served.is_some() {
            // What prompts are cut by may lie beside another model.
            common = common.with_input("tokenizer", &tokenizer_file(last)?)?;
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
            served,
            is_forced: stage.force,
            is_rendered,
            template_opening: template_opening(corpus)?,
            checkpoints,
            last,
            earlier,
            corpus,
            out: stage.out.clone(),
            part: None,
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

    /// From here on it is about one part of the work, in a folder of its own.
    pub(crate) fn take_part(&mut self, part: Part) {
        self.out = part.folder(&self.out);
        self.part = Some(part);
        self.provenance = self.provenance.clone().with_part(part);
        self.best_provenance = self.best_provenance.take().map(|best| best.with_part(part));
    }

    /// Where the results go.
    pub(crate) fn out(&self) -> &Path {
        &self.out
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
        let mut outputs = files(&self.out).to_vec();
        if !self.earlier.is_empty() {
            outputs.extend(self.course_files());
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
        let is_open = self.settings.begin == Begin::Auto && self.checkpoints.forms.is_none();
        is_open && !self.is_rendered && self.served.is_none()
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
        if let Some(served) = &self.served {
            return self.ask_over_api(served);
        }
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
        go_on_past_inner_ends(&mut models, &corpus.documents)?;
        let prompts = match &mut corpus.prompts {
            Some(chosen) => chosen,
            unchosen => {
                let LoadedModel { model, tokenizer, .. } = &models[0];
                let documents = &corpus.documents;
                unchosen.insert(prompts::choose(
                    documents,
                    settings,
                    model.config.context,
                    tokenizer,
                    &self.user_prompts,
                    self.template_opening.as_deref(),
                )?)
            }
        };
        self_made::begin(&mut models, settings, &mut prompts.0, self.seed)?;
        let (prompts, skipped) = prompts;
        let mut drawn = generation::generate_part(&mut models, settings, prompts, self.seed, self.part)?;
        // One copy is enough from here on.
        let mut model = models.swap_remove(0);
        drop(models);
        let (details, ranked) = self.rank_details(&model, &mut corpus.details)?;
        let documents = &corpus.documents;
        let mut left_out = LeftOut::default();
        let mut scores = Vec::new();
        if settings.score {
            ranking::score(&model, &mut drawn)?;
            scores = scoring::score_part(&model, settings, documents, self.part)?;
            left_out = scoring::left_out(settings, documents);
            membership::add(&mut model, settings, documents, &mut scores)?;
        } else if is_followed {
            scores = scoring::score_part(&model, &course::settings(settings), documents, self.part)?;
        }
        Ok(Answers {
            drawn,
            scores,
            details,
            ranked,
            skipped: *skipped,
            remarks: documents.remarks(&model.tokenizer, corpus.reads_as.most_tokens),
            left_out,
            decoded: Arc::clone(&documents.decoded),
            other: Arc::clone(&documents.other),
            bos: model.add_bos(&[]),
        })
    }

    /// Ranks personal details among others of their kind, where that is asked for; `probes` has them once they were looked for.
    fn rank_details(
        &self,
        model: &LoadedModel,
        probes: &mut Option<Probes>,
    ) -> Result<(PlacedDetails, Ranked), Error> {
        let settings = &self.settings;
        if settings.details == 0 || !settings.score {
            return Ok(<_>::default());
        }
        let probes = match probes {
            Some(probes) => probes,
            unknown => {
                let wanted = Wanted {
                    others: settings.details,
                    loss_on: settings.loss_on.unwrap_or(LossOn::Text),
                    context: settings.context,
                };
                unknown.insert(Probes::of_corpus(self.corpus, wanted)?)
            }
        };
        let scores = details::score_part(model, probes, settings.context, self.form.template, self.part)?;
        let ranked = Ranked::new(probes, &scores);
        Ok((scores, ranked))
    }

    /// Draws generations from a model that is served elsewhere. Its prompts are the same, but that they end between words.
    fn ask_over_api(&self, served: &Served) -> Result<Answers, Error> {
        let most_tokens = self
            .settings
            .context
            .map_or(served.context(), |context| context.min(served.context()));
        let documents = self.load_documents(&served.tokenizer, most_tokens)?;
        let (mut prompts, skipped) = prompts::choose(
            &documents,
            &self.settings,
            served.context(),
            &served.tokenizer,
            &self.user_prompts,
            self.template_opening.as_deref(),
        )?;
        prompts.end_between_words(&served.tokenizer, self.settings.new_tokens)?;
        let drawn = served.draw(
            &prompts,
            &self.settings,
            self.seed,
            self.part,
            &self.out,
            self.is_forced,
        )?;
        Ok(Answers {
            drawn,
            scores: Vec::new(),
            details: Vec::new(),
            ranked: Ranked::default(),
            skipped,
            remarks: documents.remarks(&served.tokenizer, most_tokens),
            left_out: LeftOut::default(),
            decoded: Arc::clone(&documents.decoded),
            other: Arc::clone(&documents.other),
            bos: Vec::new(),
        })
    }

    /// The corpus as `tokenizer` reads it, `most` tokens of each document.
    fn load_documents(&self, tokenizer: &TextTokenizer, most: usize) -> Result<Documents, Error> {
        let (template, prefix) = (self.form.template, self.settings.prefix_tokens);
        let loss_on = self.settings.loss_on.unwrap_or(LossOn::Text);
        let documents = rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .build()
            .map_err(|error| Error::Run(format!("cannot start threads: {error}")))?
            .install(|| Documents::load(self.corpus, tokenizer, most, template, prefix, loss_on))?;
        tracing::info!("{} documents and canaries read as tokens", documents.all.len());
        Ok(documents)
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
            None => Corpus {
                documents: self.load_documents(&model.tokenizer, reads_as.most_tokens)?,
                reads_as,
                prompts: None,
                details: None,
            },
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
            ranking::score_by_reference(&reference, &answers.bos, &mut answers.drawn)?;
        }
        Ok(())
    }

    /// How the documents are remembered over the checkpoints, those that were asked included: their scores are there already. A part
    /// has no points, and writes its scores, which are put together with those of the others.
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
                Some(answers) => self.points(number, &answers.scores, &answers.other)?,
                None => {
                    let model = self.load(folder)?;
                    let corpus = self.read_corpus(&model, corpus)?;
                    let scores = scoring::score_part(&model, &settings, &corpus.documents, self.part)?;
                    self.points(number, &scores, &corpus.documents.other)?
                }
            });
            progress.advance(1, "");
        }
        points.extend(self.points(self.earlier.len(), &last.scores, &last.other)?);
        Ok(points)
    }

    /// The points of the checkpoint of this number, the asked one being the last; of a part its scores are written, and there are none.
    fn points(
        &self,
        number: usize,
        scores: &PlacedScores,
        other: &BTreeSet<String>,
    ) -> Result<Vec<CoursePoint>, Error> {
        if self.part.is_some() {
            let file = self.out.join(course_scores(number));
            parquet::write_placed(&file, &self.provenance, placed(scores))?;
            return Ok(Vec::new());
        }
        let folder = self.checkpoints.folders[number].as_path();
        let scores = scores.iter().map(|(_, score)| score);
        Ok(course::points(
            folder,
            scores,
            other,
            &course::settings(&self.settings),
        ))
    }

    /// Writes what the last checkpoint gave and, where one was named, the best; `best` is none where it is the last.
    pub(crate) fn write(
        &self,
        last: &Answers,
        best: Option<&Answers>,
        course: &[CoursePoint],
    ) -> Result<(), Error> {
        if !self.earlier.is_empty() && self.part.is_none() {
            parquet::write_all(&self.course_file(), &self.provenance, course)?;
        }
        if self.tries_forms() {
            parquet::write_placed(&self.forms_file(), &self.provenance, self.once(&self.tried))?;
        }
        if let Some(provenance) = &self.best_provenance {
            self.write_answers(&self.out.join(BEST), provenance, best.unwrap_or(last))?;
        }
        self.write_answers(&self.out, &self.provenance, last)
    }

    fn write_answers(&self, folder: &Path, provenance: &Provenance, answers: &Answers) -> Result<(), Error> {
        let [decoded, samples, scores, details] = files(folder);
        parquet::write_placed(&decoded, provenance, self.once(&answers.decoded))?;
        let wanted = placed(&answers.scores).filter(|_| self.settings.score);
        parquet::write_placed(&scores, provenance, wanted)?;
        let ranked = answers.details.iter().map(|(place, score)| (*place, score));
        parquet::write_placed(&details, provenance, ranked)?;
        let drawn = answers.drawn.origins.iter().zip(&answers.drawn.samples);
        let drawn = drawn.map(|(origin, sample)| (origin.place, sample));
        parquet::write_placed(&samples, provenance, drawn)
    }

    /// Rows that every part comes to have: the first one writes them.
    fn once<'r, R>(&self, rows: &'r [R]) -> impl Iterator<Item = (i64, &'r R)> {
        let is_first = self.part.is_none_or(|part| part.rank() == 0);
        (0..).zip(rows).filter(move |_| is_first)
    }

    /// Puts together what so many parts wrote. No model is loaded.
    pub(crate) fn merge(&self, world: usize) -> Result<(), Error> {
        let mut names = NAMES.map(str::to_owned).to_vec();
        if !self.earlier.is_empty() {
            names.extend((0..=self.earlier.len()).map(course_scores));
        }
        if self.tries_forms() {
            names.push(FORMS.to_owned());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let parts = Parts::check(&self.out, world, &self.provenance, &names)?;
        let in_best = NAMES.map(|name| format!("{BEST}/{name}"));
        let of_best = match &self.best_provenance {
            Some(provenance) => {
                let names = in_best.each_ref().map(String::as_str);
                Some(Parts::check(&self.out, world, provenance, &names)?)
            }
            None => None,
        };
        if !self.earlier.is_empty() {
            parquet::write_all(&self.course_file(), &self.provenance, &self.course_of(&parts)?)?;
        }
        if self.tries_forms() {
            parts.merge::<TextForm>(FORMS, Places::All, |_, _| ())?;
        }
        if let Some(of_best) = of_best {
            merge_answers(&of_best, in_best.each_ref().map(String::as_str))?;
        }
        merge_answers(&parts, NAMES)
    }

    /// The points of all checkpoints by the scores that parts have.
    fn course_of(&self, parts: &Parts<'_>) -> Result<Vec<CoursePoint>, Error> {
        let other = other_documents(&self.corpus.join("heldout.parquet"))?;
        let settings = course::settings(&self.settings);
        let mut points = Vec::new();
        for (number, folder) in self.checkpoints.folders.iter().enumerate() {
            let mut scores: Vec<Score> = Vec::new();
            parts.for_each(&course_scores(number), Places::Some, |score| {
                scores.push(score);
                Ok(())
            })?;
            points.extend(course::points(folder, &scores, &other, &settings));
        }
        Ok(points)
    }

    /// What is made of the checkpoints over which memorization is followed.
    fn course_files(&self) -> Vec<PathBuf> {
        match self.part {
            Some(_) => (0..=self.earlier.len())
                .map(|number| self.out.join(course_scores(number)))
                .collect(),
            None => vec![self.course_file()],
        }
    }

    fn forms_file(&self) -> PathBuf {
        self.out.join(FORMS)
    }

    fn course_file(&self) -> PathBuf {
        self.out.join("course.parquet")
    }
}

/// The tokenizer by which prompts for a model that is served are cut.
fn tokenizer_file(folder: &Path) -> Result<PathBuf, Error> {
    let endpoint = Endpoint::open(folder)?;
    let tokenizer = endpoint
        .map(|endpoint| endpoint.tokenizer_folder(folder))
        .transpose()?;
    Ok(tokenizer
        .unwrap_or_else(|| folder.to_path_buf())
        .join("tokenizer.json"))
}

/// A model that is served has no earlier checkpoints, no best one, and no base to be put together with.
fn check_alone(checkpoints: &Checkpoints<'_>) -> Result<(), Error> {
    if checkpoints.folders.len() > 1 || checkpoints.best.is_some() {
        return Err(Error::Configuration(
            "expected one checkpoint, since it is served elsewhere (endpoint.toml); ask others apart"
                .to_owned(),
        ));
    }
    Ok(())
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

/// What a checkpoint that is asked gives: its tokenizer's form of documents, samples, scores and personal details.
const NAMES: [&str; 4] = [
    "decoded.parquet",
    "samples.parquet",
    "scores.parquet",
    "details.parquet",
];

/// The forms of texts that were tried.
const FORMS: &str = "forms.parquet";

fn files(folder: &Path) -> [PathBuf; NAMES.len()] {
    NAMES.map(|name| folder.join(name))
}

/// A part's scores of a checkpoint that is followed.
fn course_scores(number: usize) -> String {
    format!("course-{number}.parquet")
}

fn placed(scores: &PlacedScores) -> impl Iterator<Item = (i64, &Score)> {
    scores.iter().map(|(place, score)| (*place, score))
}

/// Puts together what parts have of one checkpoint.
fn merge_answers(
    parts: &Parts<'_>,
    [decoded, samples, scores, details]: [&str; NAMES.len()],
) -> Result<(), Error> {
    parts.merge::<DecodedDocument>(decoded, Places::All, |_, _| ())?;
    parts.merge::<Score>(scores, Places::Some, |_, _| ())?;
    parts.merge::<DetailScore>(details, Places::Some, |_, _| ())?;
    parts.merge::<Sample>(samples, Places::All, |sample, number| {
        sample.sample_id = number as i64;
    })
}

/// The identities of documents of other text.
fn other_documents(held_out: &Path) -> Result<BTreeSet<String>, Error> {
    let mut other = BTreeSet::new();
    for batch in parquet::Reader::<HeldOutDocument>::open(held_out)? {
        let documents = batch?.into_iter();
        let documents = documents.filter(|document| document.role == Some(HeldOutRole::Other));
        other.extend(documents.map(|document| document.doc_id));
    }
    Ok(other)
}
