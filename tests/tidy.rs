//! The structure of the repository, checked by reading it.
//!
//! Rust lets modules import each other in circles, text rots, and reviewers tire. So what
//! ARCHITECTURE.md says about the tree is checked here, against that page's own words:
//!
//! - the line `a < b < { c, d }`: a module names only modules to its left; those in braces are
//!   siblings;
//! - the line `Unsafe is allowed in:`: the modules, in backticks, that may `allow(unsafe_code)`;
//!   each such line says what for;
//! - `libc` is named only under `src/sys` and `src/patch`, `no_mangle` only under `src/patch`;
//! - every Rust file opens with `//!`; no `static mut`; thread-locals sit behind
//!   `#[inline(never)]`, which `src/coroutine/wander.rs` tests, file by file;
//! - links between pages resolve, with their anchors; no text names a path of somebody's machine.
//!
//! A failing check prints `file:line: what to do`. Each check is also run on a small text that it
//! must flag, in `tidy/selftest.rs`, so that a check that has gone blind is noticed.
//!
//! The tree is walked, without git, so that this passes in an unpacked archive too; `target` and
//! `.git` are left out.

#[path = "tidy/markdown.rs"]
mod markdown;
#[path = "tidy/rust.rs"]
mod rust;
#[path = "tidy/selftest.rs"]
mod selftest;
#[path = "tidy/text.rs"]
mod text;

use std::fmt;
use std::fs;
use std::path::Path;

/// Something to mend.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl Finding {
    pub(crate) fn new(path: &str, line: usize, what: impl Into<String>) -> Finding {
        Finding {
            path: path.to_owned(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

// ---------------------------------------------------------------------------- the tree

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A text file of the repository, by its path from the root.
struct File {
    path: String,
    text: String,
}

/// All text files below `dir` (a path from the root, "" for all).
fn files(dir: &str) -> Vec<File> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        let Ok(entries) = fs::read_dir(root().join(&dir)) else {
            continue;
        };
        for entry in entries {
            let entry = entry.expect("read the tree");
            let name = entry
                .file_name()
                .into_string()
                .expect("file names are UTF-8");
            let path = if dir.is_empty() {
                name.clone()
            } else {
                format!("{dir}/{name}")
            };
            if entry.file_type().expect("read the tree").is_dir() {
                if name != "target" && name != ".git" {
                    pending.push(path);
                }
            } else if let Ok(text) = fs::read_to_string(entry.path()) {
                found.push(File { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn rust_files(dirs: &[&str]) -> Vec<File> {
    let all = dirs.iter().flat_map(|dir| files(dir));
    let found: Vec<_> = all.filter(|file| file.path.ends_with(".rs")).collect();
    assert!(!found.is_empty(), "no Rust file was found under {dirs:?}");
    found
}

fn architecture() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).expect("read ARCHITECTURE.md")
}

#[track_caller]
fn expect_none(findings: impl IntoIterator<Item = Finding>) {
    let lines: Vec<_> = findings
        .into_iter()
        .map(|finding| finding.to_string())
        .collect();
    assert!(
        lines.is_empty(),
        "{} to mend:\n{}\n",
        lines.len(),
        lines.join("\n")
    );
}

const EVERYWHERE: [&str; 5] = ["src", "tests", "benches", "examples", "stress"];

// ---------------------------------------------------------------------------- the checks

#[test]
fn modules_import_only_to_their_left() {
    let order = rust::Order::read(&architecture())
        .expect("ARCHITECTURE.md: a line that is the module order alone, as in `a < b < { c, d }`");
    let files = rust_files(&["src"]);
    expect_none(
        files
            .iter()
            .flat_map(|file| rust::imports(&file.path, &text::code(&file.text), &order)),
    );
}

#[test]
fn libc_is_named_only_where_the_kernel_is_spoken_to() {
    let homes = ["src/sys", "src/patch"];
    let files = rust_files(&["src"]);
    expect_none(
        files
            .iter()
            .flat_map(|file| rust::only_under(&file.path, &text::code(&file.text), "libc", &homes)),
    );
}

#[test]
fn symbols_are_exported_only_by_patch() {
    expect_none(rust_files(&EVERYWHERE).iter().flat_map(|file| {
        let code = text::code(&file.text);
        ["no_mangle", "export_name"]
            .map(|word| rust::only_under(&file.path, &code, word, &["src/patch"]))
            .concat()
    }));
}

#[test]
fn unsafe_code_is_only_where_architecture_allows_it() {
    let modules = rust::unsafe_modules(&architecture())
        .expect("ARCHITECTURE.md: a line that starts `Unsafe is allowed in:` and names modules in backticks");
    let files = rust_files(&["src"]);
    expect_none(files.iter().flat_map(|file| {
        rust::unsafe_code(&file.path, &file.text, &text::code(&file.text), &modules)
    }));
}

#[test]
fn rust_files_open_with_what_they_are() {
    expect_none(
        rust_files(&EVERYWHERE)
            .iter()
            .flat_map(|file| rust::header(&file.path, &file.text)),
    );
}

#[test]
fn there_is_no_static_mut() {
    let files = rust_files(&EVERYWHERE);
    expect_none(
        files
            .iter()
            .flat_map(|file| rust::static_mut(&file.path, &text::code(&file.text))),
    );
}

#[test]
fn thread_locals_sit_behind_functions() {
    let files = rust_files(&["src"]);
    expect_none(
        files
            .iter()
            .flat_map(|file| rust::thread_locals(&file.path, &text::code(&file.text))),
    );
}

#[test]
fn each_thread_local_has_its_test_of_threads() {
    let home = "src/coroutine/wander.rs";
    let files = rust_files(&["src"]);
    let table = files.iter().find(|file| file.path == home);
    let table = &table.expect("the table of thread-locals").text;
    expect_none(
        files
            .iter()
            .filter(|file| file.path != home)
            .flat_map(|file| {
                rust::untested_thread_locals(&file.path, &text::code(&file.text), table, home)
            }),
    );
}

#[test]
fn links_resolve() {
    let page = |path: &str| {
        let path = root().join(path);
        if path.is_dir() {
            Some(String::new())
        } else {
            fs::read(path)
                .ok()
                .map(|b| String::from_utf8_lossy(&b).into())
        }
    };
    let files = files("");
    let pages = files.iter().filter(|file| file.path.ends_with(".md"));
    expect_none(pages.flat_map(|file| markdown::broken_links(&file.path, &file.text, page)));
}

#[test]
fn no_text_names_a_path_of_a_machine() {
    expect_none(
        files("")
            .iter()
            .flat_map(|file| machine_paths(&file.path, &file.text)),
    );
}

/// Findings for absolute paths into the places where people keep their checkouts.
fn machine_paths(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for place in ["home", "root", "Users", "work"] {
            let needle = format!("/{place}/");
            // Behind a word, a dot or a slash it is the middle of a relative path or of an address.
            let absolute = |(at, _)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|char| {
                    char.is_alphanumeric() || matches!(char, '.' | '/' | '_' | '-' | '}')
                })
            };
            if line.match_indices(&needle).any(absolute) {
                let what = format!(
                    "`{needle}…` is a path of one machine; write it relative to the repository"
                );
                findings.push(Finding::new(path, number + 1, what));
            }
        }
    }
    findings
}
