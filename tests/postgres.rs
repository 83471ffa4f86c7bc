//! tokio-postgres, unmodified, against a real PostgreSQL, over `Io<UnixStream>` and over `TcpStream`. The code is the example's
//! (`examples/postgres`), which starts a server of its own.
//!
//! Without PostgreSQL on the machine the test says that it did not run, and passes; with `RUSTLET_TEST_POSTGRES=1` in the
//! environment it fails instead.

mod support;

#[path = "../examples/postgres/database.rs"]
mod database;
#[path = "../examples/postgres/server.rs"]
mod server;

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use database::Database;
use rustlet::block_on;
use rustlet::net::{TcpListener, TcpStream};
use support::watchdog_of;
use tokio_postgres::error::SqlState;

/// All of it is one test: the server takes seconds to start.
#[test]
fn tokio_postgres_from_greenlets() {
    let _watchdog = watchdog_of(Duration::from_secs(180));
    let Some(programs) = server::find() else {
        assert!(
            std::env::var_os("RUSTLET_TEST_POSTGRES").is_none(),
            "RUSTLET_TEST_POSTGRES is set, and `initdb` or `postgres` is not installed"
        );
        eprintln!("NOT RUN: PostgreSQL (`initdb`, `postgres`) is not installed");
        return;
    };
    let server = server::Server::start(&programs).unwrap();
    let socket = server.socket();
    queries_at_the_same_time(&socket);
    over_tcp(&socket);
    given_up_and_cancelled(&socket);
    killed_in_a_query(&socket);
    errors_come_out(&socket);
    notifications(&socket);
    large_rows(&socket);
    from_other_threads(&socket);
}

fn queries_at_the_same_time(socket: &Path) {
    let pool: Vec<_> = (0..8)
        .map(|_| Arc::new(Database::connect(socket).unwrap()))
        .collect();
    let count = 1000 / support::slowdown() as i32;
    let askers: Vec<_> = (0..count)
        .map(|n| {
            let database = pool[n as usize % pool.len()].clone();
            rustlet::spawn(move || {
                let row =
                    block_on(database.client.query_one("select $1::int4 + 1", &[&n])).unwrap();
                assert_eq!(row.get::<_, i32>(0), n + 1);
            })
        })
        .collect();
    askers.into_iter().for_each(|asker| asker.join().unwrap());
    // Connections wait at the same time, too.
    let sleepers: Vec<_> = pool
        .iter()
        .map(|database| {
            let database = database.clone();
            rustlet::spawn(move || {
                block_on(database.client.execute("select pg_sleep(0.2)", &[])).unwrap()
            })
        })
        .collect();
    sleepers
        .into_iter()
        .for_each(|one| assert_eq!(one.join().unwrap(), 1));
    for database in pool {
        Arc::into_inner(database).unwrap().close().unwrap();
    }
}

/// Over `rustlet::net::TcpStream`, through a forwarder of greenlets to the Unix socket, so that no port need be agreed on.
fn over_tcp(socket: &Path) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let socket = socket.to_owned();
    let forwarder = rustlet::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = database::unix(&socket).unwrap();
        let (client, server) = (Arc::new(client), Arc::new(server));
        let there = {
            let (client, server) = (client.clone(), server.clone());
            rustlet::spawn(move || {
                std::io::copy(&mut &*client, &mut &*server).unwrap();
                server
                    .get_ref()
                    .shutdown(std::net::Shutdown::Write)
                    .unwrap();
            })
        };
        std::io::copy(&mut &*server, &mut &*client).unwrap();
        there.join().unwrap();
    });
    let database = Database::over(TcpStream::connect(addr).unwrap()).unwrap();
    let rows = block_on(
        database
            .client
            .query("select generate_series(1, 10000)", &[]),
    )
    .unwrap();
    assert!(rows.iter().map(|row| row.get::<_, i32>(0)).eq(1..=10_000));
    database.close().unwrap();
    forwarder.join().unwrap();
}

fn given_up_and_cancelled(socket: &Path) {
    let database = Database::connect(socket).unwrap();
    let slow = || block_on(database.client.execute("select pg_sleep(3600)", &[]));
    assert!(rustlet::timeout(Duration::from_millis(200), slow).is_err());
    database::cancel(&database.client, socket.to_owned()).unwrap();
    // The connection answers again.
    let row = block_on(database.client.query_one("select 'free'", &[])).unwrap();
    assert_eq!(row.get::<_, &str>(0), "free");
    database.close().unwrap();
}

fn killed_in_a_query(socket: &Path) {
    let database = Arc::new(Database::connect(socket).unwrap());
    let asker = rustlet::spawn({
        let database = database.clone();
        move || block_on(database.client.execute("select pg_sleep(3600)", &[])).unwrap()
    });
    rustlet::sleep(Duration::from_millis(50));
    asker.kill().unwrap();
    assert!(asker.join().unwrap_err().is_killed());
    database::cancel(&database.client, socket.to_owned()).unwrap();
    block_on(database.client.query_one("select 1", &[])).unwrap();
}

fn errors_come_out(socket: &Path) {
    let mut database = Database::connect(socket).unwrap();
    let error = block_on(database.client.query("select 1 / 0", &[])).unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::DIVISION_BY_ZERO));
    // A transaction that is dropped is rolled back.
    block_on(
        database
            .client
            .batch_execute("create table things (name text)"),
    )
    .unwrap();
    let transaction = block_on(database.client.transaction()).unwrap();
    block_on(transaction.execute("insert into things values ('lost')", &[])).unwrap();
    drop(transaction);
    let count = block_on(
        database
            .client
            .query_one("select count(*) from things", &[]),
    )
    .unwrap();
    assert_eq!(count.get::<_, i64>(0), 0);
    database.close().unwrap();
}

fn notifications(socket: &Path) {
    let listening = Database::connect(socket).unwrap();
    block_on(listening.client.batch_execute("listen news")).unwrap();
    let telling = Database::connect(socket).unwrap();
    let teller = rustlet::spawn(move || {
        for n in 0..100 {
            block_on(telling.client.batch_execute(&format!("notify news, '{n}'"))).unwrap();
        }
        telling.close().unwrap();
    });
    for n in 0..100 {
        let notification = listening.notifications.get().unwrap();
        assert_eq!(notification.channel(), "news");
        assert_eq!(notification.payload(), n.to_string());
    }
    teller.join().unwrap();
    listening.close().unwrap();
}

fn large_rows(socket: &Path) {
    let database = Database::connect(socket).unwrap();
    let text = "x".repeat(3_000_000);
    let row = block_on(
        database
            .client
            .query_one("select $1::text || 'y'", &[&text]),
    )
    .unwrap();
    let answer: &str = row.get(0);
    assert!(answer.len() == text.len() + 1 && answer.ends_with("xy"));
    database.close().unwrap();
}

/// A client may be used from any thread: its connection is driven on this one.
fn from_other_threads(socket: &Path) {
    let database = Arc::new(Database::connect(socket).unwrap());
    let (send, receive) = rustlet::sync::mpmc::bounded(4);
    let threads: Vec<_> = (0..4_i32)
        .map(|n| {
            let (database, send) = (database.clone(), send.clone());
            thread::spawn(move || {
                let row = block_on(database.client.query_one("select $1::int4", &[&n])).unwrap();
                send.send(row.get::<_, i32>(0)).unwrap();
            })
        })
        .collect();
    let mut received: Vec<_> = (0..4).map(|_| receive.recv().unwrap()).collect();
    received.sort_unstable();
    assert_eq!(received, [0, 1, 2, 3]);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}
