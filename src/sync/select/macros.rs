//! [`select!`](crate::select!): arms of different types, on the stack.
//!
//! It first rewrites the arms one by one into a list of the same shape for each, with names of its own for the arm
//! and its result (each round of a macro makes new ones), and the waiting apart; then that list into code:
//!
//! ```text
//!   let (chosen, a's result, b's result) = { make arm a; make arm b; choose; (chosen, a.finish(), b.finish()) };
//!   if let Some(pattern) = a's result { … } else if … else { the timeout's }
//! ```
//! The arms are gone when the chosen one's code runs, which may use what they borrowed, and `break`, `return`
//! and `?`.

/// Waits for one of several things, and does what is written for the one that came first.
///
/// ```
/// use rustlet::sync::{Event, mpmc};
/// use std::time::Duration;
///
/// let (sender, receiver) = mpmc::bounded(1);
/// let stop = Event::new();
/// let worker = rustlet::spawn(move || sender.send("done"));
/// loop {
///     rustlet::select! {
///         recv(receiver) -> item => match item {
///             Ok(item) => assert_eq!(item, "done"),
///             Err(_) => break, // no sender is left
///         },
///         wait(stop) => break,
///         timeout(Duration::from_secs(10)) => panic!("it takes too long"),
///     }
/// }
/// worker.join().unwrap().unwrap();
/// ```
///
/// # Arms
/// - `recv(receiver) -> item => …`, `get(queue) -> item => …`: the item, or the error that there will be none.
/// - `send(sender, item) -> result => …`, `put(queue, item) -> result => …`: the item is made before anything is
///   chosen, and dropped if it is another arm. With `send(sender, from place)`, where `place` is a variable of type `Option`, it
///   is taken out of there if it is sent, and otherwise stays.
/// - `wait(thing) => …`, `join(greenlet) => …`: an event, the end of a greenlet, or another
///   [`Selectable`](crate::sync::Selectable).
/// - `timeout(duration) => …` or `default => …`: if nothing else was ready in that time, or at all.
///
/// What stands behind the `=>` is an expression, as in a `match`. All have the same type.
///
/// Of several that are ready one is chosen at random. Exactly one does anything; a kill or an outer
/// [`timeout`](crate::timeout) while it waits finds nothing done. The things may be given by value, reference or `Arc`;
/// they are not consumed.
///
/// # Panics
/// If it would have to wait and cannot: on a thread's own stack when nothing can ever make one of the things ready
/// ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill.
///
/// ```
/// use rustlet::queue::Queue;
/// let (input, output) = (Queue::new(), Queue::bounded(1));
/// output.put(0).unwrap();
/// let mut next = Some(7);
/// let was = rustlet::select! {
///     get(input) -> item => item.unwrap(),
///     put(output, from next) -> result => { result.unwrap(); 0 }
///     default => -1,
/// };
/// assert_eq!((was, next), (-1, Some(7)));
/// ```
///
/// There is nothing to choose among none:
///
/// ```compile_fail
/// rustlet::select! {}
/// ```
#[macro_export]
macro_rules! select {
    // Each round takes one arm, and adds it to the list.
    (@arm $list:tt $limit:tt recv($source:expr) -> $result:pat => $($rest:tt)*) => {
        $crate::select!(@body $list $limit (recv arm result thing ($source) () {$result}) $($rest)*)
    };
    (@arm $list:tt $limit:tt get($source:expr) -> $result:pat => $($rest:tt)*) => {
        $crate::select!(@body $list $limit (recv arm result thing ($source) () {$result}) $($rest)*)
    };
    (@arm $list:tt $limit:tt send($sink:expr, from $place:expr) -> $result:pat => $($rest:tt)*) => {
        $crate::select!(@body $list $limit (send_from arm result thing ($sink) (&mut $place) {$result}) $($rest)*)
    };
    (@arm $list:tt $limit:tt send($sink:expr, $item:expr) -> $result:pat => $($rest:tt)*) => {
        $crate::select!(@body $list $limit (send arm result thing ($sink) ($item) {$result}) $($rest)*)
    };
    (@arm $list:tt $limit:tt put($($args:tt)*) $($rest:tt)*) => {
        $crate::select!(@arm $list $limit send($($args)*) $($rest)*)
    };
    (@arm $list:tt $limit:tt wait($thing:expr) => $($rest:tt)*) => {
        $crate::select!(@body $list $limit (wait arm result thing ($thing) () {()}) $($rest)*)
    };
    (@arm $list:tt $limit:tt join($thing:expr) => $($rest:tt)*) => {
        $crate::select!(@body $list $limit (wait arm result thing ($thing) () {()}) $($rest)*)
    };
    (@arm $list:tt () timeout($limit:expr) => $($rest:tt)*) => {
        $crate::select!(@limit $list ($crate::sync::select::expansion::Limit::After($limit);) $($rest)*)
    };
    (@arm $list:tt () default => $($rest:tt)*) => {
        $crate::select!(@limit $list ($crate::sync::select::expansion::Limit::Now;) $($rest)*)
    };
    (@arm ($($list:tt)+) ()) => {
        $crate::select!(@code ($($list)+) ($crate::sync::select::expansion::Limit::Never;
            {::core::unreachable!("without a limit something is chosen")}))
    };
    (@arm () ($limit:expr; $otherwise:block)) => {{
        $crate::sync::select::expansion::choose(&mut [], $limit);
        $otherwise
    }};
    (@arm ($($list:tt)*) ($($limit:tt)+)) => {
        $crate::select!(@code ($($list)*) ($($limit)+))
    };

    // What is behind the arrow.
    (@body ($($list:tt)*) $limit:tt ($($arm:tt)*) $body:block, $($rest:tt)*) => {
        $crate::select!(@arm ($($list)* ($($arm)* $body)) $limit $($rest)*)
    };
    (@body ($($list:tt)*) $limit:tt ($($arm:tt)*) $body:block $($rest:tt)*) => {
        $crate::select!(@arm ($($list)* ($($arm)* $body)) $limit $($rest)*)
    };
    (@body ($($list:tt)*) $limit:tt ($($arm:tt)*) $body:expr, $($rest:tt)*) => {
        $crate::select!(@arm ($($list)* ($($arm)* {$body})) $limit $($rest)*)
    };
    (@body ($($list:tt)*) $limit:tt ($($arm:tt)*) $body:expr) => {
        $crate::select!(@arm ($($list)* ($($arm)* {$body})) $limit)
    };
    (@limit $list:tt ($($limit:tt)*) $body:block, $($rest:tt)*) => {
        $crate::select!(@arm $list ($($limit)* $body) $($rest)*)
    };
    (@limit $list:tt ($($limit:tt)*) $body:block $($rest:tt)*) => {
        $crate::select!(@arm $list ($($limit)* $body) $($rest)*)
    };
    (@limit $list:tt ($($limit:tt)*) $body:expr, $($rest:tt)*) => {
        $crate::select!(@arm $list ($($limit)* {$body}) $($rest)*)
    };
    (@limit $list:tt ($($limit:tt)*) $body:expr) => {
        $crate::select!(@arm $list ($($limit)* {$body}))
    };

    (@code
        ($(($kind:ident $arm:ident $result:ident $thing:ident ($of:expr) ($($with:expr)?) {$pattern:pat} $body:block))*)
        ($limit:expr; $otherwise:block)
    ) => {{
        let ($($result,)*) = {
            $(
                let $thing = &$of;
                let mut $arm = $crate::sync::select::expansion::$kind($thing $(, $with)?);
            )*
            $crate::sync::select::expansion::choose(&mut [$(&mut $arm),*], $limit);
            ($($arm.finish(),)*)
        };
        $(if let ::core::option::Option::Some($pattern) = $result $body else)* $otherwise
    }};

    (@$($unknown:tt)*) => {
        ::core::compile_error!("select! takes arms like `recv(receiver) -> item => …`, `send(sender, item) -> result => …`, \
            `wait(thing) => …`, and at most one `timeout(duration) => …` or `default => …`")
    };
    ($($arms:tt)+) => {
        $crate::select!(@arm () () $($arms)+)
    };
}
