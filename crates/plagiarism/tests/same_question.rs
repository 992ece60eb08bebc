//! Independent answers to one question against rewordings, with the real encoder: being on one subject is no plagiarism.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use contract::records::Verdict;
use plagiarism::paraphrase::encoder;
use plagiarism::side_by_side::{Comparison, PresetName};

fn class(generation: &str, document: &str) -> Verdict {
    let encoder = encoder::find(None).unwrap();
    let text = |name: &str, text: &str| (name.into(), text.to_owned());
    let compared = Comparison::of(
        text("generation", generation),
        text("document", document),
        PresetName::Ours,
        Some(encoder),
    );
    compared.unwrap().class
}

/// A question, and answers by two people who did not read each other.
const INDEPENDENT: [(&str, &str, &str); 6] = [
    (
        "Why is the sky blue?",
        "The sky looks blue because the molecules of the air scatter the short wavelengths of sunlight, which are blue, \
         much more strongly than its long wavelengths, which are red. Sunlight holds all colours. When it passes through \
         the atmosphere, molecules of nitrogen and oxygen send the blue part off in every direction, so blue light \
         reaches our eyes from all over the sky, while most of the red goes straight on. This is called Rayleigh \
         scattering, after the physicist who described it in the 1870s. At sunset the light has a longer way to go, most \
         of the blue is gone before it arrives, and what is left looks orange.",
        "The blue sky is sunlight scattered by the molecules of the atmosphere: they scatter blue light, which has a \
         short wavelength, far more strongly than red light, which has a long one. White sunlight is a mixture of \
         wavelengths. Gas molecules are far smaller than any of these, and such small particles deflect light in inverse \
         proportion to the fourth power of its wavelength. Violet is deflected most, but the sun emits less of it and \
         human eyes respond to it weakly, which is why we see a blue sky rather than a violet one. Dust and droplets are \
         larger and treat all wavelengths alike: hence clouds are white and hazy days pale. On Mars, where fine dust \
         fills a thin atmosphere, the day sky is butterscotch.",
    ),
    (
        "What is photosynthesis?",
        "Photosynthesis is the process by which green plants use the energy of sunlight to make sugar out of carbon \
         dioxide and water, and give off oxygen while they do so. It happens in the chloroplasts, which hold the green \
         pigment chlorophyll. In a first step light splits water, oxygen is released and the energy is stored in ATP and \
         NADPH. In a second one, the Calvin cycle, these are spent to build sugar out of carbon dioxide. Nearly all life \
         on Earth lives on what plants make in this way, and the oxygen that we breathe is its waste.",
        "In photosynthesis plants, algae and some bacteria turn the energy of sunlight into chemical energy: out of \
         carbon dioxide and water they build carbohydrates, and release oxygen into the air. Leaves take up carbon \
         dioxide through pores named stomata; the roots deliver the water. A farmer cares about it because the rate \
         limits the yield: it rises with brightness until another factor, warmth or the gas, becomes scarce. Maize and \
         sugar cane have a special anatomy that pumps the gas to where it is needed, and they waste less on hot days than \
         wheat or rice do. Breeders try to move this trait into other crops.",
    ),
    (
        "What causes inflation?",
        "Inflation is a general rise of prices. One cause is demand: when people and firms want to buy more than the \
         economy can produce, sellers raise their prices. Another is cost: if oil or wages become dearer, producers pass \
         this on to their customers. Expectations matter too, because workers who expect prices to rise ask for higher \
         wages. In the long run, many economists say, prices follow the quantity of money. Central banks fight inflation \
         by raising interest rates, which makes borrowing more expensive and dampens spending.",
        "Most episodes begin with a shock. In 1973 an embargo quadrupled the price of crude oil within months; in 2021 \
         factories and ports that had closed during the pandemic could not keep up with orders. Whether such a shock \
         turns into lasting inflation depends on what the government and the central bank do next. The German \
         hyperinflation of 1923 came from a state that printed marks to pay its debts. By contrast Japan has had near \
         stable prices for decades in spite of very low interest rates, since its households expect them to stay the \
         same.",
    ),
    (
        "How do vaccines work?",
        "A vaccine shows the immune system a harmless piece of a germ, or a weakened form of it, so that the body learns \
         to recognise the germ and to make antibodies against it before it ever causes the disease. The body answers as \
         if it were infected: white blood cells make antibodies, and some of them stay behind as memory cells. If the \
         real germ comes later, these recognise it and act within days, before the illness can take hold. Some vaccines \
         need a second dose or a booster after some years, because memory fades. When most people are vaccinated the germ \
         finds few to infect, and so those who cannot be vaccinated are protected as well.",
        "Edward Jenner noticed in 1796 that milkmaids who had caught cowpox did not get smallpox. He scratched pus from a \
         blister into the arm of a boy, and the boy proved immune. A vaccine trains the immune system to produce \
         antibodies against a virus or a bacterium, so that it will recognise the intruder and fight it before the person \
         falls ill with the disease. Today there are several kinds. Live ones hold a germ bred to be mild, as against \
         measles; inactivated ones a killed germ, as against polio; others only a protein from its surface. The newest \
         deliver messenger RNA, with which our own cells produce that protein for a short while. All rely on lymphocytes \
         that remember.",
    ),
    (
        "What does a hash table do?",
        "A hash table is a data structure that maps keys to values: a hash function computes from each key the index of \
         the bucket of an array in which its value is stored and can be found. Two keys may fall into the same bucket, \
         which is called a collision. It can be resolved by keeping a list in each bucket, or by probing for the next \
         free one. When the table becomes too full it is enlarged, and all entries are inserted again.",
        "Think of the pigeonholes behind a hotel desk. If every guest were filed by name the clerk would have to search, \
         but if the name alone tells the hole, one reach is enough. A hash table does this for programs. It is a \
         structure in which a hash function turns the key of an entry into the index of a slot of an array, where the \
         value of this key is stored: Python's dictionaries and JavaScript's objects are built on it. The price is that \
         the entries come in no useful order and that some memory stays empty. Attackers can slow a server down by \
         sending many keys that all collide, so modern implementations choose a random seed at start.",
    ),
    (
        "Why did the Roman Empire fall?",
        "Historians give many reasons for the fall of the Western Roman Empire in 476. The frontiers were long, and \
         Goths, Vandals and Huns pressed on them. Civil wars over the throne wore down the army, which depended more and \
         more on hired foreign soldiers. Taxes rose while trade shrank, and the coins lost their silver. The East, with \
         its richer cities and a capital that was easy to defend, lasted for another thousand years.",
        "Gibbon blamed the loss of civic virtue and the spread of Christianity. Later scholars looked for material \
         causes: plague under Marcus Aurelius and again in the third century, a cooler and less steady climate, lead in \
         the water pipes. Others deny that there was a fall at all, and speak of a slow change in which bishops and \
         Germanic kings took over what governors had done. Archaeology shows, all the same, that houses became smaller \
         and pottery coarser within three generations in Britain and northern Gaul.",
    ),
];

/// A text, and what a person made of it in words of their own.
const REWORDED: [(&str, &str); 4] = [
    (
        "The clinic told Mrs Halvey on Tuesday that her potassium was far too low. She was asked to come back for a \
         second blood test before the weekend. Until then she should take no more water tablets.",
        "On Tuesday the clinic informed Mrs Halvey that her potassium was much too low. Before the weekend she was to \
         come back for another blood test. She should take no water tablets until then.",
    ),
    (
        "A hash table stores pairs of keys and values so that the value of a key can be found in constant time on \
         average. A hash function turns the key into a number, and this number modulo the size of the table is the index \
         of a bucket. Two keys may fall into the same bucket, which is called a collision.",
        "In a hash table keys and their values are stored such that finding the value of a key takes constant time on \
         average. The key is turned into a number by a hash function; the index of the bucket is that number modulo the \
         table's size. If two keys fall into one bucket, one speaks of a collision.",
    ),
    (
        "The ferry to the island leaves the northern harbour at seven every morning and returns at dusk. Bicycles travel \
         free of charge, but drivers have to book a place for their car two days ahead. In stormy weather the crossing is \
         cancelled, and passengers are brought to the mainland hotel by bus.",
        "Every morning at seven a ferry sails from the northern harbour to the island; it comes back at dusk. While \
         bicycles cost nothing, a place for a car must be booked two days before. If the weather is stormy there is no \
         crossing, and a bus brings the passengers to the hotel on the mainland.",
    ),
    (
        "Our cellar flooded twice last winter. The landlord promised new pumps in January, yet nothing was installed \
         until the end of March.",
        "Last winter our cellar was flooded two times. New pumps had been promised by the landlord in January, but until \
         the end of March none was installed.",
    ),
];

#[test]
fn independent_answers_to_one_question_are_no_plagiarism() {
    for (question, first, second) in INDEPENDENT {
        assert_eq!(class(first, second), Verdict::None, "{question}");
        assert_eq!(
            class(second, first),
            Verdict::None,
            "{question}, the other way round"
        );
    }
}

#[test]
fn a_reworded_text_is_a_paraphrase_also_among_other_sentences() {
    let (_, _, other) = INDEPENDENT[5];
    for (document, reworded) in REWORDED {
        assert_eq!(class(reworded, document), Verdict::Paraphrase, "{reworded}");
        if document.len() > 250 {
            let within = format!("{other} {reworded} {other}");
            assert_eq!(class(&within, document), Verdict::Paraphrase, "{within}");
        }
    }
}
