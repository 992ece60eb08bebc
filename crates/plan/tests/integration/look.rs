//! A look at a corpus before tuning: its rules, with a model and without, and what is refused beside it.

use crate::workplace::Workplace;

const LOOK: &str = "name = 'tiny'\ncorpus = { files = '../text', held_out = 0 }\nduplication.layout = 'found'\n\
                    extraction = { prompts = [], strategy = [], prefix_tokens = 1, new_tokens = 1 }\n[check]\n\
                    [[checkpoint]]\nname = 'model'\npath = '../models/tiny'\n";

#[test]
fn a_look_reads_the_corpus_and_scores_of_the_model_and_makes_nothing_else() {
    let place = Workplace::new(LOOK);
    place.plan_well(&["--model", ""]);
    assert_eq!(place.make(&[]), ["check check", "dupgen found-s0"]);
    let rules = place.read("run/cells.mk");
    assert!(!rules.contains("--model"), "{rules}");

    place.plan_well(&["--model", "models/tiny"]);
    assert_eq!(place.make(&[]), ["check check", "extractor model-base-found-s0"]);
    assert_eq!(place.make(&[]), [""; 0], "nothing is made twice");
    let rules = place.read("run/cells.mk");
    let told = "models/tiny --scores $(run)/cells/model-base-found-s0/scores.parquet";
    assert!(rules.contains(told), "{rules}");
    // It is told what training reads: no more than the model can.
    assert!(place.read("run/check/check.toml").contains("context = 512"));
    place.plan_well(&["--model", "models/tiny", "--set", "checkpoint.0.context=100"]);
    assert!(place.read("run/check/check.toml").contains("context = 100"));
    assert!(!place.path("run/report").exists());
}

#[test]
fn what_tunes_or_repeats_documents_is_refused_beside_a_look() {
    for (change, fragment) in [
        ("mode=[{kind='full', learning_rate=1e-3}]", "expected no [[mode]]"),
        (
            "model=[{name='a', path='../models/tiny'}]",
            "expected no [[mode]] and no [[model]]",
        ),
        ("duplication.layout=uniform", "expected \"found\""),
        ("check.title2=a", "title"),
    ] {
        let place = Workplace::new(LOOK);
        let output = place.plan(&["--set", change]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(2) && said.contains(fragment),
            "{change}: {said}"
        );
    }
}
