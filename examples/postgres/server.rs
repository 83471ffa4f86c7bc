//! A PostgreSQL server of one's own: in a temporary directory, on a Unix socket, gone when it is dropped.
//!
//! The programs are looked for in `PATH` and where Debian puts them (`/usr/lib/postgresql/*/bin`). PostgreSQL refuses to run
//! as root, so root runs it as the user `postgres` or `nobody`.
#![allow(unsafe_code)] // `pre_exec`: the server is to die with its parent.

use std::error::Error;
use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tempfile::TempDir;

/// How long the server may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    dir: TempDir,
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    initdb: PathBuf,
    postgres: PathBuf,
}

/// The programs, if PostgreSQL is installed.
pub(crate) fn find() -> Option<Programs> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        places.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    let find = |program: &str| places.iter().map(|p| p.join(program)).find(|p| p.is_file());
    Some(Programs {
        initdb: find("initdb")?,
        postgres: find("postgres")?,
    })
}

/// Whom root runs the server as: number of the user and of the group.
fn somebody() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |wanted| {
        let mut lines = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        let fields = lines.find(|fields| fields.len() > 3 && fields[0] == wanted)?;
        Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody"))
}

impl Server {
    /// Makes a database cluster and starts its server; takes some seconds.
    pub(crate) fn start(programs: &Programs) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let dir = tempfile::Builder::new().prefix("pg").tempdir()?;
        let user = somebody();
        if let Some((uid, gid)) = user {
            chown(dir.path(), Some(uid), Some(gid))?;
        }
        let command = |program: &Path| {
            let mut command = Command::new(program);
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command.current_dir(dir.path()).stdin(Stdio::null());
            command
        };
        let made = command(&programs.initdb)
            .args(["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8"])
            .args(["--locale=C", "--no-sync"])
            .output()?;
        if !made.status.success() {
            let text = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(format!("initdb: {}: {text}", made.status).into());
        }
        let log = fs::File::create(dir.path().join("log"))?;
        let mut server = command(&programs.postgres);
        server
            .args(["-D", "data", "-c", "listen_addresses=", "-c", "fsync=off"])
            .args(["-c", "max_connections=60", "-c", "shared_buffers=16MB"])
            .arg("-k")
            .arg(dir.path())
            .stdout(log.try_clone()?)
            .stderr(log);
        // SAFETY: one system call, after std has changed the user, which would undo it.
        unsafe {
            server.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::INT))?));
        }
        let process = server.spawn()?;
        let mut server = Server { process, dir };
        server.wait_until_up()?;
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join(".s.PGSQL.5432")
    }

    fn wait_until_up(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let limit = Instant::now() + PATIENCE;
        loop {
            // It takes connections before it takes queries; who comes too early is told so, and the log is.
            let log = fs::read_to_string(self.dir.path().join("log"))?;
            if log.contains("ready to accept connections")
                && UnixStream::connect(self.socket()).is_ok()
            {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("postgres: {status}: {log}").into());
            }
            if Instant::now() > limit {
                let error = io::Error::new(io::ErrorKind::TimedOut, "postgres does not come up");
                return Err(error.into());
            }
            rustlet::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // "Fast shutdown": sessions are ended, and it goes.
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = self.process.wait();
    }
}
