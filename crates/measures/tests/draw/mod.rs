//! Random numbers for simulations.

use rand::RngExt;

pub(crate) type Random = rand_chacha::ChaCha8Rng;

/// Between 0 and 1.
pub(crate) fn uniform(random: &mut Random) -> f64 {
    random.random_range(0.0..1.0)
}

/// Standard normal, by Box and Muller.
pub(crate) fn normal(random: &mut Random) -> f64 {
    (-2.0 * (1.0 - uniform(random)).ln()).sqrt() * (std::f64::consts::TAU * uniform(random)).cos()
}

/// Exponential with mean 1.
pub(crate) fn exponential(random: &mut Random) -> f64 {
    -(1.0 - uniform(random)).ln()
}

/// Gamma with scale 1, by Marsaglia and Tsang.
pub(crate) fn gamma(random: &mut Random, shape: f64) -> f64 {
    if shape < 1.0 {
        let boost = (1.0 - uniform(random)).powf(1.0 / shape);
        return gamma(random, shape + 1.0) * boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(random);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && (1.0 - uniform(random)).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// Beta with this mean; two hits at one draw of it have this correlation.
pub(crate) fn beta(random: &mut Random, mean: f64, correlation: f64) -> f64 {
    let size = 1.0 / correlation - 1.0;
    let (hits, misses) = (gamma(random, mean * size), gamma(random, (1.0 - mean) * size));
    if hits + misses == 0.0 {
        // Both shapes are so small that the value is 0 or 1.
        return f64::from(u8::from(uniform(random) < mean));
    }
    hits / (hits + misses)
}

/// Hits of so many trials.
pub(crate) fn binomial(random: &mut Random, trials: usize, rate: f64) -> f64 {
    (0..trials).filter(|_| uniform(random) < rate).count() as f64
}

/// Two normal scores each of so many documents, correlated by ½ and lower by the shift.
pub(crate) fn paired_scores(random: &mut Random, documents: usize, shift: f64) -> (Vec<f64>, Vec<f64>) {
    (0..documents)
        .map(|_| {
            let common = normal(random);
            let mut score = || (common + normal(random)) / std::f64::consts::SQRT_2 - shift;
            (score(), score())
        })
        .unzip()
}
