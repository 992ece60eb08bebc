//! A run as jobs of Slurm: scripts that a person can read, and nothing that runs beside Slurm.
//!
//! Order and restarts are Slurm's: the runs of a stage are a job array, and the elements of an array wait for what they are made from
//! (`arrays.rs`). What an element does is make's: it asks make for the files of one run, by the rules in `cells.mk`. So what is done stays
//! done, a run can go on under the other engine at any time, and whoever looks at the run folder sees the same under both.

mod arrays;
mod resources;
mod script;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use contract::{Error, files};

use crate::Plan;
use crate::estimate::{self, SpeedSource};
use crate::links::Links;
use crate::stage_runs::{Stage, StageRuns};
use script::Run;

/// What was written for Slurm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submission {
    /// Job arrays.
    pub arrays: usize,
    /// Their elements: jobs.
    pub elements: usize,
}

/// Writes `slurm/` in the run folder `run` of a plan whose rules are there: a script for each array, `submit.sh`, and the folder of the
/// logs. Times are estimated at `speed`.
///
/// # Errors
/// As [`crate::plan`].
pub fn write(plan: &Plan, run: &Path, speed: &mut SpeedSource) -> Result<Submission, Error> {
    let run = contract::paths::normalized(run);
    let cluster = &plan.pipeline.cluster;
    let runs = StageRuns::of(plan, &run, &mut Links::new(&run))?;
    let estimates = estimate::estimates(plan, &run, speed)?;
    let arrays = arrays::arrays(&runs, cluster.max_array_size);
    let scripts = Run {
        folder: &runs.folder,
        name: &plan.pipeline.name,
        cluster,
    };
    let folder = run.join("slurm");
    let logs = folder.join("logs");
    fs::create_dir_all(&logs).map_err(|error| Error::output(&logs, error))?;
    let names: Vec<String> = arrays
        .iter()
        .map(|array| format!("{}.sbatch", array.name))
        .collect();
    remove_others(&folder, &names)?;
    for (array, name) in arrays.iter().zip(&names) {
        let resources = resources::of_array(array, plan, &estimates);
        let text = scripts.of_array(array, &resources, program(array.stage).as_deref());
        files::write_if_changed(&folder.join(name), text.as_bytes())?;
    }
    files::write_if_changed(&folder.join("element.sh"), script::ELEMENT.as_bytes())?;
    let submit = folder.join("submit.sh");
    files::write_if_changed(&submit, scripts.submit(&arrays).as_bytes())?;
    fs::set_permissions(&submit, fs::Permissions::from_mode(0o755))
        .map_err(|error| Error::output(&submit, error))?;
    Ok(Submission {
        arrays: arrays.len(),
        elements: arrays.iter().map(|array| array.elements.len()).sum(),
    })
}

/// Removes the scripts of arrays that there no longer are.
fn remove_others(folder: &Path, names: &[String]) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(|error| Error::output(folder, error))? {
        let path = entry.map_err(|error| Error::output(folder, error))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.ends_with(".sbatch") && !names.contains(&name) {
            fs::remove_file(&path).map_err(|error| Error::output(&path, error))?;
        }
    }
    Ok(())
}

/// The command of a stage that make exports, `TUNER` for instance; without one it is the program of that name in PATH.
fn program(stage: Stage) -> Option<String> {
    let variable = stage.name().to_uppercase();
    std::env::var(variable).ok().filter(|command| !command.is_empty())
}
