//! What a strategy says of itself: how it decodes, what it takes, how much it makes and costs.

use contract::decoding::Decoding;
use contract::pipeline::Strategy;
use contract::prompt_form::{Access, FormSource};
use contract::records::PromptForm;

fn strategy(settings: &str) -> Strategy {
    toml::from_str(settings).unwrap()
}

#[test]
fn a_strategy_says_how_it_decodes_and_what_that_takes() {
    for (settings, decoding, access, generations, tokens) in [
        ("temperature = 0", Decoding::Greedy, Access::Text, 1, 50),
        (
            "temperature = 0\nsamples = 7",
            Decoding::Greedy,
            Access::Text,
            1,
            50,
        ),
        ("samples = 7", Decoding::Draws, Access::Text, 7, 7 * 50),
        (
            "beams = 8\nsamples = 3",
            Decoding::Beams,
            Access::Probabilities,
            3,
            8 * 50,
        ),
        (
            "beams = 2\nsamples = 3",
            Decoding::Beams,
            Access::Probabilities,
            2,
            2 * 50,
        ),
        // Each of its steps reads 65 prompts of 10 tokens, and the 50 behind each.
        (
            "prompt = \"optimised\"\nsteps = 4\nprompt_tokens = 10\nbeams = 8",
            Decoding::Search,
            Access::Weights,
            1,
            4 * 65 * 60,
        ),
        (
            "prompt = \"self-made\"\ntemperature = 0",
            Decoding::Greedy,
            Access::Text,
            1,
            50,
        ),
    ] {
        let strategy = strategy(settings);
        let found = (
            strategy.decoding(),
            strategy.access(),
            strategy.generations_of_prompt(),
            strategy.tokens_of_prompt(50),
        );
        assert_eq!(found, (decoding, access, generations, tokens), "{settings}");
    }
}

#[test]
fn every_form_is_listed_once_and_found_by_its_name() {
    for (place, form) in PromptForm::ALL.into_iter().enumerate() {
        let name = serde_json::to_value(form).unwrap();
        assert_eq!(serde_json::from_value::<PromptForm>(name.clone()).unwrap(), form);
        assert_eq!(strategy(&format!("prompt = {name}")).prompt, form);
        assert!(!PromptForm::ALL[..place].contains(&form), "{name}");
    }
    // Whoever has no document can ask with what comes from none.
    for form in PromptForm::ALL {
        let source = form.facts().source;
        let is_of_documents = matches!(source, FormSource::Tokens | FormSource::Search);
        assert_eq!(form.is_ordinary(), !is_of_documents, "{form:?}");
    }
}
