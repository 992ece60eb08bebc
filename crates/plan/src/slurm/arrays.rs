//! Which runs of stages make a job array, and which jobs each array waits for.
//!
//! All elements of an array wait for the same thing, in one of Slurm's ways: for the elements of another array that have their numbers, one
//! to one; or for elements that are named. So runs of a stage that wait for few different ones (cells for their training set) make an array
//! for each of these, and runs that wait for many (an extraction for its training) have the numbers of what they wait for. Whichever way makes
//! fewer arrays is taken.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::stage_runs::{Stage, StageRun, StageRuns};

/// Runs of one stage that are submitted at once.
#[derive(Debug)]
pub(super) struct Array<'a> {
    /// Its stage, and which of the arrays of that stage it is, where there are several.
    pub(super) name: String,
    pub(super) stage: Stage,
    /// By their numbers, from 1.
    pub(super) elements: BTreeMap<usize, Element<'a>>,
    pub(super) after: After,
}

/// One run of a stage.
#[derive(Debug)]
pub(super) struct Element<'a> {
    pub(super) run: &'a StageRun,
    /// What it is made from that other runs make.
    pub(super) needs: Vec<&'a str>,
}

/// What an array waits for. Arrays are counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    /// Each element for that of another array with the same number, and its success.
    Corresponding(usize),
    /// All of them for the success of these elements.
    Elements(Vec<Place>),
    /// For the end of these arrays, whatever came of them.
    End(Vec<usize>),
}

/// An element of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) array: usize,
    pub(super) number: usize,
}

/// The arrays of all runs, each behind those that it waits for. None has an element whose number is `max_array_size`, which is where Slurm ends.
pub(super) fn arrays(runs: &StageRuns, max_array_size: usize) -> Vec<Array<'_>> {
    let inputs = Inputs::of(&runs.runs);
    let mut builder = Builder {
        runs: &runs.runs,
        inputs: &inputs,
        max_elements: max_array_size.saturating_sub(1).max(1),
        places: HashMap::new(),
        arrays: Vec::new(),
    };
    for stage in Stage::ALL {
        builder.add_stage(stage);
    }
    name(&mut builder.arrays);
    builder.arrays
}

fn name(arrays: &mut [Array]) {
    for stage in Stage::ALL {
        let of_stage = || arrays.iter().filter(|array| array.stage == stage).count();
        let is_only_one = of_stage() == 1;
        let numbered = arrays.iter_mut().filter(|array| array.stage == stage);
        for (number, array) in (1..).zip(numbered) {
            array.name = if is_only_one {
                stage.name().to_owned()
            } else {
                format!("{}-{number}", stage.name())
            };
        }
    }
}

/// Which runs each run waits for, as positions.
struct Inputs<'a> {
    /// The run that makes a file or folder.
    makers: HashMap<&'a str, usize>,
    /// Without those that another one of them waits for anyway.
    direct: Vec<BTreeSet<usize>>,
}

impl<'a> Inputs<'a> {
    fn of(runs: &'a [StageRun]) -> Self {
        let makers: HashMap<&str, usize> = (0..)
            .zip(runs)
            .flat_map(|(position, run)| run.outputs().map(move |output| (output.as_str(), position)))
            .collect();
        let all: Vec<BTreeSet<usize>> = runs
            .iter()
            .map(|run| {
                let prerequisites = run.prerequisites.iter();
                prerequisites
                    .filter_map(|file| makers.get(file.as_str()).copied())
                    .collect()
            })
            .collect();
        let direct = all
            .iter()
            .map(|makers| {
                let mut implied = BTreeSet::new();
                for &maker in makers {
                    add_ancestors(maker, &all, &mut implied);
                }
                makers.difference(&implied).copied().collect()
            })
            .collect();
        Self { makers, direct }
    }

    fn needs(&self, run: &'a StageRun) -> Vec<&'a str> {
        let prerequisites = run.prerequisites.iter().map(String::as_str);
        prerequisites
            .filter(|file| self.makers.contains_key(file))
            .collect()
    }
}

/// Adds all that a run waits for, directly or not.
fn add_ancestors(position: usize, all: &[BTreeSet<usize>], found: &mut BTreeSet<usize>) {
    for &maker in &all[position] {
        if found.insert(maker) {
            add_ancestors(maker, all, found);
        }
    }
}

struct Builder<'a, 'b> {
    runs: &'a [StageRun],
    inputs: &'b Inputs<'a>,
    max_elements: usize,
    /// Where a run has its place.
    places: HashMap<usize, Place>,
    arrays: Vec<Array<'a>>,
}

impl Builder<'_, '_> {
    /// Makes the arrays of a stage. Where its runs wait for one another, those that wait come later.
    fn add_stage(&mut self, stage: Stage) {
        let of_stage = |&position: &usize| self.runs[position].stage == stage;
        let mut left: Vec<usize> = (0..self.runs.len()).filter(of_stage).collect();
        while !left.is_empty() {
            let is_ready = |position: &usize| {
                let mut makers = self.inputs.direct[*position].iter();
                makers.all(|maker| self.places.contains_key(maker))
            };
            let (ready, later): (Vec<usize>, Vec<usize>) = left.iter().copied().partition(is_ready);
            // Make refuses files that are made from one another; nobody plans such.
            if ready.is_empty() {
                return;
            }
            self.add_ready(stage, &ready);
            left = later;
        }
    }

    /// Makes the arrays of runs that wait for none of each other.
    fn add_ready(&mut self, stage: Stage, ready: &[usize]) {
        if stage == Stage::Report {
            for &position in ready {
                let makers = self.places_of(position);
                let arrays: BTreeSet<usize> = makers.iter().map(|place| place.array).collect();
                self.add_numbered(stage, &[position], After::End(arrays.into_iter().collect()));
            }
            return;
        }
        // Runs that wait for one run of the same stage are divided in the way that makes fewer arrays.
        let mut by_maker: BTreeMap<Stage, Vec<(Place, usize)>> = BTreeMap::new();
        let mut by_makers: BTreeMap<Vec<Place>, Vec<usize>> = BTreeMap::new();
        for &position in ready {
            let makers = self.places_of(position);
            match makers.as_slice() {
                [maker] => by_maker
                    .entry(self.arrays[maker.array].stage)
                    .or_default()
                    .push((*maker, position)),
                _ => by_makers.entry(makers).or_default().push(position),
            }
        }
        for waiting in by_maker.into_values() {
            self.add_waiting_for_one(stage, &waiting, &mut by_makers);
        }
        for (makers, positions) in by_makers {
            let after = if makers.is_empty() {
                After::Nothing
            } else {
                After::Elements(makers)
            };
            self.add_numbered(stage, &positions, after);
        }
    }

    /// Makes arrays whose elements correspond to those that they wait for, or leaves the runs to `by_makers`, which makes one for each of these.
    fn add_waiting_for_one(
        &mut self,
        stage: Stage,
        waiting: &[(Place, usize)],
        by_makers: &mut BTreeMap<Vec<Place>, Vec<usize>>,
    ) {
        // The first runs that wait for each of the elements of an array make an array, the second ones another.
        let mut corresponding: BTreeMap<(usize, usize), Vec<(usize, usize)>> = BTreeMap::new();
        let mut seen: BTreeMap<Place, usize> = BTreeMap::new();
        for &(maker, position) in waiting {
            let before = seen.entry(maker).or_default();
            let array = corresponding.entry((maker.array, *before)).or_default();
            array.push((maker.number, position));
            *before += 1;
        }
        if seen.len() <= corresponding.len() {
            for &(maker, position) in waiting {
                by_makers.entry(vec![maker]).or_default().push(position);
            }
            return;
        }
        for ((array, _), elements) in corresponding {
            self.add(stage, &elements, After::Corresponding(array));
        }
    }

    /// Makes arrays of runs that are counted from 1, as many as it takes.
    fn add_numbered(&mut self, stage: Stage, positions: &[usize], after: After) {
        for part in positions.chunks(self.max_elements) {
            let elements: Vec<(usize, usize)> = (1..).zip(part.iter().copied()).collect();
            self.add(stage, &elements, after.clone());
        }
    }

    /// Makes an array of runs with their numbers.
    fn add(&mut self, stage: Stage, elements: &[(usize, usize)], after: After) {
        let array = self.arrays.len();
        for &(number, position) in elements {
            self.places.insert(position, Place { array, number });
        }
        let element = |&(number, position): &(usize, usize)| {
            let run = &self.runs[position];
            let needs = self.inputs.needs(run);
            (number, Element { run, needs })
        };
        self.arrays.push(Array {
            name: String::new(),
            stage,
            elements: elements.iter().map(element).collect(),
            after,
        });
    }

    /// The places of what a run waits for.
    fn places_of(&self, position: usize) -> Vec<Place> {
        let makers = self.inputs.direct[position].iter();
        makers
            .filter_map(|maker| self.places.get(maker).copied())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }
}

/// Numbers as sbatch takes them: `1-3,5`.
pub(super) fn ranges(numbers: impl Iterator<Item = usize>) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let range = |&(first, last): &(usize, usize)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run `name` of a stage, made from what others make.
    fn run(stage: Stage, name: &str, from: &[&str]) -> StageRun {
        StageRun {
            stage,
            subject: name.to_owned(),
            cell: None,
            command: String::new(),
            prerequisites: from.iter().map(|&file| file.to_owned()).collect(),
            main: name.to_owned(),
            further: Vec::new(),
            folders: Vec::new(),
            parts: 1,
            given: Vec::new(),
            list: None,
        }
    }

    /// The arrays of a sweep of `modes` tuned cells and the untuned one on each of `sets` training sets: name, elements with their
    /// numbers, and what they wait for.
    fn sweep(sets: usize, modes: usize, max_array_size: usize) -> Vec<(String, String, String)> {
        let mut runs = Vec::new();
        for set in 0..sets {
            runs.push(run(Stage::Dupgen, &format!("set{set}"), &["corpus"]));
            let base = format!("extracted{set}-base");
            runs.push(run(Stage::Extractor, &base, &[&format!("set{set}")]));
            runs.push(run(
                Stage::Plagiarism,
                &format!("judged{set}-base"),
                &[&format!("set{set}"), &base],
            ));
            for mode in 0..modes {
                let [set, tuned, extracted] = ["set", "tuned", "extracted"].map(|name| match name {
                    "set" => format!("set{set}"),
                    name => format!("{name}{set}-{mode}"),
                });
                runs.push(run(Stage::Tuner, &tuned, &[&set]));
                runs.push(run(Stage::Extractor, &extracted, &[&set, &tuned]));
                for checkpoint in ["last", "best"] {
                    let judged = format!("judged-{checkpoint}-{extracted}");
                    runs.push(run(Stage::Plagiarism, &judged, &[&set, &extracted]));
                }
            }
        }
        runs.sort_by_key(|run| run.stage);
        let all: Vec<String> = runs.iter().map(|run| run.main.clone()).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        runs.push(run(Stage::Report, "report", &all));
        let runs = StageRuns {
            folder: "run".to_owned(),
            runs,
        };
        let arrays = arrays(&runs, max_array_size);
        let mut done = BTreeSet::new();
        for (position, array) in arrays.iter().enumerate() {
            check_order(position, array, &arrays);
            for element in array.elements.values() {
                assert!(
                    element.needs.iter().all(|file| done.contains(*file)),
                    "{element:?}"
                );
            }
            for (number, element) in &array.elements {
                assert!(*number >= 1 && *number < max_array_size, "{number}");
                assert!(done.insert(element.run.main.clone()), "twice: {element:?}");
            }
        }
        assert_eq!(done.len(), runs.runs.len());
        let told = |array: &Array| {
            let after = match &array.after {
                After::Nothing => String::new(),
                After::Corresponding(other) => format!("each its own of {}", arrays[*other].name),
                After::Elements(places) => {
                    let told = |place: &Place| format!("{} of {}", place.number, arrays[place.array].name);
                    places.iter().map(told).collect::<Vec<_>>().join(", ")
                }
                After::End(others) => {
                    let names: Vec<&str> = others.iter().map(|&other| arrays[other].name.as_str()).collect();
                    format!("end of {}", names.join(", "))
                }
            };
            (array.name.clone(), ranges(array.elements.keys().copied()), after)
        };
        arrays.iter().map(told).collect()
    }

    /// What an element waits for is what makes its input, or waits for that.
    fn check_order(position: usize, array: &Array, arrays: &[Array]) {
        for (number, element) in &array.elements {
            let waited: Vec<&Element> = match &array.after {
                After::Nothing => Vec::new(),
                After::Corresponding(other) => vec![&arrays[*other].elements[number]],
                After::Elements(places) => places
                    .iter()
                    .map(|place| &arrays[place.array].elements[&place.number])
                    .collect(),
                After::End(others) => others
                    .iter()
                    .flat_map(|&other| arrays[other].elements.values())
                    .collect(),
            };
            for need in &element.needs {
                let is_met = |other: &&Element| other.run.main == *need || other.needs.contains(need);
                assert!(
                    waited.iter().any(is_met) || array.stage == Stage::Report,
                    "{position}: {need} of {element:?}"
                );
            }
        }
    }

    fn told(expected: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
        let owned = |&(name, numbers, after): &(&str, &str, &str)| {
            (name.to_owned(), numbers.to_owned(), after.to_owned())
        };
        expected.iter().map(owned).collect()
    }

    #[test]
    fn cells_of_one_training_set_wait_for_it_and_then_each_for_its_own() {
        assert_eq!(
            sweep(1, 3, 1001),
            told(&[
                ("dupgen", "1", ""),
                ("tuner", "1-3", "1 of dupgen"),
                ("extractor-1", "1-3", "each its own of tuner"),
                ("extractor-2", "1", "1 of dupgen"),
                ("plagiarism-1", "1-3", "each its own of extractor-1"),
                ("plagiarism-2", "1-3", "each its own of extractor-1"),
                ("plagiarism-3", "1", "each its own of extractor-2"),
                ("report", "1", "end of plagiarism-1, plagiarism-2, plagiarism-3"),
            ])
        );
    }

    #[test]
    fn many_training_sets_make_no_array_each() {
        assert_eq!(
            sweep(5, 2, 1001),
            told(&[
                ("dupgen", "1-5", ""),
                ("tuner-1", "1-5", "each its own of dupgen"),
                ("tuner-2", "1-5", "each its own of dupgen"),
                ("extractor-1", "1-5", "each its own of dupgen"),
                ("extractor-2", "1-5", "each its own of tuner-1"),
                ("extractor-3", "1-5", "each its own of tuner-2"),
                ("plagiarism-1", "1-5", "each its own of extractor-1"),
                ("plagiarism-2", "1-5", "each its own of extractor-2"),
                ("plagiarism-3", "1-5", "each its own of extractor-2"),
                ("plagiarism-4", "1-5", "each its own of extractor-3"),
                ("plagiarism-5", "1-5", "each its own of extractor-3"),
                (
                    "report",
                    "1",
                    "end of plagiarism-1, plagiarism-2, plagiarism-3, plagiarism-4, plagiarism-5"
                ),
            ])
        );
    }

    #[test]
    fn arrays_end_where_slurm_ends_them() {
        // Numbers below 4: three elements at most.
        assert_eq!(
            sweep(1, 5, 4)[..5],
            told(&[
                ("dupgen", "1", ""),
                ("tuner-1", "1-3", "1 of dupgen"),
                ("tuner-2", "1-2", "1 of dupgen"),
                ("extractor-1", "1-3", "each its own of tuner-1"),
                ("extractor-2", "1-2", "each its own of tuner-2"),
            ])
        );
        // Whatever the numbers, the checks in `sweep` hold.
        for sets in 1..6 {
            for modes in 0..6 {
                for max_array_size in [2, 3, 5, 1001] {
                    sweep(sets, modes, max_array_size);
                }
            }
        }
    }

    #[test]
    fn numbers_are_told_as_ranges() {
        for (numbers, expected) in [
            (&[][..], ""),
            (&[4][..], "4"),
            (&[1, 2, 3][..], "1-3"),
            (&[1, 3, 4, 7][..], "1,3-4,7"),
        ] {
            assert_eq!(ranges(numbers.iter().copied()), expected);
        }
    }
}
