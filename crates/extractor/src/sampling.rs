//! Truncated sampling, in the order and with the conventions of transformers: temperature, then top-k (ties with the last
//! kept), then top-p on the re-normalised rest (the least probable tokens whose probabilities add up to at most 1 − p go;
//! one always stays).

use contract::pipeline::Strategy;

/// How a distribution over tokens is truncated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingParams {
    /// Divides the logits; 0 is greedy.
    pub temperature: f64,
    /// Tokens kept; 0 keeps all.
    pub top_k: usize,
    /// Probability kept; 1 keeps all.
    pub top_p: f64,
}

/// A token that can be drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// The token.
    pub token: usize,
    /// Its probability, over 0; all together add up to 1.
    pub probability: f64,
}

impl From<&Strategy> for SamplingParams {
    fn from(strategy: &Strategy) -> Self {
        Self {
            temperature: strategy.temperature,
            top_k: strategy.top_k,
            top_p: strategy.top_p,
        }
    }
}

impl SamplingParams {
    /// Whether only one token can ever be drawn.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// The tokens that can be drawn, in order of token id, with their probabilities.
    pub fn distribution(&self, logits: &[f32]) -> Vec<Entry> {
        if self.is_greedy() {
            return vec![Entry {
                token: most_probable(logits),
                probability: 1.0,
            }];
        }
        let threshold = kth_largest(logits, self.top_k);
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut entries: Vec<Entry> = logits
            .iter()
            .enumerate()
            .filter(|&(_, &logit)| logit >= threshold && logit > f32::NEG_INFINITY)
            .map(|(token, &logit)| Entry {
                token,
                probability: ((f64::from(logit) - f64::from(largest)) / self.temperature).exp(),
            })
            .collect();
        normalize(&mut entries);
        if self.top_p < 1.0 {
            keep_nucleus(&mut entries, self.top_p);
            normalize(&mut entries);
        }
        // Probabilities too small for a double cannot be drawn.
        entries.retain(|entry| entry.probability > 0.0);
        entries
    }

    /// The token drawn by `uniform`, a number in [0, 1), by inverting the cumulative distribution in order of token id.
    pub fn draw(&self, logits: &[f32], uniform: f64) -> usize {
        let entries = self.distribution(logits);
        let mut cumulative = 0.0;
        for entry in &entries {
            cumulative += entry.probability;
            if uniform < cumulative {
                return entry.token;
            }
        }
        // Rounding may leave the sum a hair under 1.
        entries.last().map_or(0, |entry| entry.token)
    }

    /// Natural logarithm of the probability of drawing `token`; −∞ where it cannot be drawn.
    pub fn log_probability(&self, logits: &[f32], token: usize) -> f64 {
        let drawn = self
            .distribution(logits)
            .into_iter()
            .find(|entry| entry.token == token);
        drawn.map_or(f64::NEG_INFINITY, |entry| entry.probability.ln())
    }
}

/// The token with the largest logit, the first of them where several share it.
pub fn most_probable(logits: &[f32]) -> usize {
    let mut best = 0;
    for (token, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = token;
        }
    }
    best
}

fn kth_largest(logits: &[f32], k: usize) -> f32 {
    if k == 0 || k >= logits.len() {
        return f32::NEG_INFINITY;
    }
    // Of a whole vocabulary only a few can be among the k largest: what lies under the k-th largest so far is not even copied.
    let mut largest: Vec<f32> = Vec::with_capacity(4 * k);
    let mut threshold = f32::NEG_INFINITY;
    let prune = |largest: &mut Vec<f32>| {
        let kth = *largest
            .select_nth_unstable_by(k - 1, |first, second| second.total_cmp(first))
            .1;
        largest.truncate(k);
        kth
    };
    for &logit in logits {
        if logit > threshold || largest.len() < k {
            largest.push(logit);
            if largest.len() == 4 * k {
                threshold = prune(&mut largest);
            }
        }
    }
    prune(&mut largest)
}

fn normalize(entries: &mut [Entry]) {
    let sum: f64 = entries.iter().map(|entry| entry.probability).sum();
    for entry in entries {
        entry.probability /= sum;
    }
}

fn keep_nucleus(entries: &mut Vec<Entry>, top_p: f64) {
    // Ascending; of equally probable tokens the later one goes first, as in a stable ascending sort read from its end.
    entries.sort_by(|first, second| {
        first
            .probability
            .total_cmp(&second.probability)
            .then(second.token.cmp(&first.token))
    });
    let mut cumulative = 0.0;
    let last = entries.len().saturating_sub(1);
    let removed = entries[..last]
        .iter()
        .take_while(|entry| {
            cumulative += entry.probability;
            cumulative <= 1.0 - top_p
        })
        .count();
    entries.drain(..removed);
    entries.sort_by_key(|entry| entry.token);
}
