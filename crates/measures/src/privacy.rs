//! Differential privacy: how little a model can depend on any one text, by proof, and how much it does at least, by experiment.

pub use gaussian::{gaussian_delta, gaussian_epsilon, gaussian_mu};
pub use one_run::{CONFIDENCE, CanaryAudit, MIN_CANARIES, canary_audit, canary_epsilon, canary_p_value};

mod gaussian;
mod one_run;
