//! What `tidy` reads in Rust text: the module order, who names `libc`, where unsafe code may be.
//!
//! The checks take a path and a text and give findings; they open no file. They do not parse Rust.
//! They work on [`code`](crate::text::code), the text with comments and literals blanked out, in
//! which a word is a word of the program; that is enough for facts that can be told from the words
//! alone, and a check that must know more belongs elsewhere.

use crate::Finding;
use crate::text::{first_word, is_word_char, line_of, words};

// ---------------------------------------------------------------------------- the module order

/// The order of ARCHITECTURE.md: groups from left to right, each one module or a set of siblings.
#[derive(Debug)]
pub(crate) struct Order(Vec<Vec<String>>);

impl Order {
    /// Takes the order out of the one line of `text` that is nothing but names joined by ` < `.
    pub(crate) fn read(text: &str) -> Option<Order> {
        text.lines().find_map(|line| {
            let groups: Vec<_> = line
                .trim()
                .trim_matches('`')
                .split('<')
                .map(Self::group)
                .collect();
            (groups.len() > 3 && groups.iter().all(Option::is_some))
                .then(|| Order(groups.into_iter().flatten().collect()))
        })
    }

    fn group(text: &str) -> Option<Vec<String>> {
        let text = text.trim();
        let inner = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
            .unwrap_or(text);
        let names: Vec<_> = inner
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect();
        let good = |name: &String| !name.is_empty() && name.bytes().all(is_word_char);
        names.iter().all(good).then_some(names)
    }

    fn rank(&self, module: &str) -> Option<usize> {
        self.0
            .iter()
            .position(|group| group.iter().any(|name| name == module))
    }
}

/// The module path of a file under `src`: `src/sync/mutex.rs` is `["sync", "mutex"]`, `src/lib.rs`
/// is `[]`.
fn module_path(path: &str) -> Option<Vec<&str>> {
    let mut parts: Vec<_> = path
        .strip_prefix("src/")?
        .strip_suffix(".rs")?
        .split('/')
        .collect();
    if parts.last() == Some(&"mod") || parts == ["lib"] {
        parts.pop();
    }
    Some(parts)
}

/// Findings for every path in `code` that leads to a module which is not to the left of the file's
/// own.
pub(crate) fn imports(path: &str, code: &str, order: &Order) -> Vec<Finding> {
    let Some(module) = module_path(path).filter(|_| !path.starts_with("src/bin/")) else {
        return Vec::new();
    };
    let Some(own) = module.first().copied() else {
        return Vec::new(); // lib.rs, which re-exports everything and is imported by nobody
    };
    let Some(own_rank) = order.rank(own) else {
        let what = format!(
            "module `{own}` is not in the module order; give it a place in ARCHITECTURE.md"
        );
        return vec![Finding::new(path, 1, what)];
    };
    let mut findings = Vec::new();
    for (at, rest) in root_paths(code, module.len()) {
        let in_macro = code[..at].ends_with('$');
        for name in first_segments(rest) {
            let wrong = match order.rank(name) {
                _ if name == own => continue,
                Some(rank) if rank < own_rank => continue,
                Some(rank) if rank == own_rank => {
                    format!("`{own}` and `{name}` are siblings and may not import each other")
                }
                Some(_) => format!(
                    "`{own}` may not import `{name}`, which stands to its right in the module order"
                ),
                // `$crate::name` is written for other crates and goes by the public names.
                None if in_macro || is_macro_call(rest, name) => continue,
                None => format!(
                    "`crate::{name}` is no module; name the module that has it, so that the order can be checked"
                ),
            };
            findings.push(Finding::new(
                path,
                line_of(code, at),
                format!("{wrong} (see ARCHITECTURE.md)"),
            ));
        }
    }
    findings
}

/// Every path from the crate's root: where it starts, and the text behind `crate::` or behind so
/// many `super::` that the root is reached from a file `depth` modules deep.
fn root_paths(code: &str, depth: usize) -> Vec<(usize, &str)> {
    let mut paths: Vec<_> = words(code, "crate")
        .filter_map(|at| Some((at, code[at + 5..].trim_start().strip_prefix("::")?)))
        .collect();
    for at in words(code, "super") {
        if code[..at].trim_end().ends_with("::") {
            continue; // in the middle of a chain that was counted from its start
        }
        let (mut rest, mut steps) = (&code[at..], 0);
        while let Some(after) = rest.trim_start().strip_prefix("super") {
            let Some(after) = after.trim_start().strip_prefix("::") else {
                break;
            };
            (rest, steps) = (after, steps + 1);
        }
        if steps >= depth + inline_modules(&code[..at]) {
            paths.push((at, rest));
        }
    }
    paths
}

/// How many `mod name { … }` are open at the end of `code`.
fn inline_modules(code: &str) -> usize {
    let mut open = Vec::new();
    let mut head_start = 0;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'{' => {
                let head = code[head_start..at].split_whitespace().rev().nth(1);
                open.push(head == Some("mod"));
                head_start = at + 1;
            }
            b'}' => {
                open.pop();
                head_start = at + 1;
            }
            b';' => head_start = at + 1,
            _ => {}
        }
    }
    open.iter().filter(|module| **module).count()
}

/// The first names of the paths that a text starts with: one, or those of a `{…}` list.
fn first_segments(text: &str) -> Vec<&str> {
    let text = text.trim_start();
    if text.starts_with('*') {
        return vec!["*"];
    }
    let Some(list) = text.strip_prefix('{') else {
        return vec![first_word(text)];
    };
    let (mut names, mut depth, mut expected) = (Vec::new(), 1, true);
    for (at, byte) in list.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 1 => expected = true,
            b'*' if expected => names.push("*"),
            byte if expected && is_word_char(byte) => names.push(first_word(&list[at..])),
            _ => continue,
        }
        if depth == 0 {
            break;
        }
        expected = expected && byte == b',';
    }
    names
}

fn is_macro_call(path: &str, name: &str) -> bool {
    path.trim_start()[name.len()..].starts_with('!')
}

// ---------------------------------------------------------------------------- containment

/// Findings for every `word` in a file that is under none of `homes`.
pub(crate) fn only_under(path: &str, code: &str, word: &str, homes: &[&str]) -> Vec<Finding> {
    let home = |home: &&str| path.starts_with(&format!("{home}/")) || path == format!("{home}.rs");
    if homes.iter().any(home) {
        return Vec::new();
    }
    let what = format!(
        "`{word}` belongs under {}; call what stands there, or add it there",
        homes.join(" and ")
    );
    words(code, word)
        .map(|at| Finding::new(path, line_of(code, at), what.clone()))
        .collect()
}

/// The modules named on the line `Unsafe is allowed in:` of ARCHITECTURE.md, which ends with its
/// paragraph.
pub(crate) fn unsafe_modules(text: &str) -> Option<Vec<String>> {
    let start = text
        .lines()
        .position(|line| line.starts_with("Unsafe is allowed in:"))?;
    let paragraph: Vec<_> = text
        .lines()
        .skip(start)
        .take_while(|line| !line.trim().is_empty())
        .collect();
    let paragraph = paragraph.join("\n");
    Some(
        paragraph
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect(),
    )
}

/// Findings for an `allow(unsafe_code)` outside `modules` (a name stands for all below it), and for
/// one that gives no reason in a comment beside or above it.
pub(crate) fn unsafe_code(path: &str, text: &str, code: &str, modules: &[String]) -> Vec<Finding> {
    let Some(module) = module_path(path) else {
        return Vec::new();
    };
    let module = module.join("::");
    let listed = |name: &String| module == *name || module.starts_with(&format!("{name}::"));
    let mut findings = Vec::new();
    for at in words(code, "unsafe_code") {
        let attribute = code[..at].rfind("#").map_or("", |start| &code[start..at]);
        if !attribute.contains("allow(") && !attribute.contains("expect(") {
            continue;
        }
        let line = line_of(code, at);
        if !modules.iter().any(listed) {
            let what = format!(
                "unsafe code is not allowed in `{module}`; do without, or add it to the line \
                 `Unsafe is allowed in:` of ARCHITECTURE.md with the reason"
            );
            findings.push(Finding::new(path, line, what));
        }
        let has_comment = |line: &str| line.contains("// ");
        let here = text.lines().nth(line - 1).is_some_and(has_comment);
        let above = line > 1
            && text
                .lines()
                .nth(line - 2)
                .is_some_and(|line| line.starts_with("// "));
        if !here && !above {
            findings.push(Finding::new(
                path,
                line,
                "say in a comment on this line what the unsafe code is for",
            ));
        }
    }
    findings
}

/// A file that does not open with `//!`.
pub(crate) fn header(path: &str, text: &str) -> Vec<Finding> {
    if text.starts_with("//! ") {
        return Vec::new();
    }
    vec![Finding::new(
        path,
        1,
        "start the file with `//! `: what lives here, and who may call what",
    )]
}

/// `static mut`.
pub(crate) fn static_mut(path: &str, code: &str) -> Vec<Finding> {
    let found = words(code, "static").filter(|&at| {
        !code[..at].ends_with('\'') && first_word(&code[at + "static".len()..]) == "mut"
    });
    let what = "no `static mut`; use an atomic, a OnceLock or a thread-local Cell";
    found
        .map(|at| Finding::new(path, line_of(code, at), what))
        .collect()
}

/// A function that names a thread-local and may be inlined: the compiler may keep the address of a thread-local across a switch, and the
/// coroutine may be on another thread when it comes back.
///
/// Let off: tests, which know their threads; destructors, which a thread's end calls; and functions called `…_inlined`, whose callers
/// have to be what they are not.
pub(crate) fn thread_locals(path: &str, code: &str) -> Vec<Finding> {
    if path.ends_with("tests.rs") || path.ends_with("wander.rs") {
        return Vec::new();
    }
    let code = code.split("#[cfg(test)]\nmod ").next().unwrap_or(code);
    let declarations = words(code, "thread_local").map(|at| {
        let open = at + code[at..].find(['{', '(']).unwrap_or(0);
        open..end_of_block(code, open)
    });
    let declarations = Vec::from_iter(declarations);
    let names = declarations.iter().flat_map(|declaration| {
        let block = &code[declaration.clone()];
        words(block, "static").map(|at| first_word(&block[at + "static".len()..]))
    });
    let uses = names.flat_map(|name| words(code, name));
    let uses = uses.filter(|at| !declarations.iter().any(|block| block.contains(at)));
    let may_be_inlined = |&at: &usize| {
        let Some(function) = words(&code[..at], "fn").last() else {
            return true;
        };
        let before = &code[..function];
        let attributes = before
            .rfind([';', '}', '{'])
            .map_or(before, |end| &before[end..]);
        let name = first_word(&code[function + "fn".len()..]);
        !(attributes.contains("#[inline(never)]") || name == "drop" || name.ends_with("_inlined"))
    };
    let what = "reach a thread-local only in a function that is `#[inline(never)]` (arch-notes/README.md says why)";
    let found = uses.filter(may_be_inlined);
    found
        .map(|at| Finding::new(path, line_of(code, at), what))
        .collect()
}

/// The end of the block that begins with the bracket at `open`.
fn end_of_block(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' => depth += 1,
            b'}' | b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

/// Findings for thread-locals of a file that the table in `home` does not name, without its `src/`, in backticks.
pub(crate) fn untested_thread_locals(
    path: &str,
    code: &str,
    table: &str,
    home: &str,
) -> Vec<Finding> {
    let name = path.strip_prefix("src/").unwrap_or(path);
    if path.ends_with("tests.rs") || table.contains(&format!("//! | `{name}` |")) {
        return Vec::new();
    }
    let what =
        format!("test the functions that read it in a wandering coroutine, and say so in {home}");
    words(code, "thread_local")
        .map(|at| Finding::new(path, line_of(code, at), what.clone()))
        .collect()
}
