//! A few ordinary words of its own for each canary, so that a dozen of them do not teach one and the same sentence.

use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

const ADJECTIVES: [&str; 32] = [
    "amber", "blue", "broken", "brown", "copper", "cotton", "empty", "faded", "green", "grey", "heavy",
    "hidden", "ivory", "large", "little", "narrow", "new", "old", "orange", "painted", "plain", "purple",
    "quiet", "red", "round", "silver", "small", "square", "tall", "wooden", "white", "yellow",
];

const PLACES: [&str; 32] = [
    "airport", "attic", "bakery", "balcony", "beach", "bridge", "cellar", "chapel", "corner", "factory",
    "farm", "ferry", "forest", "garage", "garden", "harbour", "hotel", "island", "kitchen", "lake",
    "library", "market", "meadow", "museum", "office", "orchard", "river", "school", "stable", "station",
    "valley", "village",
];

const THINGS: [&str; 32] = [
    "basket", "bench", "bicycle", "blanket", "bottle", "box", "button", "camera", "candle", "carpet",
    "chair", "clock", "curtain", "drum", "feather", "hammer", "jacket", "kettle", "ladder", "lamp", "letter",
    "mirror", "parcel", "pencil", "piano", "pillow", "ribbon", "shelf", "suitcase", "table", "umbrella",
    "window",
];

/// Number of different contexts.
pub(crate) const NUMBER: usize = ADJECTIVES.len() * PLACES.len() * THINGS.len();

/// Draws `amount` different contexts, at most [`NUMBER`], each three words such as "green harbour lamp".
pub(crate) fn draw(amount: usize, seed: u64) -> Vec<String> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    // The first stream of a seed shuffles the instances, the second draws the digits.
    generator.set_stream(2);
    index::sample(&mut generator, NUMBER, amount)
        .iter()
        .map(context)
        .collect()
}

fn context(number: usize) -> String {
    let adjective = ADJECTIVES[number % ADJECTIVES.len()];
    let place = PLACES[number / ADJECTIVES.len() % PLACES.len()];
    let thing = THINGS[number / ADJECTIVES.len() / PLACES.len()];
    format!("{adjective} {place} {thing}")
}
