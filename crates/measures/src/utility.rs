//! How useful is the model still? Held-out loss, and what it comes to as perplexity and bits per byte.
//!
//! Published perplexities disagree mostly in what they count, so the conventions are pinned here. A text is
//! read in windows; with a stride shorter than the window a token is counted once, in the first window
//! that reaches it, and the tokens before it are context. The first token of a text is counted only if a
//! BOS token precedes it, and that token itself never is. An end-of-text token
//! is counted if and only if the model was trained to give it.

use std::f64::consts::LN_2;

use crate::error::{MeasureError, Result, require};

/// The loss of some tokens: of a batch, a window or a document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanLoss {
    /// Mean over the counted tokens, in nats per token.
    pub nats_per_token: f64,
    /// How many tokens were counted.
    pub tokens: u64,
}

/// Mean loss over all tokens of several batches: Σ loss·tokens / Σ tokens.
///
/// In nats per token, 0 and up. Not the mean of the batches' means, which would weigh the tokens of a short
/// last batch more than the others.
///
/// # Errors
/// If the batches hold no tokens between them, or a loss is negative or NaN.
pub fn token_weighted_loss(batches: &[MeanLoss]) -> Result<f64> {
    let mut nats = 0.0;
    let mut tokens = 0.0;
    for batch in batches.iter().filter(|batch| batch.tokens > 0) {
        require_loss(batch.nats_per_token)?;
        nats += batch.nats_per_token * batch.tokens as f64;
        tokens += batch.tokens as f64;
    }
    if tokens == 0.0 {
        return Err(MeasureError::TooFew {
            what: "tokens",
            needed: 1,
            found: 0,
        });
    }
    Ok(nats / tokens)
}

/// Perplexity of a token-weighted mean loss: exp(loss).
///
/// 1 and up, in equally likely tokens; infinite for losses over 709 nats. Comparable only between models with
/// the same tokenizer. Source: Jelinek et al. 1977.
///
/// # Errors
/// If the loss is negative or NaN.
pub fn perplexity(nats_per_token: f64) -> Result<f64> {
    require_loss(nats_per_token)?;
    Ok(nats_per_token.exp())
}

/// Bits per byte: loss · tokens / (ln 2 · bytes), for a text of so many UTF-8 bytes.
///
/// 0 and up. The tokenizer cancels out, so this is the figure that compares models with different ones;
/// the bytes must be those of the counted tokens. Source: Gao et al. 2020.
///
/// # Errors
/// If there are no bytes, or the loss is negative or NaN.
pub fn bits_per_byte(loss: MeanLoss, utf8_bytes: u64) -> Result<f64> {
    require_loss(loss.nats_per_token)?;
    require(utf8_bytes > 0, "utf8_bytes", "at least 1", utf8_bytes as f64)?;
    if loss.tokens == 0 {
        return Err(MeasureError::TooFew {
            what: "tokens",
            needed: 1,
            found: 0,
        });
    }
    Ok(loss.nats_per_token * loss.tokens as f64 / (LN_2 * utf8_bytes as f64))
}

fn require_loss(nats_per_token: f64) -> Result<()> {
    require(
        nats_per_token >= 0.0,
        "nats_per_token",
        "a loss, 0 or more",
        nats_per_token,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_weigh_the_same_whatever_their_batch() {
        // (2·30 + 4·10) / 40 = 2.5; the mean of the means would be 3.
        let batches = [
            MeanLoss {
                nats_per_token: 2.0,
                tokens: 30,
            },
            MeanLoss {
                nats_per_token: 4.0,
                tokens: 10,
            },
            MeanLoss {
                nats_per_token: f64::NAN,
                tokens: 0,
            },
        ];
        assert_eq!(token_weighted_loss(&batches), Ok(2.5));
        assert!(token_weighted_loss(&[]).is_err());
        assert!(token_weighted_loss(&batches[2..]).is_err());
        assert!(
            token_weighted_loss(&[MeanLoss {
                nats_per_token: f64::NAN,
                tokens: 1
            }])
            .is_err()
        );
    }

    #[test]
    fn perplexity_is_the_number_of_equally_likely_tokens() {
        // A uniform guess among eight costs ln 8 nats.
        assert!((perplexity(8.0_f64.ln()).unwrap() - 8.0).abs() < 1e-12);
        assert_eq!(perplexity(0.0), Ok(1.0));
        assert!(perplexity(-0.1).is_err());
        assert!(perplexity(f64::NAN).is_err());
    }

    #[test]
    fn bits_per_byte_forgets_the_tokenizer() {
        // 100 tokens at ln 16 nats, 4 bits each, over 500 bytes.
        let coarse = MeanLoss {
            nats_per_token: 16.0_f64.ln(),
            tokens: 100,
        };
        // The same text in twice as many tokens at half the loss.
        let fine = MeanLoss {
            nats_per_token: 4.0_f64.ln(),
            tokens: 200,
        };
        for loss in [coarse, fine] {
            assert!((bits_per_byte(loss, 500).unwrap() - 0.8).abs() < 1e-12);
        }
        assert!(bits_per_byte(coarse, 0).is_err());
        assert!(
            bits_per_byte(
                MeanLoss {
                    nats_per_token: 1.0,
                    tokens: 0
                },
                500
            )
            .is_err()
        );
    }
}
