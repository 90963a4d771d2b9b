//! Finds the rows of the tables that speak of a name: two hash tables, laid out by the compiler.

use super::{Group, TABLES, kinds, runs, secrets};

/// A row of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub group: &'static Group,
    pub pattern: &'static str,
}

/// Open addressing; a row is a group and its place in the group.
#[derive(Debug)]
pub(super) struct Index<const N: usize> {
    slots: [Slot; N],
    prefix: &'static str,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Other bits of the hash than those that chose the slot: spares most comparisons of strings.
    tag: u16,
    /// 0: empty; else the number of the group over all tables, plus one.
    group: u8,
    row: u8,
}

const EMPTY: Slot = Slot { tag: 0, group: 0, row: 0 };
/// Room enough that a miss mostly ends at its first slot.
const NAMES: usize = 4096;
const EXTENSIONS: usize = 2048;

static BY_NAME: Index<NAMES> = build(false);
static BY_EXTENSION: Index<EXTENSIONS> = build(true);

/// Rows keyed by their last name.
#[inline]
pub(super) fn names() -> &'static Index<NAMES> {
    &BY_NAME
}

/// Rows of the form `*.extension`, keyed by the extension.
#[inline]
pub(super) fn extensions() -> &'static Index<EXTENSIONS> {
    &BY_EXTENSION
}

impl<const N: usize> Index<N> {
    /// Every row whose key is `key`, which is in lower case.
    #[inline]
    pub(super) fn find<'k>(&'static self, key: &'k [u8]) -> impl Iterator<Item = Found> + use<'k, N> {
        let hash = hash(key);
        let tag = (hash >> 40) as u16;
        let mut at = hash as usize % N;
        std::iter::from_fn(move || {
            loop {
                let slot = self.slots[at];
                if slot.group == 0 {
                    return None;
                }
                at = (at + 1) % N;
                if slot.tag == tag {
                    let group = group(usize::from(slot.group) - 1);
                    let pattern = group.names[usize::from(slot.row)];
                    if self.key_of(pattern) == key {
                        return Some(Found { group, pattern });
                    }
                }
            }
        })
    }

    fn key_of(&self, pattern: &'static str) -> &'static [u8] {
        let key = pattern.strip_prefix(self.prefix).unwrap_or(pattern);
        key.rsplit('/').next().unwrap_or(key).as_bytes()
    }
}

fn group(number: usize) -> &'static Group {
    let mut number = number;
    for table in TABLES {
        match table.get(number) {
            Some(group) => return group,
            None => number -= table.len(),
        }
    }
    unreachable!("the index numbers groups that exist")
}

const fn build<const N: usize>(by_extension: bool) -> Index<N> {
    let mut slots = [EMPTY; N];
    let tables: [&[Group]; 3] = [secrets::GROUPS, runs::GROUPS, kinds::GROUPS];
    let (mut number, mut table) = (0usize, 0);
    while table < tables.len() {
        let mut g = 0;
        while g < tables[table].len() {
            let names = tables[table][g].names;
            assert!(names.len() < 256 && number < 255, "a slot numbers groups and rows by one byte");
            let mut row = 0;
            while row < names.len() {
                if is_extension(names[row].as_bytes()) == by_extension {
                    insert(&mut slots, names[row].as_bytes(), number, row);
                }
                row += 1;
            }
            number += 1;
            g += 1;
        }
        table += 1;
    }
    Index { slots, prefix: if by_extension { "*." } else { "" } }
}

const fn insert<const N: usize>(slots: &mut [Slot; N], pattern: &[u8], group: usize, row: usize) {
    let mut from = if is_extension(pattern) { 2 } else { 0 };
    let mut i = 0;
    while i < pattern.len() {
        if pattern[i] == b'/' {
            from = i + 1;
        }
        i += 1;
    }
    let hash = hash_slow(pattern, from);
    let mut at = hash as usize % N;
    while slots[at].group != 0 {
        at = (at + 1) % N;
    }
    slots[at] = Slot { tag: (hash >> 40) as u16, group: group as u8 + 1, row: row as u8 };
}

const fn is_extension(pattern: &[u8]) -> bool {
    pattern.len() > 2 && pattern[0] == b'*' && pattern[1] == b'.'
}

/// The length and up to eight bytes of either end. Names that agree in those share a slot's run, which is only slower.
#[inline]
fn hash(key: &[u8]) -> u64 {
    let len = key.len();
    let (head, tail) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
            (Some(head), Some(tail)) => (u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into()),
            _ if len == 0 => (0, 0),
            _ => (u64::from(key[0]), u64::from(key[len / 2]) | u64::from(key[len - 1]) << 8),
        },
    };
    mix(len, head, tail)
}

/// [`hash`] of `pattern[from..]`, for the compiler's interpreter.
const fn hash_slow(pattern: &[u8], from: usize) -> u64 {
    let len = pattern.len() - from;
    let width = if len >= 8 { 8 } else { 4 };
    if len >= 4 {
        let (mut head, mut tail, mut i) = (0u64, 0u64, 0);
        while i < width {
            head |= (pattern[from + i] as u64) << (8 * i);
            tail |= (pattern[from + len - width + i] as u64) << (8 * i);
            i += 1;
        }
        return mix(len, head, tail);
    }
    if len == 0 {
        return mix(0, 0, 0);
    }
    let tail = pattern[from + len / 2] as u64 | (pattern[from + len - 1] as u64) << 8;
    mix(len, pattern[from] as u64, tail)
}

#[inline]
const fn mix(len: usize, head: u64, tail: u64) -> u64 {
    let a = head.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let b = tail.rotate_left(29).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    let h = (a ^ b ^ (len as u64)).wrapping_mul(0x1656_67b1_9e37_79f9);
    h ^ (h >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_hashes_agree_and_every_row_is_found() {
        for pattern in super::super::groups().flat_map(|group| group.names) {
            let key = pattern.strip_prefix("*.").unwrap_or(pattern);
            let key = key.rsplit('/').next().unwrap_or(key).as_bytes();
            assert_eq!(hash(key), hash_slow(key, 0), "{pattern}");
            let found = if is_extension(pattern.as_bytes()) {
                extensions().find(key).any(|found| found.pattern == *pattern)
            } else {
                names().find(key).any(|found| found.pattern == *pattern)
            };
            assert!(found, "{pattern}");
        }
    }

    #[test]
    fn rows_are_lower_case_and_stand_once() {
        let mut seen = std::collections::HashSet::new();
        for group in super::super::groups() {
            assert!(!group.reason.ends_with('.') && !group.reason.is_empty());
            for pattern in group.names {
                assert_eq!(*pattern, pattern.to_ascii_lowercase());
                let verdict = super::super::Hit::of(Found { group, pattern }).is_some();
                assert!(seen.insert((pattern, verdict, format!("{:?}", group.only))), "{pattern} stands twice");
            }
        }
    }

    #[test]
    fn the_tables_stay_sparse() {
        let full = |slots: &[Slot]| slots.iter().filter(|slot| slot.group != 0).count() * 4 < slots.len();
        assert!(full(&BY_NAME.slots) && full(&BY_EXTENSION.slots));
    }
}
