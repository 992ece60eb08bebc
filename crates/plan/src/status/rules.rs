//! The rules of a run, read back from its `cells.mk` as `make.rs` writes them: which stage makes which files from which.

use std::fs;
use std::path::{Path, PathBuf};

use contract::Error;

/// What one run of one stage makes, and from what.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Rule {
    pub(super) stage: String,
    /// Which cell it works on, from 1.
    pub(super) cell: Option<usize>,
    /// Where it writes, and leaves records of its runs.
    pub(super) folder: PathBuf,
    /// Files that are compared with the prerequisites; the stage is known by the first.
    pub(super) files: Vec<PathBuf>,
    /// Folders, of which only absence counts.
    pub(super) folders: Vec<PathBuf>,
    pub(super) prerequisites: Vec<PathBuf>,
    /// Where processes that share the work write their parts. Once the whole is made nobody needs them.
    pub(super) parts: Vec<PathBuf>,
}

/// Reads the rules of the run folder `run`, which may lie elsewhere now than when they were written.
///
/// # Errors
/// [`Error::Input`] where there are none.
pub(super) fn read(run: &Path) -> Result<Vec<Rule>, Error> {
    let path = run.join("cells.mk");
    let text = fs::read_to_string(&path).map_err(|error| {
        let problem = format!(
            "cannot be read: {error}. Expected a run folder: plan writes this file, and make run has it do so"
        );
        Error::input(&path, problem)
    })?;
    let rules = without_parts(parse(&text, run));
    if rules.is_empty() {
        let problem = "expected the rules of a run, found none. make run has plan write them anew";
        return Err(Error::input(&path, problem));
    }
    Ok(rules)
}

fn parse(text: &str, run: &Path) -> Vec<Rule> {
    let place = Place {
        run,
        written_for: text.lines().find_map(|line| line.strip_prefix("run := ")),
    };
    let mut rules: Vec<Rule> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        // A recipe: it says the number of the cell first, and the stage last.
        if let (Some(said), Some(rule)) = (line.strip_prefix("\t@echo '"), rules.last_mut()) {
            let said = said.trim_end_matches('\'');
            said.rsplit(' ')
                .next()
                .unwrap_or_default()
                .clone_into(&mut rule.stage);
            let number = said.strip_prefix('[').and_then(|said| said.split(' ').next());
            rule.cell = number.and_then(|number| number.parse().ok());
        }
        if let (Some(_), Some(rule)) = (line.strip_prefix("\t@test -e $@"), rules.last_mut()) {
            // Of the rule before it, a folder was taken for a file.
            rule.folders.extend(rule.files.pop());
        }
        let Some((targets, rest)) = line
            .split_once(':')
            .filter(|(targets, _)| targets.starts_with("$(run)/"))
        else {
            continue;
        };
        if rest == " \\" {
            let prerequisites = continued(&mut lines);
            let files: Vec<PathBuf> = targets.split(' ').map(|target| place.of(target)).collect();
            rules.push(Rule {
                folder: files
                    .first()
                    .and_then(|file| file.parent())
                    .unwrap_or(run)
                    .to_path_buf(),
                files,
                prerequisites: prerequisites.iter().map(|path| place.of(path)).collect(),
                ..Rule::default()
            });
        } else if let Some(rule) = rules.last_mut()
            && rest.starts_with(" | ")
            && !rule.files.contains(&place.of(targets))
        {
            rule.files.push(place.of(targets));
        }
    }
    rules
}

/// The rules but those of parts, which the rules that put them together hold instead.
fn without_parts(rules: Vec<Rule>) -> Vec<Rule> {
    let is_of_part = |folder: &Path| folder.parent().is_some_and(|parent| parent.ends_with("parts"));
    let with_parts = |mut rule: Rule| {
        let (parts, others) = rule.prerequisites.into_iter().partition(|path: &PathBuf| {
            path.parent()
                .is_some_and(|part| is_of_part(part) && part.starts_with(&rule.folder))
        });
        rule.prerequisites = others;
        rule.parts = parts;
        rule.parts.iter_mut().for_each(|file| {
            file.pop();
        });
        rule
    };
    rules
        .into_iter()
        .filter(|rule| !is_of_part(&rule.folder))
        .map(with_parts)
        .collect()
}

/// The words of lines that end in a backslash, and of the one after them.
fn continued<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut words = Vec::new();
    for line in lines {
        words.push(line.trim_end_matches('\\').trim());
        if !line.ends_with('\\') {
            break;
        }
    }
    words
}

/// Where the run folder is, and where it was when its rules were written.
struct Place<'a> {
    run: &'a Path,
    written_for: Option<&'a str>,
}

impl Place<'_> {
    /// A path of the rules as it is now.
    fn of(&self, path: &str) -> PathBuf {
        let below = path
            .strip_prefix("$(run)")
            .or_else(|| path.strip_prefix(self.written_for?));
        match below.and_then(|below| below.strip_prefix('/')) {
            Some(below) => self.run.join(below),
            None => PathBuf::from(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_moved_run_folder_lead_to_where_it_is() {
        let text = "run := data/runs/a\n\n$(run)/cells/x/metrics.parquet $(run)/cells/x/other.parquet: \\\n  $(run)/cells/x/tuner.toml \\\n  \
                    data/runs/a/inputs/0-x \\\n  data/runs/ab/model\n$(run)/cells/x/metrics.parquet:\n\t@echo '[1 of 2] x: tuner'\n\
                    \t@tuner\n$(run)/cells/x/other.parquet: | $(run)/cells/x/metrics.parquet\n\t@$(current) || tuner\n\
                    $(run)/cells/x/checkpoint: | $(run)/cells/x/other.parquet\n\t@test -e $@ || tuner\n";
        let path = |path: &str| PathBuf::from(path);
        assert_eq!(
            parse(text, Path::new("/b")),
            [Rule {
                stage: "tuner".to_owned(),
                cell: Some(1),
                folder: path("/b/cells/x"),
                files: vec![
                    path("/b/cells/x/metrics.parquet"),
                    path("/b/cells/x/other.parquet")
                ],
                folders: vec![path("/b/cells/x/checkpoint")],
                prerequisites: vec![
                    path("/b/cells/x/tuner.toml"),
                    path("/b/inputs/0-x"),
                    path("data/runs/ab/model")
                ],
                parts: Vec::new(),
            }]
        );
    }

    #[test]
    fn parts_belong_to_the_rule_that_puts_them_together() {
        let text = "run := a\n\n$(run)/cells/x/samples.parquet: \\\n  $(run)/cells/x/extractor.toml \\\n  \
                    $(run)/cells/x/parts/0-of-1/samples.parquet\n$(run)/cells/x/samples.parquet:\n\t@echo '[1 of 1] x: extractor'\n\n\
                    $(run)/cells/x/parts/0-of-1/samples.parquet: \\\n  $(run)/cells/x/extractor.toml\n\
                    $(run)/cells/x/parts/0-of-1/samples.parquet:\n\t@echo '[1 of 1] x, part 0 of 1: extractor'\n";
        let rules = without_parts(parse(text, Path::new("a")));
        assert_eq!(rules.len(), 1);
        assert_eq!(
            rules[0].prerequisites,
            [PathBuf::from("a/cells/x/extractor.toml")]
        );
        assert_eq!(rules[0].parts, [PathBuf::from("a/cells/x/parts/0-of-1")]);
    }
}
