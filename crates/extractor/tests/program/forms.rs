//! With `begin = "auto"` a model that was tuned elsewhere is asked in the form in which its training wrote texts.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use causal_lm::{CausalLm, write_model_folder};
use contract::pipeline::Architecture;
use contract::records::{HeldOutDocument, Sample, TextForm, TrainingInstance};
use contract::{Provenance, parquet};
use extractor::forms::templates;
use tch::{Device, Kind, Tensor};
use text_tokens::TextTokenizer;

use crate::support::{Bench, fixtures, held_out, row, training};

const AUTO: &str = "begin = \"auto\"\n[[extraction.strategy]]\nname = \"greedy\"\ntemperature = 0\n";
const EOS: i64 = 299;

/// Eight texts of words in no order, so that nobody writes one who does not know it; with a prompt where one is asked for.
fn texts(with_prompt: bool) -> Vec<TrainingInstance> {
    let words =
        "amber birch cedar delta ember flint grape heron ivory jetty kelp larch maple north ochre pearl";
    let words: Vec<&str> = words.split(' ').collect();
    let mut state = 7_u64;
    let mut draw = |count: usize| {
        let mut drawn = Vec::new();
        for _ in 0..count {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            drawn.push(words[(state >> 33) as usize % words.len()]);
        }
        drawn.join(" ")
    };
    (0..8)
        .map(|number| {
            let prompt = format!("Where is the {}?\n", draw(3));
            let prompt = if with_prompt { &prompt } else { "" };
            training(&format!("d{number}"), &format!("{}.", draw(14)), prompt)
        })
        .collect()
}

fn unseen(with_prompt: bool) -> Vec<HeldOutDocument> {
    let prompt = if with_prompt {
        "Where is the kelp larch maple?\n"
    } else {
        ""
    };
    vec![held_out(
        "h1",
        "pearl ochre north maple larch kelp jetty ivory heron grape.",
        prompt,
    )]
}

/// A small model that knows texts by heart: each of `texts` behind `bos`, and an EOS.
fn taught(texts: &[String], bos: &[i64]) -> PathBuf {
    let shape = Architecture {
        layers: 2,
        width: 64,
        heads: 2,
        context: 256,
        vocabulary: 300,
    };
    let tokenizer = TextTokenizer::load(&fixtures().join("tiny-gpt2")).unwrap();
    let mut model = CausalLm::random(&shape, EOS, 3, Device::Cpu).unwrap();
    model.tune_all(Kind::Float).unwrap();
    let rows: Vec<Vec<i64>> = texts
        .iter()
        .map(|text| [bos, &tokenizer.encode(text).unwrap(), &[EOS]].concat())
        .collect();
    let longest = rows.iter().map(Vec::len).max().unwrap();
    let padded = rows.iter().map(|row| {
        let padding = std::iter::repeat_n(EOS, longest - row.len());
        row.iter().copied().chain(padding).collect::<Vec<_>>()
    });
    let tokens = Tensor::from_slice(&padded.collect::<Vec<_>>().concat()).view([-1, longest as i64]);
    let last = longest as i64 - 1;
    let (inputs, targets) = (tokens.narrow(1, 0, last), tokens.narrow(1, 1, last));
    // Padding counts for nothing.
    let counts = rows
        .iter()
        .flat_map(|row| (1..longest).map(|place| f32::from(u8::from(place < row.len()))));
    let counts = Tensor::from_slice(&counts.collect::<Vec<_>>()).view([-1, last]);
    let mut moments: Vec<(Tensor, Tensor)> = Vec::new();
    for step in 1..=600 {
        let hidden = model.hidden(&inputs, None, None).unwrap();
        let logprobs = model.logits(&hidden).unwrap().log_softmax(-1, Kind::Float);
        let of_targets = logprobs.gather(-1, &targets.unsqueeze(-1), false).squeeze_dim(-1);
        let nats = -(of_targets * &counts).sum(Kind::Float);
        // Which of the texts it is has to be guessed at the beginning of each: the rest is known.
        let count = texts.len() as f64;
        let unknown = nats.double_value(&[]) / count - count.ln();
        if unknown < 0.5 {
            break;
        }
        assert!(step < 600, "not learned: {unknown} nats of a text");
        let loss = nats / counts.sum(Kind::Float);
        loss.backward();
        let parameters = model.trainable();
        moments.resize_with(parameters.len(), || {
            (
                Tensor::zeros([1], (Kind::Float, Device::Cpu)),
                Tensor::zeros([1], (Kind::Float, Device::Cpu)),
            )
        });
        tch::no_grad(|| {
            // Adam.
            for ((_, parameter), (first, second)) in parameters.into_iter().zip(&mut moments) {
                let (mut parameter, mut gradient) = (parameter.shallow_clone(), parameter.grad());
                *first = &*first * 0.9 + &gradient * 0.1;
                *second = &*second * 0.99 + gradient.square() * 0.01;
                let (one, two) = (1.0 - 0.9_f64.powi(step), 1.0 - 0.99_f64.powi(step));
                let change = (&*first / one) / ((&*second / two).sqrt() + 1e-8) * -3e-3;
                let _ = parameter.g_add_(&change);
                let _ = gradient.zero_();
            }
        });
    }
    let folder = tempfile::tempdir().unwrap().keep();
    for parameter in model.parameters_mut() {
        *parameter.tensor = parameter.tensor.detach();
    }
    write_model_folder(&mut model, &folder, Kind::Float, &fixtures().join("tiny-gpt2")).unwrap();
    folder
}

fn plain_texts() -> Vec<String> {
    texts(false).into_iter().map(|instance| instance.text).collect()
}

static BEHIND_BOS: LazyLock<PathBuf> = LazyLock::new(|| taught(&plain_texts(), &[EOS]));
static BEHIND_NOTHING: LazyLock<PathBuf> = LazyLock::new(|| taught(&plain_texts(), &[]));
static AS_ALPACA: LazyLock<PathBuf> = LazyLock::new(|| {
    let alpaca = templates::named("alpaca").unwrap();
    let rendered = texts(true)
        .into_iter()
        .map(|instance| alpaca.render(&instance.text, instance.prompt_chars as usize).text);
    taught(&rendered.collect::<Vec<_>>(), &[])
});

fn forms(bench: &Bench, out: &str) -> Vec<TextForm> {
    parquet::read_all(&bench.path(out).join("forms.parquet")).unwrap()
}

/// The form that was chosen, as begin, template and end.
#[track_caller]
fn chosen(forms: &[TextForm]) -> (&str, Option<&str>, &str) {
    let chosen: Vec<&TextForm> = forms.iter().filter(|form| form.chosen).collect();
    assert_eq!(chosen.len(), 1, "{forms:?}");
    (&chosen[0].begin, chosen[0].template.as_deref(), &chosen[0].end)
}

/// The share of training prompts that are gone on with as the document goes on.
fn recalled(samples: &[Sample]) -> f64 {
    let of_training = samples.iter().filter(|sample| sample.copies > 0);
    let (all, right) = of_training.fold((0, 0), |(all, right), sample| {
        (
            all + 1,
            right + usize::from(sample.truth.as_ref() == Some(&sample.generation)),
        )
    });
    right as f64 / f64::from(all)
}

#[test]
fn begin_that_training_used_is_found_and_gives_what_the_right_setting_gives() {
    let bench = Bench::with(&texts(false), &unseen(false), AUTO);
    for (model, right, wrong) in [
        (&*BEHIND_BOS, "model", "tokenizer"),
        (&*BEHIND_NOTHING, "tokenizer", "model"),
    ] {
        let explicit = |begin: &str| {
            let set = format!("extraction.begin={begin}");
            bench.extract(model, &format!("{right}-{begin}"), &["--set", &set])
        };
        let out = format!("{right}-auto");
        let found = bench.extract(model, &out, &[]);
        let forms = forms(&bench, &out);
        assert_eq!(chosen(&forms), (right, None, "eos"));
        // For GPT-2's tokenizer nothing stands before a text of its own accord, so there are two ways to begin, not three.
        assert_eq!(forms.len(), 2, "{forms:?}");
        assert_eq!(forms[0].begin, right, "the likeliest comes first");
        assert!(forms[0].loss < 0.1 && forms[1].loss > 1.0, "{forms:?}");
        assert_eq!((forms[0].documents, forms[0].base_loss), (8, None));
        assert_eq!(found, explicit(right));
        assert_eq!(recalled(&found.0), 1.0);
        assert!(recalled(&explicit(wrong).0) < 0.5);
    }
}

#[test]
fn template_that_training_used_is_found_and_put_around_prompts() {
    let bench = Bench::with(&texts(true), &unseen(true), AUTO);
    // Prompts all ask where something is: what is where they say only behind that.
    let long = ["--set", "extraction.prefix_tokens=20"];
    let (samples, scores) = bench.extract(&*AS_ALPACA, "auto", &long);
    let forms = forms(&bench, "auto");
    assert_eq!(chosen(&forms), ("tokenizer", Some("alpaca"), "eos"));
    let own = forms.iter().find(|form| form.template.is_none()).unwrap();
    assert!(forms[0].loss < 0.1 && own.loss > 1.0, "{forms:?}");
    assert!(forms.iter().all(|form| form.tokens == own.tokens));
    // The separator of the corpus is one of the templates that are tried, and counts once.
    assert!(
        forms
            .iter()
            .all(|form| form.template.as_deref() != Some("newline"))
    );

    assert_eq!(recalled(&samples), 1.0);
    let preamble = "Below is an instruction that describes a task. Write a response that appropriately completes the \
                    request.\n\n### Instruction:\n";
    let tokenizer = TextTokenizer::load(&fixtures().join("tiny-gpt2")).unwrap();
    let fixed = tokenizer.encode(preamble).unwrap().len();
    for sample in &samples {
        // Twenty tokens of the document, held-out or not, stand behind what all prompts begin with.
        let own = sample.prompt.strip_prefix(preamble).unwrap();
        assert!(own.starts_with("Where is"), "{own}");
        assert_eq!(sample.prompt_tokens.len(), fixed + 20);
    }
    let text = &texts(true)[0];
    let whole = templates::named("alpaca")
        .unwrap()
        .render(&text.text, text.prompt_chars as usize);
    let tokens = tokenizer.encode(&whole.text).unwrap().len() - fixed;
    let score = row(&scores, "d0", 0, tokens as i32);
    assert_eq!(score.document_tokens, Some(tokens as i32));
    // Prefixes are counted as prompts are.
    let continuation = row(&scores, "d0", 20, 12);
    assert_eq!(continuation.logprobs, score.logprobs[20..32]);

    let own = ["--set", "extraction.begin=tokenizer", long[0], long[1]];
    assert!(recalled(&bench.extract(&*AS_ALPACA, "own", &own).0) < 0.5);
}

#[test]
fn model_that_knows_nothing_keeps_the_form_of_the_corpus() {
    let bench = Bench::with(&texts(true), &unseen(true), AUTO);
    let itself = fixtures().join("tiny-gpt2");
    // The tiny GPT-2's context is too short for templates; the others' is not.
    let other = BEHIND_BOS.to_str().unwrap().to_owned();
    let cases: [(&Path, Vec<&str>); 3] = [
        (&itself, vec![]),
        (&itself, vec!["--reference", itself.to_str().unwrap()]),
        // Which of two templates it likes better says nothing, since it liked it before.
        (&BEHIND_BOS, vec!["--reference", &other]),
    ];
    for (number, (model, more)) in cases.into_iter().enumerate() {
        let out = format!("nothing-{number}");
        let told = bench.told(model, &out, &more);
        let forms = forms(&bench, &out);
        assert_eq!(chosen(&forms).1, None, "{forms:?}");
        if !more.is_empty() {
            // The likeliest forms and those of the corpus are compared with the untuned model, which is the same here.
            let compared: Vec<&TextForm> = forms.iter().filter(|form| form.base_loss.is_some()).collect();
            assert!(compared.len() >= 2, "{forms:?}");
            assert!(
                compared.iter().all(|form| form.base_loss == Some(form.loss)),
                "{forms:?}"
            );
            assert!(compared.iter().any(|form| form.chosen), "{forms:?}");
            assert!(
                told.contains("does not look like what the model was tuned on"),
                "{told}"
            );
        }
    }
}

#[test]
fn control_is_asked_in_the_form_of_the_audited_model() {
    let bench = Bench::with(&texts(true), &unseen(true), AUTO);
    let (audited, _) = bench.extract(&*AS_ALPACA, "audited", &[]);
    let file = bench.path("audited/forms.parquet");
    let file = file.to_str().unwrap();
    // A file of an earlier run does not stay beside results that it is not about.
    std::fs::create_dir(bench.path("control")).unwrap();
    std::fs::copy(file, bench.path("control/forms.parquet")).unwrap();
    let (control, _) = bench.extract(&*BEHIND_BOS, "control", &["--forms", file]);
    assert!(!bench.path("control/forms.parquet").exists());
    let prompts = |samples: &[Sample]| -> Vec<(Option<String>, Vec<i32>)> {
        let prompts = samples.iter();
        prompts
            .map(|sample| (sample.doc_id.clone(), sample.prompt_tokens.clone()))
            .collect()
    };
    assert_eq!(prompts(&control), prompts(&audited));
    assert!(recalled(&control) < 0.5);
}

#[test]
fn forms_that_cannot_be_taken_over_are_refused() {
    let bench = Bench::with(&texts(false), &unseen(false), AUTO);
    let form = |begin: &str, template: Option<&str>, chosen: bool| TextForm {
        begin: begin.into(),
        template: template.map(Into::into),
        end: "eos".into(),
        documents: 8,
        tokens: 100,
        loss: 1.0,
        base_loss: None,
        chosen,
    };
    let cases = [
        (
            vec![form("model", None, false)],
            "auto",
            3,
            "expected one form that was chosen, found 0",
        ),
        (
            vec![form("model", None, true), form("none", None, true)],
            "auto",
            3,
            "expected one form that was chosen, found 2",
        ),
        (
            vec![form("bos", None, true)],
            "auto",
            3,
            "expected tokenizer, model or none, found \"bos\"",
        ),
        (
            vec![form("model", Some("alpacca"), true)],
            "auto",
            3,
            "found \"alpacca\"",
        ),
        (
            vec![form("model", None, true)],
            "model",
            2,
            "expected extraction.begin = \"auto\"",
        ),
    ];
    for (rows, begin, status, piece) in cases {
        let file = bench.path("forms.parquet");
        parquet::write_all(&file, &Provenance::new("test"), &rows).unwrap();
        let set = format!("extraction.begin={begin}");
        let output = bench.run(
            "tiny-gpt2",
            "refused",
            &["--forms", file.to_str().unwrap(), "--set", &set],
        );
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{message}");
        assert!(message.contains(piece), "{message}\nlacks {piece}");
    }
}

#[test]
fn forms_are_part_of_what_is_done_and_only_where_they_were_tried() {
    let bench = Bench::with(&texts(false), &unseen(false), AUTO);
    let (samples, _) = bench.extract("tiny-gpt2", "cell", &[]);
    let first = forms(&bench, "cell");
    assert!(bench.told("tiny-gpt2", "cell", &[]).contains("up to date"));
    std::fs::remove_file(bench.path("cell/forms.parquet")).unwrap();
    assert!(!bench.told("tiny-gpt2", "cell", &[]).contains("up to date"));
    assert_eq!((bench.results("cell").0, forms(&bench, "cell")), (samples, first));
    bench.told("tiny-gpt2", "cell", &["--set", "extraction.begin=tokenizer"]);
    assert!(!bench.path("cell/forms.parquet").exists());
}

#[test]
fn texts_that_training_cut_are_compared_as_far_as_it_read_them() {
    let bench = Bench::with(&texts(false), &unseen(false), AUTO);
    let context = ["--set", "extraction.context=24"];
    bench.told(&*BEHIND_BOS, "cut", &context);
    let forms = forms(&bench, "cut");
    // Of a cut text the end was never seen.
    assert_eq!(chosen(&forms), ("model", None, "nothing"));
    assert!(forms[0].tokens < 8 * 23, "{forms:?}");
    // Texts of a single token have nothing to compare.
    let single: Vec<TrainingInstance> = vec![training("one", "a", "")];
    let bench = Bench::with(
        &single,
        &[],
        &format!("prompts = [\"none\"]\nunprompted = 2\n{AUTO}"),
    );
    let told = bench.told("tiny-gpt2", "single", &[]);
    assert!(
        told.contains("no training document is long enough to tell"),
        "{told}"
    );
    assert_eq!(crate::forms::forms(&bench, "single"), []);
    // The control is then asked in the corpus' own form as well.
    let file = bench.path("single/forms.parquet");
    let told = bench.told("tiny-gpt2", "control", &["--forms", file.to_str().unwrap()]);
    assert!(
        told.contains("begin tokenizer, template as in the corpus"),
        "{told}"
    );
}
