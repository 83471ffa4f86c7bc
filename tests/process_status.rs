//! What a child is given and how it ended: as std says it.

mod support;

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::Command as StdCommand;

use rustlet::process::{Command, Stdio};

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn exit_codes() {
    let _watchdog = support::watchdog();
    for code in [0, 1, 77, 255] {
        let status = sh(&format!("exit {code}")).status().unwrap();
        assert_eq!(status.code(), Some(code));
        assert_eq!(status.success(), code == 0);
    }
}

#[test]
fn signals_as_status() {
    let _watchdog = support::watchdog();
    for (name, number) in [("TERM", 15), ("KILL", 9), ("USR1", 10)] {
        let status = sh(&format!("kill -{name} $$")).status().unwrap();
        assert_eq!((status.code(), status.signal()), (None, Some(number)));
    }
    let mut child = sh("exec sleep 1000").spawn().unwrap();
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    child.kill().expect("nothing happens");
    assert_eq!(child.wait().unwrap().signal(), Some(9), "as often as asked");
    assert_eq!(child.try_wait().unwrap().unwrap().signal(), Some(9));
}

#[test]
fn environment_directory_and_arguments() {
    let _watchdog = support::watchdog();
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().canonicalize().unwrap();
    let mut command = sh("echo $ONE $TWO $THREE; pwd -P; echo $0 $1");
    command
        .envs([("ONE", "1"), ("TWO", "2")])
        .env("THREE", "3")
        .env_remove("TWO")
        .current_dir(dir.path())
        .args(["zero", "first"]);
    let expected = format!("1 3\n{}\nzero first\n", real.display());
    assert_eq!(stdout(&mut command), expected);
    assert_eq!(command.get_program(), "sh");
    assert_eq!(command.get_args().count(), 4);
    assert_eq!(command.get_envs().count(), 3);
    assert_eq!(command.get_current_dir(), Some(dir.path()));

    let path = std::env::var("PATH").unwrap();
    let cleared = stdout(Command::new("env").env_clear().env("PATH", &path));
    assert_eq!(cleared, format!("PATH={path}\n"));
    assert_eq!(
        stdout(
            Command::new("sh")
                .arg0("another name")
                .args(["-c", "echo $0"])
        ),
        "another name\n"
    );
    let mut std = StdCommand::new("ls");
    std.arg("-l");
    assert_eq!(
        format!("{:?}", Command::new("ls").arg("-l")),
        format!("{std:?}")
    );
}

#[test]
fn a_process_group_of_its_own() {
    let _watchdog = support::watchdog();
    let mut child = sh("exec sleep 1000").process_group(0).spawn().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap());
    // Under an emulator the child may have yet to move: vfork is a fork there.
    while rustix::process::getpgid(pid).unwrap() != pid.unwrap() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The error's kind, number and text are std's.
#[test]
fn what_cannot_be_run() {
    let _watchdog = support::watchdog();
    if support::emulated() {
        println!("not run: a spawn does not learn from the emulator that its child could not exec");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("not executable");
    std::fs::write(&file, "").unwrap();
    let no_dir = dir.path().join("nowhere");
    let nul = std::path::PathBuf::from("a\0b");
    for program in [&"no such program".into(), &file, dir.path(), &nul] {
        let ours = Command::new(program).spawn().unwrap_err();
        let std = StdCommand::new(program).spawn().unwrap_err();
        assert_eq!(format!("{ours:?}"), format!("{std:?}"));
        let ours = Command::new(program).output().unwrap_err();
        assert_eq!(format!("{ours:?}"), format!("{std:?}"));
    }
    let ours = Command::new("true")
        .current_dir(&no_dir)
        .status()
        .unwrap_err();
    let std = StdCommand::new("true")
        .current_dir(&no_dir)
        .status()
        .unwrap_err();
    assert_eq!(format!("{ours:?}"), format!("{std:?}"));
}

#[test]
#[allow(unsafe_code)]
fn pre_exec_runs_in_the_child_also_when_a_greenlet_spawns() {
    let _watchdog = support::watchdog();
    let spawner = rustlet::spawn(|| {
        let mut command = sh("umask");
        // SAFETY: umask is async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o123));
                Ok(())
            })
        };
        stdout(&mut command)
    });
    let text = spawner.join().unwrap();
    assert_eq!(text.trim().trim_start_matches('0'), "123");

    let mut command = sh("true");
    // SAFETY: it does nothing.
    unsafe { command.pre_exec(|| Err(std::io::Error::from_raw_os_error(17))) };
    assert_eq!(command.spawn().unwrap_err().raw_os_error(), Some(17));
}

#[test]
fn exec_becomes_the_program() {
    if support::is_child() {
        println!("running 1 test"); // what the parent looks for, before it is too late
        let error = sh("echo I have become a shell; exit 5").exec();
        panic!("{error}");
    }
    let _watchdog = support::watchdog();
    let outcome = support::child("exec_becomes_the_program").run();
    assert_eq!(outcome.status.code(), Some(5), "{outcome:?}");
    assert!(
        outcome.stdout.contains("I have become a shell\n"),
        "{outcome:?}"
    );

    let error = Command::new("no such program").exec();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn std_types_become_ours() {
    let _watchdog = support::watchdog();
    let std = StdCommand::new("cat")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = rustlet::process::Child::from(std);
    let mut text = String::new();
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "");
    assert!(child.wait().unwrap().success());
    let mut std = StdCommand::new("echo");
    std.arg("hello");
    assert_eq!(Command::from(std).output().unwrap().stdout, b"hello\n");
}

/// `output` pipes and `spawn` inherits, in any order, unless the caller has said otherwise.
#[test]
fn defaults_of_output_do_not_stay() {
    let _watchdog = support::watchdog();
    let mut command = sh("echo out; echo err >&2; read line; echo $?");
    for _ in 0..2 {
        let output = command.output().unwrap();
        assert_eq!(
            output.stdout, b"out\n1\n",
            "there is nothing on standard input"
        );
        assert_eq!(output.stderr, b"err\n");
    }
    let child = sh("true").spawn().unwrap();
    assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
    let output = sh("echo out; echo err >&2")
        .stderr(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(
        (&output.stdout[..], &output.stderr[..]),
        (&b"out\n"[..], &b""[..])
    );
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.output().unwrap();
    let child = command.spawn().unwrap();
    assert!(child.stdout.is_none() && child.stderr.is_none());
}
