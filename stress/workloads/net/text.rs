//! The bytes that travel: each follows from a seed and its place in the stream, so that whoever receives any piece of it
//! can tell whether it is the right one, in the right place.

use crate::workload::{Failure, ensure};

#[derive(Clone, Copy)]
pub(super) struct Text {
    pub(super) seed: u64,
}

impl Text {
    /// The eight bytes that start at eight times `nth`.
    fn word(self, nth: u64) -> [u8; 8] {
        let mut mixed = self.seed ^ nth.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)).to_ne_bytes()
    }

    /// Calls `f` with each byte of `buf` and what the text has there, if `buf` begins at `at`; ends with false where `f` says so.
    fn walk(self, at: u64, buf: &mut [u8], mut f: impl FnMut(u64, &mut u8, u8) -> bool) -> bool {
        let mut place = at;
        let mut word = self.word(place / 8);
        for byte in buf {
            if !f(place, byte, word[(place % 8) as usize]) {
                return false;
            }
            place += 1;
            if place.is_multiple_of(8) {
                word = self.word(place / 8);
            }
        }
        true
    }

    pub(super) fn write(self, at: u64, buf: &mut [u8]) {
        self.walk(at, buf, |_, byte, right| {
            *byte = right;
            true
        });
    }

    /// Whether `buf` is what the text has from `at` on. `who` received it.
    pub(super) fn check(self, at: u64, buf: &mut [u8], who: &str) -> Result<(), Failure> {
        let mut wrong = None;
        self.walk(at, buf, |place, byte, right| {
            let same = *byte == right;
            if !same {
                wrong = Some((place, *byte, right));
            }
            same
        });
        if let Some((place, byte, right)) = wrong {
            ensure!(
                false,
                "{who}: byte {place} (in a piece of {} from {at}) is {byte:#04x} and not {right:#04x}",
                buf.len()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_piece_is_recognised_in_its_place_and_nowhere_else() {
        let text = Text { seed: 5 };
        let mut all = [0; 100];
        text.write(0, &mut all);
        for (from, to) in [(0, 100), (3, 4), (8, 16), (13, 77)] {
            text.check(from as u64, &mut all[from..to], "a piece")
                .unwrap();
        }
        assert!(text.check(12, &mut all[13..77], "moved").is_err());
        all[50] ^= 1;
        let Failure(said) = text.check(13, &mut all[13..77], "bent").unwrap_err();
        assert!(
            said.starts_with("bent: byte 50 (in a piece of 64 from 13)"),
            "{said}"
        );
    }
}
