//! Files behave as std's: the same operations on both leave the same files, positions and errors.

mod support;

use std::fs as std_fs;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{
    DirBuilderExt, DirEntryExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt,
};
use std::path::Path;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use rustlet::fs::{self, File, OpenOptions, TryLockError};

/// Runs the test in this process, and again in a child where every operation takes the way over the pool.
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

#[derive(Clone, Debug)]
enum Step {
    Read(usize),
    ReadVectored(usize, usize),
    ReadAt(usize, u64),
    Write(Vec<u8>),
    WriteVectored(Vec<u8>, Vec<u8>),
    WriteAt(Vec<u8>, u64),
    Seek(SeekFrom),
    SetLen(u64),
    /// The same on the clone from now on.
    Swap,
    ReadToEnd,
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..5000);
    prop_oneof![
        (0..9000usize).prop_map(Step::Read),
        (0..900usize, 0..9000usize).prop_map(|(a, b)| Step::ReadVectored(a, b)),
        (0..9000usize, 0..20_000u64).prop_map(|(n, at)| Step::ReadAt(n, at)),
        bytes().prop_map(Step::Write),
        (bytes(), bytes()).prop_map(|(a, b)| Step::WriteVectored(a, b)),
        (bytes(), 0..20_000u64).prop_map(|(data, at)| Step::WriteAt(data, at)),
        (0..20_000u64).prop_map(|n| Step::Seek(SeekFrom::Start(n))),
        (-20_000..5_000i64).prop_map(|n| Step::Seek(SeekFrom::End(n))),
        (-5_000..5_000i64).prop_map(|n| Step::Seek(SeekFrom::Current(n))),
        (0..20_000u64).prop_map(Step::SetLen),
        Just(Step::Swap),
        Just(Step::ReadToEnd),
    ]
}

/// Reads on behind the first `length` bytes of `buf`, to its end or the file's: any single read may be short.
fn fill(
    mut buf: Vec<u8>,
    mut length: usize,
    mut read: impl FnMut(&mut [u8], usize) -> io::Result<usize>,
) -> io::Result<Vec<u8>> {
    while length < buf.len() {
        match read(&mut buf[length..], length)? {
            0 => break,
            more => length += more,
        }
    }
    buf.truncate(length);
    Ok(buf)
}

/// What a step gave, in a form that can be compared.
fn apply<F: Read + Write + Seek + FileExt>(
    file: &mut F,
    set_len: impl Fn(&F, u64) -> io::Result<()>,
    step: &Step,
) -> Result<Vec<u8>, String> {
    let result = match step {
        Step::Read(n) => fill(vec![0; *n], 0, |buf, _| file.read(buf)),
        Step::ReadVectored(a, b) => {
            let mut buf = vec![0; a + b];
            let (first, second) = buf.split_at_mut(*a);
            let read = file.read_vectored(&mut [IoSliceMut::new(first), IoSliceMut::new(second)]);
            read.and_then(|length| fill(buf, length, |buf, _| file.read(buf)))
        }
        Step::ReadAt(n, at) => fill(vec![0; *n], 0, |buf, done| {
            file.read_at(buf, at + done as u64)
        }),
        Step::Write(data) => file.write_all(data).map(|()| Vec::new()),
        Step::WriteVectored(a, b) => {
            let written = file.write_vectored(&[IoSlice::new(a), IoSlice::new(b)]);
            let written = written.and_then(|n| file.write_all(&[&a[..], b].concat()[n..]));
            written.map(|()| Vec::new())
        }
        Step::WriteAt(data, at) => file.write_all_at(data, *at).map(|()| Vec::new()),
        Step::Seek(to) => file.seek(*to).map(|n| n.to_le_bytes().to_vec()),
        Step::SetLen(n) => set_len(file, *n).map(|()| Vec::new()),
        Step::Swap => Ok(Vec::new()),
        Step::ReadToEnd => {
            let mut data = Vec::new();
            file.read_to_end(&mut data).map(|_| data)
        }
    };
    result.map_err(|error| error.to_string())
}

#[test]
fn random_operations_leave_the_same_file() {
    both_ways("random_operations_leave_the_same_file", || {
        let dir = tempfile::tempdir().unwrap();
        let (ours_at, stds_at) = (dir.path().join("ours"), dir.path().join("std's"));
        proptest!(support::proptest_config(128), |(append: bool, steps in prop::collection::vec(step(), 1..40))| {
            for path in [&ours_at, &stds_at] {
                let _ = std_fs::remove_file(path);
            }
            let mut options = OpenOptions::new();
            let mut std_options = std_fs::OpenOptions::new();
            options.read(true).create(true).append(append).write(true);
            std_options.read(true).create(true).append(append).write(true);
            let mut ours = options.open(&ours_at).unwrap();
            let mut stds = std_options.open(&stds_at).unwrap();
            let mut ours_too = ours.try_clone().unwrap();
            let mut stds_too = stds.try_clone().unwrap();
            for step in &steps {
                if matches!(step, Step::Swap) {
                    std::mem::swap(&mut ours, &mut ours_too);
                    std::mem::swap(&mut stds, &mut stds_too);
                }
                let our = apply(&mut ours, File::set_len, step);
                let std = apply(&mut stds, std_fs::File::set_len, step);
                prop_assert_eq!(our, std, "{:?}", step);
                prop_assert_eq!(ours.stream_position().unwrap(), stds.stream_position().unwrap());
            }
            prop_assert_eq!(std_fs::read(&ours_at).unwrap(), std_fs::read(&stds_at).unwrap());
        });
    });
}

/// The text of the error, which both have to have.
#[track_caller]
fn same<T, U>(ours: io::Result<T>, stds: io::Result<U>) {
    let (ours, stds) = (ours.map(drop), stds.map(drop));
    let text = |error: io::Error| (error.to_string(), error.kind(), error.raw_os_error());
    assert_eq!(ours.map_err(text), stds.map_err(text));
}

#[test]
fn errors_are_stds() {
    both_ways("errors_are_stds", || {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing/file");
        let file = dir.path().join("file");
        std_fs::write(&file, "text").unwrap();
        let under_file = file.join("x");
        for path in [
            missing.as_path(),
            &under_file,
            Path::new(""),
            Path::new("nul\0inside"),
        ] {
            same(File::open(path), std_fs::File::open(path));
            same(File::create(path), std_fs::File::create(path));
            same(fs::read(path), std_fs::read(path));
            same(fs::read_to_string(path), std_fs::read_to_string(path));
            same(fs::write(path, "x"), std_fs::write(path, "x"));
            same(fs::metadata(path), std_fs::metadata(path));
            same(fs::symlink_metadata(path), std_fs::symlink_metadata(path));
            same(fs::read_dir(path), std_fs::read_dir(path));
            same(fs::remove_file(path), std_fs::remove_file(path));
            same(fs::remove_dir(path), std_fs::remove_dir(path));
            same(fs::remove_dir_all(path), std_fs::remove_dir_all(path));
            same(fs::create_dir(path), std_fs::create_dir(path));
            same(fs::canonicalize(path), std_fs::canonicalize(path));
            same(fs::read_link(path), std_fs::read_link(path));
            same(fs::rename(path, "/x"), std_fs::rename(path, "/x"));
            same(fs::copy(path, "/x"), std_fs::copy(path, "/x"));
            same(fs::hard_link(path, "/x"), std_fs::hard_link(path, "/x"));
        }
        same(fs::exists("nul\0inside"), std_fs::exists("nul\0inside"));
        same(
            OpenOptions::new().open(&file),
            std_fs::OpenOptions::new().open(&file),
        );
        same(File::create_new(&file), std_fs::File::create_new(&file));
        same(
            fs::create_dir_all(&under_file),
            std_fs::create_dir_all(&under_file),
        );
        // A directory can be opened, and not read; what is open for one direction is not for the other.
        let (mut ours, mut stds) = (
            File::open(dir.path()).unwrap(),
            std_fs::File::open(dir.path()).unwrap(),
        );
        same(ours.read(&mut [0; 10]), stds.read(&mut [0; 10]));
        let (mut ours, mut stds) = (
            File::open(&file).unwrap(),
            std_fs::File::open(&file).unwrap(),
        );
        same(ours.write(b"x"), stds.write(b"x"));
        same(ours.set_len(1), stds.set_len(1));
        same(
            ours.seek(SeekFrom::Current(-1)),
            stds.seek(SeekFrom::Current(-1)),
        );
        same(ours.seek(SeekFrom::End(-10)), stds.seek(SeekFrom::End(-10)));
        same(
            ours.read_at(&mut [0; 10], u64::MAX),
            stds.read_at(&mut [0; 10], u64::MAX),
        );
        let mut ours = OpenOptions::new().write(true).open(&file).unwrap();
        let mut stds = std_fs::OpenOptions::new().write(true).open(&file).unwrap();
        same(ours.read(&mut [0; 10]), stds.read(&mut [0; 10]));
        std_fs::write(&file, b"\xff").unwrap();
        same(fs::read_to_string(&file), std_fs::read_to_string(&file));
        same(
            File::open(&file)
                .unwrap()
                .read_to_string(&mut String::new()),
            std_fs::File::open(&file)
                .unwrap()
                .read_to_string(&mut String::new()),
        );
        // A disk that is full.
        let (mut ours, mut stds) = (OpenOptions::new(), std_fs::OpenOptions::new());
        if let Ok(mut stds) = stds.write(true).open("/dev/full") {
            let mut ours = ours.write(true).open("/dev/full").unwrap();
            same(ours.write(b"x"), stds.write(b"x"));
        }
    });
}

#[test]
fn every_function_does_what_it_says() {
    both_ways("every_function_does_what_it_says", || {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a"), "alpha").unwrap();
        assert_eq!(fs::read(at("a")).unwrap(), b"alpha");
        assert_eq!(fs::read_to_string(at("a")).unwrap(), "alpha");
        assert_eq!(fs::copy(at("a"), at("b")).unwrap(), 5);
        fs::rename(at("b"), at("c")).unwrap();
        fs::hard_link(at("c"), at("d")).unwrap();
        assert_eq!(fs::metadata(at("d")).unwrap().nlink(), 2);
        fs::symlink("a", at("link")).unwrap();
        assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("a"));
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
        assert!(fs::metadata(at("link")).unwrap().is_file());
        assert_eq!(
            fs::canonicalize(at("link")).unwrap(),
            std_fs::canonicalize(at("a")).unwrap()
        );
        fs::set_permissions(at("c"), PermissionsExt::from_mode(0o640)).unwrap();
        assert_eq!(std_fs::metadata(at("c")).unwrap().mode() & 0o777, 0o640);
        assert!(fs::exists(at("c")).unwrap() && !fs::exists(at("missing")).unwrap());
        fs::create_dir(at("dir")).unwrap();
        fs::create_dir_all(at("dir/x/y")).unwrap();
        fs::create_dir_all(at("dir/x/y")).unwrap();
        fs::DirBuilder::new()
            .mode(0o700)
            .create(at("private"))
            .unwrap();
        assert_eq!(
            std_fs::metadata(at("private")).unwrap().mode() & 0o777,
            0o700
        );
        fs::remove_dir(at("private")).unwrap();
        fs::remove_dir_all(at("dir")).unwrap();
        fs::remove_file(at("link")).unwrap();
        let names = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let mut names = Vec::from_iter(names);
        names.sort();
        assert_eq!(names, ["a", "c", "d"]);

        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(at("e"))
            .unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        (&file).write_all(b"12345").unwrap();
        (&file).flush().unwrap();
        file.sync_data().unwrap();
        file.sync_all().unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        file.set_modified(time).unwrap();
        assert_eq!(file.metadata().unwrap().modified().unwrap(), time);
        file.set_times(fs::FileTimes::new().set_accessed(time))
            .unwrap();
        assert_eq!(file.metadata().unwrap().accessed().unwrap(), time);
        file.set_permissions(PermissionsExt::from_mode(0o644))
            .unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o644);
        let mut buf = [0; 3];
        file.read_exact_at(&mut buf, 2).unwrap();
        file.write_all_at(&buf, 0).unwrap();
        assert_eq!(std_fs::read(at("e")).unwrap(), b"34545");
        assert!(format!("{file:?}").contains("fd"));

        // There and back.
        let raw = file.as_raw_fd();
        assert_eq!(file.as_fd().as_raw_fd(), raw);
        let file = std_fs::File::from(file);
        assert_eq!(file.as_raw_fd(), raw);
        let file = File::from(OwnedFd::from(File::from(file)));
        let raw = file.into_raw_fd();
        #[expect(unsafe_code, reason = "the function is unsafe by definition")]
        // SAFETY: the descriptor was given up just now.
        let mut file = unsafe { File::from_raw_fd(raw) };
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "34545");
        let out = std::process::Command::new("cat")
            .stdin({
                file.rewind().unwrap();
                file
            })
            .output();
        assert_eq!(out.unwrap().stdout, b"34545");
    });
}

#[test]
fn locks_exclude_each_other() {
    both_ways("locks_exclude_each_other", || {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let open = || {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .unwrap()
        };
        let (a, b, c) = (open(), open(), open());
        a.lock_shared().unwrap();
        b.try_lock_shared().unwrap();
        assert!(matches!(c.try_lock(), Err(TryLockError::WouldBlock)));
        a.unlock().unwrap();
        // Whoever waits lets those run who end the wait.
        rustlet::spawn(move || drop(b));
        c.lock().unwrap();
        assert!(matches!(a.try_lock_shared(), Err(TryLockError::WouldBlock)));
        // A wait that is called off has not locked anything later.
        assert!(rustlet::timeout(Duration::from_millis(5), || a.lock()).is_err());
        c.unlock().unwrap();
        open().try_lock().unwrap();
    });
}

#[test]
fn ten_thousand_entries() {
    both_ways("ten_thousand_entries", || {
        let count = if support::emulated() { 500 } else { 10_000 };
        let dir = tempfile::tempdir().unwrap();
        for n in 0..count {
            std_fs::write(dir.path().join(n.to_string()), "").unwrap();
        }
        // Alone in its process: the one thread of the pool is busy until another greenlet has run, so whoever reads must let it.
        let held = support::is_child().then(|| {
            let one = rustlet::offload::Limits::new().threads(1);
            rustlet::offload::set_limits(one).unwrap();
            let (release, released) = std::sync::mpsc::channel();
            let busy = rustlet::spawn_blocking(move || released.recv().unwrap());
            (busy, rustlet::spawn(move || release.send(()).unwrap()))
        });
        let mut seen = vec![false; count];
        for entry in fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            let number: usize = entry.file_name().to_str().unwrap().parse().unwrap();
            assert!(!std::mem::replace(&mut seen[number], true));
            assert!(entry.file_type().unwrap().is_file());
            if number == 7 {
                assert_eq!(entry.path(), dir.path().join("7"));
                assert_eq!(entry.ino(), entry.metadata().unwrap().ino());
            }
        }
        assert!(seen.iter().all(|&seen| seen));
        if let Some((busy, other)) = held {
            other.join().unwrap();
            busy.join().unwrap();
        }
    });
}

#[test]
fn big_and_sparse_files() {
    both_ways("big_and_sparse_files", || {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        // Beyond 4 GiB, of which nothing is there.
        let far = 5u64 << 30;
        file.write_all_at(b"far", far).unwrap();
        assert_eq!(file.seek(SeekFrom::End(0)).unwrap(), far + 3);
        let mut hole = [1; 100];
        file.read_exact_at(&mut hole, far - 100).unwrap();
        assert_eq!(hole, [0; 100]);
        assert!(file.metadata().unwrap().blocks() < 1000);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(far - 1)).unwrap();
        file.read_to_end(&mut tail).unwrap();
        assert_eq!(tail, b"\0far");
        // More than one job moves.
        let data = Vec::from_iter((0..5_000_001u32).map(|n| (n % 251) as u8));
        file.set_len(0).unwrap();
        file.rewind().unwrap();
        file.write_all(&data).unwrap();
        file.rewind().unwrap();
        let mut read = vec![0; data.len()];
        file.read_exact(&mut read).unwrap();
        assert!(read == data);
        assert_eq!(file.read(&mut read).unwrap(), 0, "the end");
    });
}
