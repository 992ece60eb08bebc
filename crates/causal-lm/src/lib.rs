//! causal-lm
