//! The cells as Make rules: which file each stage makes from which, so that make does the scheduling.
//!
//! A stage writes several files; make, down to version 3.81, knows no rule for that. So the file that the stage is known by
//! gets the rule, and each further file a rule of its own that runs the stage again only where that file is missing, or
//! older than what it is made from, while the first one is current: after a file was removed, or the stage killed between two.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use contract::Error;
use contract::pipeline::{Begin, ModeKind, PromptSource};
use contract::progress::CELL_VARIABLE;

use crate::links::Links;
use crate::paths::for_make;
use crate::tokens::tokenizer_folder;
use crate::{ModelFolder, Plan, PlannedCell, PlantedCanaries, TrainingSet};

const HEAD: &str = r#"# Written by plan from the pipeline file: one rule for each file that a stage makes.
#
#   make -f THIS_FILE [-j N] [-n] [-k] [all|dupgen|tune|extract|plagiarism|report|check] [THREADS=N] [EXTRACTOR="…"]
#
# Run it in the folder that plan was run in. Any stage's program can be replaced by its variable. The exit status of a stage that
# fails is left in the file exit_status beside this one, since make's own is 2 whatever happened.

DUPGEN ?= dupgen
TUNER ?= tuner
EXTRACTOR ?= extractor
PLAGIARISM ?= plagiarism
REPORT ?= report
CHECK ?= check

# With -jN each of the stages that run at once has its share of the processors, unless THREADS says otherwise.
jobs = $(lastword $(filter -j%,$(MAKEFLAGS)))
share = all=$$(getconf _NPROCESSORS_ONLN); jobs=$(jobs:-j%=%); jobs=$${jobs:-$$all}; echo $$((jobs < all ? all / jobs : 1))
threads = $(if $(THREADS), --threads $(THREADS),$(if $(jobs), --threads $(shell $(share))))
current = test -e $@ && test -z "$$(find -L $^ -prune -newer $@)"
failed = { status=$$?; echo $$status >$(run)/exit_status; exit $$status; }

.PHONY: all dupgen tune extract plagiarism report check
"#;

/// The text of `cells.mk` for a run folder, as seen from where the program runs.
///
/// # Errors
/// [`Error::Configuration`] where a path holds a character that make cannot carry, [`Error::Input`] where a model's folder
/// cannot be listed.
pub(crate) fn rules(plan: &Plan, run: &Path, links: &mut Links) -> Result<String, Error> {
    let folder = for_make(run)?;
    let run = "$(run)";
    let mut stages = Stages {
        run: folder,
        ..Stages::default()
    };
    let corpus = plan
        .corpus_files
        .iter()
        .map(|file| links.for_make(file))
        .collect::<Result<Vec<_>, _>>()?;
    for set in &plan.training_sets {
        stages.dupgen.push(dupgen(plan, run, set, &corpus, links)?);
    }
    for (number, cell) in (1..).zip(&plan.cells) {
        let number = CellNumber {
            number,
            cells: plan.cells.len(),
        };
        if cell.is_tuned() {
            stages.tune.push(tuner(run, cell, number, links)?);
        }
        if cell.is_extracted() {
            stages.extract.push(extractor(run, plan, cell, number, links)?);
        }
        if cell.is_extracted() && !plan.is_look() {
            let checkpoints = [
                Some(Checkpoint::Last),
                cell.has_best().then_some(Checkpoint::Best),
            ];
            for checkpoint in checkpoints.into_iter().flatten() {
                stages
                    .plagiarism
                    .push(plagiarism(run, plan, cell, number, checkpoint, links)?);
            }
        }
    }
    if plan.has_report() {
        stages.report.push(report(run, plan, &stages));
    }
    if plan.is_look() {
        for set in &plan.training_sets {
            stages.check.push(check(run, plan, set, links)?);
        }
    }
    Ok(stages.to_string())
}

/// Which checkpoint of a tuned cell was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Checkpoint {
    Last,
    /// That with the best held-out loss; what is made from it goes to the cell's folder `best`.
    Best,
}

/// Which cell of how many.
#[derive(Clone, Copy)]
struct CellNumber {
    number: usize,
    cells: usize,
}

impl std::fmt::Display for CellNumber {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "{} of {}", self.number, self.cells)
    }
}

/// What one run of one stage makes, from what, and how.
struct Rule {
    stage: &'static str,
    subject: String,
    /// The cell that it works on.
    cell: Option<CellNumber>,
    command: String,
    prerequisites: Vec<String>,
    /// The file that the stage is known by.
    main: String,
    /// Further files, compared with the prerequisites as the main one is.
    further: Vec<String>,
    /// Folders; their times say nothing, so only their absence counts.
    folders: Vec<String>,
}

impl Rule {
    /// Everything that it makes.
    fn outputs(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.main)
            .chain(&self.further)
            .chain(&self.folders)
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self {
            stage,
            subject,
            cell,
            command,
            prerequisites,
            main,
            further,
            folders,
        } = self;
        // The progress that a stage shows begins with the cell.
        let (of_cells, command) = match cell {
            Some(cell) => (
                format!("[{cell}] "),
                format!("{CELL_VARIABLE}='cell {cell}' {command}"),
            ),
            None => (String::new(), command.clone()),
        };
        let files: Vec<&str> = std::iter::once(main).chain(further).map(String::as_str).collect();
        writeln!(
            formatter,
            "\n{}: \\\n  {}",
            files.join(" "),
            prerequisites.join(" \\\n  ")
        )?;
        writeln!(
            formatter,
            "{main}:\n\t@echo '{of_cells}{subject}: {stage}'\n\t@{command}$(threads) || $(failed)"
        )?;
        // One waits for the other: the stage that makes a first missing one makes all of them, and does not run twice at once.
        let mut before = main;
        for file in further {
            writeln!(
                formatter,
                "{file}: | {before}\n\t@$(current) || {{ {command}$(threads) && touch -c $@; }} || $(failed)"
            )?;
            before = file;
        }
        for folder in folders {
            writeln!(
                formatter,
                "{folder}: | {before}\n\t@test -e $@ || {command}$(threads) || $(failed)"
            )?;
            before = folder;
        }
        Ok(())
    }
}

/// The rules of all stages, on the run folder `run`.
#[derive(Default)]
struct Stages {
    run: String,
    dupgen: Vec<Rule>,
    tune: Vec<Rule>,
    extract: Vec<Rule>,
    plagiarism: Vec<Rule>,
    report: Vec<Rule>,
    check: Vec<Rule>,
}

impl std::fmt::Display for Stages {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        let stages = [
            ("dupgen", &self.dupgen),
            ("tune", &self.tune),
            ("extract", &self.extract),
            ("plagiarism", &self.plagiarism),
            ("report", &self.report),
            ("check", &self.check),
        ];
        writeln!(
            formatter,
            "{HEAD}\nall: dupgen tune extract plagiarism report check\n\nrun := {}\n",
            self.run
        )?;
        for (target, rules) in stages {
            let mut line = format!("{target}:");
            for output in rules.iter().flat_map(Rule::outputs) {
                write!(line, " \\\n  {output}")?;
            }
            writeln!(formatter, "{line}")?;
        }
        stages
            .iter()
            .flat_map(|(_, rules)| rules.iter())
            .try_for_each(|rule| write!(formatter, "{rule}"))
    }
}

fn dupgen(
    plan: &Plan,
    run: &str,
    set: &TrainingSet,
    corpus: &[String],
    links: &mut Links,
) -> Result<Rule, Error> {
    let folder = format!("{run}/corpus/{}", set.name);
    let config = format!("{folder}/dupgen.toml");
    let mut prerequisites = vec![config.clone()];
    prerequisites.extend_from_slice(corpus);
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
    Ok(Rule {
        stage: "dupgen",
        subject: set.name.clone(),
        cell: None,
        command: format!("$(DUPGEN) --config {config} --out {folder}"),
        prerequisites,
        main: format!("{folder}/train.parquet"),
        further: vec![format!("{folder}/heldout.parquet")],
        folders: Vec::new(),
    })
}

fn tuner(run: &str, cell: &PlannedCell, number: CellNumber, links: &mut Links) -> Result<Rule, Error> {
    let (folder, corpus) = folders(run, cell);
    let config = format!("{folder}/tuner.toml");
    let mut prerequisites = vec![config.clone()];
    prerequisites.extend(corpus_outputs(&corpus));
    prerequisites.extend(model_files(cell, links)?);
    Ok(Rule {
        stage: "tuner",
        subject: cell.facts.name.clone(),
        cell: Some(number),
        command: format!("$(TUNER) --config {config} --in {corpus} --out {folder}"),
        prerequisites,
        main: format!("{folder}/metrics.parquet"),
        further: Vec::new(),
        folders: checkpoints(&folder).into(),
    })
}

fn extractor(
    run: &str,
    plan: &Plan,
    cell: &PlannedCell,
    number: CellNumber,
    links: &mut Links,
) -> Result<Rule, Error> {
    let settings = &plan.pipeline.extraction;
    let (folder, corpus) = folders(run, cell);
    let config = format!("{folder}/extractor.toml");
    let mut prerequisites = vec![config.clone()];
    prerequisites.extend(corpus_outputs(&corpus));
    let checkpoint = match &cell.folder {
        Some(model) if !cell.is_tuned() => {
            prerequisites.extend(model_files(cell, links)?);
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
        Some(model) => format!(" --reference {}", links.for_make(&model.path)?),
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
    Ok(Rule {
        stage: "extractor",
        subject: cell.facts.name.clone(),
        cell: Some(number),
        command: format!(
            "$(EXTRACTOR) --config {config} --in {corpus} --checkpoint {checkpoint}{reference}{forms} --out {folder}"
        ),
        prerequisites,
        main: format!("{folder}/samples.parquet"),
        further: beside_samples(&folder, plan, cell),
        folders: Vec::new(),
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
) -> Result<Rule, Error> {
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
    Ok(Rule {
        stage: "plagiarism",
        subject: format!("{}{remark}", cell.facts.name),
        cell: Some(number),
        command: format!("$(PLAGIARISM) --config {config} --in {corpus} --samples {samples} --out {out}"),
        prerequisites,
        main: format!("{out}/verdicts.parquet"),
        further: vec![format!("{out}/matches.parquet")],
        folders: Vec::new(),
    })
}

/// The report reads every cell. It also depends on the rules themselves: with them, cells come and go.
fn report(run: &str, plan: &Plan, stages: &Stages) -> Rule {
    let config = format!("{run}/report/report.toml");
    let mut prerequisites = vec![config.clone(), format!("{run}/cells.mk")];
    prerequisites.extend(
        plan.cells
            .iter()
            .map(|cell| format!("{run}/cells/{}/cell.toml", cell.facts.name)),
    );
    let made = [&stages.dupgen, &stages.tune, &stages.extract, &stages.plagiarism];
    let files = |rule: &Rule| {
        std::iter::once(rule.main.clone())
            .chain(rule.further.clone())
            .collect::<Vec<_>>()
    };
    prerequisites.extend(made.iter().flat_map(|rules| rules.iter()).flat_map(files));
    Rule {
        stage: "report",
        subject: plan.pipeline.name.replace('\'', "’"),
        cell: None,
        command: format!("$(REPORT) --config {config} --in {run} --out {run}/report"),
        prerequisites,
        main: format!("{run}/report/report.html"),
        further: vec![format!("{run}/report/summary.parquet")],
        folders: Vec::new(),
    }
}

/// The look at a corpus before tuning. Its model is that of the one cell on the corpus, where there is one.
fn check(run: &str, plan: &Plan, set: &TrainingSet, links: &mut Links) -> Result<Rule, Error> {
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
            write!(command, " --model {}", links.for_make(tokenizer)?).ok();
        }
        prerequisites.push(format!("{of_cell}/samples.parquet"));
        prerequisites.extend(beside_samples(&of_cell, plan, cell));
        if plan.pipeline.extraction.score {
            write!(command, " --scores {of_cell}/scores.parquet").ok();
        }
    }
    Ok(Rule {
        stage: "check",
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
