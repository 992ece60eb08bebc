//! Parity with transformers and peft on small committed fixtures, made by `scripts/fixtures/causal_lm.py`.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use causal_lm::{
    CausalLm, LeftPadding, LoraSettings, LoraTargets, ModuleChoice, load_checkpoint, weights,
    write_adapter_folder, write_model_folder,
};
use tch::{Device, Kind, Reduction, Tensor};

/// Largest difference allowed, relative to the largest value compared.
const TOLERANCE: f64 = 1e-4;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn expected() -> BTreeMap<String, Tensor> {
    weights::read(&fixture("expected.safetensors"), Kind::Float, Device::Cpu).unwrap()
}

fn tiny() -> CausalLm {
    CausalLm::load(&fixture("tiny-gpt2"), Kind::Float, Device::Cpu).unwrap()
}

fn logits(model: &CausalLm, tokens: &Tensor) -> Tensor {
    let _guard = tch::no_grad_guard();
    model.logits(&model.hidden(tokens, None, None).unwrap()).unwrap()
}

#[track_caller]
fn check(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let difference = (found - expected).abs().max().double_value(&[]);
    // Some true gradients are 0, where any rounding is infinitely wrong in relative terms.
    let scale = expected.abs().max().double_value(&[]).max(1e-2);
    assert!(
        // A difference that is not a number is none of at most this much.
        difference <= TOLERANCE * scale,
        "{what}: differs by {difference} where values reach {scale}"
    );
}

fn mean_loss(model: &CausalLm, tokens: &Tensor) -> Tensor {
    let vocabulary = model.config.vocabulary as i64;
    let length = tokens.size()[1];
    let logits = model.logits(&model.hidden(tokens, None, None).unwrap()).unwrap();
    let predicted = logits.narrow(1, 0, length - 1).reshape([-1, vocabulary]);
    let target = tokens.narrow(1, 1, length - 1).reshape([-1]);
    predicted.cross_entropy_loss(&target, None::<Tensor>, Reduction::Mean, -100, 0.0)
}

#[test]
fn logits_and_log_probabilities_are_those_of_transformers() {
    let expected = expected();
    let tokens = &expected["tokens"];
    let found = logits(&tiny(), tokens);
    check("logits", &found, &expected["logits"]);
    let logprobs = found
        .narrow(1, 0, tokens.size()[1] - 1)
        .log_softmax(-1, Kind::Float);
    let next = tokens.narrow(1, 1, tokens.size()[1] - 1).unsqueeze(-1);
    check(
        "logprobs",
        &logprobs.gather(-1, &next, false).squeeze_dim(-1),
        &expected["logprobs"],
    );
}

#[test]
fn a_file_without_prefix_and_with_mask_buffers_is_the_same_model() {
    let expected = expected();
    let model = CausalLm::load(&fixture("tiny-gpt2-unprefixed"), Kind::Float, Device::Cpu).unwrap();
    check(
        "logits",
        &logits(&model, &expected["tokens"]),
        &expected["logits"],
    );
}

#[test]
fn loss_and_every_gradient_are_those_of_transformers() {
    let expected = expected();
    let mut model = tiny();
    model.tune_all(Kind::Float).unwrap();
    let loss = mean_loss(&model, &expected["tokens"]);
    check("loss", &loss, &expected["loss"]);
    loss.backward();
    let mut compared = 0;
    for parameter in model.parameters_mut() {
        check(
            &parameter.name,
            &parameter.tensor.grad(),
            &expected[&format!("gradient.{}", parameter.name)],
        );
        compared += 1;
    }
    assert_eq!(
        compared,
        expected
            .keys()
            .filter(|name| name.starts_with("gradient."))
            .count()
    );
}

#[test]
fn greedy_decoding_with_and_without_cache_is_that_of_transformers() {
    let _guard = tch::no_grad_guard();
    let expected = expected();
    let (prompt, goal) = (&expected["greedy_prompt"], &expected["greedy"]);
    let model = tiny();
    let mut cache = model.cache(goal.size()[1] as usize);
    let (mut tokens, mut next) = (prompt.copy(), prompt.copy());
    while tokens.size()[1] < goal.size()[1] {
        let cached = model.hidden(&next, None, Some(&mut cache)).unwrap();
        let cached = model.logits(&cached.select(1, -1)).unwrap();
        check(
            "cached = uncached",
            &cached,
            &logits(&model, &tokens).select(1, -1),
        );
        next = cached.argmax(-1, true);
        tokens = Tensor::cat(&[&tokens, &next], 1);
    }
    assert_eq!(tokens, *goal);
}

#[test]
fn several_tokens_after_a_cache_see_what_they_would_see_at_once() {
    let _guard = tch::no_grad_guard();
    let expected = expected();
    let tokens = &expected["tokens"];
    let model = tiny();
    let mut cache = model.cache(24);
    for (start, length) in [(0, 7), (7, 9), (16, 8)] {
        let hidden = model
            .hidden(&tokens.narrow(1, start, length), None, Some(&mut cache))
            .unwrap();
        let whole = expected["logits"].narrow(1, start, length);
        check("chunk", &model.logits(&hidden).unwrap(), &whole);
    }
}

/// A batch of more rows, of fewer, of a row taken twice: each behind the other in the same buffers.
#[test]
fn a_cache_that_starts_anew_keeps_its_memory_and_forgets_its_tokens() {
    let _guard = tch::no_grad_guard();
    let expected = expected();
    let tokens = expected["tokens"].narrow(0, 0, 1);
    let (first, second) = (tokens.narrow(1, 0, 8), tokens.narrow(1, 8, 8));
    let model = tiny();
    let mut cache = model.cache(0);
    let mut bytes = Vec::new();
    for (read, places, room) in [
        (&[&first, &second][..], &[1, 0, 1, 1][..], 4),
        (&[&second], &[0, 0], 4),
        (&[&first, &second, &first], &[2], 3),
    ] {
        model.restart(&mut cache, room, 8 + 3);
        assert!(cache.is_empty());
        let prompts = Tensor::cat(read, 0);
        let _read = model.hidden(&prompts, None, Some(&mut cache)).unwrap();
        cache.select(&Tensor::from_slice(places)).unwrap();
        let next =
            Tensor::from_slice(&(0..places.len() as i64).map(|row| 5 + row).collect::<Vec<_>>()).unsqueeze(1);
        let mut written = prompts.index_select(0, &Tensor::from_slice(places));
        for _ in 0..3 {
            let hidden = model.hidden(&next, None, Some(&mut cache)).unwrap();
            written = Tensor::cat(&[&written, &next], 1);
            check(
                "in used memory",
                &model.logits(&hidden.select(1, -1)).unwrap(),
                &logits(&model, &written).select(1, -1),
            );
        }
        bytes.push(cache.bytes());
    }
    assert!(
        bytes[0] > 0 && bytes.iter().all(|held| *held == bytes[0]),
        "{bytes:?}"
    );
    // Rows that do not fit the cache are refused, not read into another's place.
    assert!(
        model
            .hidden(&tokens.narrow(1, 0, 1).repeat([2, 1]), None, Some(&mut cache))
            .is_err()
    );
    // More room than there was.
    model.restart(&mut cache, 6, 40);
    let _read = model
        .hidden(&first.repeat([6, 1]), None, Some(&mut cache))
        .unwrap();
    assert!(cache.bytes() > bytes[0]);
}

#[test]
fn a_left_padded_batch_is_its_rows_one_by_one() {
    let _guard = tch::no_grad_guard();
    let expected = expected();
    let model = tiny();
    let counts: Vec<i64> =
        Vec::try_from(24 - expected["padded_mask"].sum_dim_intlist(-1, false, Kind::Int64)).unwrap();
    let padding = LeftPadding::new(&counts, Device::Cpu);
    let tokens = &expected["padded_tokens"];
    let hidden = model.hidden(tokens, padding.as_ref(), None).unwrap();
    check(
        "at once",
        &model.logits(&hidden.narrow(1, 15, 9)).unwrap(),
        &expected["padded_logits"],
    );
    // The same with a cache, token by token at the end.
    let mut cache = model.cache(24);
    let _begun = model
        .hidden(&tokens.narrow(1, 0, 20), padding.as_ref(), Some(&mut cache))
        .unwrap();
    for column in 20..24 {
        let hidden = model
            .hidden(&tokens.narrow(1, column, 1), padding.as_ref(), Some(&mut cache))
            .unwrap();
        let expected = expected["padded_logits"].narrow(1, column - 15, 1);
        check("with a cache", &model.logits(&hidden).unwrap(), &expected);
    }
}

#[test]
fn adapters_from_peft_give_its_logits_merged_or_not() {
    let expected = expected();
    for (folder, goal) in [
        ("peft-adapter", "peft_logits"),
        ("peft-adapter-all-linear", "peft_all_linear_logits"),
    ] {
        let (mut model, _) = load_checkpoint(&fixture(folder), None, Kind::Float, Device::Cpu).unwrap();
        let tokens = expected["tokens"].narrow(0, 0, 1);
        check(folder, &logits(&model, &tokens), &expected[goal]);
        model.merge().unwrap();
        check(folder, &logits(&model, &tokens), &expected[goal]);
        let plain = logits(&tiny(), &tokens);
        let effect = (plain - &expected[goal]).abs().max().double_value(&[]);
        assert!(effect > 1e-2, "{folder}: the adapter has no effect to compare");
    }
}

#[test]
fn an_adapter_written_here_has_pefts_layout_and_comes_back() {
    let expected = expected();
    let folder = tempfile::tempdir().unwrap();
    let base = fixture("tiny-gpt2");
    let (mut peft, _) = load_checkpoint(&fixture("peft-adapter"), None, Kind::Float, Device::Cpu).unwrap();
    write_adapter_folder(&mut peft, folder.path(), base.to_str().unwrap(), &base).unwrap();
    let read = |folder: &Path| {
        weights::read(
            &folder.join("adapter_model.safetensors"),
            Kind::Float,
            Device::Cpu,
        )
        .unwrap()
    };
    let (written, original) = (read(folder.path()), read(&fixture("peft-adapter")));
    assert_eq!(
        written.keys().collect::<Vec<_>>(),
        original.keys().collect::<Vec<_>>()
    );
    for (name, tensor) in &written {
        assert_eq!(tensor, &original[name], "{name}");
    }
    let config = |folder: &Path| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(folder.join("adapter_config.json")).unwrap()).unwrap()
    };
    let (written, original) = (config(folder.path()), config(&fixture("peft-adapter")));
    for key in [
        "peft_type",
        "task_type",
        "r",
        "fan_in_fan_out",
        "use_rslora",
        "use_dora",
        "bias",
    ] {
        assert_eq!(written[key], original[key], "{key}");
    }
    let (again, _) = load_checkpoint(folder.path(), None, Kind::Float, Device::Cpu).unwrap();
    check(
        "read back",
        &logits(&again, &expected["tokens"].narrow(0, 0, 1)),
        &expected["peft_logits"],
    );
}

#[test]
fn a_fresh_adapter_changes_nothing_and_has_the_size_that_its_rank_says() {
    let expected = expected();
    for (targets, adapted) in [(LoraTargets::FamilyDefault, 2), (LoraTargets::AllLinear, 8)] {
        let mut model = tiny();
        let settings = LoraSettings {
            modules: ModuleChoice::new(targets),
            ..LoraSettings::new(4, 8.0)
        };
        assert_eq!(model.tune_lora(&settings, 0, Kind::Float).unwrap().len(), adapted);
        check(
            "logits",
            &logits(&model, &expected["tokens"]),
            &expected["logits"],
        );
        // r · (in + out) over the layers: c_attn is 16 × 48, c_proj 16 × 16, c_fc 16 × 64, and back.
        let per_layer = if adapted == 2 { 64 } else { 64 + 32 + 80 + 80 };
        let count: usize = model.trainable().iter().map(|(_, tensor)| tensor.numel()).sum();
        assert_eq!(count, 2 * 4 * per_layer);
    }
}

#[test]
fn a_head_tuned_model_is_written_untied_and_comes_back() {
    let expected = expected();
    let folder = tempfile::tempdir().unwrap();
    let mut model = tiny();
    model.tune_head(Kind::Float).unwrap();
    assert_eq!(
        model
            .trainable()
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        ["lm_head.weight"]
    );
    {
        let _guard = tch::no_grad_guard();
        let mut head = model.trainable().remove(0).1;
        let _ = head.f_mul_scalar_(2.0).unwrap();
    }
    write_model_folder(&mut model, folder.path(), Kind::Float, &fixture("tiny-gpt2")).unwrap();
    let again = CausalLm::load(folder.path(), Kind::Float, Device::Cpu).unwrap();
    assert!(!again.config.tied_head);
    // The head doubled doubles the logits; the embedding, which shared its memory before, is as it was.
    check(
        "logits",
        &logits(&again, &expected["tokens"]),
        &(&expected["logits"] * 2.0),
    );
}
