//! Tail probabilities and quantiles of the distributions that intervals and tests rest on.

/// A continued fraction has converged where a step changes it by less than this, relatively.
const CONVERGED: f64 = 1e-15;

/// Steps after which a series or continued fraction is taken as it is; those here converge in about √n.
const MAX_STEPS: usize = 100_000;

/// The smallest denominator of a continued fraction: keeps Lentz's method from dividing by 0.
const TINY: f64 = 1e-300;

/// P(Z > z) of a standard normal Z.
pub(crate) fn normal_upper_tail(z: f64) -> f64 {
    0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
}

/// ln P(Z > z) of a standard normal Z, also where the probability is below all numbers.
pub(crate) fn ln_normal_upper_tail(z: f64) -> f64 {
    if z < 20.0 {
        return normal_upper_tail(z).ln();
    }
    // The asymptotic series; at 20 its next term is 4e-9 of the whole.
    let square = z * z;
    let series = 1.0 - (1.0 - (3.0 - 15.0 / square) / square) / square;
    -0.5 * square - (z * (2.0 * std::f64::consts::PI).sqrt()).ln() + series.ln()
}

/// P(X > successes) + ½ P(X = successes) of a binomial X: the mid-P upper tail.
pub(crate) fn binomial_mid_p_upper_tail(successes: u64, trials: u64, probability: f64) -> f64 {
    f64::midpoint(
        binomial_upper_tail(successes, trials, probability),
        binomial_upper_tail(successes + 1, trials, probability),
    )
}

/// P(X ≥ successes) of a binomial X.
pub(crate) fn binomial_upper_tail(successes: u64, trials: u64, probability: f64) -> f64 {
    match successes {
        0 => 1.0,
        successes if successes > trials => 0.0,
        successes => incomplete_beta(successes as f64, (trials - successes) as f64 + 1.0, probability),
    }
}

/// ln (n choose k).
pub(crate) fn ln_binomial(n: u64, k: u64) -> f64 {
    libm::lgamma(n as f64 + 1.0) - libm::lgamma(k as f64 + 1.0) - libm::lgamma((n - k) as f64 + 1.0)
}

/// The value that Student's t exceeds with a probability of 2.5%.
///
/// `degrees_of_freedom` above 0. By bisection on P(T > t) = ½ I(ν / (ν + t²); ν/2, ½).
pub(crate) fn student_t_97_5(degrees_of_freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while student_t_upper_tail(high, degrees_of_freedom) > 0.025 {
        high *= 2.0;
    }
    // 50 halvings leave 1e-13 of the largest quantile.
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if student_t_upper_tail(middle, degrees_of_freedom) > 0.025 {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// P(T > t) of Student's t.
pub(crate) fn student_t_upper_tail(t: f64, degrees_of_freedom: f64) -> f64 {
    let x = degrees_of_freedom / (degrees_of_freedom + t * t);
    let beyond = 0.5 * incomplete_beta(degrees_of_freedom / 2.0, 0.5, x);
    if t >= 0.0 { beyond } else { 1.0 - beyond }
}

/// The regularised incomplete beta function I(x; a, b), a and b above 0, x within 0 and 1.
///
/// Continued fraction by Lentz's method; source: Press et al. 2007, section 6.4.
pub(crate) fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let ln_front = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * x.ln() + b * (-x).ln_1p();
    // The fraction converges quickly below the mean only; the other side follows by symmetry.
    if x < (a + 1.0) / (a + b + 2.0) {
        (ln_front.exp() * beta_fraction(a, b, x) / a).clamp(0.0, 1.0)
    } else {
        (1.0 - ln_front.exp() * beta_fraction(b, a, 1.0 - x) / b).clamp(0.0, 1.0)
    }
}

// The letters are those of the source.
#[expect(clippy::many_single_char_names)]
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..MAX_STEPS {
        let m = step as f64;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < CONVERGED {
            break;
        }
    }
    fraction
}

/// P(X > x) of a gamma variable with this shape and scale 1: the regularised upper incomplete gamma function.
///
/// Series below the mean, continued fraction above; source: Press et al. 2007, section 6.2. A χ² variable with ν degrees of
/// freedom exceeds y with the probability at shape ν/2 and x = y/2.
#[expect(clippy::many_single_char_names)]
pub(crate) fn gamma_upper_tail(shape: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let front = (shape * x.ln() - x - libm::lgamma(shape)).exp();
    if x < shape + 1.0 {
        let mut term = 1.0 / shape;
        let mut sum = term;
        for step in 1..MAX_STEPS {
            term *= x / (shape + step as f64);
            sum += term;
            if term < sum * CONVERGED {
                break;
            }
        }
        return (1.0 - front * sum).clamp(0.0, 1.0);
    }
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut b = x + 1.0 - shape;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / away(b);
    let mut fraction = d;
    for step in 1..MAX_STEPS {
        let i = step as f64;
        let a = -i * (i - shape);
        b += 2.0;
        d = 1.0 / away(a * d + b);
        c = away(b + a / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < CONVERGED {
            break;
        }
    }
    (front * fraction).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-9 * expected.abs().max(1.0),
            "{found} {expected}"
        );
    }

    #[test]
    fn student_t_quantiles_are_those_of_the_tables() {
        // One degree of freedom is Cauchy's distribution: tan(.475 π). Two: .95 √(2 / (1 − .95²)).
        assert_close(student_t_97_5(1.0), (0.475 * std::f64::consts::PI).tan());
        assert_close(student_t_97_5(2.0), 0.95 * (2.0_f64 / (1.0 - 0.95 * 0.95)).sqrt());
        for (degrees, expected) in [
            (4.0, 2.776_445),
            (9.0, 2.262_157),
            (29.0, 2.045_230),
            (1e7, 1.959_964),
        ] {
            assert!((student_t_97_5(degrees) - expected).abs() < 1e-6, "{degrees}");
        }
        // Symmetric about 0.
        assert_close(
            student_t_upper_tail(-1.3, 5.0) + student_t_upper_tail(1.3, 5.0),
            1.0,
        );
    }

    #[test]
    fn binomial_tails_agree_with_sums() {
        // Four tosses: P(X ≥ 3) = 5/16, P(X > 3) + ½ P(X = 3) = 1/16 + 2/16.
        assert_close(binomial_upper_tail(3, 4, 0.5), 5.0 / 16.0);
        assert_close(binomial_mid_p_upper_tail(3, 4, 0.5), 3.0 / 16.0);
        assert_close(binomial_mid_p_upper_tail(0, 4, 0.5), 1.0 - 1.0 / 32.0);
        assert_close(binomial_mid_p_upper_tail(4, 4, 0.5), 1.0 / 32.0);
        for (trials, probability) in [(1_u64, 0.3), (7, 0.02), (60, 0.7), (400, 0.5)] {
            let term = |k: u64| {
                let (k, n) = (k as f64, trials as f64);
                (ln_binomial(trials, k as u64)
                    + k * f64::ln(probability)
                    + (n - k) * f64::ln_1p(-probability))
                .exp()
            };
            for successes in 0..=trials {
                let expected: f64 = (successes..=trials).map(term).sum();
                assert_close(binomial_upper_tail(successes, trials, probability), expected);
            }
        }
    }

    #[test]
    fn gamma_tails_agree_with_poisson_sums() {
        // For a whole shape m: e⁻ˣ Σ xʲ/j! over j below m.
        for shape in [1_u32, 2, 5, 24] {
            for x in [0.1, 1.0, 4.5, 20.0, 60.0] {
                let mut term = f64::exp(-x);
                let mut sum = 0.0;
                for j in 0..shape {
                    sum += term;
                    term *= x / f64::from(j + 1);
                }
                assert_close(gamma_upper_tail(shape.into(), x), sum);
            }
        }
        // Shape ½ is the square of a normal: P(Z² > 1.96²) = 5%.
        assert!((gamma_upper_tail(0.5, 1.959_964_f64.powi(2) / 2.0) - 0.05).abs() < 1e-7);
        assert!((normal_upper_tail(1.959_964) - 0.025).abs() < 1e-7);
    }
}
