//! Each check of `gevent_table.rs`, on text that it must flag.

use super::{wrong_with_cheat_sheet, wrong_with_names, wrong_with_tests, wrong_with_the_twenty};

#[track_caller]
fn expect_each(wrong: &[String], expected: &[&str]) {
    assert_eq!(wrong.len(), expected.len(), "{wrong:#?}");
    for (wrong, expected) in wrong.iter().zip(expected) {
        assert!(wrong.contains(expected), "{wrong}: not {expected}");
    }
}

#[test]
fn bad_rows_of_tests_are_flagged() {
    let page = "| # | upstream | here |\n|---|---|---|\n\
                | 1 | `test_a.py` | `life_a::there`, and `life_a.rs` |\n\
                | 2 | `test_b.py` | `life_a::gone` |\n\
                | 3 | `test_c.py` | |\n\
                | 4 | `test_c.py` | no: packaging |\n\
                | 5 | `test_d.py` | `life_gone.rs` |\n\
                | 6 | `test_e.py` | waits for  |\n\
                | 7 | `test_f.py` | `life_a::not_a_test` |\n\
                | 8 | `test_g.py` | `src/a.rs`, TODO |\n";
    let wrong = wrong_with_tests(page, |path| {
        let known = ["tests/life_a.rs", "src/a.rs"].contains(&path);
        known.then(|| "#[test]\n#[ignore]\n// why\nfn there() {}\nfn not_a_test() {}".into())
    });
    let expected = [
        "the rows are not 1 to",
        "line 4: no test life_a::gone",
        "line 5: neither",
        "line 6: `test_c.py` is no upstream file, or a second",
        "line 7: no file life_gone.rs",
        "line 8: neither",
        "line 9: no test life_a::not_a_test",
        "line 10: unfinished",
    ];
    expect_each(&wrong, &expected);
}

#[test]
fn bad_rows_of_names_are_flagged() {
    let page = "| gevent | rustlet |\n|---|---|\n\
                | `a` | `Thing::act`, `macro_made!`: as `nobody` says |\n\
                | `b` | |\n\
                | `c` | none: |\n\
                | `d` | `Thing::gone` |\n\
                | `e` | `act`, `Thin` |\n\
                | `f` | `Other::act` |\n\
                ```text\n| `g` | |\n```\n\
                | `h` | waits for: UDP |\n\
                | `i` | `std::io::Read`, `module::Thing` |\n";
    let sources = ["pub struct Thing;\nfn act() {}\nmacro_rules! macro_made {}".to_owned()];
    let expected = [
        "line 4: an empty cell",
        "line 5: no reason",
        "line 6: `Thing::gone`",
        "line 7: `Thin`",
        "line 8: `Other::act`",
        "line 12: no reason",
    ];
    expect_each(&wrong_with_names(page, &sources), &expected);
}

#[test]
fn a_cheat_sheet_that_nobody_runs_is_flagged() {
    let lines = (0..9)
        .map(|n| format!("run({n})  f({n});\n"))
        .collect::<String>();
    let page = format!("# Page\n```text\ngevent  rustlet\n──────  ───────\n{lines}```\n");
    let code = (0..9).map(|n| format!("f( {n}\n);")).collect::<String>();
    expect_each(&wrong_with_cheat_sheet(&page, &code), &[]);
    expect_each(
        &wrong_with_cheat_sheet(&page, &code.replace('7', "17")),
        &["f(7);"],
    );
    expect_each(
        &wrong_with_cheat_sheet("nothing", &code),
        &["there is no block"],
    );
}

#[test]
fn a_behaviour_without_a_test_is_flagged() {
    let name = |n| format!("b{n:02}_it_does");
    let row = |n| format!("| {n} | it does | the same | `{}` |\n", name(n));
    let page = "| # | gevent | rustlet | test |\n|---|---|---|---|\n".to_owned();
    let page = page + &(1..=20).map(row).collect::<String>();
    let test = |n| format!("#[test]\nfn {}() {{}}\n", name(n));
    let code = (1..=20).map(test).collect::<String>();
    expect_each(&wrong_with_the_twenty(&page, &code), &[]);
    let other = code.replace("b07_it_does", "b07_it_is");
    expect_each(
        &wrong_with_the_twenty(&page, &other),
        &["name b07_it_is", "no test b07_it_does"],
    );
    let page = page.replace("`b09_it_does`", "–");
    expect_each(
        &wrong_with_the_twenty(&page, &code),
        &["name b09_it_does", "number 9"],
    );
}
