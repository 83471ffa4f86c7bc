//! Each check of `tidy`, on a small text that it must flag and on one that it must not.

use crate::markdown::{anchors, broken_links};
use crate::rust::{self, Order};
use crate::text::code;
use crate::{Finding, machine_paths};

const PAGE: &str = "# Layers\n\nProse with a < b in it.\n\n    util < sys < stack < { patch, server }\n\n\
                    Unsafe is allowed in: `sys`,\n`stack::pool`.\n\nNot in `server`.\n";

fn lines(findings: Vec<Finding>) -> Vec<usize> {
    findings.into_iter().map(|finding| finding.line).collect()
}

fn imports(path: &str, text: &str) -> Vec<usize> {
    lines(rust::imports(
        path,
        &code(text),
        &Order::read(PAGE).unwrap(),
    ))
}

#[test]
fn code_blanks_comments_and_literals_and_nothing_else() {
    let same = |text: &str| assert_eq!(code(text), text);
    let blank = |text: &str, expected: &str| assert_eq!(code(text), expected, "{text}");
    same("fn f<'a>(x: &'a str) -> &'static str { 'outer: loop { break 'outer } }");
    same("let r = br + r#fn;");
    blank("a // crate::x\nb", "a            \nb");
    blank("a /* x /* y */ z */ b", "a                   b");
    blank(
        r#"a("x\"y", 'c', '\'', b'\\')"#,
        r#"a(      ,    ,     , b    )"#,
    );
    blank(
        "a(r\"x\\\", r#\"y\"z\"#, br\"w\")",
        "a(     ,         , b    )",
    );
    blank("a(\"ü\n\") b", "a(   \n ) b");
    blank("'ü' 'a", "     'a");
}

#[test]
fn the_order_is_the_line_that_is_nothing_else() {
    assert!(Order::read("a < b < c are in order and < d").is_none());
    assert!(Order::read("`a < b < c < { d, e }`").is_some());
}

#[test]
fn an_import_to_the_right_is_flagged() {
    assert_eq!(
        imports("src/sys/mmap.rs", "//! x\nuse crate::stack::Slot;"),
        [2]
    );
    assert_eq!(
        imports("src/sys.rs", "fn f() { crate :: server :: g() }"),
        [1]
    );
    assert_eq!(
        imports(
            "src/sys/mod.rs",
            "use crate::{util::{self, stack}, stack::pool};"
        ),
        [1]
    );
    assert_eq!(
        imports("src/sys/mod.rs", "use crate::{\n    util,\n    server,\n};"),
        [1]
    );
    assert_eq!(
        imports("src/patch/mod.rs", "use crate::server::Server;"),
        [1],
        "a sibling"
    );
    assert_eq!(
        imports("src/new/mod.rs", ""),
        [1],
        "a module without a place"
    );
    assert_eq!(
        imports("src/sys/mod.rs", "use crate::Greenlet;"),
        [1],
        "past the order, through lib.rs"
    );
    assert_eq!(imports("src/sys/mod.rs", "use crate::*;"), [1]);
}

#[test]
fn an_import_to_the_right_by_super_is_flagged() {
    assert_eq!(
        imports("src/sys/mmap.rs", "use super::super::stack::Slot;"),
        [1]
    );
    assert_eq!(imports("src/sys/mod.rs", "use super::{util, stack};"), [1]);
    assert_eq!(
        imports(
            "src/sys/mod.rs",
            "mod tests {\n    use super::super::stack;\n}"
        ),
        [2]
    );
    assert_eq!(
        imports("src/sys/mmap.rs", "mod tests { use super::super::stack; }"),
        [0; 0]
    );
    assert_eq!(
        imports("src/sys/mmap.rs", "mod tests { } use super::super::stack;"),
        [1]
    );
}

#[test]
fn an_import_to_the_left_is_not_flagged() {
    assert_eq!(
        imports(
            "src/stack/mod.rs",
            "use crate::sys::{stack, server};\nuse super::util;"
        ),
        [0; 0]
    );
    assert_eq!(
        imports(
            "src/stack/pool.rs",
            "use crate::stack::Slot; use super::server;"
        ),
        [0; 0]
    );
    assert_eq!(
        imports(
            "src/sys/mod.rs",
            "// crate::stack\nlet x = \"crate::stack\";"
        ),
        [0; 0]
    );
    assert_eq!(
        imports(
            "src/sys/mod.rs",
            "crate::trace!(); my_crate::stack(); pub(crate) fn f() {}"
        ),
        [0; 0]
    );
    assert_eq!(
        imports(
            "src/sys/mod.rs",
            "macro_rules! m { () => { $crate::spawn() } }"
        ),
        [0; 0]
    );
    assert_eq!(
        imports("src/lib.rs", "pub use crate::server::Server;"),
        [0; 0]
    );
    assert_eq!(
        imports("src/bin/tool.rs", "use crate::server::Server;"),
        [0; 0]
    );
}

#[test]
fn a_contained_word_elsewhere_is_flagged() {
    let check = |path, text| {
        lines(rust::only_under(
            path,
            &code(text),
            "libc",
            &["src/sys", "src/patch"],
        ))
    };
    assert_eq!(
        check("src/stack/mod.rs", "use libc;\nlibc::read();"),
        [1, 2]
    );
    assert_eq!(check("src/system.rs", "libc::read();"), [1]);
    assert_eq!(check("src/sys/fd.rs", "libc::read();"), [0; 0]);
    assert_eq!(check("src/sys.rs", "libc::read();"), [0; 0]);
    assert_eq!(
        check("src/stack/mod.rs", "patch_libc!(); // libc\n \"libc\";"),
        [0; 0]
    );
    let export = |text| {
        lines(rust::only_under(
            "src/sys/fd.rs",
            &code(text),
            "no_mangle",
            &["src/patch"],
        ))
    };
    assert_eq!(export("#[unsafe(no_mangle)]"), [1]);
}

#[test]
fn unlisted_or_unexplained_unsafe_code_is_flagged() {
    let modules = rust::unsafe_modules(PAGE).unwrap();
    assert_eq!(modules, ["sys", "stack::pool"]);
    let check = |path, text| lines(rust::unsafe_code(path, text, &code(text), &modules));
    let explained = "//! x\n#![allow(unsafe_code)] // Maps memory.\n";
    assert_eq!(check("src/sys/mod.rs", explained), [0; 0]);
    assert_eq!(
        check(
            "src/sys/fd.rs",
            "// Talks to the kernel.\n#![expect(unsafe_code)]"
        ),
        [0; 0]
    );
    assert_eq!(check("src/stack/pool/hot.rs", explained), [0; 0]);
    assert_eq!(check("src/stack/mod.rs", explained), [2]);
    assert_eq!(check("src/system.rs", explained), [2]);
    assert_eq!(
        check(
            "src/lib.rs",
            "#[allow(dead_code, unsafe_code)] // no\nmod x;"
        ),
        [1]
    );
    assert_eq!(check("src/lib.rs", "#![deny(unsafe_code)]"), [0; 0]);
    assert_eq!(
        check("src/sys/mod.rs", "//! x\n#![allow(unsafe_code)]\n"),
        [2],
        "no reason"
    );
}

#[test]
fn a_file_without_a_head_is_flagged() {
    assert_eq!(lines(rust::header("src/a.rs", "// x\n//! y")), [1]);
    assert_eq!(lines(rust::header("src/a.rs", "")), [1]);
    assert_eq!(lines(rust::header("src/a.rs", "//! x")), [0; 0]);
}

#[test]
fn static_mut_is_flagged() {
    let check = |text| lines(rust::static_mut("src/a.rs", &code(text)));
    assert_eq!(check("\npub static  mut X: u8 = 0;"), [2]);
    assert_eq!(
        check("fn f(x: &'static mut u8) {} // static mut\nstatic X: u8 = 0;"),
        [0; 0]
    );
}

#[test]
fn a_bare_thread_local_is_flagged() {
    let check = |text: &str| lines(rust::thread_locals("src/a.rs", &code(text)));
    let declared = "thread_local! { static X: u8 = const { 0 }; static Y: u8 = 0 }\n";
    let with = |code: &str| format!("{declared}{code}");
    for guarded in [
        "#[inline(never)]\nfn x() { X.with(f) }",
        "#[cold]\n#[inline(never)]\npub(crate) fn x() { a(); { Y.with(|y| f(y)) } }",
        "#[inline(always)]\nfn x_inlined() { X.with(f) }",
        "fn drop(&mut self) { X.with(f) }",
        "fn x() { XX.with(f) }",
        "#[cfg(test)]\nmod tests { fn x() { X.with(f) } }",
    ] {
        assert_eq!(check(&with(guarded)), [0; 0], "{guarded}");
    }
    for bare in [
        "fn x() { X.with(f) }",
        "#[inline(never)] fn y() {} fn x() { Y.with(f) }",
        "/* #[inline(never)] */ fn x() { X.with(f) }",
        "#[inline(never)] fn y(); #[cold] fn x() { X.with(f) }",
    ] {
        assert_eq!(check(&with(bare)), [2], "{bare}");
    }
    let inside = "#[inline(never)]\nfn x() { thread_local!(static X: u8 = 0); X.with(f) }";
    assert_eq!(check(inside), [0; 0]);
    let test = rust::thread_locals("src/a/tests.rs", &with("fn x() { X.with(f) }"));
    assert_eq!(lines(test), [0; 0]);
}

#[test]
fn a_thread_local_without_its_test_is_flagged() {
    let text = "\nthread_local! { static X: u8 = 0 }";
    let check = |table| {
        lines(rust::untested_thread_locals(
            "src/b/a.rs",
            text,
            table,
            "src/w.rs",
        ))
    };
    assert_eq!(check("//! | `a.rs` | `x` | here |"), [2]);
    assert_eq!(check("//! | `b/a.rs` | `x` | here |"), [0; 0]);
}

#[test]
fn anchors_are_githubs() {
    let page = "# One `two`: Three!\n```\n# not a heading\n```\n## Same\n## Same\n#none\n# Ünder_score - dash\n";
    assert_eq!(
        anchors(page),
        ["one-two-three", "same", "same-1", "ünder_score---dash"]
    );
}

#[test]
fn a_broken_link_is_flagged() {
    let page = |path: &str| match path {
        "README.md" => Some("# Top\n".to_owned()),
        "docs" | "docs/b.md" | "src/lib.rs" => Some("# In b\n".to_owned()),
        _ => None,
    };
    let check = |text: &str| lines(broken_links("docs/a.md", text, page));
    assert_eq!(check("\n[x](c.md)"), [2]);
    assert_eq!(check("[x](b.md#top) [y](../README.md#in-b)"), [1, 1]);
    assert_eq!(check("[x](../../README.md)\n[y](/README.md)"), [1, 2]);
    assert_eq!(check("[x]: c.md\n![p](p.png \"title\")"), [1, 2]);
    assert_eq!(
        check("[x](b.md) [y](../README.md#top) [z](https://a.b/c) [s](../src/lib.rs#L1) [d](.)"),
        [0; 0]
    );
    assert_eq!(
        check("`[x](c.md)`\n```text\n[x](c.md)\n```\n[x](<b.md>)"),
        [0; 0]
    );
    let own = |path: &str| (path == "docs/a.md").then(|| "# Here\n".to_owned());
    assert_eq!(
        lines(broken_links("docs/a.md", "[x](#here)\n[y](#there)", own)),
        [2]
    );
}

#[test]
fn a_path_of_a_machine_is_flagged() {
    let check = |text: String| lines(machine_paths("a.md", &text));
    assert_eq!(check(format!("x\nsee /{}/me/x", "home")), [2]);
    assert_eq!(check(format!("(`/{}/x`)", "root")), [1]);
    assert_eq!(
        check("https://a.b/home/x, src/work/x, ../root/x, /proc/self/maps".to_owned()),
        [0; 0]
    );
}
