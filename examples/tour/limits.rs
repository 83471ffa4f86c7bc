//! What the machine bears: descriptors for the greenlets, and threads for the comparison.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::plan::Plan;
use crate::process;
use crate::table::count;

/// Descriptors beside the connections: what the hub needs, and some air.
const AIR: u64 = 8;

/// Raises the limit of open descriptors to `wanted`, or as near as this process may; returns what it is.
pub(crate) fn raise_descriptors(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let hard = maximum.unwrap_or(u64::MAX);
    if current.is_none_or(|soft| soft >= wanted) {
        return current.unwrap_or(u64::MAX);
    }
    // Above the hard limit needs a privilege (CAP_SYS_RESOURCE) and ends at fs.nr_open; up to it none.
    let tries = [
        (wanted, maximum.map(|hard| hard.max(wanted))),
        (wanted.min(hard), maximum),
    ];
    for (soft, maximum) in tries {
        let limit = Rlimit {
            current: Some(soft),
            maximum,
        };
        if setrlimit(Resource::Nofile, limit).is_ok() {
            return soft;
        }
    }
    current.unwrap_or(u64::MAX)
}

/// Descriptors that are left for connections.
pub(crate) fn spare(limit: u64) -> u64 {
    limit.saturating_sub(process::open_descriptors() + AIR)
}

/// The plan, with as many clients as there are descriptors for, and a word if they are fewer.
///
/// Both ends of a connection are in this process, so each takes two.
pub(crate) fn scaled_down(mut plan: Plan) -> Plan {
    let clients = plan.clients as u64;
    let other = process::open_descriptors() + AIR + plan.addresses().count() as u64;
    let wanted = 2 * clients + other;
    let limit = raise_descriptors(wanted);
    plan.at_once = plan.clients;
    if limit < wanted {
        let fits = (limit.saturating_sub(other) / 2).max(1);
        let few = clients - fits <= clients / 100;
        println!(
            "Note: {} clients need {} file descriptors, two for each and {other} more. This process may have {} \
             (`ulimit -Hn`) and may not raise that, so {}.",
            count(clients),
            count(wanted),
            count(limit),
            match few {
                true => format!("the last {} wait until others have left", clients - fits),
                false => format!("there are {} clients", count(fits)),
            }
        );
        plan.at_once = fits as usize;
        if !few {
            plan.clients = plan.at_once;
        }
    }
    plan
}

/// How many clients can have a thread at either end of their connection, and what limits them.
pub(crate) fn thread_clients(wanted: usize) -> (usize, Option<&'static str>) {
    // A thread has four mappings: its stack, its signal stack, and a guard for each. Its memory is
    // what was measured with this example, kernel stack and page tables included. A tenth is
    // left to the others on the machine.
    let limits = [
        (
            process::limit_in("/proc/sys/vm/max_map_count"),
            2 * 4,
            "vm.max_map_count",
        ),
        (
            process::limit_in("/proc/sys/kernel/pid_max"),
            2,
            "kernel.pid_max",
        ),
        (
            process::limit_in("/proc/sys/kernel/threads-max"),
            2,
            "kernel.threads-max",
        ),
        (
            process::limit_in("/sys/fs/cgroup/pids.max"),
            2,
            "the cgroup's pids.max",
        ),
        (getrlimit(Resource::Nproc).current, 2, "`ulimit -u`"),
        (process::available_kib(), 2 * 64, "memory"),
    ];
    let mut bears = (wanted, None);
    for (limit, each, name) in limits {
        let clients = limit.map_or(u64::MAX, |limit| limit / 10 * 9 / each);
        if clients < bears.0 as u64 {
            bears = (clients.max(1) as usize, Some(name));
        }
    }
    bears
}
