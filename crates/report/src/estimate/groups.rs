//! Cells brought together: training runs that differ in their seed alone, ways of tuning over their learning rates, and models on
//! one corpus in one layout of copies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use contract::decoding::Decoding;
use contract::prompt_form::Access;
use contract::records::{PromptForm, Split};
use contract::{Cell, Error};

use super::AnalysedCell;
use super::method::Method;
use super::tallies::Slice;
use crate::read::{JudgedSample, WhichCheckpoint};

/// Training runs that differ in their seed alone, asked at one of their checkpoints.
#[derive(Debug, Clone)]
pub struct RunGroup {
    /// The model's name.
    pub model: String,
    /// Name of the corpus, where it has one.
    pub corpus: Option<String>,
    /// Parameters of the model.
    pub parameters: i64,
    /// Parameters that tuning changed.
    pub trainable_parameters: i64,
    /// How copies are laid out: `bucketed`, `uniform`, `found`.
    pub layout: String,
    /// `uniform` only: copies of every document of its training set.
    pub uniform_copies: Option<i32>,
    /// Whether a pass read each text once, however many copies of it there are.
    pub each_text_once: bool,
    /// The way of tuning.
    pub method: Method,
    /// Its name among the others of the experiment, the learning rate aside: "LoRA r16".
    pub family_label: String,
    /// The same with the learning rate where its family has several: "LoRA r16, learning rate 1e-3".
    pub method_label: String,
    /// The same with the checkpoint where two were asked, and the copies of a uniform layout.
    pub label: String,
    /// Which checkpoint was asked; none where there is only one.
    pub checkpoint: Option<WhichCheckpoint>,
    /// The subject that stands for all of its runs.
    pub subject: usize,
    /// The subjects of its single runs, by seed; the one above where there is one run.
    pub run_subjects: Vec<usize>,
    /// What keeps a conclusion from its low rates: the names of the checks of plausibility that failed in one of its cells, and what
    /// each found in brief.
    pub failed_checks: Vec<(&'static str, String)>,
    /// Whether nothing shows that the training text is what the model was tuned on.
    pub text_unchecked: bool,
    /// Passes over the training set that were done at this checkpoint: the mean over runs; none where nobody said.
    pub epochs_trained: Option<f64>,
}

/// What figures are about: the runs of a group, or one of them.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Number of the group.
    pub group: usize,
    /// Name of the cell; none where several runs are pooled.
    pub cell: Option<String>,
    /// Its seed.
    pub seed: Option<i64>,
    /// The runs.
    pub runs: Vec<RunCells>,
}

/// The cells of one training run, by their numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunCells {
    /// The cell with documents.
    pub documents: Option<usize>,
    /// The run of canaries apart, where canaries have one; it gives exposure, and no rate.
    pub canaries: Option<usize>,
}

/// A way of tuning over its learning rates.
#[derive(Debug, Clone)]
pub struct Family {
    /// How it is called beside the others.
    pub label: String,
    /// `full`, `head`, `lora`, …
    pub mode: String,
    /// Its groups by learning rate (none for checkpoints that were tuned elsewhere), in ascending order.
    pub rates: Vec<RateGroups>,
    /// Which learning rate has the best validation loss.
    pub chosen: usize,
    /// Whether it was tuned elsewhere, so that nobody knows how: a checkpoint that is audited.
    pub is_audited: bool,
}

/// The groups of one learning rate: of a uniform layout one for each number of copies.
#[derive(Debug, Clone, Default)]
pub struct RateGroups {
    /// At the best checkpoint by validation loss; empty where only one checkpoint was asked.
    pub best: Vec<usize>,
    /// At the end of training, which may be the best checkpoint too, or at the only checkpoint.
    pub last: Vec<usize>,
}

impl RateGroups {
    /// The groups at a point of training; those of the only checkpoint stand for both.
    pub fn at(&self, checkpoint: WhichCheckpoint) -> &[usize] {
        match checkpoint {
            WhichCheckpoint::Best if !self.best.is_empty() => &self.best,
            _ => &self.last,
        }
    }
}

/// One model on one corpus in one layout of copies: its ways of tuning, side by side.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// The model's name.
    pub model: String,
    /// Name of the corpus, where it has one.
    pub corpus: Option<String>,
    /// Its parameters.
    pub parameters: i64,
    /// The layout of copies.
    pub layout: String,
    /// The untuned model: one group, or in a uniform layout one for each number of copies.
    pub untuned: Vec<usize>,
    /// The ways of tuning.
    pub families: Vec<Family>,
    /// Strategies, in the order in which they appear.
    pub strategies: Vec<Strategy>,
    /// The strategy that headline and plots speak of: the greedy one of plain prompts, or else the first.
    pub strategy: String,
    /// Numbers of copies of documents, ascending; of canaries where there are no documents.
    pub copies: Vec<i32>,
    /// Numbers of copies of planted canaries, ascending.
    pub canary_copies: Vec<i32>,
}

/// A form of prompt and a way of decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strategy {
    /// Its name.
    pub name: String,
    /// What its prompts are made of.
    pub form: PromptForm,
    /// Whether it takes the most probable token.
    pub greedy: bool,
    /// Whether it was asked after held-out documents too.
    pub asks_held_out: bool,
    /// How it decodes; where the extractor did not write that down, as far as its generations tell.
    pub decoding: Decoding,
}

impl Strategy {
    /// What of a model it takes.
    pub fn access(&self) -> Access {
        self.decoding.access().max(self.form.facts().access)
    }

    /// Whether it prompts with the first tokens of documents, or nothing.
    pub fn is_plain(&self) -> bool {
        matches!(self.form, PromptForm::Prefix | PromptForm::Nothing)
    }
}

impl RunGroup {
    /// The setting that it shares with other ways of tuning: model, corpus and layout of copies, as [`Experiment::name`].
    pub fn setting(&self) -> String {
        setting(&self.model, self.corpus.as_deref(), &self.layout)
    }
}

/// What ways of tuning are compared on: a model, a corpus and a layout of copies.
pub fn setting(model: &str, corpus: Option<&str>, layout: &str) -> String {
    match corpus {
        Some(corpus) => format!("{model} on {corpus}, {layout} copies"),
        None => format!("{model}, {layout} copies"),
    }
}

impl Experiment {
    /// Its name beside others: "small, bucketed copies", "small on letters, bucketed copies".
    pub fn name(&self) -> String {
        setting(&self.model, self.corpus.as_deref(), &self.layout)
    }

    /// Whether a group is one of its own.
    pub fn has(&self, group: &RunGroup) -> bool {
        (&self.model, &self.corpus, &self.layout) == (&group.model, &group.corpus, &group.layout)
    }

    /// Training documents under its own strategy.
    pub fn seen(&self) -> Slice<'_> {
        Slice {
            split: Split::Train,
            strategy: Some(&self.strategy),
        }
    }

    /// Held-out documents under the same strategy.
    pub fn unseen(&self) -> Slice<'_> {
        Slice {
            split: Split::Heldout,
            strategy: Some(&self.strategy),
        }
    }

    /// The largest number of copies.
    pub fn most_copies(&self) -> Option<i32> {
        self.copies.last().copied()
    }

    /// The most copies of a planted canary.
    pub fn most_canary_copies(&self) -> Option<i32> {
        self.canary_copies.last().copied()
    }

    /// The points of training that were asked: the best checkpoint first; one where no family has both.
    pub fn checkpoints(&self) -> Vec<WhichCheckpoint> {
        let has_both = self
            .families
            .iter()
            .any(|family| family.rates.iter().any(|rate| !rate.best.is_empty()));
        if has_both {
            vec![WhichCheckpoint::Best, WhichCheckpoint::Last]
        } else {
            vec![WhichCheckpoint::Last]
        }
    }

    /// The groups of each family at its chosen learning rate, at a point of training.
    pub fn chosen(&self, checkpoint: WhichCheckpoint) -> impl Iterator<Item = (&Family, usize)> {
        self.families.iter().flat_map(move |family| {
            let groups = family.rates[family.chosen].at(checkpoint);
            groups.iter().map(move |&group| (family, group))
        })
    }

    /// The untuned model, then each family at its chosen learning rate: at its best checkpoint, and at the end of training where
    /// that was asked beside it.
    pub fn shown(&self) -> Vec<usize> {
        let mut shown = self.untuned.clone();
        for checkpoint in self.checkpoints() {
            let groups = self.chosen(checkpoint).map(|(_, group)| group);
            let new: Vec<usize> = groups.filter(|group| !shown.contains(group)).collect();
            shown.extend(new);
        }
        shown
    }

    /// Every group: the untuned model, and each learning rate of each family.
    pub fn every_group(&self) -> Vec<usize> {
        let rates = self.families.iter().flat_map(|family| &family.rates);
        let tuned = rates.flat_map(|rate| rate.best.iter().chain(&rate.last));
        self.untuned.iter().chain(tuned).copied().collect()
    }

    /// Whether nothing was tuned here: checkpoints are judged that were tuned elsewhere.
    pub fn is_audit(&self) -> bool {
        !self.families.is_empty() && self.families.iter().all(|family| family.is_audited)
    }

    /// Whether some family was run at more than one learning rate.
    pub fn has_sweep(&self) -> bool {
        self.families.iter().any(|family| family.rates.len() > 1)
    }
}

/// The groups and subjects of some cells, and their experiments, largest model first.
#[derive(Debug, Default)]
pub(super) struct Grouping {
    pub(super) groups: Vec<RunGroup>,
    pub(super) subjects: Vec<Subject>,
    pub(super) experiments: Vec<Experiment>,
}

fn same_cell(first: &str, second: &str) -> Error {
    Error::input(
        Path::new("cells").join(second).join("cell.toml"),
        format!(
            "says the same as that of {first}: model, corpus, method, layout and seed. Two runs of a method differ in their seed, two methods in a \
             setting; `make run` writes the settings anew"
        ),
    )
}

/// The layout that a cell's corpus has: what the cell says, or else what the name of its folder does (`uniform16-s1` is uniform).
pub(super) fn layout(cell: &Cell) -> (String, Option<i32>) {
    if let Some(layout) = &cell.layout {
        return (layout.clone(), cell.uniform_copies);
    }
    let digits = |character: char| character.is_ascii_digit();
    let name = cell.corpus.as_str();
    let without_seed = match name.rsplit_once("-s") {
        Some((layout, seed)) if !seed.is_empty() && seed.chars().all(digits) => layout,
        _ => name,
    };
    let without_canaries = without_seed.strip_suffix("-canaries").unwrap_or(without_seed);
    match without_canaries.strip_prefix("uniform") {
        Some(copies) => ("uniform".to_owned(), copies.trim_start_matches('-').parse().ok()),
        None => (without_canaries.to_owned(), None),
    }
}

/// What the cells of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct GroupKey {
    largest_first: std::cmp::Reverse<i64>,
    model: String,
    corpus: Option<String>,
    layout: String,
    method: (usize, Vec<String>),
    uniform_copies: Option<i32>,
    checkpoint: Option<WhichCheckpoint>,
}

impl Grouping {
    /// # Errors
    /// [`Error::Input`] for two cells that differ in nothing: neither may stand for the other, and they are no two runs.
    pub(super) fn of(cells: &[AnalysedCell<'_>]) -> Result<Self, Error> {
        let sizes = model_sizes(cells);
        let mut members: BTreeMap<GroupKey, Vec<usize>> = BTreeMap::new();
        for (index, analysed) in cells.iter().enumerate() {
            let cell = &analysed.data.cell;
            let (layout, uniform_copies) = layout(cell);
            let key = GroupKey {
                largest_first: std::cmp::Reverse(sizes[cell.model.as_str()]),
                model: cell.model.clone(),
                corpus: cell.corpus_name.clone(),
                layout,
                method: Method::of(cell).sort_key(),
                uniform_copies,
                checkpoint: analysed.data.checkpoint,
            };
            members.entry(key).or_default().push(index);
        }
        let mut grouping = Self::default();
        for (key, cells_of_group) in &members {
            grouping.add_group(cells, key, cells_of_group)?;
        }
        grouping.name_groups();
        grouping.add_experiments(cells);
        Ok(grouping)
    }

    fn add_group(
        &mut self,
        cells: &[AnalysedCell<'_>],
        key: &GroupKey,
        members: &[usize],
    ) -> Result<(), Error> {
        let mut runs: BTreeMap<u64, RunCells> = BTreeMap::new();
        for &index in members {
            let cell = &cells[index].data.cell;
            let run = runs.entry(cell.seed).or_default();
            let place = if cell.canaries_apart {
                &mut run.canaries
            } else {
                &mut run.documents
            };
            if let Some(twin) = place.replace(index) {
                return Err(same_cell(&cells[twin].data.cell.name, &cell.name));
            }
        }
        let group = self.groups.len();
        let name = |run: &RunCells| {
            let cell = run.documents.or(run.canaries)?;
            Some(cells[cell].data.cell.name.clone())
        };
        let single: Vec<Subject> = runs
            .iter()
            .map(|(seed, run)| Subject {
                group,
                cell: name(run),
                seed: Some(*seed as i64),
                runs: vec![*run],
            })
            .collect();
        let subject = self.subjects.len();
        let mut run_subjects = vec![subject];
        if let [only] = single.as_slice() {
            self.subjects.push(only.clone());
        } else {
            self.subjects.push(Subject {
                group,
                cell: None,
                seed: None,
                runs: runs.values().copied().collect(),
            });
            run_subjects = (subject + 1..=subject + single.len()).collect();
            self.subjects.extend(single);
        }
        let mut failed_checks: Vec<(&'static str, String)> = Vec::new();
        let checks = members.iter().flat_map(|&index| &cells[index].checks);
        for result in checks.clone().filter(|result| result.is_blocking()) {
            let failed = (result.check.name, result.finding.in_brief.clone());
            if !failed_checks.contains(&failed) {
                failed_checks.push(failed);
            }
        }
        let epochs: Vec<f64> = members
            .iter()
            .filter_map(|&index| cells[index].epochs_trained())
            .collect();
        let Some(first) = members.first().map(|&index| &cells[index].data.cell) else {
            return Ok(());
        };
        self.groups.push(RunGroup {
            model: key.model.clone(),
            corpus: key.corpus.clone(),
            parameters: key.largest_first.0,
            trainable_parameters: first.trainable_parameters,
            layout: key.layout.clone(),
            uniform_copies: key.uniform_copies,
            each_text_once: first.each_text_once,
            method: Method::of(first),
            family_label: String::new(),
            method_label: String::new(),
            label: String::new(),
            checkpoint: key.checkpoint,
            subject,
            run_subjects,
            failed_checks,
            text_unchecked: checks
                .into_iter()
                .any(super::checks::CheckResult::leaves_text_unchecked),
            epochs_trained: (!epochs.is_empty()).then(|| epochs.iter().sum::<f64>() / epochs.len() as f64),
        });
        Ok(())
    }

    /// Names each group among those of its model, corpus and layout.
    fn name_groups(&mut self) {
        let named: Vec<[String; 3]> = self
            .groups
            .iter()
            .map(|group| {
                let beside: Vec<&RunGroup> = self
                    .groups
                    .iter()
                    .filter(|other| other.setting() == group.setting())
                    .collect();
                let methods: Vec<&Method> = beside.iter().map(|other| &other.method).collect();
                let family = group.method.label(&methods);
                let several_rates = methods.iter().any(|other| {
                    other.is_same_but_for_rate(&group.method)
                        && other.learning_rate != group.method.learning_rate
                });
                let method = match group.method.learning_rate.filter(|_| several_rates) {
                    Some(rate) => format!("{family}, learning rate {rate:e}"),
                    None => family.clone(),
                };
                let copies = group.uniform_copies.map_or(String::new(), |copies| {
                    format!(", {copies} {}", if copies == 1 { "copy" } else { "copies" })
                });
                let point = match group.checkpoint {
                    Some(WhichCheckpoint::Best) => ", best",
                    Some(WhichCheckpoint::Last) => ", last",
                    Some(WhichCheckpoint::BestAndLast) | None => "",
                };
                let label = format!("{method}{copies}{point}");
                [family, method, label]
            })
            .collect();
        for (group, [family, method, label]) in self.groups.iter_mut().zip(named) {
            group.family_label = family;
            group.method_label = method;
            group.label = label;
        }
    }

    fn add_experiments(&mut self, cells: &[AnalysedCell<'_>]) {
        let mut found: Vec<(String, usize)> = Vec::new();
        for (place, group) in self.groups.iter().enumerate() {
            let setting = group.setting();
            if found.iter().all(|(known, _)| *known != setting) {
                found.push((setting, place));
            }
        }
        for (setting, first) in found {
            let members: Vec<usize> = (0..self.groups.len())
                .filter(|&group| self.groups[group].setting() == setting)
                .collect();
            let untuned = members
                .iter()
                .copied()
                .filter(|&group| self.groups[group].method.is_untuned());
            let cells_of = |wants: fn(&RunCells) -> Option<usize>| -> Vec<usize> {
                let subjects = members
                    .iter()
                    .map(|&group| &self.subjects[self.groups[group].subject]);
                subjects
                    .flat_map(|subject| subject.runs.iter().filter_map(wants))
                    .collect()
            };
            let with_documents = cells_of(|run| run.documents);
            let strategies = strategies(cells, &with_documents);
            let plain = || strategies.iter().filter(|strategy| strategy.is_plain());
            let headline = plain()
                .find(|strategy| strategy.greedy)
                .or(plain().next())
                .or(strategies.first());
            let mut copies: BTreeSet<i32> = with_documents
                .iter()
                .flat_map(|&cell| cells[cell].tallies.document_copies())
                .collect();
            let canary_copies: BTreeSet<i32> = cells_of(|run| run.canaries.or(run.documents))
                .iter()
                .flat_map(|&cell| cells[cell].tallies.canary_copies())
                .collect();
            if copies.is_empty() {
                copies.clone_from(&canary_copies);
            }
            self.experiments.push(Experiment {
                untuned: untuned.collect(),
                families: self.families(&members),
                strategy: headline.map(|strategy| strategy.name.clone()).unwrap_or_default(),
                strategies,
                copies: copies.into_iter().collect(),
                canary_copies: canary_copies.into_iter().collect(),
                model: self.groups[first].model.clone(),
                corpus: self.groups[first].corpus.clone(),
                parameters: self.groups[first].parameters,
                layout: self.groups[first].layout.clone(),
            });
        }
    }

    fn families(&self, members: &[usize]) -> Vec<Family> {
        let mut families: Vec<Family> = Vec::new();
        let mut rates: Vec<Vec<Option<f64>>> = Vec::new();
        for &member in members {
            let group = &self.groups[member];
            if group.method.is_untuned() {
                continue;
            }
            let known = families
                .iter()
                .position(|family| family.label == group.family_label && family.mode == group.method.mode);
            let family = known.unwrap_or_else(|| {
                families.push(Family {
                    label: group.family_label.clone(),
                    mode: group.method.mode.clone(),
                    rates: Vec::new(),
                    chosen: 0,
                    is_audited: group.method.learning_rate.is_none(),
                });
                rates.push(Vec::new());
                families.len() - 1
            });
            let rate = group.method.learning_rate;
            let position = rates[family]
                .iter()
                .position(|known| *known == rate)
                .unwrap_or_else(|| {
                    rates[family].push(rate);
                    families[family].rates.push(RateGroups::default());
                    rates[family].len() - 1
                });
            let at_rate = &mut families[family].rates[position];
            if group.checkpoint == Some(WhichCheckpoint::Best) {
                at_rate.best.push(member);
            } else {
                at_rate.last.push(member);
            }
        }
        families
    }
}

/// The parameters of each model: those of the fewest among its cells. An untied head or a grown vocabulary makes a tuned model
/// larger, and no other model of it.
fn model_sizes<'run>(cells: &[AnalysedCell<'run>]) -> BTreeMap<&'run str, i64> {
    let mut sizes: BTreeMap<&str, i64> = BTreeMap::new();
    for cell in cells.iter().map(|cell| &cell.data.cell) {
        let size = sizes.entry(&cell.model).or_insert(cell.parameters);
        *size = cell.parameters.min(*size);
    }
    sizes
}

/// The strategies of some cells in the order in which they appear.
fn strategies(cells: &[AnalysedCell<'_>], members: &[usize]) -> Vec<Strategy> {
    let mut found: Vec<Strategy> = Vec::new();
    let samples = members.iter().flat_map(|&index| {
        let samples = cells[index].data.samples.iter();
        samples.map(move |sample| (index, sample))
    });
    for (index, sample) in samples {
        let held_out = sample.split == Split::Heldout;
        match found.iter_mut().find(|known| known.name == sample.strategy) {
            None => found.push(Strategy {
                name: sample.strategy.clone(),
                form: sample.form,
                greedy: sample.greedy,
                asks_held_out: held_out,
                decoding: decoding(&cells[index], sample),
            }),
            Some(known) => {
                known.asks_held_out |= held_out;
                // A strategy that also goes with nothing is known by what it does with documents.
                if known.form == PromptForm::Nothing {
                    known.form = sample.form;
                }
            }
        }
    }
    found
}

/// How the strategy of a sample decodes.
fn decoding(cell: &AnalysedCell<'_>, sample: &JudgedSample) -> Decoding {
    let settings = || {
        let origin = cell.data.origins.get("samples.parquet")?;
        let settings: serde_json::Value = serde_json::from_str(&origin.configuration).ok()?;
        let mut strategies = settings["strategy"].as_array()?.iter();
        let found = strategies.find(|strategy| strategy["name"] == sample.strategy)?;
        serde_json::from_value::<contract::pipeline::Strategy>(found.clone()).ok()
    };
    match settings() {
        Some(settings) => settings.decoding(),
        None if sample.form.facts().access == Access::Weights => Decoding::Search,
        None if sample.greedy => Decoding::Greedy,
        None => Decoding::Draws,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corpus_without_facts_is_known_by_its_name() {
        let cases = [
            ("bucketed", ("bucketed", None)),
            ("bucketed-s0", ("bucketed", None)),
            ("bucketed-canaries-s0", ("bucketed", None)),
            ("uniform16-s0", ("uniform", Some(16))),
            ("uniform-1", ("uniform", Some(1))),
            ("my-set", ("my-set", None)),
        ];
        for (corpus, (expected, copies)) in cases {
            let cell = Cell {
                corpus: corpus.to_owned(),
                ..Cell::default()
            };
            assert_eq!(layout(&cell), (expected.to_owned(), copies), "{corpus}");
        }
    }
}
