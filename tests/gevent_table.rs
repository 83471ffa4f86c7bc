//! Checks the two tables for those who come from gevent, by reading them.
//!
//! `GEVENT.md`, what became of each of gevent's test files:
//! - every file has a row, in order, and every row says something: the tests here, or `no:` or `waits
//!   for` and why;
//! - each `file::function` in it is a test (there, or in a module of that file), and each `file.rs` is
//!   there.
//!
//! `PORTING.md`, what became of each of gevent's names:
//! - no cell of any table is empty, and the second says `none:`, `waits for:`, or something else;
//! - the names that a cell begins with are defined in `src`, so that no table promises what is not
//!   there;
//! - the Rust half of the lines at its head stands in `behaviours.rs`, which runs it;
//! - the table of the twenty and the tests in `behaviours.rs` name each other.
//!
//! Each check is run on text that it must flag, too, in `gevent_table/selftest.rs`. What is checked is
//! that names exist; that they mean what the page says is for the reader to see.

#[path = "gevent_table/selftest.rs"]
mod selftest;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// How many test files gevent 26.9.0 has, `lock_tests.py` among them.
const UPSTREAM: usize = 136;

// ---------------------------------------------------------------------------- reading

/// The cells of each row of each table, without heads, and the number of its line.
fn rows(page: &str) -> Vec<(usize, Vec<String>)> {
    let mut fenced = false;
    let mut found: Vec<(usize, Vec<String>)> = Vec::new();
    for (number, line) in (1..).zip(page.lines()) {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        let inner = line
            .strip_prefix('|')
            .and_then(|line| line.trim_end().strip_suffix('|'));
        match inner {
            Some(inner) if !fenced && inner.starts_with("---") => {
                found.pop(); // the row before was the head
            }
            Some(inner) if !fenced => {
                let cells = inner.split('|').map(|cell| cell.trim().to_owned());
                found.push((number, cells.collect()));
            }
            _ => {}
        }
    }
    found
}

/// The words in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The words in backticks at the start of a cell, with nothing but commas between.
fn leading(cell: &str) -> Vec<&str> {
    let parts = cell.split('`').collect::<Vec<_>>();
    let mut found = Vec::new();
    for pair in parts.chunks(2) {
        let [between, word] = pair else { break };
        if between.trim().trim_start_matches(',').trim() != "" {
            break;
        }
        found.push(*word);
    }
    found
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether `word` stands in `text` as a whole word.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text.as_bytes()[..at].last();
        let after = text.as_bytes().get(at + word.len());
        !before.is_some_and(|&byte| is_word(byte)) && !after.is_some_and(|&byte| is_word(byte))
    })
}

/// The names of the tests in a file.
fn tests(source: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("#[") {
            is_test |= line == "#[test]";
        } else if is_test && !line.starts_with("//") {
            let name = line
                .strip_prefix("fn ")
                .and_then(|rest| rest.split('(').next());
            found.extend(name);
            is_test = false;
        }
    }
    found
}

// ---------------------------------------------------------------------------- GEVENT.md

/// What is wrong with the table of tests. `read` gives a file by its path from the root.
pub(crate) fn wrong_with_tests(page: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let rows = rows(page);
    let mut wrong = Vec::new();
    let numbers = rows
        .iter()
        .filter_map(|(_, cells)| cells[0].parse::<usize>().ok());
    if !numbers.eq(1..=UPSTREAM) {
        wrong.push(format!(
            "the rows are not 1 to {UPSTREAM}: there are {}",
            rows.len()
        ));
    }
    let mut files = BTreeSet::new();
    for (line, cells) in &rows {
        let [_, upstream, here] = &cells[..] else {
            wrong.push(format!("line {line}: not three cells"));
            continue;
        };
        let file = upstream.trim_matches('`');
        if !file.ends_with(".py") || !files.insert(file) {
            wrong.push(format!(
                "line {line}: `{file}` is no upstream file, or a second row of it"
            ));
        }
        let mut named = 0;
        for word in quoted(here) {
            if let Some((stem, function)) = word.split_once("::")
                && !function.contains("::")
            {
                named += 1;
                let source = read(&format!("tests/{stem}.rs")).unwrap_or_default();
                if !tests(&source).contains(function) {
                    wrong.push(format!("line {line}: no test {word}"));
                }
            } else if word.ends_with(".rs") {
                named += 1;
                let beside = read(&format!("tests/{word}"));
                if beside.or_else(|| read(word)).is_none() {
                    wrong.push(format!("line {line}: no file {word}"));
                }
            }
        }
        let why_not = ["no: ", "waits for "]
            .iter()
            .any(|start| here.strip_prefix(start).is_some_and(|why| why.len() > 5));
        if named == 0 && !why_not {
            wrong.push(format!(
                "line {line}: neither a test nor a reason: `{here}`"
            ));
        }
        if here.contains("TODO") {
            wrong.push(format!("line {line}: unfinished: `{here}`"));
        }
    }
    wrong
}

// ---------------------------------------------------------------------------- PORTING.md

/// The text of a directory, and the names that it defines.
struct Source<'a> {
    text: &'a str,
    defined: BTreeSet<&'a str>,
}

impl<'a> Source<'a> {
    fn new(text: &'a str) -> Self {
        let makers = [
            "fn",
            "struct",
            "enum",
            "trait",
            "type",
            "mod",
            "macro_rules",
        ];
        let words = text.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_'));
        let mut defined = BTreeSet::new();
        let mut maker = false;
        for word in words.filter(|word| !word.is_empty()) {
            if maker {
                defined.insert(word);
            }
            maker = makers.contains(&word);
        }
        Source { text, defined }
    }

    /// Whether it defines an item, a module, a macro, or a method (where its type is named, too).
    fn defines(&self, name: &str) -> bool {
        let mut path = name.trim_end_matches('!').rsplit("::");
        let last = path.next().unwrap_or_default();
        let owner = path.next();
        let is_module = |owner: &str| owner.starts_with(|first: char| first.is_lowercase());
        self.defined.contains(last)
            && owner.is_none_or(|owner| is_module(owner) || has_word(self.text, owner))
    }
}

/// What is wrong with the tables of names.
pub(crate) fn wrong_with_names(page: &str, sources: &[String]) -> Vec<String> {
    let sources = sources
        .iter()
        .map(|text| Source::new(text))
        .collect::<Vec<_>>();
    let mut wrong = Vec::new();
    for (line, cells) in rows(page) {
        if cells.len() < 2 || cells.iter().any(String::is_empty) {
            wrong.push(format!("line {line}: an empty cell"));
            continue;
        }
        let here = &cells[1];
        let why_not = ["none:", "waits for:"]
            .iter()
            .find_map(|start| here.strip_prefix(start));
        if why_not.is_some_and(|why| why.trim().len() < 5) || here.contains("TODO") {
            wrong.push(format!("line {line}: no reason: `{here}`"));
        }
        // The table of the twenty has sentences; the others begin with the names that they stand for.
        let names = if cells.len() == 2 {
            leading(here)
        } else {
            Vec::new()
        };
        for name in names {
            if !name.starts_with("std::") && !sources.iter().any(|source| source.defines(name)) {
                wrong.push(format!("line {line}: `{name}` is not in src"));
            }
        }
    }
    wrong
}

/// What is wrong with the lines at the head: their right half must be in `behaviours`, spaces aside.
pub(crate) fn wrong_with_cheat_sheet(page: &str, behaviours: &str) -> Vec<String> {
    let squeeze = |text: &str| text.split_whitespace().collect::<String>();
    let code = squeeze(behaviours);
    let mut lines = page.split("```").nth(1).unwrap_or_default().lines().skip(1);
    let head = lines.next().unwrap_or_default();
    let Some(column) = head.find("rustlet") else {
        return vec!["there is no block with `gevent` and `rustlet` at its head".into()];
    };
    let right = lines
        .skip(1)
        .map(|line| line.chars().skip(column).collect::<String>());
    let right = right
        .filter(|line| !line.trim().is_empty())
        .collect::<Vec<_>>();
    let mut wrong = Vec::from_iter((right.len() < 8).then(|| "the block is too short".to_owned()));
    let missing = right.iter().filter(|line| !code.contains(&squeeze(line)));
    wrong.extend(missing.map(|line| format!("behaviours.rs does not have: {line}")));
    wrong
}

/// What is wrong between the table of the twenty and the tests: each must name the other, once.
pub(crate) fn wrong_with_the_twenty(page: &str, behaviours: &str) -> Vec<String> {
    let numbered = |name: &&str| {
        let bytes = name.as_bytes();
        bytes.len() > 4
            && matches!(bytes[0], b'b' | b's')
            && bytes[1..3].iter().all(u8::is_ascii_digit)
            && bytes[3] == b'_'
    };
    let there: BTreeSet<&str> = tests(behaviours).into_iter().filter(numbered).collect();
    let rows = rows(page);
    let last = rows.iter().filter_map(|(_, cells)| cells.get(3));
    let told: BTreeSet<&str> = last
        .flat_map(|cell| quoted(cell))
        .filter(numbered)
        .collect();
    let mut wrong = Vec::new();
    wrong.extend(
        there
            .difference(&told)
            .map(|name| format!("PORTING.md does not name {name}")),
    );
    wrong.extend(
        told.difference(&there)
            .map(|name| format!("behaviours.rs has no test {name}")),
    );
    for number in 1..=20 {
        let start = format!("b{number:02}_");
        if !told.iter().any(|name| name.starts_with(&start)) {
            wrong.push(format!("number {number} has no test"));
        }
    }
    wrong
}

// ---------------------------------------------------------------------------- the checks

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

/// A file, and with it those of the directory that has its name.
fn read_with_modules(path: &str) -> Option<String> {
    let modules = root().join(path.trim_end_matches(".rs"));
    let text = read(path)?;
    Some(text + &directories(modules).concat())
}

/// The texts of all Rust files below a directory: one text for each directory.
fn directories(directory: PathBuf) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![directory];
    while let Some(directory) = pending.pop() {
        let mut text = String::new();
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text += &fs::read_to_string(path).expect("read the tree");
            }
        }
        found.push(text);
    }
    found
}

#[track_caller]
fn expect_none(wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{} to mend:\n{}\n",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_upstream_test_file_is_accounted_for() {
    expect_none(&wrong_with_tests(
        &read("tests/GEVENT.md").unwrap(),
        read_with_modules,
    ));
}

#[test]
fn every_name_of_gevent_is_accounted_for() {
    expect_none(&wrong_with_names(
        &read("PORTING.md").unwrap(),
        &directories(root().join("src")),
    ));
}

#[test]
fn the_cheat_sheet_is_run() {
    let page = read("PORTING.md");
    let behaviours = read_with_modules("tests/behaviours.rs");
    expect_none(&wrong_with_cheat_sheet(
        &page.unwrap(),
        &behaviours.unwrap(),
    ));
}

#[test]
fn the_twenty_are_tested() {
    let page = read("PORTING.md");
    let behaviours = read_with_modules("tests/behaviours.rs");
    expect_none(&wrong_with_the_twenty(&page.unwrap(), &behaviours.unwrap()));
}
