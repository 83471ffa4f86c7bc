//! `rustlet-stress` itself: what it says of workloads that fail, and of wrong command lines.
//!
//! Built with `--features stress` alone (Cargo.toml), as the tool is.

mod support;

use std::process::{Command, Output};

use serde_json::Value;

fn tool(words: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_rustlet-stress");
    let runner = std::env::var("RUSTLET_TEST_RUNNER").unwrap_or_default();
    let mut all = runner.split_whitespace().chain([program]);
    let mut command = Command::new(all.next().expect("the program at least"));
    command
        .args(all)
        .args(words)
        .output()
        .expect("start the tool")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_fault_is_told_with_its_step_and_how_to_see_it_again() {
    let _watchdog = support::watchdog();
    for (fault, told) in [
        ("fault-invariant", "FAILED in step 2: 7 greenlets and not 0"),
        (
            "fault-panic",
            "FAILED in step 2: panicked: the step's own panic",
        ),
        ("fault-uncaught", "panicked: a greenlet's panic"),
        (
            "fault-leak",
            "FAILED in step 2: 1 greenlets are left on the step's thread",
        ),
        ("fault-abort", "CRASHED in step 2: signal: 6 (SIGABRT)"),
        ("fault-overflow", "its stack has 256 KiB, guard included"),
        ("fault-hang", "HUNG in step 2 (waiting for nobody)"),
    ] {
        let mut words = vec![
            fault,
            "--seed",
            "0x2a",
            "--workers",
            "1",
            "--greenlets",
            "7",
        ];
        words.extend(["--steps", "5"]);
        if fault == "fault-hang" {
            // The slowdown does not multiply what is asked for.
            words.extend(["--hang", "5"]);
        }
        let output = tool(&words);
        let text = out(&output);
        assert_eq!(output.status.code(), Some(1), "{fault}: {text}");
        assert!(text.contains(told), "{fault}: no {told:?} in\n{text}");
        let again =
            format!("rustlet-stress {fault} --seed 0x2a --workers 1 --greenlets 7 --step 2");
        assert!(text.contains(&again), "{fault}: no {again:?} in\n{text}");
    }
}

#[test]
fn the_others_go_on_after_a_crash() {
    let _watchdog = support::watchdog();
    let dir = tempfile::tempdir().expect("a directory");
    let (json, plot) = (dir.path().join("out.json"), dir.path().join("out.svg"));
    let (json_path, plot_path) = (json.to_str().expect("UTF-8"), plot.to_str().expect("UTF-8"));
    let words = [
        "fault-abort,ring",
        "--steps",
        "3",
        "--json",
        json_path,
        "--plot",
        plot_path,
    ];
    let output = tool(&words);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("1 of 2 workloads clean"), "{text}");

    let json: Value =
        serde_json::from_slice(&std::fs::read(json).expect("the JSON file")).expect("JSON");
    assert_eq!(json["clean"], false);
    let verdicts = json["workloads"].as_array().expect("a list").iter();
    let verdicts =
        Vec::from_iter(verdicts.map(|one| (one["name"].as_str(), one["verdict"].as_str())));
    assert_eq!(
        verdicts,
        [
            (Some("fault-abort"), Some("crashed")),
            (Some("ring"), Some("clean"))
        ]
    );
    assert_eq!(json["workloads"][1]["steps"], 3);
    let plot = std::fs::read_to_string(plot).expect("the plot");
    assert!(
        plot.starts_with("<svg") && plot.contains("ring: hops/s"),
        "{plot}"
    );
}

#[test]
fn the_same_seed_does_the_same() {
    let _watchdog = support::watchdog();
    let steps = |seed: &str| {
        let words = [
            "ring",
            "--workers",
            "1",
            "--greenlets",
            "50",
            "--steps",
            "3",
            "--seed",
            seed,
        ];
        let output = tool(&words);
        assert!(output.status.success(), "{}", out(&output));
        let text = out(&output);
        let row = text
            .lines()
            .find(|line| line.contains(" ring "))
            .expect("a row")
            .to_owned();
        // Verdict, time, steps; then how much was done.
        row.split_whitespace().nth(4).expect("a column").to_owned()
    };
    assert_eq!(steps("7"), steps("7"));
    assert_ne!(steps("7"), steps("8"));
}

#[test]
fn a_wrong_command_line_has_its_own_status() {
    for (words, told) in [
        (&["rnig"][..], "no workload \"rnig\""),
        (&[], "which workload"),
        (&["ring", "--chaos", "kill=7"], "probability"),
        (&["ring", "--json"], "--json"),
    ] {
        let output = tool(words);
        let told_of = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told_of}");
        assert!(told_of.contains(told), "{told_of}");
    }
}
