//! Iterators written as straight code: a tree walk, permutations by recursion, and a conversation.
//!
//! Run with `cargo run --example generators`.

use rustlet::raw::{self, Generator, GeneratorState, Yielder};

/// Yields from any depth of calls: the walk is an ordinary recursive function.
fn hanoi(y: &Yielder<(char, char)>, disks: u32, from: char, to: char, by: char) {
    if disks > 0 {
        hanoi(y, disks - 1, from, by, to);
        y.yield_((from, to));
        hanoi(y, disks - 1, by, to, from);
    }
}

/// A generator that loops over a generator of the same kind.
fn permutations(items: Vec<char>) -> Generator<String> {
    raw::generator(move |y| {
        if items.is_empty() {
            y.yield_(String::new());
        }
        for (i, &first) in items.iter().enumerate() {
            let mut rest = items.clone();
            rest.remove(i);
            for tail in permutations(rest) {
                y.yield_(format!("{first}{tail}"));
            }
        }
    })
}

fn main() {
    let moves = raw::generator(|y| hanoi(y, 3, 'A', 'C', 'B'));
    let moves: Vec<String> = moves.map(|(from, to)| format!("{from}{to}")).collect();
    println!("hanoi: {}", moves.join(" "));

    let words: Vec<String> = permutations("abc".chars().collect()).collect();
    println!("permutations: {}", words.join(" "));

    // Infinite, and dropped where it stands.
    let mut fibonacci = raw::generator(|y| {
        let (mut a, mut b) = (0_u64, 1);
        loop {
            y.yield_(a);
            (a, b) = (b, a + b);
        }
    });
    println!(
        "fibonacci: {:?}",
        fibonacci.by_ref().take(10).collect::<Vec<_>>()
    );
    drop(fibonacci);

    // Two ways: lines go in, sentences come out, and a count at the end.
    let mut sentences = raw::generator_with(|y: &Yielder<Option<String>, &str>, mut word| {
        let (mut sentence, mut count) = (Vec::new(), 0);
        while !word.is_empty() {
            sentence.push(word);
            let whole = word.ends_with('.').then(|| {
                count += 1;
                std::mem::take(&mut sentence).join(" ")
            });
            word = y.yield_(whole);
        }
        count
    });
    for word in ["It", "works.", "Like", "this.", ""] {
        match sentences.send(word) {
            GeneratorState::Yielded(None) => {}
            GeneratorState::Yielded(Some(sentence)) => println!("sentence: {sentence}"),
            GeneratorState::Complete(count) => println!("{count} sentences"),
        }
    }
}

// hanoi: AC AB CB AC BA BC AC
// permutations: abc acb bac bca cab cba
// fibonacci: [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]
// sentence: It works.
// sentence: Like this.
// 2 sentences
