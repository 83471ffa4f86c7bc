//! `SignalKind`: a signal's number by name. The names of functions are tokio's.

use std::fmt;

use rustix::process::Signal;

/// A kind of signal, such as SIGTERM; see signal(7).
///
/// ```
/// use rustlet::signal::SignalKind;
/// assert_eq!(SignalKind::terminate().as_raw_value(), 15);
/// assert_eq!(format!("{:?}", SignalKind::hangup()), "SIGHUP");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SignalKind(i32);

macro_rules! kinds {
    ($($(#[$doc:meta])* $function:ident: $signal:ident, $name:literal;)*) => {
        impl SignalKind {
            $(
                $(#[$doc])*
                pub const fn $function() -> Self {
                    SignalKind(Signal::$signal.as_raw())
                }
            )*

            fn name(self) -> Option<&'static str> {
                $(
                    if self == SignalKind::$function() {
                        return Some($name);
                    }
                )*
                None
            }
        }
    };
}

kinds! {
    /// SIGALRM: a timer of alarm(2) or setitimer(2) has run out.
    alarm: ALARM, "SIGALRM";
    /// SIGCHLD: a child has ended, stopped, or gone on.
    child: CHILD, "SIGCHLD";
    /// SIGCONT: the process goes on after a stop.
    resume: CONT, "SIGCONT";
    /// SIGHUP: the terminal has gone; for daemons, mostly: read the configuration again.
    hangup: HUP, "SIGHUP";
    /// SIGINT: Ctrl-C.
    interrupt: INT, "SIGINT";
    /// SIGIO: a descriptor with `O_ASYNC` is ready.
    io: IO, "SIGIO";
    /// SIGPIPE: a write to a pipe or socket without readers. Rust programs ignore it, and get errors.
    pipe: PIPE, "SIGPIPE";
    /// SIGQUIT: Ctrl-\.
    quit: QUIT, "SIGQUIT";
    /// SIGTERM: please end.
    terminate: TERM, "SIGTERM";
    /// SIGTSTP: Ctrl-Z.
    terminal_stop: TSTP, "SIGTSTP";
    /// SIGUSR1: what the program says it is.
    user_defined1: USR1, "SIGUSR1";
    /// SIGUSR2: what the program says it is.
    user_defined2: USR2, "SIGUSR2";
    /// SIGWINCH: the terminal's window has another size.
    window_change: WINCH, "SIGWINCH";
}

impl SignalKind {
    /// The kind with this number; whether there is such a signal is seen when it is used.
    pub const fn from_raw(number: i32) -> Self {
        SignalKind(number)
    }

    /// The signal's number.
    pub const fn as_raw_value(&self) -> i32 {
        self.0
    }
}

impl From<i32> for SignalKind {
    fn from(number: i32) -> Self {
        SignalKind(number)
    }
}

impl From<SignalKind> for i32 {
    fn from(kind: SignalKind) -> Self {
        kind.0
    }
}

impl fmt::Debug for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => f.debug_tuple("SignalKind").field(&self.0).finish(),
        }
    }
}
