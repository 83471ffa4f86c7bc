//! Several greenlets and threads on one file: its position moves by what each of them reads or writes.

mod support;

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustlet::fs::{File, OpenOptions};
use rustlet::{spawn, yield_now};

const RECORD: usize = 100;

fn records() -> u32 {
    if support::emulated() { 60 } else { 600 }
}

fn both_ways(test: &str, f: impl FnOnce()) {
    let _watchdog = support::watchdog();
    f();
    if !support::is_child() {
        support::child(test)
            .env("RUSTLET_NOWAIT", "none")
            .run()
            .assert_passed();
    }
}

/// Every record is there once and in one piece.
fn check(data: &[u8]) {
    let mut seen = vec![false; records() as usize];
    assert_eq!(data.len(), seen.len() * RECORD);
    for record in data.chunks(RECORD) {
        let number = u32::from_le_bytes(record[..4].try_into().unwrap());
        assert!(record[4..].iter().all(|&byte| byte == number as u8));
        assert!(
            !std::mem::replace(&mut seen[number as usize], true),
            "twice: {number}"
        );
    }
}

fn record(number: u32) -> Vec<u8> {
    let mut record = vec![number as u8; RECORD];
    record[..4].copy_from_slice(&number.to_le_bytes());
    record
}

#[test]
fn greenlets_write_and_read_one_file() {
    both_ways("greenlets_write_and_read_one_file", || {
        let mut file = File::from(tempfile::tempfile().unwrap());
        let clone = Arc::new(file.try_clone().unwrap());
        let greenlets = Vec::from_iter((0..10).map(|part| {
            let file = clone.clone();
            spawn(move || {
                for number in (0..records()).filter(|number| number % 10 == part) {
                    assert_eq!((&*file).write(&record(number)).unwrap(), RECORD);
                    yield_now();
                }
            })
        }));
        for greenlet in greenlets {
            greenlet.join().unwrap();
        }
        assert_eq!(
            file.stream_position().unwrap(),
            (records() as usize * RECORD) as u64
        );
        file.rewind().unwrap();
        let readers = Vec::from_iter((0..10).map(|_| {
            let file = clone.clone();
            spawn(move || {
                let mut all = Vec::new();
                let mut buf = [0; RECORD];
                while (&*file).read(&mut buf).unwrap() > 0 {
                    all.extend_from_slice(&buf);
                    yield_now();
                }
                all
            })
        }));
        let parts = readers
            .into_iter()
            .flat_map(|reader| reader.join().unwrap());
        check(&Vec::from_iter(parts));
    });
}

#[test]
fn threads_append_to_one_file() {
    both_ways("threads_append_to_one_file", || {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .unwrap();
        let file = Arc::new(file);
        let threads = Vec::from_iter((0..4).map(|part| {
            let file = file.clone();
            std::thread::spawn(move || {
                let greenlets =
                    Vec::from_iter((0..records()).filter(|n| n % 4 == part).map(|number| {
                        let file = file.clone();
                        spawn(move || (&*file).write_all(&record(number)).unwrap())
                    }));
                for greenlet in greenlets {
                    greenlet.join().unwrap();
                }
            })
        }));
        for thread in threads {
            thread.join().unwrap();
        }
        check(&std::fs::read(&path).unwrap());
    });
}

#[test]
fn positions_of_ones_own_do_not_touch_the_files() {
    both_ways("positions_of_ones_own_do_not_touch_the_files", || {
        let mut file = File::from(tempfile::tempfile().unwrap());
        file.seek(SeekFrom::Start(5)).unwrap();
        let shared = Arc::new(file.try_clone().unwrap());
        let greenlets = Vec::from_iter((0..records()).map(|number| {
            let file = shared.clone();
            spawn(move || {
                file.write_all_at(&record(number), u64::from(number) * RECORD as u64)
                    .unwrap()
            })
        }));
        for greenlet in greenlets {
            greenlet.join().unwrap();
        }
        assert_eq!(file.stream_position().unwrap(), 5);
        let mut all = vec![0; records() as usize * RECORD];
        shared.read_exact_at(&mut all, 0).unwrap();
        check(&all);
    });
}

#[test]
fn a_wrong_variable_is_named() {
    let _watchdog = support::watchdog();
    if !support::is_child() {
        return support::child("a_wrong_variable_is_named")
            .env("RUSTLET_NOWAIT", "off")
            .run()
            .assert_passed();
    }
    let mut file = File::open("/proc/self/status").unwrap();
    let error = file.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("RUSTLET_NOWAIT=off"), "{error}");
}
