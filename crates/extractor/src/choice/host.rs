//! Choice on the host: logits are copied to it in every step. On the CPU they are there already.

use contract::Error;
use tch::{Device, Tensor};

use super::{NextToken, Row, TokenChoice, Written};
use crate::batch::Logits;
use crate::sampling::SamplingParams;

/// Rows whose tokens the host chooses one by one.
#[derive(Debug)]
pub(crate) struct HostChoice {
    rows: Vec<Row>,
    written: Vec<Written>,
    /// The rows that the batch still has, by their number at the start.
    active: Vec<usize>,
    end_tokens: Vec<i64>,
    device: Device,
}

impl HostChoice {
    pub(crate) fn new(rows: Vec<Row>, end_tokens: &[i64], device: Device) -> Self {
        Self {
            written: vec![Written::default(); rows.len()],
            active: (0..rows.len()).collect(),
            rows,
            end_tokens: end_tokens.to_vec(),
            device,
        }
    }
}

impl TokenChoice for HostChoice {
    fn choose(&mut self, logits: &Tensor) -> Result<Tensor, Error> {
        let logits = Logits::of(logits)?;
        let mut next = Vec::with_capacity(self.active.len());
        for (place, &number) in self.active.iter().enumerate() {
            let (row, written) = (&self.rows[number], &mut self.written[number]);
            if written.ended {
                next.push(self.end_tokens.first().copied().unwrap_or(0));
                continue;
            }
            let Some(&uniform) = row.uniforms.get(written.tokens.len()) else {
                let problem = format!("row {number} was given all of its {} tokens", row.uniforms.len());
                return Err(Error::Run(problem));
            };
            let token = row.params.draw(logits.row(place), uniform);
            written.logprobs.push(logits.logprob(place, token));
            written.tokens.push(token as i64);
            written.ended = self.end_tokens.contains(&(token as i64));
            next.push(token as i64);
        }
        Ok(Tensor::f_from_slice(&next)
            .and_then(|next| next.f_to_device(self.device))
            .map_err(causal_lm::Error::from)?)
    }

    fn running(&self) -> Result<Option<Vec<i64>>, Error> {
        let places = (0..self.active.len()).filter(|&place| !self.written[self.active[place]].ended);
        Ok(Some(places.map(|place| place as i64).collect()))
    }

    fn select(&mut self, places: &[i64]) -> Result<(), Error> {
        self.active = places.iter().map(|&place| self.active[place as usize]).collect();
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Written>, Error> {
        Ok(self.written)
    }
}

pub(super) fn next_tokens(
    logits: &Tensor,
    params: &[SamplingParams],
    most: usize,
) -> Result<Vec<Vec<NextToken>>, Error> {
    let logits = Logits::of(logits)?;
    let of_row = |(row, params): (usize, &SamplingParams)| {
        let entries = params.distribution(logits.row(row)).into_iter();
        let mut tokens: Vec<NextToken> = entries
            .map(|entry| NextToken {
                token: entry.token as i64,
                log_probability: entry.probability.ln(),
                logprob: logits.logprob(row, entry.token),
            })
            .collect();
        let order = |first: &NextToken, second: &NextToken| {
            let by_probability = second.log_probability.total_cmp(&first.log_probability);
            by_probability.then(first.token.cmp(&second.token))
        };
        if most < tokens.len() {
            tokens.select_nth_unstable_by(most, order);
            tokens.truncate(most);
        }
        tokens.sort_unstable_by(order);
        tokens
    };
    Ok(params.iter().enumerate().map(of_row).collect())
}
