//! A temporary folder with a pipeline file, a corpus and a model of one tiny layer, and fake stages that leave a log.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use contract::records::PersonalDetailLabel;
use contract::{PipelineFile, Provenance, parquet};
use tempfile::TempDir;

/// Two modes, one of them under two learning rates, on one bucketed training set.
pub(crate) const PIPELINE: &str = r#"
name = "tiny"
corpus = { files = "../text/*.jsonl", identity = "id" }
duplication = { layout = "bucketed", copies = [1, 4] }
canaries = { per_copies = 1 }
model = [{ name = "tiny", path = "../models/tiny" }]
[[mode]]
kind = "full"
learning_rate = [5e-5, 1e-4]
[[mode]]
kind = "lora"
learning_rate = 3e-4
[detection]
encoder = "../encoder"
[extraction]
prefix_tokens = 2
new_tokens = 2
"#;

/// GPT-2 with vocabulary 11, context 512, width 4 and one layer.
pub(crate) const TINY_GPT2: [(&str, &[u64]); 16] = [
    ("transformer.wte.weight", &[11, 4]),
    ("transformer.wpe.weight", &[512, 4]),
    ("transformer.h.0.ln_1.weight", &[4]),
    ("transformer.h.0.ln_1.bias", &[4]),
    ("transformer.h.0.attn.c_attn.weight", &[4, 12]),
    ("transformer.h.0.attn.c_attn.bias", &[12]),
    ("transformer.h.0.attn.c_proj.weight", &[4, 4]),
    ("transformer.h.0.attn.c_proj.bias", &[4]),
    ("transformer.h.0.ln_2.weight", &[4]),
    ("transformer.h.0.ln_2.bias", &[4]),
    ("transformer.h.0.mlp.c_fc.weight", &[4, 16]),
    ("transformer.h.0.mlp.c_fc.bias", &[16]),
    ("transformer.h.0.mlp.c_proj.weight", &[16, 4]),
    ("transformer.h.0.mlp.c_proj.bias", &[4]),
    ("transformer.ln_f.weight", &[4]),
    ("transformer.ln_f.bias", &[4]),
];

/// A tokenizer that makes a token of every word.
pub(crate) const TOKENIZER: &str = r#"{"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"},
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}}"#;

/// A stage that writes down what it was called for, and makes the files that the real one makes.
const FAKE_STAGE: &str = r#"
stage=$1; shift
while [ $# -gt 0 ]; do
  case $1 in --out) out=$2 ;; --rank) rank=$2 ;; --world) world=$2 ;; --merge) merge=$2 ;; --threads) threads=" on $2 threads" ;; --best) best=$2 ;; esac
  shift
done
name=$(basename "$out")
test "$name" != best || name=$(basename "$(dirname "$out")")/best
if test -n "$world"; then name="$name, part $rank of $world"; out=$out/parts/$rank-of-$world; mkdir -p "$out/best"; fi
for part in $(test -z "$merge" || seq 0 $((merge - 1))); do ls "$out/parts/$part-of-$merge/"*.parquet >/dev/null || exit 1; done
echo "$stage $name" >>log
echo "$stage $name$threads" >>threads
case $stage in
  dupgen) files="heldout train" ;;
  tuner)
    for folder in "$out/checkpoint" "$out/best/checkpoint"; do mkdir -p "$folder"; echo x >"$folder/weights"; done
    files=metrics ;;
  extractor|mine)
    files="samples scores"
    if test -n "$best"; then test -e "$best/weights" || exit 1; files="$files best/samples best/scores"; fi ;;
  plagiarism) files="matches verdicts" ;;
  report) echo x >"$out/report.html"; files=summary ;;
  check) echo x >"$out/check.html"; echo x >"$out/table.txt"; files=check ;;
esac
for file in $files; do echo x >"$out/$file.parquet"; done
"#;

pub(crate) struct Workplace {
    folder: TempDir,
}

impl Workplace {
    pub(crate) fn new(pipeline: &str) -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        place.write("pipelines/tiny.toml", pipeline);
        place.write("text/a.jsonl", "{\"id\": 1, \"text\": \"one two three four\"}\n");
        place.write(
            "text/b.jsonl",
            "{\"id\": 2, \"text\": \"five six seven eight\"}\n",
        );
        place.write(
            "models/tiny/config.json",
            r#"{"model_type": "gpt2", "n_layer": 1, "n_embd": 4, "n_head": 2, "n_positions": 512, "vocab_size": 11, "eos_token_id": 10}"#,
        );
        place.write("models/tiny/tokenizer.json", TOKENIZER);
        place.write("encoder/config.json", "{}");
        place.write("models/tiny/model.safetensors", safetensors(&TINY_GPT2));
        place.write("stage.sh", FAKE_STAGE);
        place
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    pub(crate) fn pipeline(&self, overrides: &[&str]) -> Result<PipelineFile, contract::Error> {
        let overrides: Vec<String> = overrides
            .iter()
            .map(|&assignment| assignment.to_owned())
            .collect();
        PipelineFile::load(&self.path("pipelines/tiny.toml"), &overrides)
    }

    /// Runs the program `plan` in this folder.
    pub(crate) fn plan(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_plan"))
            .args(["--config", "pipelines/tiny.toml", "--out", "run"])
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    pub(crate) fn plan_well(&self, arguments: &[&str]) {
        let output = self.plan(arguments);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Runs make on the rules with fake stages, and tells which of them ran.
    pub(crate) fn make(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.make_output(arguments);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        fs::write(self.path("log"), "").unwrap();
        let mut stages: Vec<String> = log.lines().map(str::to_owned).collect();
        stages.sort();
        stages
    }

    pub(crate) fn make_output(&self, arguments: &[&str]) -> Output {
        let stages = ["DUPGEN", "TUNER", "EXTRACTOR", "PLAGIARISM", "REPORT", "CHECK"];
        // A make that runs these tests must not pass its own flags and jobs on.
        Command::new("make")
            .args(["-f", "run/cells.mk"])
            .envs(stages.map(|stage| (stage, format!("sh stage.sh {}", stage.to_lowercase()))))
            .args(arguments)
            .env_remove("MAKEFLAGS")
            .env_remove("MAKELEVEL")
            .env_remove("THREADS")
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }
}

/// Writes a file of labels of personal details: one label.
pub(crate) fn write_labels(place: &Workplace, path: &str) {
    let label = PersonalDetailLabel {
        doc_id: "1".to_owned(),
        start: 0,
        end: 3,
        kind: "number".to_owned(),
    };
    parquet::write_all(&place.path(path), &Provenance::new("test"), &[label]).unwrap();
}

/// A safetensors file of float32 zeros.
pub(crate) fn safetensors(shapes: &[(&str, &[u64])]) -> Vec<u8> {
    let mut header = BTreeMap::from([("__metadata__".to_owned(), serde_json::json!({"format": "pt"}))]);
    let mut end = 0;
    for (name, shape) in shapes {
        let start = end;
        end += 4 * shape.iter().product::<u64>();
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
        header.insert((*name).to_owned(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.resize(file.len() + end as usize, 0);
    file
}

/// Every file below a folder with its content, by its path from there.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(
                    path.strip_prefix(folder).unwrap().to_path_buf(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    found
}
