//! GPT-2 (Radford et al. 2019): learned positions, pre-norm blocks, fused query-key-value, tanh GELU, tied head.
//! Weights of its linear layers lie `[in, out]`.

use tch::{Device, Kind, Tensor};

use super::{Decoder, Source, normal};
use crate::linear::{Layout, Linear, cast};
use crate::{Config, Error, KvCache, LeftPadding};

/// The body of a GPT-2.
#[derive(Debug)]
pub(crate) struct Gpt2 {
    token_embedding: Tensor,
    position_embedding: Tensor,
    blocks: Vec<Block>,
    final_norm: Norm,
    heads: i64,
}

#[derive(Debug)]
struct Block {
    first_norm: Norm,
    attention_in: Linear,
    attention_out: Linear,
    second_norm: Norm,
    expand: Linear,
    contract: Linear,
}

#[derive(Debug)]
struct Norm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl Norm {
    fn forward(&self, input: &Tensor) -> Result<Tensor, Error> {
        let (weight, bias) = (cast(&self.weight, input.kind())?, cast(&self.bias, input.kind())?);
        Ok(input.f_layer_norm(
            self.weight.size(),
            Some(&weight),
            Some(&bias),
            self.epsilon,
            false,
        )?)
    }
}

impl Gpt2 {
    pub(crate) const PREFIX: &'static str = "transformer.";

    pub(crate) fn load(config: &Config, source: &mut Source) -> Result<Self, Error> {
        Self::build(config, &mut |name, shape, _| source.take(name, shape))
    }

    /// A new model: normal weights of deviation 0.02, residual projections scaled by 1/√(2 · layers), biases 0, norms 1.
    pub(crate) fn random(config: &Config, device: Device) -> Result<Self, Error> {
        let residual = 0.02 / (2.0 * config.layers as f64).sqrt();
        Self::build(config, &mut |_, shape, start| match start {
            Start::Zero => Ok(Tensor::f_zeros(shape, (Kind::Float, device))?),
            Start::One => Ok(Tensor::f_ones(shape, (Kind::Float, device))?),
            Start::Normal => normal(shape, 0.02, device),
            Start::Residual => normal(shape, residual, device),
        })
    }

    fn build(
        config: &Config,
        take: &mut dyn FnMut(&str, &[i64], Start) -> Result<Tensor, Error>,
    ) -> Result<Self, Error> {
        let (width, inner) = (config.width as i64, config.inner_width as i64);
        let mut blocks = Vec::with_capacity(config.layers);
        let token_embedding = take(
            "transformer.wte.weight",
            &[config.vocabulary as i64, width],
            Start::Normal,
        )?;
        let position_embedding = take(
            "transformer.wpe.weight",
            &[config.context as i64, width],
            Start::Normal,
        )?;
        for layer in 0..config.layers {
            let path = |name: &str| format!("transformer.h.{layer}.{name}");
            let mut norm = |name: &str| -> Result<Norm, Error> {
                Ok(Norm {
                    weight: take(&path(&format!("{name}.weight")), &[width], Start::One)?,
                    bias: take(&path(&format!("{name}.bias")), &[width], Start::Zero)?,
                    epsilon: config.norm_epsilon,
                })
            };
            let (first_norm, second_norm) = (norm("ln_1")?, norm("ln_2")?);
            let mut linear = |name: &str, from: i64, to: i64, start: Start| -> Result<Linear, Error> {
                let weight = take(&path(&format!("{name}.weight")), &[from, to], start)?;
                let bias = take(&path(&format!("{name}.bias")), &[to], Start::Zero)?;
                Ok(Linear::new(weight, Some(bias), Layout::InOut))
            };
            blocks.push(Block {
                first_norm,
                attention_in: linear("attn.c_attn", width, 3 * width, Start::Normal)?,
                attention_out: linear("attn.c_proj", width, width, Start::Residual)?,
                second_norm,
                expand: linear("mlp.c_fc", width, inner, Start::Normal)?,
                contract: linear("mlp.c_proj", inner, width, Start::Residual)?,
            });
        }
        let final_norm = Norm {
            weight: take("transformer.ln_f.weight", &[width], Start::One)?,
            bias: take("transformer.ln_f.bias", &[width], Start::Zero)?,
            epsilon: config.norm_epsilon,
        };
        Ok(Self {
            token_embedding,
            position_embedding,
            blocks,
            final_norm,
            heads: config.heads as i64,
        })
    }

    fn attend(
        &self,
        layer: usize,
        input: &Tensor,
        mask: Option<&Tensor>,
        cache: Option<&mut KvCache>,
        training: bool,
    ) -> Result<Tensor, Error> {
        let block = &self.blocks[layer];
        let (rows, length, width) = input.size3()?;
        let split = block
            .attention_in
            .forward(input, training)?
            .f_view([rows, length, 3, self.heads, width / self.heads])?
            .f_permute([2, 0, 3, 1, 4])?
            .f_unbind(0)?;
        let [query, keys, values] = &split[..] else {
            unreachable!("a tensor of 3 unbinds into 3")
        };
        // LibTorch aligns a causal mask with the first key, so it is asked for only where nothing is cached yet.
        let nothing_cached = cache.as_ref().is_none_or(|cache| cache.is_empty());
        let causal = mask.is_none() && nothing_cached && length > 1;
        let attended = match cache {
            Some(cache) => {
                let (keys, values) = cache.append(layer, keys, values)?;
                Tensor::f_scaled_dot_product_attention(query, &keys, &values, mask, 0.0, causal, None, false)?
            }
            None => {
                Tensor::f_scaled_dot_product_attention(query, keys, values, mask, 0.0, causal, None, false)?
            }
        };
        let joined = attended.f_transpose(1, 2)?.f_reshape([rows, length, width])?;
        block.attention_out.forward(&joined, training)
    }
}

/// A block's linear layers, in the order of its fields.
const LINEAR_NAMES: [&str; 4] = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"];

/// How a parameter of a new model starts.
#[derive(Debug, Clone, Copy)]
enum Start {
    Zero,
    One,
    Normal,
    Residual,
}

impl Decoder for Gpt2 {
    fn hidden(
        &self,
        tokens: &Tensor,
        padding: Option<&LeftPadding>,
        mut cache: Option<&mut KvCache>,
        compute: Kind,
        training: bool,
    ) -> Result<Tensor, Error> {
        let (_, length) = tokens.size2()?;
        let past = cache.as_ref().map_or(0, |cache| cache.len());
        let context = self.position_embedding.size()[0];
        if past + length > context {
            let problem = format!(
                "{} tokens do not fit into the model's context of {context}",
                past + length
            );
            return Err(contract::Error::Run(problem).into());
        }
        let positions = match padding {
            Some(padding) => Tensor::f_embedding(
                &self.position_embedding,
                &padding.positions(past, length)?,
                -1,
                false,
                false,
            )?,
            None => self
                .position_embedding
                .f_narrow(0, past, length)?
                .f_unsqueeze(0)?,
        };
        let mask = match padding {
            Some(padding) => Some(padding.mask(past, length)?),
            // Several tokens after a cache: each sees the whole cache and its elders among the new.
            None if past > 0 && length > 1 => {
                Some(Tensor::f_ones([length, past + length], (Kind::Bool, tokens.device()))?.f_tril(past)?)
            }
            None => None,
        };
        let embedded = Tensor::f_embedding(&self.token_embedding, tokens, -1, false, false)?;
        let mut stream = cast(&embedded.f_add(&positions)?, compute)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let attended = self.attend(
                layer,
                &block.first_norm.forward(&stream)?,
                mask.as_ref(),
                cache.as_deref_mut(),
                training,
            )?;
            stream = stream.f_add(&attended)?;
            let expanded = block
                .expand
                .forward(&block.second_norm.forward(&stream)?, training)?
                .f_gelu("tanh")?;
            stream = stream.f_add(&block.contract.forward(&expanded, training)?)?;
        }
        if let Some(cache) = cache {
            cache.advance(length);
        }
        self.final_norm.forward(&stream)
    }

    fn embedding(&self) -> &Tensor {
        &self.token_embedding
    }

    fn parameters_mut(&mut self) -> Vec<(String, &mut Tensor)> {
        let mut parameters = vec![
            ("transformer.wte.weight".to_owned(), &mut self.token_embedding),
            ("transformer.wpe.weight".to_owned(), &mut self.position_embedding),
        ];
        for (layer, block) in self.blocks.iter_mut().enumerate() {
            let Block {
                first_norm,
                attention_in,
                attention_out,
                second_norm,
                expand,
                contract,
            } = block;
            let path = |name: &str| format!("transformer.h.{layer}.{name}");
            for (name, norm) in [("ln_1", first_norm), ("ln_2", second_norm)] {
                parameters.push((path(&format!("{name}.weight")), &mut norm.weight));
                parameters.push((path(&format!("{name}.bias")), &mut norm.bias));
            }
            for (name, linear) in
                LINEAR_NAMES
                    .into_iter()
                    .zip([attention_in, attention_out, expand, contract])
            {
                parameters.push((path(&format!("{name}.weight")), &mut linear.weight));
                parameters.extend(
                    linear
                        .bias
                        .as_mut()
                        .map(|bias| (path(&format!("{name}.bias")), bias)),
                );
            }
        }
        parameters.push(("transformer.ln_f.weight".to_owned(), &mut self.final_norm.weight));
        parameters.push(("transformer.ln_f.bias".to_owned(), &mut self.final_norm.bias));
        parameters
    }

    fn linears_mut(&mut self) -> Vec<(String, &mut Linear)> {
        let mut linears = Vec::new();
        for (layer, block) in self.blocks.iter_mut().enumerate() {
            let Block {
                attention_in,
                attention_out,
                expand,
                contract,
                ..
            } = block;
            for (name, linear) in
                LINEAR_NAMES
                    .into_iter()
                    .zip([attention_in, attention_out, expand, contract])
            {
                linears.push((format!("transformer.h.{layer}.{name}"), linear));
            }
        }
        linears
    }
}
