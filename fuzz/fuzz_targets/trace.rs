//! Operation traces: the input is a program of greenlets, which is run and compared with its model.
//!
//! Every input is a program (`trace::decode`), so the fuzzer's coverage leads it through the library's paths and not through
//! a parser's. A difference is a panic that shows the events; the same, and a smaller program, comes out of
//!
//! ```sh
//! ci/fuzz.sh --show trace fuzz/artifacts/trace/crash-…
//! ```
//! With `RUSTLET_FUZZ_SHOW` set, an input is shrunk and printed as a trace before the panic.
//!
//! A program that has to do with time takes as long as its moments, so those are rarer here than in `tests/stress_corpus.rs`:
//! three of four are run with the time taken out.
#![no_main]

#[path = "../../stress/trace/mod.rs"]
mod trace;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (&first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let mut program = trace::decode(rest);
    if first % 4 != 0 {
        trace::without_time(&mut program);
    }
    if let Err(difference) = trace::check(&program) {
        if std::env::var_os("RUSTLET_FUZZ_SHOW").is_some() {
            let small = trace::shrink(program.clone(), |candidate| trace::check(candidate).is_err());
            eprintln!("{small}");
            if let Err(difference) = trace::check(&small) {
                eprintln!("{difference}\n");
            }
        }
        panic!("{difference}\n\n{program}");
    }
});
