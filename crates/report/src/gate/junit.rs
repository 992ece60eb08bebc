//! Findings as JUnit XML, which most systems of continuous integration show.

use std::fmt::Write;

use super::{Finding, Findings, Outcome, shown};

pub(super) fn write(findings: &Findings) -> String {
    let all = &findings.findings;
    let failures = all
        .iter()
        .filter(|finding| finding.outcome != Outcome::Pass)
        .count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"tuneleak report check\" tests=\"{}\" failures=\"{failures}\" errors=\"0\">\n",
        all.len()
    );
    for finding in all {
        // A String takes everything.
        let _ = write_case(&mut text, finding);
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

pub(super) fn write_refusal(problem: &str) -> String {
    let problem = escaped(problem);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  \
         <testsuite name=\"tuneleak report check\" tests=\"1\" failures=\"0\" errors=\"1\">\n    \
         <testcase classname=\"report check\" name=\"limits\">\n      \
         <error type=\"refused\" message=\"nothing was held against limits\">{problem}</error>\n    \
         </testcase>\n  </testsuite>\n</testsuites>\n"
    )
}

fn write_case(text: &mut String, finding: &Finding) -> std::fmt::Result {
    let (subject, limit) = (escaped(&finding.subject), escaped(&finding.limit));
    write!(text, "    <testcase classname=\"{subject}\" name=\"{limit}\"")?;
    if finding.outcome == Outcome::Pass {
        return writeln!(text, "/>");
    }
    let message = escaped(&format!("{} of {}", shown(finding), finding.units));
    let reason = escaped(finding.reason.as_deref().unwrap_or("the limit is exceeded"));
    writeln!(
        text,
        ">\n      <failure type=\"{}\" message=\"{message}\">{reason}</failure>\n    </testcase>",
        finding.outcome.word()
    )
}

/// Text as an attribute or a content holds it; control characters, which XML may not hold, become spaces.
fn escaped(text: &str) -> String {
    let printable: String = text
        .chars()
        .map(|letter| {
            if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') {
                ' '
            } else {
                letter
            }
        })
        .collect();
    quick_xml::escape::escape(printable).into_owned()
}
