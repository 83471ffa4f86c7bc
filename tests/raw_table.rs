//! Checks `GREENLET.md`, the table of greenlet's tests: every upstream test has a row, every row says
//! what became of it, and every test that it names exists.

use std::fs;
use std::path::Path;

/// How many tests greenlet 3.5.6 has.
const UPSTREAM: usize = 172;

struct Row {
    number: usize,
    upstream: String,
    here: String,
}

fn rows(table: &str) -> Vec<Row> {
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_matches('|');
        inner
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    let lines = table.lines().filter(|line| line.starts_with("| "));
    lines
        .map(cells)
        .filter_map(|cells| {
            let number = cells.first()?.parse().ok()?;
            Some(Row {
                number,
                upstream: format!("{} {}", cells.get(1)?, cells.get(2)?),
                here: cells.get(3).cloned().unwrap_or_default(),
            })
        })
        .collect()
}

/// The `file::function` names in a cell.
fn names(cell: &str) -> impl Iterator<Item = (&str, &str)> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted
        .filter(|word| word.starts_with("raw_"))
        .filter_map(|word| word.split_once("::"))
}

/// What is wrong with the table, given each test file's text.
fn complaints(table: &str, source: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let rows = rows(table);
    let mut wrong = Vec::new();
    if !rows.iter().map(|row| row.number).eq(1..=UPSTREAM) {
        wrong.push(format!(
            "the rows are not 1 to {UPSTREAM}: there are {}",
            rows.len()
        ));
    }
    for row in &rows {
        let number = row.number;
        if !row.upstream.contains("test_") {
            wrong.push(format!("row {number}: no upstream test"));
        }
        let mut named = 0;
        for (file, function) in names(&row.here) {
            named += 1;
            let text = source(file).unwrap_or_default();
            let has = text
                .match_indices(&format!("fn {function}()"))
                .any(|(at, _)| {
                    let mut attributes = text[..at]
                        .lines()
                        .rev()
                        .take_while(|line| line.starts_with("#["));
                    attributes.any(|line| line == "#[test]")
                });
            if !has {
                wrong.push(format!("row {number}: no test {file}::{function}"));
            }
        }
        let why_not = row
            .here
            .strip_prefix("no: ")
            .is_some_and(|why| why.len() > 5);
        if named == 0 && !why_not {
            wrong.push(format!(
                "row {number}: neither a test nor a reason: `{}`",
                row.here
            ));
        }
    }
    wrong
}

#[test]
fn every_upstream_test_is_accounted_for() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let table = fs::read_to_string(dir.join("GREENLET.md")).unwrap();
    let wrong = complaints(&table, |file| {
        fs::read_to_string(dir.join(format!("{file}.rs"))).ok()
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_check_can_fail() {
    let table = "| 1 | `test_a.py` | `test_x` | `raw_a::there` |\n\
                 | 2 | `test_a.py` | `test_y` | `raw_a::gone` |\n\
                 | 3 | `test_a.py` | `test_z` | |\n\
                 | 4 | `test_a.py` | `test_w` | no: packaging |\n";
    let wrong = complaints(table, |_| {
        Some("#[test]\nfn there() {}\nfn gone() {}".into())
    });
    let expected = [
        "the rows are not 1 to 172",
        "row 2: no test",
        "row 3: neither",
    ];
    assert_eq!(wrong.len(), expected.len(), "{wrong:#?}");
    for (wrong, expected) in wrong.iter().zip(expected) {
        assert!(wrong.starts_with(expected), "{wrong}");
    }
}
