//! The scripts for Slurm, run by an sbatch that runs each element at once: all that they do but waiting. tests/test_slurm.py runs them in a
//! real Slurm.

use std::fs;
use std::process::{Command, Output};

use crate::workplace::{PIPELINE, Workplace, contents};

/// Writes down how it was called, and runs the elements of the array one after the other. Queued jobs are those of the file `queued`.
const SBATCH: &str = r#"#!/bin/bash
for script; do :; done
job=$(($(cat jobs 2>/dev/null || echo 100) + 1))
echo $job >jobs
echo "$job $(basename "$script") ${*:1:$#-1}" >>submitted
test ! -e refuses || { echo 'sbatch: error: no such account' >&2; exit 1; }
echo "$job;a-cluster"
array=$(sed -n 's/^#SBATCH --array=\([^%]*\).*/\1/p' "$script")
for range in ${array//,/ }; do
  for element in $(seq ${range%-*} ${range#*-}); do
    log=$(sed -n 's/^#SBATCH --output=//p' "$script" | sed "s/%a/$element/")
    SLURM_ARRAY_TASK_ID=$element SLURM_CPUS_PER_TASK=3 SLURM_JOB_NAME=job bash "$script" >>"$log" 2>&1
  done
done
exit 0
"#;

const SQUEUE: &str = "#!/bin/bash\ncat queued 2>/dev/null\ntrue\n";

/// A workplace with those programs.
fn workplace(pipeline: &str) -> Workplace {
    let place = Workplace::new(pipeline);
    for (name, text) in [("bin/sbatch", SBATCH), ("bin/squeue", SQUEUE)] {
        place.write(name, text);
        let status = Command::new("chmod").arg("+x").arg(place.path(name)).status();
        assert!(status.unwrap().success());
    }
    place
}

/// Runs a program in the workplace as make would, with fake stages.
fn run(place: &Workplace, program: &str, arguments: &[&str]) -> Output {
    let stages = ["DUPGEN", "TUNER", "EXTRACTOR", "PLAGIARISM", "REPORT", "CHECK"];
    let path = format!(
        "{}:{}",
        place.path("bin").display(),
        std::env::var("PATH").unwrap()
    );
    Command::new(program)
        .args(arguments)
        .envs(stages.map(|stage| (stage, format!("sh stage.sh {}", stage.to_lowercase()))))
        .env("PATH", path)
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .env_remove("THREADS")
        .current_dir(place.path("."))
        .output()
        .unwrap()
}

fn plan(place: &Workplace, arguments: &[&str]) -> String {
    let fixed = [
        "--config",
        "pipelines/tiny.toml",
        "--out",
        "run",
        "--slurm",
        "--gflops",
        "1",
    ];
    let output = run(place, env!("CARGO_BIN_EXE_plan"), &[&fixed, arguments].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    told
}

/// Submits, and tells what submit.sh said and which stages ran.
fn submit(place: &Workplace) -> (String, Vec<String>) {
    let output = run(place, "bash", &["run/slurm/submit.sh"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (told, ran(place))
}

fn refused(place: &Workplace) -> String {
    let output = run(place, "bash", &["run/slurm/submit.sh"]);
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The stages that ran since the last call.
fn ran(place: &Workplace) -> Vec<String> {
    let log = fs::read_to_string(place.path("log")).unwrap_or_default();
    fs::write(place.path("log"), "").unwrap();
    let mut stages: Vec<String> = log.lines().map(str::to_owned).collect();
    stages.sort();
    stages
}

/// A line of a script.
fn option(script: &str, name: &str) -> Option<String> {
    let start = format!("#SBATCH --{name}=");
    script
        .lines()
        .find_map(|line| line.strip_prefix(&start))
        .map(str::to_owned)
}

#[test]
fn the_jobs_make_what_make_makes_and_the_second_time_nothing() {
    let (place, by_make) = (workplace(PIPELINE), Workplace::new(PIPELINE));
    by_make.plan_well(&[]);
    let expected = by_make.make(&[]);
    let told = plan(&place, &[]);
    assert!(told.contains("8 job arrays of 16 jobs"), "{told}");
    let (_, stages) = submit(&place);
    assert_eq!(stages, expected);
    // Exact elements, or each element its own; ids begin at 101.
    assert_eq!(
        place.read("submitted"),
        "101 dupgen.sbatch --parsable\n\
         102 tuner.sbatch --parsable --dependency=afterok:101_1 --kill-on-invalid-dep=yes\n\
         103 extractor-1.sbatch --parsable --dependency=aftercorr:102 --kill-on-invalid-dep=yes\n\
         104 extractor-2.sbatch --parsable --dependency=afterok:101_1 --kill-on-invalid-dep=yes\n\
         105 plagiarism-1.sbatch --parsable --dependency=aftercorr:103 --kill-on-invalid-dep=yes\n\
         106 plagiarism-2.sbatch --parsable --dependency=aftercorr:103 --kill-on-invalid-dep=yes\n\
         107 plagiarism-3.sbatch --parsable --dependency=aftercorr:104 --kill-on-invalid-dep=yes\n\
         108 report.sbatch --parsable --dependency=afterany:105:106:107 --kill-on-invalid-dep=yes\n"
    );
    assert!(
        place
            .read("threads")
            .lines()
            .all(|line| line.ends_with(" on 3 threads"))
    );
    let jobs: toml::Table = place.read("run/slurm/jobs.toml").parse().unwrap();
    let jobs = jobs["job"].as_array().unwrap();
    assert_eq!(jobs.len(), 8);
    assert_eq!(jobs[2]["array"].as_str(), Some("extractor-1"));
    assert_eq!(jobs[2]["id"].as_integer(), Some(103));
    assert_eq!(jobs[2]["after"].as_str(), Some("aftercorr:102"));
    // Make agrees, and so does the second submission.
    assert!(place.make(&[]).is_empty());
    place.write("submitted", "");
    let (told, stages) = submit(&place);
    assert!(told.contains("Nothing to be done"), "{told}");
    assert!(stages.is_empty() && place.read("submitted").is_empty());
}

#[test]
fn a_cell_that_fails_leaves_out_what_is_made_from_it_and_the_report_and_nothing_else() {
    let place = workplace(PIPELINE);
    // The tuner of one cell fails until it is mended.
    place.write(
        "stage.sh",
        place.read("stage.sh").replace(
            "name=$(basename \"$out\")\n",
            "name=$(basename \"$out\")\ncase $stage$name in tuner*lora*) test -e mended || exit 3 ;; esac\n",
        ),
    );
    plan(&place, &[]);
    let (_, stages) = submit(&place);
    let lora = "tiny-lora16-3e-4-bucketed-s0";
    assert_eq!(stages.len(), 16 - 4 - 1, "{stages:?}");
    assert!(
        stages
            .iter()
            .all(|line| !line.contains(lora) && !line.starts_with("report")),
        "{stages:?}"
    );
    assert!(!place.path("run/report/report.html").exists());
    let of_report = place.read("run/slurm/logs/report.1.log");
    assert!(of_report.contains("Nothing is made"), "{of_report}");
    assert!(
        of_report.contains(&format!("  [4 of 4] {lora}: tuner")),
        "{of_report}"
    );
    let of_extractor = place.read("run/slurm/logs/extractor-1.3.log");
    assert!(of_extractor.contains(&format!("{lora}: tuner")), "{of_extractor}");
    place.write("mended", "");
    place.write("submitted", "");
    let (told, stages) = submit(&place);
    assert_eq!(stages.len(), 5, "{stages:?}");
    assert!(
        stages
            .iter()
            .all(|line| line.contains(lora) || line == "report report")
    );
    // Arrays that are done are not submitted, and nobody waits for them.
    assert!(
        told.contains("dupgen: done") && told.contains("plagiarism-3: done"),
        "{told}"
    );
    assert!(place.read("submitted").contains("tuner.sbatch --parsable\n"));
    assert!(place.make(&[]).is_empty());
}

#[test]
fn two_submissions_never_overlap() {
    let place = workplace(PIPELINE);
    plan(&place, &[]);
    place.write("refuses", "");
    let message = refused(&place);
    assert!(
        message.contains("sbatch refuses run/slurm/dupgen.sbatch"),
        "{message}"
    );
    fs::remove_file(place.path("refuses")).unwrap();
    submit(&place);
    place.write("queued", "102_[2-3] PENDING\n");
    let message = refused(&place);
    assert!(message.contains("in the queue"), "{message}");
    // Somewhere else, nothing is known of the run.
    let elsewhere = place.path("text");
    let output = Command::new("bash")
        .arg(place.path("run/slurm/submit.sh"))
        .current_dir(elsewhere)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("in the folder that plan was run in"));
}

#[test]
fn arrays_are_divided_at_the_limit_of_the_site() {
    let place = workplace(PIPELINE);
    plan(
        &place,
        &[
            "--set",
            "cluster.max_array_size=3",
            "--set",
            "cluster.max_running=2",
        ],
    );
    let arrays = |name: &str| option(&place.read(&format!("run/slurm/{name}.sbatch")), "array").unwrap();
    assert_eq!(
        (arrays("tuner-1"), arrays("tuner-2")),
        ("1-2%2".to_owned(), "1%2".to_owned())
    );
    let (_, stages) = submit(&place);
    assert_eq!(stages.len(), 16);
    assert!(place.make(&[]).is_empty());
    // Longer arrays again: the scripts of those that are gone go too.
    plan(&place, &[]);
    let scripts = contents(&place.path("run/slurm"));
    let scripts = scripts
        .keys()
        .filter(|path| path.to_string_lossy().starts_with("tuner"));
    assert_eq!(scripts.count(), 1);
}

#[test]
fn jobs_ask_for_what_the_cluster_table_and_the_estimate_say() {
    let cluster = r#"
[cluster]
partition = "gpu"
account = "text"
cpus = 8
gpus = 2
time_factor = 1e6
max_hours = 10.5
memory_factor = 20
setup = ["module load cuda", "export TUNER='a container'"]
options = ["--qos=long"]
[cluster.dupgen]
partition = "cpu"
cpus = 2
hours = 1.25
memory_gb = 1.048576
options = ["--exclusive"]
"#;
    let place = workplace(&format!("{PIPELINE}{cluster}"));
    plan(&place, &[]);
    let tuner = place.read("run/slurm/tuner.sbatch");
    for (name, expected) in [
        ("partition", "gpu"),
        ("account", "text"),
        ("cpus-per-task", "8"),
        ("gres", "gpu:2"),
        // A second for the process at least, times 10⁶, is more.
        ("time", "10:30:00"),
        ("qos", "long"),
        ("job-name", "tiny-tuner"),
        ("output", "run/slurm/logs/tuner.%a.log"),
    ] {
        assert_eq!(option(&tuner, name).as_deref(), Some(expected), "{tuner}");
    }
    // 350 MB for the program, and little more, times 20.
    let mebibytes: f64 = option(&tuner, "mem")
        .unwrap()
        .trim_end_matches('M')
        .parse()
        .unwrap();
    assert!((6676.0..6800.0).contains(&mebibytes), "{mebibytes}");
    assert!(tuner.contains("#SBATCH --requeue\n") && tuner.contains("cluster.max_hours"));
    // Programs first, so that the lines of the site can name others.
    let (program, setup) = (
        tuner.find("export TUNER='sh stage.sh tuner'"),
        tuner.find("module load cuda\n"),
    );
    assert!(program.is_some() && program < setup, "{tuner}");
    let dupgen = place.read("run/slurm/dupgen.sbatch");
    for (name, expected) in [
        ("partition", Some("cpu")),
        ("cpus-per-task", Some("2")),
        ("gres", None),
        ("time", Some("01:15:00")),
        ("mem", Some("1000M")),
    ] {
        assert_eq!(option(&dupgen, name).as_deref(), expected, "{dupgen}");
    }
    assert!(
        dupgen.contains("#SBATCH --qos=long\n#SBATCH --exclusive\n"),
        "{dupgen}"
    );
}

#[test]
fn the_cluster_table_has_nothing_made_again() {
    let place = workplace(PIPELINE);
    plan(&place, &[]);
    place.make(&[]);
    let without_slurm = || {
        let mut files = contents(&place.path("run"));
        files.retain(|path, _| !path.starts_with("slurm"));
        files
    };
    let before = without_slurm();
    plan(
        &place,
        &[
            "--set",
            "cluster.cpus=7",
            "--set",
            "cluster.setup=[\"module load x\"]",
        ],
    );
    assert_eq!(before, without_slurm());
    assert!(place.read("run/slurm/tuner.sbatch").contains("module load x"));
    assert!(place.make(&[]).is_empty());
}
