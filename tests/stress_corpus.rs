//! Operation traces (`stress/trace`): all of `stress/corpus`, and a few hundred fresh ones, against the model.
//!
//! A trace that once failed belongs into the corpus: `rustlet-stress trace` and the fuzzer write such files, shrunk.
//! `RUSTLET_TEST_SEED` runs the program of that seed first, and prints it shrunk if it fails.

mod support;

#[path = "../stress/trace/mod.rs"]
mod trace;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use trace::Program;

/// Fresh programs, for one thread and for several workers: so many, or as many as there is time for.
const FRESH: u64 = 300;
const FRESH_ON_WORKERS: u64 = 60;

/// After so long no further fresh program is begun: on a machine that is late, one takes seconds.
const ENOUGH: Duration = Duration::from_secs(6);

/// How large the program of a seed is: small ones come to strange corners, large ones to crowds.
fn size_of(seed: u64) -> usize {
    12 + (seed % 15) as usize * 8
}

fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let first = support::seed();
    let count = (count / u64::from(support::slowdown())).max(10);
    (0..count).map(move |number| first.wrapping_add(number))
}

fn corpus() -> Vec<(PathBuf, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/stress/corpus");
    let files = std::fs::read_dir(folder).expect("stress/corpus");
    let paths = files.map(|file| file.expect("a file of the corpus").path());
    let mut corpus: Vec<_> = paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "trace")
        })
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a readable trace");
            (path, text)
        })
        .collect();
    corpus.sort();
    assert!(corpus.len() >= 20, "the corpus has {} traces", corpus.len());
    corpus
}

fn parse(path: &Path, text: &str) -> Program {
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_trace_of_the_corpus_does_what_the_model_says() {
    let _watchdog = support::watchdog_of(Duration::from_secs(180));
    let mut events = 0;
    for (path, text) in corpus() {
        let program = parse(&path, &text);
        assert!(
            !program.comments.is_empty(),
            "{}: say at its head what it covers",
            path.display()
        );
        match trace::check(&program) {
            Ok(ran) => events += ran.events,
            Err(difference) => panic!("{}: {difference}", path.display()),
        }
    }
    println!("{events} events");
}

#[test]
fn every_trace_of_the_corpus_keeps_what_holds_on_three_workers() {
    let _watchdog = support::watchdog();
    for (path, text) in corpus() {
        if let Err(difference) = trace::check_on_workers(&parse(&path, &text), 3) {
            panic!("{}: {difference}", path.display());
        }
    }
}

#[test]
fn fresh_traces_do_what_the_model_says() {
    let _watchdog = support::watchdog_of(Duration::from_secs(180));
    let mut total = trace::Ran::default();
    let (start, mut count) = (Instant::now(), 0);
    for seed in seeds(FRESH).take_while(|_| start.elapsed() < ENOUGH) {
        count += 1;
        let program = trace::generate(seed, size_of(seed));
        match trace::check(&program) {
            Ok(ran) => {
                total.events += ran.events;
                total.greenlets += ran.greenlets;
                total.stuck += ran.stuck;
                total.late += ran.late;
            }
            Err(difference) => {
                let small = trace::shrink(program, |program| trace::check(program).is_err());
                panic!("RUSTLET_TEST_SEED={seed}: {difference}\n\nshrunk:\n{small}");
            }
        }
    }
    println!("{count} programs: {total:?}");
    // Neither does everything end, nor nothing.
    assert!(
        total.stuck > 0 && total.stuck < total.greenlets,
        "{total:?}"
    );
}

#[test]
fn fresh_traces_keep_what_holds_on_several_workers() {
    let _watchdog = support::watchdog();
    let start = Instant::now();
    for seed in seeds(FRESH_ON_WORKERS).take_while(|_| start.elapsed() < ENOUGH) {
        let program = trace::generate(seed, size_of(seed));
        let workers = 2 + (seed % 3) as usize;
        if let Err(difference) = trace::check_on_workers(&program, workers) {
            panic!("RUSTLET_TEST_SEED={seed} on {workers} workers: {difference}\n\n{program}");
        }
    }
}

#[test]
fn the_text_of_a_trace_parses_back_to_the_same() {
    for seed in seeds(2000) {
        let mut program = trace::generate(seed, size_of(seed));
        program.comments = vec![
            "What it covers,".into(),
            String::new(),
            "  and more.".into(),
        ];
        let text = program.to_string();
        let parsed: Program = text
            .parse()
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(parsed, program, "{text}");
    }
    for (path, text) in corpus() {
        let program = parse(&path, &text);
        assert_eq!(
            program.to_string().parse(),
            Ok(program),
            "{}",
            path.display()
        );
    }
}

#[test]
fn what_is_no_trace_says_where() {
    let error = |text: &str| {
        let parsed = text.parse::<Program>();
        parsed.expect_err("no trace").to_string()
    };
    assert_eq!(
        error("greenlet 0\n  fly"),
        "line 2: `fly` is no operation, or not with these words"
    );
    assert_eq!(
        error("greenlet 0\n  lock m0"),
        "line 2: greenlet 0: there is no mutex 0"
    );
    assert_eq!(
        error("greenlet 0\n  catch {"),
        "line 2: a block is not closed"
    );
    assert_eq!(
        error("yield"),
        "line 1: an operation before the first `greenlet`"
    );
    assert_eq!(
        error("greenlet 0\n park now"),
        "line 2: greenlet 0: this has no form that does not wait"
    );
    let often = "greenlet 0\n repeat 255 {\n repeat 255 {\n yield\n }\n }";
    assert!(error(often).contains("are the most"));
}

/// Any bytes are a program that can be run, and the same ones the same program.
#[test]
fn bytes_are_programs() {
    let _watchdog = support::watchdog();
    for seed in seeds(300) {
        let length = seed % 200;
        let mixed = |place: u64| (seed ^ place).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56;
        let bytes: Vec<u8> = (0..length).map(|place| mixed(place) as u8).collect();
        let mut program = trace::decode(&bytes);
        assert_eq!(program.check(), Ok(()));
        assert_eq!(program, trace::decode(&bytes));
        trace::without_time(&mut program);
        assert!(!program.is_timed());
        if let Err(difference) = trace::check(&program) {
            panic!("{difference}\n{program}");
        }
    }
}

/// What is left of a program is what its failing is about.
#[test]
fn shrinking_keeps_what_fails() {
    let _watchdog = support::watchdog();
    let mut program = trace::generate(17, 150);
    let needle = "timeout 9 {\n    wait e0\n  }";
    let block = format!("events 1\ngreenlet 0\n {needle}").parse::<Program>();
    let block = block.expect("a trace").greenlets[0].ops.clone();
    program.objects.events = program.objects.events.max(1);
    let last = program.greenlets.len() - 1;
    program.greenlets[last].ops.splice(1..1, block);
    let small = trace::shrink(program, |candidate| {
        let text = candidate.to_string();
        text.contains("timeout") && text.contains("wait e0")
    });
    assert_eq!(small.lines(), 2, "{small}");
    assert_eq!(small.greenlets.len(), 1, "{small}");
    assert!(
        small.to_string().contains("timeout 1 {\n    wait e0\n  }"),
        "{small}"
    );
}
