//! Words that resolve whether a capitalised one is somebody's name.

/// Frequent given names that are seldom anything else: no months, virtues, flowers, places or everyday words. Ascending.
#[rustfmt::skip]
const GIVEN_NAMES: &[&str] = &[
    "Aaron", "Abigail", "Adam", "Ahmed", "Alan", "Albert", "Alejandro", "Alexander", "Alice", "Alicia", "Amanda",
    "Amelia", "Amina", "Amy", "Ana", "Andrea", "Andrew", "Angela", "Anita", "Anna", "Anne", "Anthony", "Antonio",
    "Arthur", "Barbara", "Benjamin", "Bernard", "Betty", "Brenda", "Brian", "Bruce", "Carlos", "Carmen", "Caroline",
    "Catherine", "Charles", "Chloe", "Christine", "Christopher", "Claire", "Clara", "Cynthia", "Daniel", "David",
    "Deborah", "Dennis", "Diana", "Diego", "Donald", "Donna", "Dorothy", "Douglas", "Edward", "Eileen", "Elena",
    "Elizabeth", "Ellen", "Emily", "Emma", "Eric", "Ethan", "Eugene", "Fatima", "Felix", "Fiona", "Francesca",
    "Gabriel", "Gary", "George", "Gloria", "Gregory", "Hannah", "Harold", "Hassan", "Heather", "Helen", "Henry",
    "Hiroshi", "Howard", "Hugo", "Ibrahim", "Ingrid", "Isaac", "Isabel", "Isabella", "Ivan", "Jacob", "James", "Jane",
    "Janet", "Jason", "Jeffrey", "Jennifer", "Jeremy", "Jessica", "Joan", "Johannes", "John", "Jonathan", "Jose",
    "Joseph", "Joshua", "Juan", "Julia", "Julie", "Justin", "Karen", "Katherine", "Kathleen", "Keith", "Kenneth",
    "Kevin", "Kimberly", "Larry", "Laura", "Lauren", "Leonard", "Linda", "Lisa", "Louise", "Lucas", "Lucia", "Luis",
    "Manuel", "Marcus", "Margaret", "Maria", "Marie", "Martha", "Martin", "Mary", "Matthew", "Megan", "Melissa",
    "Michael", "Michelle", "Miguel", "Mohammed", "Nancy", "Natalie", "Nathan", "Nicholas", "Nicole", "Nina", "Oliver",
    "Olivia", "Omar", "Oscar", "Pamela", "Patricia", "Patrick", "Paul", "Pedro", "Peter", "Philip", "Priya", "Rachel",
    "Raymond", "Rebecca", "Richard", "Robert", "Roger", "Ronald", "Ruth", "Ryan", "Samantha", "Samuel", "Sandra",
    "Sarah", "Scott", "Sharon", "Shirley", "Simon", "Sofia", "Sophia", "Stephanie", "Stephen", "Steven", "Susan",
    "Teresa", "Theodore", "Theresa", "Thomas", "Timothy", "Tyler", "Vincent", "Walter", "Wei", "William", "Yuki",
    "Yusuf", "Zoe",
];

/// Words that are capitalised for another reason than being a name of a person: function words, the calendar, peoples and
/// tongues, places and institutions, and the nouns that titles and terms are made of. Lower case, ascending.
#[rustfmt::skip]
const NO_NAMES: &[&str] = &[
    "academy", "act", "africa", "african", "agency", "algorithm", "alpha", "america", "american", "an", "analysis",
    "and", "angeles", "arabic", "architecture", "art", "asia", "asian", "association", "australia", "australian",
    "avenue", "bank", "bay", "beach", "beta", "bill", "black", "board", "book", "boulevard", "bridge", "britain",
    "british", "building", "but", "california", "canada", "canadian", "carlo", "carolina", "case", "catholic",
    "center", "centre", "century", "chain", "channel", "chapter", "china", "chinese", "christian", "christmas",
    "church", "city", "classification", "clinic", "clinical", "club", "code", "college", "commission", "committee",
    "communication", "community", "company", "computer", "computing", "conference", "congress", "control",
    "corporation", "council", "county", "court", "cross", "data", "day", "deep", "department", "design", "detection",
    "development", "diabetes", "digital", "disease", "disorder", "district", "drive", "dutch", "earth", "east",
    "eastern", "education", "effect", "emergency", "energy", "engineering", "england", "english", "equation", "error",
    "europe", "european", "evaluation", "federal", "field", "figure", "file", "for", "force", "forest", "foundation",
    "france", "free", "french", "friday", "from", "function", "fund", "gamma", "general", "german", "germany",
    "global", "good", "government", "graph", "great", "greek", "group", "guide", "hall", "health", "hello", "hidden",
    "high", "hill", "history", "hong", "hospital", "hotel", "house", "human", "if", "image", "in", "india", "indian",
    "industry", "inequality", "information", "initiative", "institute", "insurance", "intelligence", "interface",
    "international", "internet", "ireland", "irish", "island", "islands", "it", "italian", "italy", "january",
    "japan", "japanese", "jersey", "jewish", "journal", "kingdom", "knowledge", "kong", "korea", "korean",
    "laboratory", "lake", "lane", "language", "large", "las", "latin", "law", "learning", "lemma", "library",
    "limited", "linear", "list", "local", "logic", "london", "los", "machine", "management", "map", "march", "market",
    "mathematics", "may", "measure", "medical", "medicine", "memory", "mesh", "method", "mexico", "middle",
    "military", "mining", "ministry", "mobile", "model", "monday", "monte", "mount", "multiple", "museum", "muslim",
    "national", "natural", "network", "networks", "neural", "new", "no", "north", "northern", "not", "nuclear",
    "number", "ocean", "office", "old", "olympic", "on", "open", "operating", "or", "order", "organization",
    "pacific", "page", "palace", "panel", "paper", "paris", "park", "parliament", "part", "party", "patient", "phase",
    "physics", "plan", "plaza", "point", "police", "policy", "portuguese", "power", "practice", "president", "press",
    "prime", "principle", "private", "problem", "process", "processes", "processing", "product", "professor",
    "program", "programme", "project", "protein", "protocol", "public", "quantum", "question", "random",
    "recognition", "recovery", "red", "register", "regression", "report", "republic", "research", "review", "rights",
    "river", "road", "roman", "royal", "russia", "russian", "saint", "san", "santa", "saturday", "scale", "school",
    "science", "sciences", "scientific", "sea", "section", "security", "semantic", "senate", "september", "series",
    "service", "services", "set", "shield", "side", "signal", "sky", "small", "social", "society", "software",
    "solar", "south", "southern", "space", "spain", "spanish", "special", "square", "standard", "star", "state",
    "states", "station", "statistical", "stochastic", "street", "structure", "study", "summer", "sunday", "supreme",
    "survey", "syndrome", "system", "systems", "table", "technology", "telescope", "test", "the", "theorem", "theory",
    "therapy", "this", "thursday", "time", "to", "tower", "town", "training", "transform", "treatment", "treaty",
    "trial", "tuesday", "type", "union", "unit", "united", "universe", "university", "urban", "use", "valley",
    "vector", "version", "virtual", "virus", "war", "washington", "water", "way", "we", "web", "wednesday", "week",
    "west", "western", "white", "wide", "wireless", "with", "work", "world", "year", "york", "you", "your", "zealand",
];

/// The months, and their usual abbreviations.
pub(crate) const MONTHS: &str = "January|February|March|April|May|June|July|August|September|October|November|December|\
    Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec";

/// Whether `word` is a frequent given name.
pub(crate) fn is_given_name(word: &str) -> bool {
    GIVEN_NAMES.binary_search(&word).is_ok()
}

/// Whether `word` is often capitalised without being a name.
pub(crate) fn is_no_name(word: &str) -> bool {
    let lower = word.to_lowercase();
    NO_NAMES.binary_search(&lower.as_str()).is_ok() || MONTHS.split('|').any(|month| month == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_in_order_and_disjoint() {
        assert!(GIVEN_NAMES.is_sorted() && NO_NAMES.is_sorted());
        assert!(GIVEN_NAMES.iter().all(|name| !is_no_name(name)));
    }
}
