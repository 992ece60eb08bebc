//! What jobs on a cluster ask for.

use serde::{Deserialize, Serialize};

/// `[cluster]`: what the jobs that `plan --slurm` writes ask a cluster for. No stage reads it: it
/// changes no result and has nothing made again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// Partition that jobs go to; empty: the site's default.
    pub partition: String,
    /// Account that is charged; empty: the user's default.
    pub account: String,
    /// Slurm's `MaxArraySize` at the site, which `scontrol show config` tells. An array has at most
    /// one element fewer; longer ones are divided.
    pub max_array_size: usize,
    /// Elements of one array that run at once; 0: as many as there is room for.
    pub max_running: usize,
    /// Processors of a job, and threads that it computes with.
    pub cpus: usize,
    /// GPUs of a job of the stages that can use one: tuner, extractor and plagiarism.
    pub gpus: usize,
    /// Arithmetic rate in training of what a job computes on, in 10⁹ operations a second, for the
    /// estimate of its time. Without it the estimate is for two cores of a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gflops: Option<f64>,
    /// A job asks for so many times the estimate of its time.
    pub time_factor: f64,
    /// Least time that a job asks for, in minutes; all that stages ask for whose time is not
    /// estimated.
    pub min_minutes: f64,
    /// Longest time that jobs of the partition may have, in hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_hours: Option<f64>,
    /// A job asks for so many times the estimate of its memory.
    pub memory_factor: f64,
    /// Least memory that a job asks for, in GB; all that stages ask for whose memory is not
    /// estimated.
    pub min_memory_gb: f64,
    /// A job that is pre-empted, or whose node fails, goes back to the queue; training then goes on
    /// from the state that was saved last.
    pub requeue: bool,
    /// Lines of shell at the head of every job, once the programs are named: environment modules,
    /// or programs in a container (`export TUNER="apptainer exec image.sif tuner"`).
    pub setup: Vec<String>,
    /// Further options of sbatch for every job, for instance `--qos=long`.
    pub options: Vec<String>,
    /// What jobs of `dupgen` ask for in place of that.
    pub dupgen: StageResources,
    /// What jobs of `tuner` ask for in place of that.
    pub tuner: StageResources,
    /// What jobs of `extractor` ask for in place of that.
    pub extractor: StageResources,
    /// What jobs of `plagiarism` ask for in place of that.
    pub plagiarism: StageResources,
    /// What the job of `report` asks for in place of that.
    pub report: StageResources,
    /// What jobs of `check` ask for in place of that.
    pub check: StageResources,
}

/// `[cluster.tuner]` and so on: what the jobs of one stage ask for in place of what `[cluster]`
/// says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StageResources {
    /// Partition that they go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Processors of a job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<usize>,
    /// GPUs of a job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<usize>,
    /// Time of a job in hours, whatever the estimate is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<f64>,
    /// Memory of a job in GB, whatever the estimate is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_gb: Option<f64>,
    /// Further options of sbatch, after those of `[cluster]`.
    pub options: Vec<String>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            partition: String::new(),
            account: String::new(),
            // Slurm's own.
            max_array_size: 1001,
            max_running: 0,
            cpus: 4,
            gpus: 0,
            gflops: None,
            time_factor: 4.0,
            min_minutes: 30.0,
            max_hours: None,
            memory_factor: 1.5,
            min_memory_gb: 4.0,
            requeue: true,
            setup: Vec::new(),
            options: Vec::new(),
            dupgen: StageResources::default(),
            tuner: StageResources::default(),
            extractor: StageResources::default(),
            plagiarism: StageResources::default(),
            report: StageResources::default(),
            check: StageResources::default(),
        }
    }
}
