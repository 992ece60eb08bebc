//! Smoke test, extended below.
use contract::records::*;
use contract::{Provenance, parquet};
#[test]
fn samples_come_back_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("samples.parquet");
    let sample = Sample { sample_id: 1, doc_id: None, split: Split::None, copies: 0, strategy: "greedy".into(), prompt: "a".into(), generation: "é".into(), truth: None, prompt_tokens: vec![1], generated_tokens: vec![2, 3], logprobs: vec![-0.5, f32::NEG_INFINITY], temperature: 0.0, top_p: 1.0, top_k: 0, seed: 3, finish: Finish::End };
    parquet::write_all(&file, &Provenance::new("test"), &[sample.clone()]).unwrap();
    assert_eq!(parquet::read_all::<Sample>(&file).unwrap(), [sample]);
}
