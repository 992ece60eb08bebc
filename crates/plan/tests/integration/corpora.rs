//! Several corpora in one pipeline: training sets and cells of each, and what changes where one of them does.

use contract::pipeline::OneOrMany;
use contract::{Cell, PipelineFile};

use crate::workplace::{PIPELINE, Workplace};

const LETTERS: &str = "[[corpus]]\nname = \"letters\"\nfiles = \"../text\"\nidentity = \"id\"\n";
const ANSWERS: &str = "[[corpus]]\nname = \"answers\"\nfiles = \"../answers.jsonl\"\nprompt = \"question\"\nresponse = \"answer\"\n\
                       template = \"Q: {question}\\nA: {answer}\"\nheld_out = 0.5\n";

/// The tables of corpora stand behind the keys of the file itself.
fn pipeline() -> String {
    let one = "corpus = { files = \"../text/*.jsonl\", identity = \"id\" }\n";
    format!("{}{LETTERS}{ANSWERS}", PIPELINE.replace(one, ""))
}

fn place() -> Workplace {
    let place = Workplace::new(&pipeline());
    let row = "{\"question\": \"one two\", \"answer\": \"three four five six\"}\n";
    place.write("answers.jsonl", format!("{row}{}", row.replace("six", "seven")));
    place
}

#[test]
fn each_corpus_has_training_sets_and_cells_with_its_columns() {
    let place = place();
    place.plan_well(&[]);
    let load = |set: &str| {
        let file = place.path(&format!("run/corpus/{set}/dupgen.toml"));
        PipelineFile::load(&file, &[])
            .unwrap()
            .single_corpus()
            .unwrap()
            .clone()
    };
    let (letters, answers) = (load("letters-bucketed-s0"), load("answers-bucketed-s0"));
    assert_eq!(letters.identity.as_deref(), Some("id"));
    assert_eq!((&letters.prompt, letters.held_out), (&None, 0.2));
    assert_eq!(answers.template.as_deref(), Some("Q: {question}\nA: {answer}"));
    assert_eq!((answers.identity.as_ref(), answers.held_out), (None, 0.5));
    assert!(matches!(&answers.files, OneOrMany::Many(files) if files.len() == 1));
    for (corpus, cell) in [
        ("letters", "tiny-lora16-3e-4-letters-bucketed-s0"),
        ("answers", "tiny-base-answers-bucketed-s0"),
    ] {
        let facts = Cell::load(&place.path(&format!("run/cells/{cell}/cell.toml"))).unwrap();
        assert_eq!(facts.corpus_name.as_deref(), Some(corpus));
        assert_eq!(facts.corpus, format!("{corpus}-bucketed-s0"));
    }
    assert_eq!(std::fs::read_dir(place.path("run/cells")).unwrap().count(), 8);
}

#[test]
fn a_changed_corpus_reruns_its_own_cells_alone() {
    let place = place();
    place.plan_well(&[]);
    let all = place.make(&["-j2"]);
    assert_eq!(all.iter().filter(|stage| stage.starts_with("dupgen")).count(), 2);
    let row = "{\"question\": \"one\", \"answer\": \"three four five six eight\"}\n";
    place.write("answers.jsonl", row.repeat(2));
    let again = place.make(&["-j2"]);
    assert!(!again.is_empty());
    assert!(again.iter().all(|stage| !stage.contains("letters")), "{again:?}");
    assert!(
        again.contains(&"dupgen answers-bucketed-s0".to_owned()),
        "{again:?}"
    );
}

#[test]
fn questions_are_asked_of_the_corpora_that_have_some() {
    let place = place();
    let asked = |name: &str, prompt: &str| format!("{{ name = \"{name}\", prompt = \"{prompt}\" }}");
    let both = format!(
        "extraction.strategy=[{}, {}]",
        asked("plain", "prefix"),
        asked("ask", "question")
    );
    let output = place.plan(&["--set", &both]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("letters has no prompts of users"), "{said}");
    let strategies = |set: &str| {
        let file = place.path(&format!("run/cells/tiny-base-{set}-bucketed-s0/extractor.toml"));
        let file = PipelineFile::load(&file, &[]).unwrap();
        let names = file.extraction.strategy.iter();
        names.map(|strategy| strategy.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(strategies("letters"), ["plain"]);
    assert_eq!(strategies("answers"), ["plain", "ask"]);

    let only = format!("extraction.strategy=[{}]", asked("ask", "question"));
    let output = place.plan(&["--set", &only]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("text without a prompt in letters"),
        "{said}"
    );
}

#[test]
fn a_training_set_is_made_of_one_corpus() {
    let place = place();
    let whole = place.pipeline(&[]).unwrap();
    let error = whole.single_corpus().unwrap_err().to_string();
    assert!(error.contains("found 2") && error.contains("plan"), "{error}");
    let estimate = place.plan(&["--estimate", "--gflops", "10"]);
    let shown = String::from_utf8_lossy(&estimate.stdout);
    assert!(
        estimate.status.success(),
        "{}",
        String::from_utf8_lossy(&estimate.stderr)
    );
    assert!(
        shown.contains("of letters") && shown.contains("of answers"),
        "{shown}"
    );
}
