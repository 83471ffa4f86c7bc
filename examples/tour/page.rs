//! What the server answers. It follows from the path alone, so that clients can check every byte.

/// The answer to one path.
pub(crate) struct Page {
    pub(crate) kind: &'static str,
    pub(crate) body: String,
}

pub(crate) fn answer(path: &str) -> Page {
    match path {
        "/" => Page {
            kind: "text/html; charset=utf-8",
            body: home(),
        },
        _ => Page {
            kind: "text/plain; charset=utf-8",
            body: derived(path),
        },
    }
}

/// One to four lines, as the path's hash says: responses differ in length as well as in content.
fn derived(path: &str) -> String {
    let hash = fnv1a(path.as_bytes());
    let line = format!("{path} {hash:016x}\n");
    line.repeat(1 + (hash % 4) as usize)
}

/// For people with browsers.
fn home() -> String {
    let stats = rustlet::stats();
    format!(
        "<!doctype html><meta http-equiv=refresh content=1><title>rustlet</title>\n\
         <h1>Served by a greenlet</h1>\n\
         <p>Greenlets now: {}; since the start: {}; switches: {}; threads: {}.</p>\n\
         <p>Every other path, such as <a href=/hello>/hello</a>, answers with its own hash.</p>\n",
        stats.live,
        stats.spawned,
        stats.switches,
        crate::process::status().threads,
    )
}

/// FNV-1a, 64 bits.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
