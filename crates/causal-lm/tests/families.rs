//! Parity with transformers and peft, family by family, on fixtures made by `scripts/fixtures/families.py`.
//!
//! `cargo test -p causal-lm --test families -- --nocapture` prints the largest relative error of each check.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use causal_lm::{
    CausalLm, LeftPadding, LoraSettings, LoraTargets, load_checkpoint, weights, write_adapter_folder,
};
use tch::{Device, Kind, Reduction, Tensor};
use torch_device::ComputePath;

/// The families, and variants that take a branch of their own.
const MODELS: &[&str] = &[
    "gpt2",
    "gpt2-scaled-by-layer",
    "gpt_neo",
    "gpt_neox",
    "gpt_neox-sequential",
    "llama",
    "llama3-sharded",
    "qwen2",
    "qwen2-windowed",
    "qwen3",
    "mistral",
    "smollm3",
    "granite",
    "olmo2",
    "phi3",
    "phi3-longrope",
    "gemma2",
    "gemma3_text",
    "ministral",
];

const ADAPTERS: [&str; 3] = ["default", "all-linear", "dora"];

/// Largest error allowed, relative to the largest value compared. bf16 keeps 8 bits of a number, so that one rounding errs by
/// up to 0.4%, and logits have gone through dozens; what is held to a bound of its own is so, the rest to this.
fn tolerance(kind: Kind) -> f64 {
    if kind == Kind::Float { 1e-4 } else { 1e-1 }
}

/// How much farther from exact arithmetic than transformers' own bf16 ours may be.
const BF16_AGAINST_THEIRS: f64 = 2.0;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/families")
        .join(name)
}

/// One model in one precision, and what transformers makes of it.
struct Case {
    name: &'static str,
    kind: Kind,
    expected: BTreeMap<String, Tensor>,
    /// The error of transformers' own bf16 in the check that is being recorded.
    theirs: Option<f64>,
    /// What was checked, and the largest relative error.
    errors: Vec<(&'static str, f64)>,
}

impl Case {
    fn new(name: &'static str, kind: Kind) -> Self {
        let file = fixture(name).join("expected.safetensors");
        Self {
            name,
            kind,
            expected: weights::read(&file, Kind::Float, Device::Cpu).unwrap(),
            theirs: None,
            errors: Vec::new(),
        }
    }

    fn model(&self) -> CausalLm {
        CausalLm::load(&fixture(self.name), self.kind, Device::Cpu).unwrap()
    }

    /// What transformers found in exact arithmetic, and in bf16.
    fn goals(&self, keys: &[String]) -> (Vec<Tensor>, Vec<Tensor>) {
        let of = |prefix: &str| {
            let keys = keys.iter();
            keys.map(|key| self.expected[&format!("{prefix}{key}")].shallow_clone())
                .collect()
        };
        (of(""), of("bf16."))
    }

    /// Holds what was `found` to what transformers found under the same `keys`: in float32 to the tolerance, in bf16 to twice
    /// the error that transformers' own bf16 makes, where that is more.
    #[track_caller]
    fn compare_with_transformers(&mut self, what: &'static str, keys: &[String], found: &[Tensor]) {
        let (exact, theirs) = self.goals(keys);
        let error = self.error(what, found, &exact);
        let allowed = match self.kind {
            Kind::Float => tolerance(Kind::Float),
            _ => {
                let theirs = self.error(what, &theirs, &exact);
                self.theirs = Some(theirs);
                (BF16_AGAINST_THEIRS * theirs).max(2e-2)
            }
        };
        self.record(what, error, allowed);
    }

    /// Holds two ways of computing the same to each other.
    #[track_caller]
    fn compare(&mut self, what: &'static str, found: &[Tensor], expected: &[Tensor]) {
        let error = self.error(what, found, expected);
        self.record(what, error, tolerance(self.kind));
    }

    /// The largest error of any tensor, each relative to its largest value.
    #[track_caller]
    fn error(&self, what: &str, found: &[Tensor], expected: &[Tensor]) -> f64 {
        assert_eq!(found.len(), expected.len(), "{}: {what}", self.name);
        let mut largest = 0.0_f64;
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found.size(), expected.size(), "{}: {what}", self.name);
            let difference = (found - expected).abs().max().double_value(&[]);
            assert!(difference.is_finite(), "{}: {what}: not a number", self.name);
            // Some true gradients are 0, where any rounding is infinitely wrong in relative terms.
            let scale = expected.abs().max().double_value(&[]).max(1e-2);
            largest = largest.max(difference / scale);
        }
        largest
    }

    #[track_caller]
    fn record(&mut self, what: &'static str, error: f64, allowed: f64) {
        assert!(
            error <= allowed,
            "{} in {:?}: {what}: largest relative error {error:.1e}, over {allowed:.1e}",
            self.name,
            self.kind
        );
        // Lines that scripts/parity.py collects.
        let precision = if self.kind == Kind::Float {
            "float32"
        } else {
            "bf16"
        };
        let measured = serde_json::json!({
            "table": "family", "subject": self.name, "check": what, "precision": precision, "difference": error,
            "allowed": allowed, "theirs": self.theirs.take(),
        });
        println!("parity {measured}");
        self.errors.push((what, error));
    }

    fn logits_loss_and_gradients(&mut self) {
        let tokens = self.expected["tokens"].shallow_clone();
        let mut model = self.model();
        let found = logits(&model, &tokens);
        self.compare_with_transformers("logits", &["logits".to_owned()], &[found]);
        model.tune_all(self.kind).unwrap();
        let loss = mean_loss(&model, &tokens);
        self.compare_with_transformers("loss", &["loss".to_owned()], &[loss.detach()]);
        loss.backward();
        let parameters = model.parameters_mut();
        let keys: Vec<String> = parameters
            .iter()
            .map(|parameter| format!("gradient.{}", parameter.name))
            .collect();
        let found: Vec<Tensor> = parameters
            .iter()
            .map(|parameter| parameter.tensor.grad())
            .collect();
        let gradients = self.expected.keys().filter(|name| name.starts_with("gradient."));
        assert_eq!(keys.len(), gradients.count(), "{}", self.name);
        self.compare_with_transformers("gradients", &keys, &found);
    }

    /// Fifty greedy tokens, each from a cache, against reading everything at once; and in chunks behind a cache.
    fn greedy_and_cache(&mut self) {
        let _guard = tch::no_grad_guard();
        let (prompt, goal) = (
            self.expected["greedy_prompt"].shallow_clone(),
            self.expected["greedy"].shallow_clone(),
        );
        let model = self.model();
        let length = goal.size()[1];
        let mut cache = model.cache(length as usize);
        let (mut tokens, mut next) = (prompt.copy(), prompt);
        let mut cached_logits = Vec::new();
        while tokens.size()[1] < length {
            let hidden = model.hidden(&next, None, Some(&mut cache)).unwrap();
            let cached = model.logits(&hidden.select(1, -1)).unwrap();
            let step = tokens.size()[1];
            // bf16 may turn a narrow lead around; the path stays the one of exact arithmetic.
            next = if self.kind == Kind::Float {
                cached.argmax(-1, true)
            } else {
                goal.narrow(1, step, 1)
            };
            cached_logits.push(cached);
            tokens = Tensor::cat(&[&tokens, &next], 1);
        }
        assert_eq!(tokens, goal, "{}: greedy", self.name);
        if self.kind == Kind::Float {
            self.record("greedy text", 0.0, 0.0);
        }
        let first = length - cached_logits.len() as i64 - 1;
        let whole = logits(&model, &tokens).narrow(1, first, cached_logits.len() as i64);
        let cached = Tensor::stack(&cached_logits, 1);
        self.compare("cached = uncached", &[cached], &[whole]);

        let mut cache = model.cache(length as usize);
        let mut chunks = Vec::new();
        for (start, count) in [(0, 7), (7, 9), (16, length - 16)] {
            let part = tokens.narrow(1, start, count);
            let hidden = model.hidden(&part, None, Some(&mut cache)).unwrap();
            chunks.push(model.logits(&hidden).unwrap());
        }
        let whole = logits(&model, &tokens);
        self.compare("chunks = whole", &[Tensor::cat(&chunks, 1)], &[whole]);
    }

    /// A left-padded batch against transformers, against its rows one by one, and the same with a cache.
    fn padding(&mut self) {
        let _guard = tch::no_grad_guard();
        let tokens = self.expected["padded_tokens"].shallow_clone();
        let mask = &self.expected["padded_mask"];
        let length = tokens.size()[1];
        let counts: Vec<i64> = Vec::try_from(length - mask.sum_dim_intlist(-1, false, Kind::Int64)).unwrap();
        let padding = LeftPadding::new(&counts, Device::Cpu);
        let model = self.model();
        let hidden = model.hidden(&tokens, padding.as_ref(), None).unwrap();
        let together = model.logits(&hidden).unwrap();
        let goal = self.expected["padded_logits"].shallow_clone();
        let own = goal.size()[1];
        let ends = together.narrow(1, length - own, own);
        self.compare("left-padded", &[ends], &[goal.shallow_clone()]);
        let (mut singles, mut batched) = (Vec::new(), Vec::new());
        for (row, &count) in counts.iter().enumerate() {
            let row = row as i64;
            let alone = tokens.narrow(0, row, 1).narrow(1, count, length - count);
            singles.push(logits(&model, &alone));
            batched.push(together.narrow(0, row, 1).narrow(1, count, length - count));
        }
        self.compare("batch = single", &batched, &singles);

        let mut cache = model.cache(length as usize);
        let begun = length - own + 1;
        let _read = model
            .hidden(&tokens.narrow(1, 0, begun), padding.as_ref(), Some(&mut cache))
            .unwrap();
        let mut steps = Vec::new();
        for column in begun..length {
            let hidden = model
                .hidden(&tokens.narrow(1, column, 1), padding.as_ref(), Some(&mut cache))
                .unwrap();
            steps.push(model.logits(&hidden).unwrap());
        }
        let goal = goal.narrow(1, 1, own - 1);
        self.compare("padded, cached", &[Tensor::cat(&steps, 1)], &[goal]);
    }

    /// Documents behind one another, of several lengths and of one, against each alone.
    fn documents(&mut self) {
        let _guard = tch::no_grad_guard();
        let tokens = self.expected["tokens"].narrow(0, 0, 1);
        let length = tokens.size()[1];
        let mut model = self.model();
        let ways = [
            (ComputePath::Host, "documents = single"),
            (ComputePath::Device, "documents together = single"),
        ];
        let layouts = [vec![length, 1, length - 3, 5], vec![6, 6, 6]];
        for (lengths, (path, label)) in layouts.iter().flat_map(|lengths| ways.map(|way| (lengths, way))) {
            model.set_path(path);
            let parts: Vec<Tensor> = lengths
                .iter()
                .map(|&length| tokens.narrow(1, 0, length))
                .collect();
            let together = model
                .packed_forward(&Tensor::cat(&parts, 1).view([-1]), lengths, false)
                .unwrap()
                .hidden()
                .unwrap();
            let alone: Vec<Tensor> = parts
                .iter()
                .map(|part| model.hidden(part, None, None).unwrap().squeeze_dim(0))
                .collect();
            self.compare(label, &[together], &[Tensor::cat(&alone, 0)]);
        }
    }

    /// Adapters that peft wrote give its logits, also merged, and are written as peft wrote them.
    fn adapters(&mut self) {
        let _guard = tch::no_grad_guard();
        let tokens = self.expected["tokens"].narrow(0, 0, 1);
        let plain = logits(&self.model(), &tokens);
        let (mut read, mut merged, mut written) = (Vec::new(), Vec::new(), Vec::new());
        for adapter in ADAPTERS {
            let folder = fixture(self.name).join(format!("adapter-{adapter}"));
            let (mut model, _) = load_checkpoint(&folder, None, self.kind, Device::Cpu).unwrap();
            let unmerged = logits(&model, &tokens);
            let effect = (&plain - &unmerged).abs().max().double_value(&[]);
            assert!(effect > 0.1, "{}: {adapter} has no effect to compare", self.name);

            let copy = tempfile::tempdir().unwrap();
            let base = fixture(self.name);
            write_adapter_folder(&mut model, copy.path(), base.to_str().unwrap(), &base).unwrap();
            same_adapter(copy.path(), &folder);
            let (again, _) = load_checkpoint(copy.path(), None, self.kind, Device::Cpu).unwrap();
            written.push(logits(&again, &tokens));

            model.merge().unwrap();
            merged.push(logits(&model, &tokens));
            read.push(unmerged);
        }
        let keys = ADAPTERS.map(|adapter| format!("{adapter}_logits"));
        self.compare_with_transformers("adapter in", &keys, &read);
        self.compare("adapter out", &written, &read);
        self.compare_with_transformers("merged", &keys, &merged);
    }
}

fn logits(model: &CausalLm, tokens: &Tensor) -> Tensor {
    let _guard = tch::no_grad_guard();
    model.logits(&model.hidden(tokens, None, None).unwrap()).unwrap()
}

fn mean_loss(model: &CausalLm, tokens: &Tensor) -> Tensor {
    let vocabulary = model.config.vocabulary as i64;
    let length = tokens.size()[1];
    let logits = model.logits(&model.hidden(tokens, None, None).unwrap()).unwrap();
    let predicted = logits.narrow(1, 0, length - 1).reshape([-1, vocabulary]);
    let target = tokens.narrow(1, 1, length - 1).reshape([-1]);
    predicted.cross_entropy_loss(&target, None::<Tensor>, Reduction::Mean, -100, 0.0)
}

/// Both folders hold the same tensors under the same names, and settings that peft reads alike.
#[track_caller]
fn same_adapter(written: &Path, original: &Path) {
    let read = |folder: &Path| {
        let file = folder.join("adapter_model.safetensors");
        weights::read(&file, Kind::Float, Device::Cpu).unwrap()
    };
    let (ours, theirs) = (read(written), read(original));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (name, tensor) in &ours {
        assert_eq!(tensor, &theirs[name], "{name}");
    }
    let config = |folder: &Path| -> serde_json::Value {
        let text = std::fs::read_to_string(folder.join("adapter_config.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let (ours, theirs) = (config(written), config(original));
    for key in [
        "peft_type",
        "task_type",
        "r",
        "lora_alpha",
        "fan_in_fan_out",
        "use_rslora",
        "use_dora",
        "bias",
        "rank_pattern",
        "alpha_pattern",
        "layers_to_transform",
        "modules_to_save",
    ] {
        let number = |value: &serde_json::Value| value.as_f64();
        assert!(
            ours[key] == theirs[key]
                || number(&ours[key]).is_some() && number(&ours[key]) == number(&theirs[key]),
            "{}: {key}: {} against {}",
            original.display(),
            ours[key],
            theirs[key]
        );
    }
}

fn checked(name: &'static str, kind: Kind) -> Case {
    let mut case = Case::new(name, kind);
    case.logits_loss_and_gradients();
    case.greedy_and_cache();
    case.padding();
    case.documents();
    case.adapters();
    case
}

fn table(kind: Kind) {
    let cases: Vec<Case> = MODELS.iter().map(|name| checked(name, kind)).collect();
    let columns: Vec<&str> = cases[0].errors.iter().map(|(what, _)| *what).collect();
    println!("| {kind:?} | {} |", columns.join(" | "));
    println!("|{}", "---|".repeat(columns.len() + 1));
    for case in &cases {
        let errors: Vec<String> = case
            .errors
            .iter()
            .map(|(_, error)| format!("{error:.1e}"))
            .collect();
        println!("| {} | {} |", case.name, errors.join(" | "));
    }
}

#[test]
fn every_family_agrees_with_transformers_and_peft_in_float32() {
    table(Kind::Float);
}

#[test]
fn every_family_agrees_with_transformers_and_peft_in_bf16() {
    table(Kind::BFloat16);
}

#[test]
fn files_in_half_precision_are_read_into_the_precision_asked_for() {
    for name in ["llama-bf16", "llama-fp16"] {
        let mut case = Case::new(name, Kind::Float);
        let tokens = case.expected["tokens"].shallow_clone();
        let goal = case.expected["logits"].shallow_clone();
        let found = logits(&case.model(), &tokens);
        case.compare("logits", &[found], &[goal]);
    }
}

#[test]
fn modules_that_were_trained_whole_beside_an_adapter_are_read() {
    let mut case = Case::new("llama", Kind::Float);
    let folder = fixture("llama/adapter-whole-modules");
    let (model, _) = load_checkpoint(&folder, None, Kind::Float, Device::Cpu).unwrap();
    let found = logits(&model, &case.expected["tokens"].narrow(0, 0, 1));
    let goal = case.expected["whole-modules_logits"].shallow_clone();
    case.compare("logits", &[found], &[goal]);
}

#[test]
fn targets_are_chosen_as_peft_chooses_them() {
    let names = |names: &[&str]| LoraTargets::Names(names.iter().map(|&name| name.to_owned()).collect());
    let of = |targets: LoraTargets, change: fn(&mut LoraSettings)| {
        let mut model = Case::new("llama", Kind::Float).model();
        let mut settings = LoraSettings::new(2, 4.0);
        settings.modules.targets = targets;
        change(&mut settings);
        model.tune_lora(&settings, 0, Kind::Float).unwrap()
    };
    let nothing: fn(&mut LoraSettings) = |_| ();
    assert_eq!(of(LoraTargets::FamilyDefault, nothing).len(), 4);
    assert_eq!(of(LoraTargets::AllLinear, nothing).len(), 14);
    assert_eq!(of(names(&["q_proj", "layers.1.mlp.up_proj"]), nothing).len(), 3);
    // A name is the end of a path after a dot, never a part of a word.
    assert_eq!(of(names(&["proj", "o_proj"]), nothing).len(), 2);
    let pattern = |text: &str| LoraTargets::Pattern(text.to_owned());
    assert_eq!(of(pattern(r".*\.mlp\.(up|down)_proj"), nothing).len(), 4);
    // The whole path has to fit; what Python's expressions can look ahead for is understood.
    assert_eq!(
        of(pattern(r"(?!.*layers\.0).*self_attn\.[qk]_proj"), nothing),
        [
            "model.layers.1.self_attn.q_proj",
            "model.layers.1.self_attn.k_proj"
        ]
    );
    assert_eq!(
        of(LoraTargets::AllLinear, |settings| settings.modules.blocks =
            vec![1])
        .len(),
        7
    );
    let excluded = of(LoraTargets::AllLinear, |settings| {
        settings.modules.excluded = Some(LoraTargets::Names(vec!["o_proj".to_owned()]));
    });
    assert_eq!(excluded.len(), 12);
}

#[test]
fn default_targets_are_those_of_peft() {
    for name in MODELS {
        let model = Case::new(name, Kind::Float).model();
        let config = fixture(name).join("adapter-default/adapter_config.json");
        let config: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(config).unwrap()).unwrap();
        let targets = serde_json::json!(model.config.spec.lora_targets);
        assert_eq!(targets, config["target_modules"], "{name}");
    }
}

/// Gemma's √width is rounded to the precision of the table; √20 is 4.4721, and 4.46875 in bf16.
#[test]
fn embeddings_are_scaled_by_the_rounded_root_of_the_width() {
    for (kind, factor) in [(Kind::Float, 20.0_f64.sqrt()), (Kind::BFloat16, 4.46875)] {
        let model = Case::new("gemma2", kind).model();
        let tokens = Tensor::from_slice(&[3_i64, 7]);
        let scaled = model.packed_forward(&tokens, &[2], false).unwrap();
        let found = scaled.embedded().squeeze_dim(0).to_kind(Kind::Double);
        let table = model.embed(&tokens).unwrap().to_kind(Kind::Double);
        let expected = (table * factor).to_kind(kind).to_kind(Kind::Double);
        assert!(found.allclose(&expected, 1e-6, 0.0, false), "{kind:?}");
    }
}

#[test]
fn head_only_tuning_writes_the_head_under_its_familys_name() {
    for (name, head) in [
        ("gpt_neox", "embed_out.weight"),
        ("llama3-sharded", "lm_head.weight"),
        ("qwen2", "lm_head.weight"),
        ("granite", "lm_head.weight"),
    ] {
        let mut model = Case::new(name, Kind::Float).model();
        model.tune_head(Kind::Float).unwrap();
        let names: Vec<String> = model.trainable().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [head], "{name}");
        {
            let _guard = tch::no_grad_guard();
            let _ = model.trainable().remove(0).1.f_mul_scalar_(2.0).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        causal_lm::write_model_folder(&mut model, folder.path(), Kind::Float, &fixture(name)).unwrap();
        let again = CausalLm::load(folder.path(), Kind::Float, Device::Cpu).unwrap();
        let mut case = Case::new(name, Kind::Float);
        let found = logits(&again, &case.expected["tokens"]);
        let goal = &case.expected["logits"] * 2.0;
        case.compare("twice the head", &[found], &[goal]);
    }
}
