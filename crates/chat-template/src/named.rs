//! Named chat templates, written after the prompt formats that their makers publish, with `{% generation %}` around what the assistant
//! writes.

/// Names of the templates, each with its source: OpenAI's ChatML (as Qwen has it, without a system message of its own), Meta's Llama 2
/// and Llama 3, Mistral AI's instruct models (v3 tokenizer), Hugging Face's Zephyr, Google's Gemma (a system message before the first
/// user's, as Gemma 3 has it), Microsoft's Phi-3.
const TEMPLATES: [(&str, &str); 7] = [
    ("chatml", include_str!("../templates/chatml.jinja")),
    ("llama-2", include_str!("../templates/llama-2.jinja")),
    ("llama-3", include_str!("../templates/llama-3.jinja")),
    ("mistral", include_str!("../templates/mistral.jinja")),
    ("zephyr", include_str!("../templates/zephyr.jinja")),
    ("gemma", include_str!("../templates/gemma.jinja")),
    ("phi-3", include_str!("../templates/phi-3.jinja")),
];

/// The names of the templates.
pub const NAMES: [&str; TEMPLATES.len()] = names();

const fn names() -> [&'static str; TEMPLATES.len()] {
    let mut names = [""; TEMPLATES.len()];
    let mut number = 0;
    while number < TEMPLATES.len() {
        names[number] = TEMPLATES[number].0;
        number += 1;
    }
    names
}

/// The Jinja source of a named template.
pub(crate) fn source(name: &str) -> Option<&'static str> {
    let mut templates = TEMPLATES.iter();
    templates
        .find(|(known, _)| *known == name)
        .map(|(_, source)| *source)
}
