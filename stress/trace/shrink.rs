//! A smaller program that fails too.
//!
//! Delta debugging (Zeller and Hildebrandt, 2002) on the tree: whole greenlets, then runs of operations, halved down to one,
//! then blocks that are replaced by what is in them, then numbers and forms made simpler; all over again while
//! anything helps. Whoever calls decides what failing is, and where a candidate runs: one that crashes or
//! hangs must do so in another process.

use super::program::{How, Op, Program, lines};

/// The smallest program found for which `fails` is true still. `program` itself is taken to fail.
pub(crate) fn shrink(program: Program, mut fails: impl FnMut(&Program) -> bool) -> Program {
    let mut best = program;
    // Each round makes it smaller, so this ends.
    loop {
        let before = best.clone();
        drop_greenlets(&mut best, &mut fails);
        drop_lines(&mut best, &mut fails);
        for edit in [unwrap_block, simplify] {
            edit_lines(&mut best, &mut fails, edit);
        }
        simplify_objects(&mut best, &mut fails);
        if best == before {
            return best;
        }
    }
}

/// Keeps `candidate` if it is a program and fails.
fn keep(best: &mut Program, candidate: Program, fails: &mut impl FnMut(&Program) -> bool) -> bool {
    let better = candidate != *best && candidate.check().is_ok() && fails(&candidate);
    if better {
        *best = candidate;
    }
    better
}

fn drop_greenlets(best: &mut Program, fails: &mut impl FnMut(&Program) -> bool) {
    for number in (0..best.greenlets.len()).rev() {
        let mut candidate = best.clone();
        candidate.greenlets.remove(number);
        for body in &mut candidate.greenlets {
            without(&mut body.ops, number);
        }
        if keep(best, candidate, fails) {
            continue;
        }
        // Its end may matter, but not what it does.
        let mut candidate = best.clone();
        candidate.greenlets[number].ops.clear();
        if keep(best, candidate, fails) {
            continue;
        }
        let mut candidate = best.clone();
        candidate.greenlets[number].root = true;
        keep(best, candidate, fails);
    }
}

/// Removes what names greenlet `gone`, and numbers the others anew.
fn without(ops: &mut Vec<Op>, gone: usize) {
    ops.retain_mut(|op| {
        if let Op::Unpark(number)
        | Op::Spawn(number)
        | Op::Join(number, _)
        | Op::End(number, _)
        | Op::Kill(number)
        | Op::Throw(number, _) = op
        {
            if *number == gone {
                return false;
            }
            *number -= usize::from(*number > gone);
        }
        if let Some(block) = op.block_mut() {
            without(block, gone);
        }
        true
    });
}

fn drop_lines(best: &mut Program, fails: &mut impl FnMut(&Program) -> bool) {
    for greenlet in 0..best.greenlets.len() {
        let mut some = lines(&best.greenlets[greenlet].ops).div_ceil(2);
        while some > 0 {
            let mut from = 0;
            while from < lines(&best.greenlets[greenlet].ops) {
                let mut candidate = best.clone();
                let mut at = 0;
                remove(
                    &mut candidate.greenlets[greenlet].ops,
                    &mut at,
                    from,
                    from + some,
                );
                // What was removed is not there to be passed.
                if !keep(best, candidate, fails) {
                    from += some;
                }
            }
            some /= 2;
        }
    }
}

/// Removes the lines from `from` to below `to`; of a block whose own line goes, all goes.
fn remove(ops: &mut Vec<Op>, at: &mut usize, from: usize, to: usize) {
    ops.retain_mut(|op| {
        let line = *at;
        *at += 1;
        if (from..to).contains(&line) {
            *at += op.lines() - 1;
            return false;
        }
        if let Some(block) = op.block_mut() {
            remove(block, at, from, to);
        }
        true
    });
}

/// A change to one operation: what may stand in its place, the `n`th possibility.
type Edit = fn(&Op, usize) -> Option<Vec<Op>>;

fn edit_lines(best: &mut Program, fails: &mut impl FnMut(&Program) -> bool, edit: Edit) {
    for greenlet in 0..best.greenlets.len() {
        let mut line = 0;
        while line < lines(&best.greenlets[greenlet].ops) {
            let mut possibility = 0;
            loop {
                let mut candidate = best.clone();
                let ops = &mut candidate.greenlets[greenlet].ops;
                if !replace(ops, &mut 0, line, &|op| edit(op, possibility)) {
                    break;
                }
                match keep(best, candidate, fails) {
                    true => possibility = 0,
                    false => possibility += 1,
                }
            }
            line += 1;
        }
    }
}

/// Puts in the place of line `line` what `with` says; false if that is nothing.
fn replace(
    ops: &mut Vec<Op>,
    at: &mut usize,
    line: usize,
    with: &dyn Fn(&Op) -> Option<Vec<Op>>,
) -> bool {
    for index in 0..ops.len() {
        let here = *at;
        *at += 1;
        if here == line {
            let Some(others) = with(&ops[index]) else {
                return false;
            };
            ops.splice(index..=index, others);
            return true;
        }
        if let Some(block) = ops[index].block_mut()
            && replace(block, at, line, with)
        {
            return true;
        }
        if *at > line {
            return false;
        }
    }
    false
}

fn unwrap_block(op: &Op, possibility: usize) -> Option<Vec<Op>> {
    (possibility == 0).then(|| op.block().map(<[Op]>::to_vec))?
}

fn simplify(op: &Op, possibility: usize) -> Option<Vec<Op>> {
    let mut simpler = Vec::new();
    let mut op = op.clone();
    if let Some(&mut how) = op.how_mut() {
        let mut with = |new: How| {
            let mut other = op.clone();
            if let Some(how) = other.how_mut() {
                *how = new;
            }
            simpler.push(other);
        };
        if let How::Within(moments) = how {
            with(How::Wait);
            if moments > 1 {
                with(How::Within(1));
                with(How::Within(moments - 1));
            }
        }
    }
    match op {
        Op::Sleep(moments @ 2..) => {
            simpler.extend([Op::Sleep(1), Op::Sleep(moments - 1)]);
        }
        Op::Timeout(moments @ 2.., ref ops) => {
            simpler.push(Op::Timeout(1, ops.clone()));
            simpler.push(Op::Timeout(moments - 1, ops.clone()));
        }
        Op::Depth(calls @ 1.., ref ops) => simpler.push(Op::Depth(calls / 2, ops.clone())),
        Op::Repeat(times @ 2.., ref ops) => {
            simpler.push(Op::Repeat(times / 2, ops.clone()));
            simpler.push(Op::Repeat(times - 1, ops.clone()));
        }
        Op::Add(number, count @ 2..) => simpler.push(Op::Add(number, count - 1)),
        Op::Select(ref arms, how) if arms.len() > 1 => {
            for index in 0..arms.len() {
                let mut fewer = arms.clone();
                fewer.remove(index);
                simpler.push(Op::Select(fewer, how));
            }
        }
        Op::Throw(number, 1..) => simpler.push(Op::Throw(number, 0)),
        Op::Panic(1.., loud) => simpler.push(Op::Panic(0, loud)),
        _ => {}
    }
    simpler.into_iter().nth(possibility).map(|op| vec![op])
}

/// Fewer objects, with less in them. An object that something names cannot go: [`Program::check`].
fn simplify_objects(best: &mut Program, fails: &mut impl FnMut(&Program) -> bool) {
    let fewer: [fn(&mut Program); 6] = [
        |program| program.objects.mutexes = program.objects.mutexes.saturating_sub(1),
        |program| program.objects.rwlocks = program.objects.rwlocks.saturating_sub(1),
        |program| program.objects.condvars = program.objects.condvars.saturating_sub(1),
        |program| program.objects.events = program.objects.events.saturating_sub(1),
        |program| _ = program.objects.semaphores.pop(),
        |program| _ = program.objects.queues.pop(),
    ];
    for edit in fewer {
        loop {
            let mut candidate = best.clone();
            edit(&mut candidate);
            if !keep(best, candidate, fails) {
                break;
            }
        }
    }
}
