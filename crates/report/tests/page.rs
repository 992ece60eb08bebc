//! The page as a whole: a run folder in, a page out, of which every figure is a row of `summary.parquet`.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use common::{HOSTILE, Shape, Tuning, arguments, edit, write_run};
use contract::records::{
    CoursePoint, PassageMatch, Sample, SampleVerdict, Split, SummaryRow, TrainingMetric,
};
use contract::{Error, Provenance, StageArguments, parquet};

fn small() -> Shape {
    Shape {
        documents: 8,
        canaries: 2,
        references: 16,
        samples: 2,
        best: true,
        near_duplicates: 0,
        tunings: vec![
            Tuning::new("base", "base", None, 5.0, 0.0),
            Tuning::new("full-3e-4", "full", Some(3e-4), 4.0, 0.9),
            Tuning::new("lora16-3e-3", "lora", Some(3e-3), 4.4, 0.0),
        ],
        ..Shape::default()
    }
}

/// What a run was made into.
struct Made {
    folder: tempfile::TempDir,
    page: String,
    redacted: String,
    rows: Vec<SummaryRow>,
}

fn made(shape: &Shape) -> Made {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), shape);
    let (page, redacted, rows) = outputs(folder.path());
    Made {
        folder,
        page,
        redacted,
        rows,
    }
}

fn outputs(run: &Path) -> (String, String, Vec<SummaryRow>) {
    report::report(&arguments(run), run).unwrap();
    let read = |name: &str| std::fs::read_to_string(run.join("report").join(name)).unwrap();
    let rows = parquet::read_all(&run.join("report/summary.parquet")).unwrap();
    (read("report.html"), read("report-redacted.html"), rows)
}

/// The values of an attribute on the page, in order.
fn attributes<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    let opening = format!(" {name}=\"");
    page.split(opening.as_str())
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect()
}

/// Every figure: row, which of its figures, text.
fn figures(page: &str) -> Vec<(usize, &str, &str)> {
    page.split("<data class=\"f")
        .skip(1)
        .map(|rest| {
            let (tag, content) = rest.split_once('>').unwrap();
            let of = attributes(tag, "data-of").first().copied().unwrap_or("");
            let row = attributes(tag, "value")[0].parse().unwrap();
            (row, of, content.split("</data>").next().unwrap())
        })
        .collect()
}

/// The numbers of a text, without sign, each with its decimals.
fn numbers(text: &str) -> Vec<(f64, i32)> {
    let plain: String = text
        .chars()
        .filter(|character| *character != '\u{202f}')
        .collect();
    plain
        .split(|character: char| !(character.is_ascii_digit() || character == '.'))
        .filter_map(|number| {
            let number = number.trim_matches('.');
            let decimals = number
                .split_once('.')
                .map_or(0, |(_, decimals)| decimals.len() as i32);
            Some((number.parse().ok()?, decimals))
        })
        .collect()
}

#[test]
fn every_figure_shows_the_row_that_it_names() {
    let made = made(&small());
    let found = figures(&made.page);
    assert!(found.len() > 500, "{}", found.len());
    for (row, of, text) in found {
        let row = &made.rows[row];
        let quantities = match of {
            "untuned" => vec![row.untuned, row.untuned_low, row.untuned_high, row.untuned_k],
            "control" => vec![row.control, row.control_low, row.control_high],
            _ => vec![Some(row.value), row.ci_low, row.ci_high, row.k],
        };
        let counts = [row.observations as f64, row.n as f64, row.runs as f64];
        let allowed: Vec<f64> = quantities
            .into_iter()
            .flatten()
            .chain(counts)
            .flat_map(|one| [one.abs(), one.abs() * 100.0])
            .collect();
        for (number, decimals) in numbers(text) {
            let near = 0.5 * 10_f64.powi(-decimals) + 1e-9;
            let is_capped = (number == 99.9 && text.contains('%')) || (number == 0.1 && text.contains('<'));
            assert!(
                is_capped || allowed.iter().any(|one| (one - number).abs() <= near),
                "{text:?} ({of}) is no figure of {row:?}"
            );
        }
    }
    // The key table has figures of several rows, and the control's and the untuned model's say whose they are.
    let rows: BTreeSet<usize> = figures(&made.page).iter().map(|(row, ..)| *row).collect();
    assert!(rows.len() > 100, "{}", rows.len());
}

#[test]
fn text_from_outside_is_escaped_and_the_page_reaches_nowhere() {
    let made = made(&small());
    let page = &made.page;
    assert!(HOSTILE.contains("<script>") && HOSTILE.contains('\0'));
    assert!(page.contains("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;"));
    let scripts: Vec<&str> = page.split("<script").skip(1).collect();
    assert!(
        scripts.len() == 1 && scripts[0].starts_with(">// Tables that sort"),
        "no script but that of tables"
    );
    assert!(!page.contains('\0') && !page.contains('\u{202e}'));
    assert_eq!(
        page.matches("<blockquote").count(),
        page.matches("</blockquote>").count()
    );
    assert!(page.contains(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-"
    ));
    for reach in ["http:", "https:", "url(", "@import", "src=", "<link", "style=\""] {
        assert!(!page.contains(reach), "{reach}");
    }
}

#[test]
fn anchors_are_unique_and_every_link_has_one() {
    let made = made(&small());
    let ids = attributes(&made.page, "id");
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(unique.len(), ids.len(), "{ids:?}");
    let links = attributes(&made.page, "href");
    let inside: Vec<&str> = links.iter().filter_map(|link| link.strip_prefix('#')).collect();
    assert!(inside.len() > 20);
    for link in inside {
        assert!(unique.contains(link), "{link}");
    }
    assert_eq!(
        made.page.matches("<h2").count(),
        made.page.matches("<h2 id=").count(),
        "headings can be linked to"
    );
}

#[test]
fn every_plot_says_what_it_shows_and_has_a_table_and_every_table_a_caption() {
    let made = made(&small());
    let plots: Vec<&str> = made.page.split("<figure class=\"plot-figure\"").skip(1).collect();
    assert!(plots.len() >= 2);
    for plot in plots {
        let plot = plot.split("</figure>").next().unwrap();
        assert!(
            plot.contains("role=\"img\" aria-label=\"") && plot.contains("<table"),
            "{plot}"
        );
        assert!(!attributes(plot, "aria-label")[0].trim().is_empty());
    }
    assert_eq!(
        made.page.matches("<table").count(),
        made.page.matches("<caption>").count()
    );
}

#[test]
fn the_page_has_its_sections_in_order() {
    let made = made(&small());
    let expected = [
        "answer",
        "key-figures",
        "tested",
        "test",
        "leaked",
        "why",
        "attackers",
        "next",
        "paper",
        "details",
        "glossary",
        "reproduce",
    ];
    let headings: Vec<&str> = made
        .page
        .split("<h2 id=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert_eq!(headings, expected);
}

#[test]
fn every_leaked_document_is_listed_and_the_redacted_edition_has_no_word_of_it() {
    let made = made(&small());
    let cells = [
        "cells/full-3e-4",
        "cells/full-3e-4/best",
        "cells/lora16-3e-3",
        "cells/lora16-3e-3/best",
    ];
    let mut emitted: BTreeSet<String> = BTreeSet::new();
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    for cell in cells {
        let folder = made.folder.path().join(cell);
        let verdicts: Vec<SampleVerdict> = parquet::read_all(&folder.join("verdicts.parquet")).unwrap();
        let matches: Vec<PassageMatch> = parquet::read_all(&folder.join("matches.parquet")).unwrap();
        let listed: BTreeSet<&str> = matches.iter().map(|found| found.doc_id.as_str()).collect();
        let of_verdicts = verdicts
            .iter()
            .flat_map(|verdict| verdict.emitted_doc_ids.iter().flatten());
        emitted.extend(
            of_verdicts
                .filter(|doc_id| listed.contains(doc_id.as_str()))
                .cloned(),
        );
        let samples: Vec<Sample> = parquet::read_all(&folder.join("samples.parquet")).unwrap();
        for word in samples
            .iter()
            .flat_map(|sample| sample.generation.split_whitespace())
        {
            *words.entry(word.to_owned()).or_default() += 1;
        }
    }
    let leaked = made
        .page
        .split("id=\"leaked\"")
        .nth(1)
        .unwrap()
        .split("</section>")
        .next()
        .unwrap();
    assert!(!emitted.is_empty());
    for doc_id in &emitted {
        assert!(
            leaked.contains(&format!("<span class=\"leak-id\"><code>{doc_id}</code>")),
            "{doc_id}"
        );
    }
    let redacted = made
        .redacted
        .split("id=\"leaked\"")
        .nth(1)
        .unwrap()
        .split("</section>")
        .next()
        .unwrap();
    let quotes: String = redacted
        .split("<blockquote")
        .skip(1)
        .map(|rest| rest.split("</blockquote>").next().unwrap())
        .collect();
    let text: String = without_tags(&quotes);
    let lettered: Vec<&String> = words
        .keys()
        .filter(|word| word.chars().filter(|letter| letter.is_alphabetic()).count() > 3)
        .collect();
    assert!(!lettered.is_empty() && text.contains('█'));
    for word in lettered {
        assert!(!text.split_whitespace().any(|shown| shown == word), "{word}");
    }
    assert!(made.page.contains("report-redacted.html"));
}

fn without_tags(html: &str) -> String {
    let mut is_tag = true;
    let mut text = String::new();
    for character in html.chars() {
        match character {
            '<' => is_tag = true,
            '>' => is_tag = false,
            _ if !is_tag => text.push(character),
            _ => {}
        }
    }
    text
}

#[test]
fn what_was_logged_over_training_is_drawn_with_its_figures() {
    let made = made(&small());
    let cell = made.folder.path().join("cells/full-3e-4");
    let metrics: Vec<TrainingMetric> = parquet::read_all(&cell.join("metrics.parquet")).unwrap();
    let point = |step: i64, share: f64| CoursePoint {
        checkpoint: "x".into(),
        step: Some(step),
        split: Split::Train,
        copies: 4,
        documents: 3,
        loss: 1.0,
        continuations: 3,
        exact_memorization: Some(share),
        extractable: Some(share),
        extraction_probability: Some(share),
    };
    let course = [
        point(metrics[0].step, 0.25),
        point(metrics[metrics.len() - 1].step, 0.75),
    ];
    parquet::write_all(
        &cell.join("course.parquet"),
        &Provenance::new("extractor"),
        &course,
    )
    .unwrap();
    let (page, ..) = outputs(made.folder.path());
    let training = page.split("<summary>Over training</summary>").nth(1).unwrap();
    assert!(training.contains("extractable_over_training"));
}

#[test]
fn the_same_run_gives_the_same_bytes_and_is_not_done_twice() {
    let first = made(&small());
    let second = made(&small());
    assert_eq!((&first.page, &first.rows), (&second.page, &second.rows));
    let done = |overrides: &[&str]| {
        let arguments = StageArguments {
            force: false,
            overrides: overrides
                .iter()
                .map(|&assignment| assignment.to_owned())
                .collect(),
            ..arguments(first.folder.path())
        };
        report::report(&arguments, first.folder.path())
            .unwrap()
            .up_to_date
    };
    assert!(done(&[]));
    std::fs::remove_file(first.folder.path().join("report/report.html")).unwrap();
    assert!(!done(&[]));
    assert!(!done(&["report.resamples=1200"]));
    assert!(!done(&[]));
    let verdicts = first.folder.path().join("cells/base/verdicts.parquet");
    edit(&verdicts, |verdicts: &mut Vec<SampleVerdict>| {
        verdicts[0].longest_match_chars += 1;
    });
    assert!(!done(&[]));
}

/// The page is written before the summary; a run with other settings that is stopped between them leaves a page of its own.
#[test]
fn a_page_of_other_settings_does_not_pass_for_that_of_the_finished_report() {
    let first = made(&small());
    let run = first.folder.path();
    let report = |overrides: Vec<String>| {
        let arguments = StageArguments {
            force: false,
            overrides,
            ..arguments(run)
        };
        report::report(&arguments, run)
    };
    // It stands for a process that is stopped there: the summary cannot be written.
    let partial = std::fs::File::create(run.join("report/summary.parquet.partial")).unwrap();
    partial.try_lock().unwrap();
    let stopped = report(vec!["report.examples=0".to_owned()]).unwrap_err();
    assert!(stopped.to_string().contains("summary.parquet"), "{stopped}");
    let page = || std::fs::read_to_string(run.join("report/report.html")).unwrap();
    assert_ne!(page(), first.page, "the page of the other settings was written");
    drop(partial);
    assert!(!report(Vec::new()).unwrap().up_to_date);
    assert_eq!(page(), first.page);
}

#[test]
fn a_missing_file_names_the_command_that_makes_it() {
    let missing: [(&str, &str); 8] = [
        (
            "cells/full-3e-4/best/verdicts.parquet",
            "best/samples.parquet --out ",
        ),
        ("cells/full-3e-4/best/matches.parquet", "plagiarism --config"),
        ("cells/full-3e-4/best/samples.parquet", "extractor --config"),
        ("cells/base/verdicts.parquet", "plagiarism --config"),
        ("cells/base/matches.parquet", "plagiarism --config"),
        ("cells/base/samples.parquet", "extractor --config"),
        ("corpus/bucketed/train.parquet", "dupgen --config"),
        ("corpus/bucketed/heldout.parquet", "dupgen --config"),
    ];
    for (file, command) in missing {
        let folder = tempfile::tempdir().unwrap();
        write_run(
            folder.path(),
            &Shape {
                documents: 2,
                ..small()
            },
        );
        std::fs::remove_file(folder.path().join(file)).unwrap();
        let error = report::report(&arguments(folder.path()), folder.path()).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.exit_status(), 3);
        assert!(message.contains(file) && message.contains(command), "{message}");
    }
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    type Change = fn(&mut Vec<SampleVerdict>, &mut Vec<PassageMatch>);
    let cases: [(Change, &str); 4] = [
        (|verdicts, _| drop(verdicts.remove(0)), "no verdict on sample 0"),
        (
            |verdicts, _| verdicts.iter_mut().for_each(|verdict| verdict.sample_id += 1),
            "no verdict on sample 0",
        ),
        (
            |_, matches| matches[0].gen_end = 100_000,
            "does not lie in the generation",
        ),
        (
            |_, matches| matches[0].doc_id = "elsewhere".to_owned(),
            "document elsewhere is in neither",
        ),
    ];
    for (change, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        write_run(
            folder.path(),
            &Shape {
                documents: 4,
                ..small()
            },
        );
        let cell = folder.path().join("cells/full-3e-4");
        let (verdicts_file, matches_file) = (cell.join("verdicts.parquet"), cell.join("matches.parquet"));
        let mut verdicts = parquet::read_all(&verdicts_file).unwrap();
        let mut matches = parquet::read_all(&matches_file).unwrap();
        change(&mut verdicts, &mut matches);
        parquet::write_all(&verdicts_file, &Provenance::new("test"), &verdicts).unwrap();
        parquet::write_all(&matches_file, &Provenance::new("test"), &matches).unwrap();
        let error = report::report(&arguments(folder.path()), folder.path()).unwrap_err();
        assert!(matches!(error, Error::Input { .. }));
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn the_program_ends_with_the_status_of_its_error() {
    let folder = tempfile::tempdir().unwrap();
    write_run(
        folder.path(),
        &Shape {
            documents: 2,
            ..small()
        },
    );
    let run = |extra: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_report"))
            .arg("--config")
            .arg(folder.path().join("report.toml"))
            .arg("--in")
            .arg(folder.path())
            .arg("--out")
            .arg(folder.path().join("report"))
            .args(extra)
            .output()
            .unwrap()
    };
    let first = run(&[]);
    assert_eq!(first.status.code(), Some(0));
    assert!(first.stdout.is_empty());
    let said = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(said.contains("report.html"), "{said}");
    assert_eq!(run(&["--set", "report.resamples=3"]).status.code(), Some(2));
    std::fs::write(folder.path().join("cells/base/verdicts.parquet"), "PAR1").unwrap();
    assert_eq!(run(&[]).status.code(), Some(3));
}

#[test]
fn weights_of_four_bits_and_a_base_that_an_adapter_does_not_name_are_said() {
    let first = made(&small());
    assert!(!first.page.contains("are stored in"), "nothing is rounded there");
    let facts = first.folder.path().join("cells/lora16-3e-3/cell.toml");
    let mut told = std::fs::read_to_string(&facts).unwrap();
    told.push_str("stored = \"four bits (nf4)\"\nbase = \"models/four-bit\"\nnamed_base = \"acme/whole\"\n");
    std::fs::write(&facts, told).unwrap();
    let (page, _, _) = outputs(first.folder.path());
    for said in [
        "The base’s weights are stored in four bits (nf4)",
        "The adapter names acme/whole as its base and was put on models/four-bit",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn a_report_of_very_many_figures_says_where_they_are() {
    let made = made(&small());
    let file = made.folder.path().join("report.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    assert!(made.rows.len() > 100 && !made.page.contains("more than a page can hold"));
    std::fs::write(
        &file,
        settings.replace("examples = 3", "examples = 3\nfigures = 100"),
    )
    .unwrap();
    let (page, redacted, rows) = outputs(made.folder.path());
    assert_eq!(rows.len(), made.rows.len());
    let count = rows.len().to_string();
    for page in [&page, &redacted] {
        let text = page.replace('\u{202f}', "");
        assert!(text.contains(&format!("{count} figures, more than a page can hold")));
        assert!(page.contains("summary.csv"));
    }
    assert!(
        page.len() < made.page.len() / 2,
        "{} of {}",
        page.len(),
        made.page.len()
    );
    // What decides is still there.
    assert!(page.contains("id=\"key-figures\"") && page.contains("<blockquote"));
}

#[test]
fn anchors_are_unique_where_a_model_is_tuned_on_two_corpora() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &small());
    let cells = folder.path().join("cells");
    for entry in std::fs::read_dir(&cells).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        for corpus in ["letters", "notes"] {
            let copy = cells.join(format!("{name}-{corpus}"));
            copy_folder(&cells.join(&name), &copy);
            let facts = copy.join("cell.toml");
            let text = std::fs::read_to_string(&facts).unwrap();
            let named = text.replacen(
                &format!("name = \"{name}\""),
                &format!("name = \"{name}-{corpus}\"\ncorpus_name = \"{corpus}\""),
                1,
            );
            assert_ne!(named, text);
            std::fs::write(&facts, named).unwrap();
        }
        std::fs::remove_dir_all(cells.join(&name)).unwrap();
    }
    let (page, ..) = outputs(folder.path());
    let ids = attributes(&page, "id");
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(unique.len(), ids.len(), "{ids:?}");
    for corpus in ["letters", "notes"] {
        assert!(page.contains(&format!("on {corpus}, ")), "{corpus}");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}
