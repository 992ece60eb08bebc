//! How fast this machine computes: given, measured by the program of stage 2, or assumed.

use std::collections::HashMap;
use std::fmt;
use std::process::Command;

use contract::pipeline::Tuning;
use serde::Deserialize;

/// The rate that times are estimated with where none is given and none can be measured, in 10⁹ operations a second: what two cores
/// of a server CPU reach in float32 on matrices of small models, as a rule of thumb.
const ASSUMED_GFLOPS: f64 = 60.0;

/// Decoding multiplies few rows at a time; as a rule of thumb it has this share of the rate of training.
const DECODING_SHARE: f64 = 0.5;

/// Rates of arithmetic, in 10⁹ operations a second.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Speed {
    /// Of forward and backward passes over many tokens at once.
    pub training_gflops: f64,
    /// Of generation, token by token.
    pub decoding_gflops: f64,
    /// The GPU that was measured, where it was one.
    #[serde(default)]
    pub gpu: Option<Gpu>,
}

/// A GPU, as far as estimates go.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Gpu {
    /// What the driver calls it.
    pub name: String,
    /// Bytes of its memory that are free.
    pub free_bytes: f64,
}

impl Speed {
    /// A machine that trains at this rate.
    pub fn of_training(gflops: f64) -> Self {
        Self {
            training_gflops: gflops,
            decoding_gflops: DECODING_SHARE * gflops,
            gpu: None,
        }
    }
}

/// Where speeds come from.
#[derive(Debug)]
pub enum SpeedSource {
    /// The same for all models.
    Given(Speed),
    /// From a program with its arguments, `tuner` for instance, which is asked once for each width and vocabulary.
    Measured {
        /// The program, its arguments behind it.
        program: Vec<String>,
        /// Threads to measure with; without a number all cores.
        threads: Option<usize>,
        /// What it said; none where it failed.
        known: HashMap<(usize, usize, bool), Option<Speed>>,
    },
}

impl SpeedSource {
    /// Measures with a program, words apart by blanks as make has them; without one a speed is assumed.
    pub fn program(program: &str, threads: Option<usize>) -> Self {
        let program: Vec<String> = program.split_whitespace().map(str::to_owned).collect();
        Self::Measured {
            program,
            threads,
            known: HashMap::new(),
        }
    }

    /// The speed for models of this width, vocabulary and number of parameters.
    pub(crate) fn of_model(
        &mut self,
        width: usize,
        vocabulary: usize,
        parameters: u64,
        tuning: &Tuning,
    ) -> Speed {
        match self {
            Self::Given(speed) => speed.clone(),
            Self::Measured {
                program,
                threads,
                known,
            } => {
                // Float32 weights, as most small models are decoded in.
                let is_small = 4 * parameters <= model_folder::cost::SMALL_MODEL_BYTES as u64;
                let measured = known
                    .entry((width, vocabulary, is_small))
                    .or_insert_with(|| measure(program, *threads, width, vocabulary, is_small, tuning));
                measured.clone().unwrap_or(Speed::of_training(ASSUMED_GFLOPS))
            }
        }
    }
}

/// What the program says, as `{"training_gflops": 200.0, "decoding_gflops": 90.0}`.
fn measure(
    program: &[String],
    threads: Option<usize>,
    width: usize,
    vocabulary: usize,
    is_small: bool,
    tuning: &Tuning,
) -> Option<Speed> {
    let (name, arguments) = program.split_first()?;
    let mut command = Command::new(name);
    command.args(arguments).arg("speed");
    command.args(["--width", &width.to_string()]);
    command.args(["--vocabulary", &vocabulary.to_string()]);
    command.args(["--device", &tuning.device, "--precision", tuning.precision.name()]);
    if is_small {
        command.arg("--side-by-side");
    }
    if let Some(threads) = threads {
        command.args(["--threads", &threads.to_string()]);
    }
    let output = command.output().ok()?;
    let speed = serde_json::from_slice::<Speed>(&output.stdout).ok();
    let usable = |speed: &Speed| speed.training_gflops > 0.0 && speed.decoding_gflops > 0.0;
    let speed = speed.filter(|speed| output.status.success() && usable(speed));
    if speed.is_none() {
        tracing::debug!("{}", String::from_utf8_lossy(&output.stderr));
    }
    speed
}

impl fmt::Display for SpeedSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured = match self {
            Self::Given(speed) => return write_speed(formatter, "at", speed),
            Self::Measured { known, .. } => known.values().flatten().next(),
        };
        match measured {
            Some(speed) => write_speed(formatter, "measured here:", speed),
            None => write!(
                formatter,
                "at {ASSUMED_GFLOPS} GFLOP/s, which is assumed: this machine's speed was not measured"
            ),
        }
    }
}

fn write_speed(formatter: &mut fmt::Formatter<'_>, how: &str, speed: &Speed) -> fmt::Result {
    write!(
        formatter,
        "{how} {:.0} GFLOP/s in training, {:.0} in generation",
        speed.training_gflops, speed.decoding_gflops
    )?;
    match &speed.gpu {
        Some(gpu) => write!(
            formatter,
            ", on {} with {:.0} GB free, whose memory is the one below",
            gpu.name,
            gpu.free_bytes / 1e9
        ),
        None => Ok(()),
    }
}
