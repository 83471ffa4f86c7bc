//! cargo run --release --example postgres
//!
//! tokio-postgres, unmodified, driven from greenlets against a real PostgreSQL, which this starts in a temporary
//! directory: many queries at the same time on a few connections, a query that is given up after a while, and
//! `LISTEN`/`NOTIFY`.

#[path = "postgres/database.rs"]
mod database;
#[path = "postgres/server.rs"]
mod server;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use database::Database;
use rustlet::block_on;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let Some(programs) = server::find() else {
        println!("postgres: not run: `initdb` and `postgres` are not installed");
        return Ok(());
    };
    let server = server::Server::start(&programs)?;
    let socket = server.socket();

    let database = Database::connect(&socket)?;
    let row = block_on(database.client.query_one("select version()", &[]))?;
    println!("{}", row.get::<_, &str>(0));

    // A thousand greenlets on ten connections: the queries of one connection are pipelined.
    let start = Instant::now();
    let pool: Vec<_> = (0..10)
        .map(|_| Database::connect(&socket).map(Arc::new))
        .collect::<Result<_, _>>()?;
    let askers: Vec<_> = (0..1000_i32)
        .map(|n| {
            let database = pool[n as usize % pool.len()].clone();
            rustlet::spawn(move || {
                let row = block_on(database.client.query_one("select $1::int4 * 2", &[&n]))?;
                Ok::<i32, tokio_postgres::Error>(row.get(0))
            })
        })
        .collect();
    let mut sum = 0;
    for asker in askers {
        sum += asker.join()??;
    }
    println!("1000 queries in {:.0?}, sum {sum}", start.elapsed());

    // A query that takes too long.
    let slow = || block_on(database.client.execute("select pg_sleep(3600)", &[]));
    let limit = Duration::from_millis(100);
    if rustlet::timeout(limit, slow).is_err() {
        database::cancel(&database.client, socket.clone())?;
    }
    let start = Instant::now();
    block_on(database.client.query_one("select 1", &[]))?;
    println!("given up, and free again after {:.0?}", start.elapsed());

    // Notifications, from another connection.
    block_on(database.client.batch_execute("listen news"))?;
    let other = pool[0].clone();
    rustlet::spawn(move || block_on(other.client.batch_execute("notify news, 'hello'")));
    let notification = database.notifications.get()?;
    println!("{}: {}", notification.channel(), notification.payload());
    database.close()
}
