//! The runs of stages that a plan is made of: what each makes, from what, and by which command. Whoever writes them for an engine
//! (GNU make, Slurm) only has its syntax to know.
//!
//! Paths and commands are as make has them: `$(run)` is the run folder, `$(TUNER)` the program of a stage.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use contract::Error;
use contract::pipeline::{Begin, ModeKind, PromptSource};

use crate::given;
use crate::links::Links;
use crate::paths::for_make;
use crate::tokens::tokenizer_folder;
use crate::{ModelFolder, Plan, PlannedCell, PlantedCanaries, TrainingSet};

/// The run folder in paths and commands.
pub(crate) const RUN: &str = "$(run)";

/// A stage of the pipeline, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Dupgen,
    Tuner,
    Extractor,
    Plagiarism,
    Report,
    Check,
}

impl Stage {
    pub(crate) const ALL: [Self; 6] = [
        Self::Dupgen,
        Self::Tuner,
        Self::Extractor,
        Self::Plagiarism,
        Self::Report,
        Self::Check,
    ];

    /// The name of its program.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dupgen => "dupgen",
            Self::Tuner => "tuner",
            Self::Extractor => "extractor",
            Self::Plagiarism => "plagiarism",
            Self::Report => "report",
            Self::Check => "check",
        }
    }

    /// What make is asked for to have it done.
    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::Tuner => "tune",
            Self::Extractor => "extract",
            Self::Dupgen | Self::Plagiarism | Self::Report | Self::Check => self.name(),
        }
    }
}

/// Which checkpoint of a tuned cell was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Checkpoint {
    Last,
    /// That with the best held-out loss; what is made from it goes to the cell's folder `best`.
    Best,
}

/// Which cell of how many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CellNumber {
    /// Counted from 1, in the order of [`Plan::cells`].
    pub(crate) number: usize,
    cells: usize,
}

impl std::fmt::Display for CellNumber {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "{} of {}", self.number, self.cells)
    }
}

/// What one run of one stage makes, from what, and how.
#[derive(Debug, Clone)]
pub(crate) struct StageRun {
    pub(crate) stage: Stage,
    /// The cell or training set in words.
    pub(crate) subject: String,
    /// The cell that it works on.
    pub(crate) cell: Option<CellNumber>,
    /// The command line, but for the threads.
    pub(crate) command: String,
    /// The files and folders that it is made from.
    pub(crate) prerequisites: Vec<String>,
    /// The file that the stage is known by.
    pub(crate) main: String,
    /// Further files, compared with the prerequisites as the main one is.
    pub(crate) further: Vec<String>,
    /// Folders; their times say nothing, so only their absence counts.
    pub(crate) folders: Vec<String>,
    /// Processes that share the work, each on a part of it; 1 where one does all of it.
    pub(crate) parts: usize,
    /// The files that it is given from outside of the run folder, whether or not they are prerequisites: it starts again where one of
    /// them is another.
    pub(crate) given: Vec<PathBuf>,
    /// The prerequisite that lists what these files were ([`given`]); none where there are none.
    pub(crate) list: Option<String>,
}

impl StageRun {
    /// Adds the given files among its prerequisites to the list of them, and that list, beside its settings, to the prerequisites.
    fn depend_on_given(&mut self, links: &Links) {
        let outside = self.prerequisites.iter().filter(|file| !file.starts_with(RUN));
        self.given.extend(outside.map(|file| links.target(file)));
        self.given.sort();
        self.given.dedup();
        // Its settings come first.
        let list = self
            .prerequisites
            .first()
            .map(|settings| given::list_of(settings));
        self.list = list.filter(|_| !self.given.is_empty());
        self.prerequisites.extend(self.list.clone());
    }

    /// Where it writes, and leaves records of its runs.
    pub(crate) fn out(&self) -> &str {
        self.main.rsplit_once('/').map_or(RUN, |(folder, _)| folder)
    }

    /// The files that it makes, that which it is known by first.
    pub(crate) fn files(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.main).chain(&self.further)
    }

    /// The runs that do parts of its work, and the one that puts the parts together; it alone where nothing is shared. Each part
    /// writes its main file last.
    pub(crate) fn shared(&self) -> (Vec<Self>, Self) {
        if self.parts < 2 {
            return (Vec::new(), self.clone());
        }
        let (world, out) = (self.parts, self.out());
        let name = self.main.rsplit('/').next().unwrap_or(&self.main);
        let of_part = |rank: usize| Self {
            subject: format!("{}, part {rank} of {world}", self.subject),
            command: format!("{} --rank {rank} --world {world}", self.command),
            main: format!("{out}/parts/{rank}-of-{world}/{name}"),
            further: Vec::new(),
            folders: Vec::new(),
            ..self.clone()
        };
        let parts: Vec<Self> = (0..world).map(of_part).collect();
        let made = parts.iter().map(|part| part.main.clone());
        let merged = Self {
            subject: format!("{}, {world} parts put together", self.subject),
            command: format!("{} --merge {world}", self.command),
            prerequisites: self.prerequisites.iter().cloned().chain(made).collect(),
            ..self.clone()
        };
        (parts, merged)
    }

    /// Everything that it makes.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = &String> {
        self.files().chain(&self.folders)
    }
}

/// All runs of a plan on one run folder.
#[derive(Debug)]
pub(crate) struct StageRuns {
    /// The run folder, as seen from where the program runs.
    pub(crate) folder: String,
    /// Stage by stage, those of a stage in the order of their cells.
    pub(crate) runs: Vec<StageRun>,
}

impl StageRuns {
    /// The runs of a plan on a run folder, as seen from where the program runs.
    ///
    /// # Errors
    /// [`Error::Configuration`] where a path holds a character that make cannot carry, [`Error::Input`] where a model's folder
    /// cannot be listed.
    pub(crate) fn of(plan: &Plan, folder: &Path, links: &mut Links) -> Result<Self, Error> {
        let folder = for_make(folder)?;
        let mut runs = Vec::new();
        for set in &plan.training_sets {
            runs.push(dupgen(plan, RUN, set, links)?);
        }
        for (number, cell) in (1..).zip(&plan.cells) {
            let number = CellNumber {
                number,
                cells: plan.cells.len(),
            };
            of_cell(plan, cell, number, links, &mut runs)?;
        }
        runs.sort_by_key(|run| run.stage);
        if plan.has_report() {
            let report = report(RUN, plan, &runs);
            runs.push(report);
        }
        if plan.is_look() {
            for set in &plan.training_sets {
                runs.push(check(RUN, plan, set, links)?);
            }
        }
        // A look depends on samples, and they on the files of the same model.
        for run in runs.iter_mut().filter(|run| run.stage != Stage::Check) {
            run.depend_on_given(links);
        }
        Ok(Self { folder, runs })
    }

    /// The runs of one stage.
    pub(crate) fn of_stage(&self, stage: Stage) -> impl Iterator<Item = &StageRun> {
        self.runs.iter().filter(move |run| run.stage == stage)
    }
}

/// Adds the runs that work on one cell.
fn of_cell(
    plan: &Plan,
    cell: &PlannedCell,
    number: CellNumber,
    links: &mut Links,
    runs: &mut Vec<StageRun>,
) -> Result<(), Error> {
    if cell.is_tuned() {
        runs.push(tuner(RUN, cell, number, links)?);
    }
    if cell.is_extracted() {
        runs.push(extractor(RUN, plan, cell, number, links)?);
    }
    if cell.is_extracted() && !plan.is_look() {
        let checkpoints = [
            Some(Checkpoint::Last),
            cell.has_best().then_some(Checkpoint::Best),
        ];
        for checkpoint in checkpoints.into_iter().flatten() {
            runs.push(plagiarism(RUN, plan, cell, number, checkpoint, links)?);
        }
    }
    Ok(())
}

fn dupgen(plan: &Plan, run: &str, set: &TrainingSet, links: &mut Links) -> Result<StageRun, Error> {
    let folder = format!("{run}/corpus/{}", set.name);
    let config = format!("{folder}/dupgen.toml");
    let mut prerequisites = vec![config.clone()];
    for file in &plan.corpus_of(set).files {
        prerequisites.push(links.for_make(file)?);
    }
    if set.canaries != PlantedCanaries::None {
        // Canaries are cut into tokens to see whether they can be learned.
        let mut tokenizers = plan
            .cells
            .iter()
            .filter_map(|cell| cell.folder.as_ref())
            .map(|folder| folder.path.join("tokenizer.json"));
        let mut seen: Vec<PathBuf> = Vec::new();
        for tokenizer in tokenizers.by_ref().filter(|tokenizer| tokenizer.is_file()) {
            if !seen.contains(&tokenizer) {
                prerequisites.push(links.for_make(&tokenizer)?);
                seen.push(tokenizer);
            }
        }
    }
    if let Some(manifest) = &plan.pipeline.canaries.manifest {
        prerequisites.push(links.for_make(&plan.pipeline.resolve(manifest))?);
    }
    // What conversations are rendered with.
    for candidate in crate::chat_templates(&plan.cells) {
        for file in candidate
            .folders
            .iter()
            .flat_map(|folder| chat_template::files(folder))
        {
            let file = links.for_make(&file)?;
            if !prerequisites.contains(&file) {
                prerequisites.push(file);
            }
        }
    }
    let named_template = plan.corpus_of(set).settings.chat_template.as_ref();
    let chat_template = match named_template.map(|place| plan.pipeline.resolve(place)) {
        Some(folder) if folder.is_dir() => chat_template::files(&folder),
        Some(file) => vec![file],
        None => Vec::new(),
    };
    Ok(StageRun {
        stage: Stage::Dupgen,
        subject: set.name.clone(),
        cell: None,
        command: format!("$(DUPGEN) --config {config} --out {folder}"),
        prerequisites,
        main: format!("{folder}/train.parquet"),
        further: vec![format!("{folder}/heldout.parquet")],
        folders: Vec::new(),
        parts: 1,
        given: chat_template,
        list: None,
    })
}

fn tuner(run: &str, cell: &PlannedCell, number: CellNumber, links: &mut Links) -> Result<StageRun, Error> {
    let (folder, corpus) = folders(run, cell);
    let config = format!("{folder}/tuner.toml");
    let mut prerequisites = vec![config.clone()];
    prerequisites.extend(corpus_outputs(&corpus));
    prerequisites.extend(model_files(cell, links)?);
    Ok(StageRun {
        stage: Stage::Tuner,
        subject: cell.facts.name.clone(),
        cell: Some(number),
        command: format!("$(TUNER) --config {config} --in {corpus} --out {folder}"),
        prerequisites,
        main: format!("{folder}/metrics.parquet"),
        further: Vec::new(),
        folders: checkpoints(&folder).into(),
        parts: 1,
        given: of_models(cell.folder.iter().chain(&cell.base)),
        list: None,
    })
}

fn extractor(
    run: &str,
    plan: &Plan,
    cell: &PlannedCell,
    number: CellNumber,
    links: &mut Links,
) -> Result<StageRun, Error> {
    let settings = &plan.pipeline.extraction;
    let (folder, corpus) = folders(run, cell);
    let config = format!("{folder}/extractor.toml");
    let mut prerequisites = vec![config.clone()];
    prerequisites.extend(corpus_outputs(&corpus));
    let mut given = Vec::new();
    let checkpoint = match &cell.folder {
        Some(model) if !cell.is_tuned() => {
            prerequisites.extend(model_files(cell, links)?);
            given.extend(of_models(cell.folder.iter().chain(&cell.base)));
            let base = match &cell.base {
                Some(base) => format!(" --base {}", links.for_make(&base.path)?),
                None => String::new(),
            };
            links.for_make(&model.path)? + &base
        }
        _ => {
            let [last, best] = checkpoints(&folder);
            prerequisites.extend([format!("{folder}/metrics.parquet"), last.clone(), best.clone()]);
            let followed = if is_followed(plan, cell) {
                format!("{folder}/checkpoints ")
            } else {
                String::new()
            };
            // An adapter names its base as seen from itself, or by its name alone.
            let base = match &cell.folder {
                Some(base) if cell.combination.kind() == ModeKind::Lora => {
                    format!(" --base {}", links.for_make(&base.path)?)
                }
                _ => String::new(),
            };
            format!("{followed}{last} --best {best}{base}")
        }
    };
    if let Some(file) = &settings.prompt_file {
        prerequisites.push(links.for_make(&plan.pipeline.resolve(file))?);
    }
    // Generations from nothing are ranked by what the untuned model thinks of them, and forms of texts weighed against it.
    let asks_untuned = settings.prompts.contains(&PromptSource::None) || settings.begin == Begin::Auto;
    let reference = match untuned(cell).filter(|_| asks_untuned) {
        Some(model) => {
            given.extend(given::of_model(&model.path));
            format!(" --reference {}", links.for_make(&model.path)?)
        }
        None => String::new(),
    };
    // The untuned model of an audit is asked in the form that was found for the tuned one. Another program may find none.
    let forms = match audited_cell_beside(plan, cell).filter(|_| settings.begin == Begin::Auto) {
        Some(tuned) => {
            let (tuned, _) = folders(run, tuned);
            prerequisites.push(format!("{tuned}/samples.parquet"));
            format!(" $$(test ! -e {tuned}/forms.parquet || echo --forms {tuned}/forms.parquet)")
        }
        None => String::new(),
    };
    Ok(StageRun {
        stage: Stage::Extractor,
        subject: cell.facts.name.clone(),
        cell: Some(number),
        command: format!(
            "$(EXTRACTOR) --config {config} --in {corpus} --checkpoint {checkpoint}{reference}{forms} --out {folder}"
        ),
        prerequisites,
        main: format!("{folder}/samples.parquet"),
        further: beside_samples(&folder, plan, cell),
        folders: Vec::new(),
        parts: settings.parts,
        given,
        list: None,
    })
}

/// The checkpoints that the tuner leaves: the last, and the best by held-out loss.
fn checkpoints(folder: &str) -> [String; 2] {
    [
        format!("{folder}/checkpoint"),
        format!("{folder}/best/checkpoint"),
    ]
}

/// What the extractor makes beside samples.
fn beside_samples(folder: &str, plan: &Plan, cell: &PlannedCell) -> Vec<String> {
    let is_scored = plan.pipeline.extraction.score;
    let made = [
        ("scores", is_scored),
        ("course", is_followed(plan, cell)),
        ("best/samples", cell.has_best()),
        ("best/scores", cell.has_best() && is_scored),
    ];
    let made = made.into_iter().filter(|(_, made)| *made);
    made.map(|(name, _)| format!("{folder}/{name}.parquet")).collect()
}

/// Whether the tuner keeps checkpoints of the cell, over which memorization can be followed.
fn is_followed(plan: &Plan, cell: &PlannedCell) -> bool {
    cell.is_tuned() && plan.pipeline.tuning.keep_last > 0
}

/// The model that a cell's checkpoint was tuned from, where it is known.
fn untuned(cell: &PlannedCell) -> Option<&ModelFolder> {
    match &cell.combination.audited {
        Some(audited) => audited.base.as_ref(),
        None => cell.folder.as_ref().filter(|_| cell.is_tuned()),
    }
}

/// The audited cell whose untuned model `cell` is, on the same corpus.
fn audited_cell_beside<'a>(plan: &'a Plan, cell: &PlannedCell) -> Option<&'a PlannedCell> {
    let is_base = cell.combination.kind() == ModeKind::Base;
    let mut audited = plan
        .cells
        .iter()
        .filter(|other| other.combination.audited.is_some());
    audited.find(|other| {
        is_base && other.facts.model == cell.facts.model && other.facts.corpus == cell.facts.corpus
    })
}

fn plagiarism(
    run: &str,
    plan: &Plan,
    cell: &PlannedCell,
    number: CellNumber,
    checkpoint: Checkpoint,
    links: &mut Links,
) -> Result<StageRun, Error> {
    let (folder, corpus) = folders(run, cell);
    let config = format!("{folder}/plagiarism.toml");
    let (out, remark) = match checkpoint {
        Checkpoint::Last => (folder.clone(), ""),
        Checkpoint::Best => (
            format!("{folder}/best"),
            ", checkpoint with the best held-out loss",
        ),
    };
    let samples = format!("{out}/samples.parquet");
    let mut prerequisites = vec![config.clone()];
    prerequisites.extend(corpus_outputs(&corpus));
    prerequisites.push(format!("{folder}/samples.parquet"));
    // Not all are read here. But where one is made again, so are the samples, and one run of make then settles everything.
    prerequisites.extend(beside_samples(&folder, plan, cell));
    if let Some(labels) = &plan.pipeline.detection.personal_details {
        prerequisites.push(links.for_make(&plan.pipeline.resolve(labels))?);
    }
    let detection = &plan.pipeline.detection;
    let models = detection.encoder.iter().chain(&detection.classifier);
    let models = models.map(|folder| plan.pipeline.resolve(folder));
    Ok(StageRun {
        stage: Stage::Plagiarism,
        subject: format!("{}{remark}", cell.facts.name),
        cell: Some(number),
        command: format!("$(PLAGIARISM) --config {config} --in {corpus} --samples {samples} --out {out}"),
        prerequisites,
        main: format!("{out}/verdicts.parquet"),
        further: vec![format!("{out}/matches.parquet")],
        folders: Vec::new(),
        parts: plan.pipeline.detection.parts,
        given: models.flat_map(|folder| given::of_model(&folder)).collect(),
        list: None,
    })
}

/// The report reads what all the other runs `made`. It also depends on the rules themselves: with them, cells come and go.
fn report(run: &str, plan: &Plan, made: &[StageRun]) -> StageRun {
    let config = format!("{run}/report/report.toml");
    let mut prerequisites = vec![config.clone(), format!("{run}/cells.mk")];
    prerequisites.extend(
        plan.cells
            .iter()
            .map(|cell| format!("{run}/cells/{}/cell.toml", cell.facts.name)),
    );
    prerequisites.extend(made.iter().flat_map(StageRun::files).cloned());
    StageRun {
        stage: Stage::Report,
        subject: plan.pipeline.name.replace('\'', "’"),
        cell: None,
        command: format!("$(REPORT) --config {config} --in {run} --out {run}/report"),
        prerequisites,
        main: format!("{run}/report/report.html"),
        further: vec![format!("{run}/report/summary.parquet")],
        folders: Vec::new(),
        parts: 1,
        given: Vec::new(),
        list: None,
    }
}

/// The look at a corpus before tuning. Its model is that of the one cell on the corpus, where there is one.
fn check(run: &str, plan: &Plan, set: &TrainingSet, links: &mut Links) -> Result<StageRun, Error> {
    let corpus = format!("{run}/corpus/{}", set.name);
    let folder = check_folder(plan, set);
    let config = format!("{run}/{folder}/check.toml");
    let mut prerequisites = vec![config.clone()];
    prerequisites.extend(corpus_outputs(&corpus));
    let mut command = format!("$(CHECK) --config {config} --in {corpus} --out {run}/{folder}");
    let mut cells = plan.cells.iter();
    if let Some(cell) = cells.find(|cell| cell.facts.corpus == set.name) {
        let (of_cell, _) = folders(run, cell);
        if let Some(tokenizer) = tokenizer_folder(cell) {
            prerequisites.push(links.for_make(&tokenizer.join("tokenizer.json"))?);
            write!(command, " --model {}", links.for_make(&tokenizer)?).ok();
        }
        prerequisites.push(format!("{of_cell}/samples.parquet"));
        prerequisites.extend(beside_samples(&of_cell, plan, cell));
        if plan.pipeline.extraction.score {
            write!(command, " --scores {of_cell}/scores.parquet").ok();
        }
    }
    Ok(StageRun {
        stage: Stage::Check,
        subject: set.name.clone(),
        cell: None,
        command,
        prerequisites,
        main: format!("{run}/{folder}/check.parquet"),
        further: vec![
            format!("{run}/{folder}/check.html"),
            format!("{run}/{folder}/table.txt"),
        ],
        folders: Vec::new(),
        parts: 1,
        given: Vec::new(),
        list: None,
    })
}

/// The folder, below that of the run, of a look at one training set.
pub(crate) fn check_folder(plan: &Plan, set: &TrainingSet) -> String {
    if plan.training_sets.len() == 1 {
        "check".to_owned()
    } else {
        format!("check/{}", set.name)
    }
}

fn folders(run: &str, cell: &PlannedCell) -> (String, String) {
    (
        format!("{run}/cells/{}", cell.facts.name),
        format!("{run}/corpus/{}", cell.facts.corpus),
    )
}

fn corpus_outputs(corpus: &str) -> [String; 2] {
    [
        format!("{corpus}/train.parquet"),
        format!("{corpus}/heldout.parquet"),
    ]
}

fn model_files(cell: &PlannedCell, links: &mut Links) -> Result<Vec<String>, Error> {
    let mut files = Vec::new();
    for folder in cell.folder.iter().chain(&cell.base) {
        for file in folder.files()? {
            files.push(links.for_make(&file)?);
        }
    }
    Ok(files)
}

fn of_models<'a>(folders: impl Iterator<Item = &'a ModelFolder>) -> Vec<PathBuf> {
    folders.flat_map(|folder| given::of_model(&folder.path)).collect()
}
