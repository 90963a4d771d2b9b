//! The compressed bitmaps (EWAH) of a split index.

use super::{BadIndex, be32, be64};

/// The positions of the set bits, ascending, and how many bytes the bitmap took. No position reaches `limit`.
pub(super) fn set_bits(bytes: &[u8], limit: u32) -> Result<(Vec<u32>, usize), BadIndex> {
    let bad = BadIndex::Bitmap;
    let words = be32(bytes, 4).ok_or(bad)? as usize;
    // bit count, word count, words, position of the last run
    let len = words.checked_mul(8).and_then(|n| n.checked_add(12)).filter(|&n| n <= bytes.len()).ok_or(bad)?;
    let word = |n: usize| be64(bytes, 8 + n * 8).ok_or(bad);
    let mut found = Vec::new();
    let mut position: u64 = 0;
    let mut next = 0;
    while next < words {
        let run = word(next)?;
        next += 1;
        let run_bits = (run >> 1 & 0xffff_ffff).checked_mul(64).ok_or(bad)?;
        if run & 1 == 1 {
            if position + run_bits > u64::from(limit) {
                return Err(bad);
            }
            found.extend((position..position + run_bits).map(|p| p as u32));
        }
        position = position.checked_add(run_bits).ok_or(bad)?;
        for _ in 0..run >> 33 {
            let literal = word(next)?;
            next += 1;
            for bit in (0..64).filter(|bit| literal >> bit & 1 == 1) {
                let at = position.checked_add(bit).filter(|&at| at < u64::from(limit)).ok_or(bad)?;
                found.push(at as u32);
            }
            position = position.checked_add(64).ok_or(bad)?;
        }
    }
    Ok((found, len))
}
