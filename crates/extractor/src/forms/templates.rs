//! Templates by which instruction tuning commonly joins a prompt and a response to one text.

use contract::Error;
use text_tokens::TextTokenizer;

/// A text with a place for the prompt; the response follows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Template {
    /// Its name in files and messages.
    pub name: &'static str,
    /// What comes before the prompt.
    before: &'static str,
    /// What comes between prompt and response.
    between: &'static str,
    /// How it sets an input apart from the instruction, where it does: the prompt's first line is the instruction then, and the rest the
    /// input.
    with_input: Option<WithInput>,
    /// A token without which a tokenizer's models are not tuned by it.
    marker: Option<&'static str>,
}

/// What comes around an instruction that has an input.
#[derive(Debug, PartialEq, Eq)]
struct WithInput {
    /// What comes before the instruction.
    before: &'static str,
    /// What comes between instruction and input.
    between: &'static str,
}

const fn template(name: &'static str, before: &'static str, between: &'static str) -> Template {
    Template {
        name,
        before,
        between,
        with_input: None,
        marker: None,
    }
}

const fn with_marker(
    name: &'static str,
    marker: &'static str,
    before: &'static str,
    between: &'static str,
) -> Template {
    Template {
        marker: Some(marker),
        ..template(name, before, between)
    }
}

const fn with_input(
    name: &'static str,
    (before, between): (&'static str, &'static str),
    with_input: WithInput,
) -> Template {
    Template {
        with_input: Some(with_input),
        ..template(name, before, between)
    }
}

const ALPACA_PREAMBLE: &str = "Below is an instruction that describes a task. Write a response that appropriately completes \
                               the request.\n\n### Instruction:\n";

const ALPACA_INPUT: WithInput = WithInput {
    before: "Below is an instruction that describes a task, paired with an input that provides further context. Write a response \
             that appropriately completes the request.\n\n### Instruction:\n",
    between: "\n\n### Input:\n",
};

/// The templates that are tried, the simplest first.
pub static TEMPLATES: [Template; 21] = [
    template("newline", "", "\n"),
    template("blank line", "", "\n\n"),
    template("space", "", " "),
    // stanford_alpaca's PROMPT_DICT goes on without a line end; alpaca-lora and most later trainers put one.
    template("alpaca", ALPACA_PREAMBLE, "\n\n### Response:\n"),
    with_input(
        "alpaca with input",
        (ALPACA_PREAMBLE, "\n\n### Response:\n"),
        ALPACA_INPUT,
    ),
    template(
        "alpaca, response on the same line",
        ALPACA_PREAMBLE,
        "\n\n### Response:",
    ),
    with_input(
        "alpaca with input, response on the same line",
        (ALPACA_PREAMBLE, "\n\n### Response:"),
        ALPACA_INPUT,
    ),
    template(
        "alpaca without preamble",
        "### Instruction:\n",
        "\n\n### Response:\n",
    ),
    template("question and answer", "Question: ", "\nAnswer: "),
    template("q and a", "Q: ", "\nA: "),
    template("user and assistant", "User: ", "\nAssistant: "),
    template("human and assistant", "Human: ", "\n\nAssistant: "),
    template("guanaco", "### Human: ", "\n### Assistant: "),
    template("vicuna", "USER: ", " ASSISTANT: "),
    template(
        "chatml",
        "<|im_start|>user\n",
        "<|im_end|>\n<|im_start|>assistant\n",
    ),
    // What the chat template of Qwen2 puts where no system message is given.
    with_marker(
        "chatml with system message",
        "<|im_start|>",
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n",
        "<|im_end|>\n<|im_start|>assistant\n",
    ),
    template("llama-2", "[INST] ", " [/INST] "),
    with_marker(
        "llama-3",
        "<|start_header_id|>",
        "<|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    with_marker(
        "gemma",
        "<start_of_turn>",
        "<start_of_turn>user\n",
        "<end_of_turn>\n<start_of_turn>model\n",
    ),
    with_marker("phi-3", "<|assistant|>", "<|user|>\n", "<|end|>\n<|assistant|>\n"),
    with_marker("zephyr", "</s>", "<|user|>\n", "</s>\n<|assistant|>\n"),
];

/// The template of this name.
pub fn named(name: &str) -> Option<&'static Template> {
    TEMPLATES.iter().find(|template| template.name == name)
}

/// A document's text in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The whole text.
    pub text: String,
    /// Length in characters of what comes before the response.
    pub prompt_chars: usize,
    /// Length in characters of what comes before the prompt.
    pub preamble_chars: usize,
}

impl Template {
    /// Whether models with this tokenizer may have been tuned by it: those of other families lack its special tokens.
    ///
    /// # Errors
    /// [`Error::Run`] where the tokenizer fails.
    pub fn suits(&self, tokenizer: &TextTokenizer) -> Result<bool, Error> {
        Ok(match self.marker {
            None => true,
            Some(marker) => tokenizer.encode(marker)?.len() == 1,
        })
    }

    /// A document in this template. The first `prompt_chars` characters of `text` are its prompt and a separator, whose white
    /// space does not count; a document without prompt stays as it is.
    pub fn render(&self, text: &str, prompt_chars: usize) -> Rendered {
        let (prompt, response) = split(text, prompt_chars);
        let prompt = prompt.trim_end();
        if prompt.is_empty() {
            return Rendered {
                text: text.to_owned(),
                prompt_chars,
                preamble_chars: 0,
            };
        }
        let with_input = self.with_input.as_ref().zip(prompt.split_once('\n'));
        let (before, front) = match with_input {
            Some((parts, (instruction, input))) => {
                let pieces = [
                    parts.before,
                    instruction.trim_end(),
                    parts.between,
                    input.trim_start(),
                ];
                (parts.before, pieces.concat())
            }
            None => (self.before, [self.before, prompt].concat()),
        };
        let front = front + self.between;
        Rendered {
            prompt_chars: front.chars().count(),
            preamble_chars: before.chars().count(),
            text: front + response,
        }
    }
}

/// A text's first `characters` characters, and the rest.
pub(super) fn split(text: &str, characters: usize) -> (&str, &str) {
    let end = text
        .char_indices()
        .nth(characters)
        .map_or(text.len(), |(at, _)| at);
    text.split_at(end)
}
