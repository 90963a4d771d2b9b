//! Refs of a repository that keeps them as reftable: a stack of tables, the newer hiding the older.
//!
//! Only ref records are read. The box's own repository keeps its refs as files, whatever the host does.

use super::error::{DoorError, printable};
use super::refs::{Refs, Value};
use crate::index::varint;
use crate::names::{HashKind, Oid, check_ref_format};
use crate::place;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;

const LIST: &[u8] = b"reftable/tables.list";
const MAX_LIST: u64 = 1 << 20;
const MAX_TABLE: u64 = 512 << 20;
const MAX_TABLES: usize = 10_000;
/// The person's git may merge tables while we read; the list then names others.
const TRIES: usize = 8;

/// All refs of one stack, `HEAD` included.
pub(super) type Stack = BTreeMap<Vec<u8>, Value>;

/// Reads the stack below `dir`; empty where there is none.
pub(super) fn read_stack(dir: BorrowedFd<'_>, hash: HashKind) -> Result<Stack, DoorError> {
    for _ in 0..TRIES {
        let Some(list) = place::read_below(dir, LIST, MAX_LIST).map_err(DoorError::read(LIST))? else {
            return Ok(Stack::new());
        };
        if let Some(tables) = read_tables(dir, &list.bytes)? {
            let mut stack = Stack::new();
            for table in tables {
                let malformed = |why| DoorError::Malformed { what: "reftable".into(), why };
                for (name, value) in parse_table(&table, hash).map_err(malformed)? {
                    match value {
                        Some(value) => stack.insert(name, value),
                        None => stack.remove(&name),
                    };
                }
            }
            return Ok(stack);
        }
    }
    Err(DoorError::read(LIST)(io::Error::other("its tables kept changing")))
}

/// The tables of a list, oldest first; `None` if one is gone already.
fn read_tables(dir: BorrowedFd<'_>, list: &[u8]) -> Result<Option<Vec<Vec<u8>>>, DoorError> {
    let mut tables = Vec::new();
    for name in list.split(|&b| b == b'\n').filter(|n| !n.is_empty()).take(MAX_TABLES) {
        if name.contains(&b'/') {
            return Err(DoorError::Malformed { what: "tables.list".into(), why: printable(name) });
        }
        let path = [b"reftable/", name].concat();
        match place::read_below(dir, &path, MAX_TABLE).map_err(DoorError::read(&path))? {
            Some(table) => tables.push(table.bytes),
            None => return Ok(None),
        }
    }
    Ok(Some(tables))
}

/// The refs of a stack that are wanted and that files can hold, into `refs`.
pub(super) fn add_refs(refs: &mut Refs, stack: &Stack, wanted: impl Fn(&[u8]) -> bool) {
    for (name, value) in stack.iter().filter(|(name, _)| check_ref_format(name).is_ok() && wanted(name)) {
        let fits = !matches!(value, Value::Symbolic(target) if check_ref_format(target).is_err());
        if fits {
            refs.map.insert(name.clone(), value.clone());
        }
    }
}

/// A ref's name, and its value unless the ref was deleted.
pub type Record = (Vec<u8>, Option<Value>);

/// The ref records of one table.
pub fn parse_table(bytes: &[u8], hash: HashKind) -> Result<Vec<Record>, String> {
    let (header_len, footer_len) = match (bytes.get(..4), bytes.get(4)) {
        (Some(b"REFT"), Some(1)) if hash == HashKind::Sha1 => (24, 68),
        (Some(b"REFT"), Some(2)) => (28, 72),
        _ => return Err("not a table of this repository's kind".into()),
    };
    if header_len == 28 && bytes.get(24..28) != Some(if hash == HashKind::Sha1 { b"sha1" } else { b"s256" }) {
        return Err("a table of another hash".into());
    }
    let end = bytes.len().checked_sub(footer_len).ok_or("a table is cut short")?;
    let block_size = u24(bytes, 5).unwrap_or(0);
    let mut records = Vec::new();
    // The first block starts with the file's header.
    let (mut at, mut skip) = (0, header_len);
    while at < end && bytes.get(at + skip) == Some(&b'r') {
        let len = u24(bytes, at + skip + 1).ok_or("a block is cut short")?;
        let block = bytes.get(at..at.checked_add(len).filter(|&e| e <= end).ok_or("a block is cut short")?);
        let block = block.filter(|b| b.len() >= skip + 6).ok_or("a block is cut short")?;
        parse_block(block, skip + 4, hash, &mut records).ok_or("a record is malformed")?;
        // Padded with zeros up to the block size, or followed at once by the next.
        let padded = len < block_size && bytes.get(at + len).is_none_or(|&b| b == 0);
        at += if padded { block_size } else { len };
        skip = 0;
    }
    Ok(records)
}

fn parse_block(block: &[u8], mut at: usize, hash: HashKind, records: &mut Vec<(Vec<u8>, Option<Value>)>) -> Option<()> {
    let restarts = usize::from(u16::from_be_bytes([block[block.len() - 2], block[block.len() - 1]]));
    let end = block.len().checked_sub(2 + 3 * restarts)?;
    let mut name: Vec<u8> = Vec::new();
    while at < end {
        let (prefix, next) = varint(block, at)?;
        let (suffix, next) = varint(block, next)?;
        let (kind, suffix) = (suffix & 7, usize::try_from(suffix >> 3).ok()?);
        name.truncate(usize::try_from(prefix).ok().filter(|&p| p <= name.len())?);
        name.extend_from_slice(block.get(next..next.checked_add(suffix)?)?);
        let (_update, next) = varint(block, next + suffix)?;
        let oid = |at: usize| Oid::from_raw(block.get(at..at + hash.raw_len())?).ok();
        let (value, next) = match kind {
            0 => (None, next),
            1 => (Some(Value::Id { oid: oid(next)?, peeled: None }), next + hash.raw_len()),
            2 => {
                let peeled = oid(next + hash.raw_len())?;
                (Some(Value::Id { oid: oid(next)?, peeled: Some(peeled) }), next + 2 * hash.raw_len())
            }
            3 => {
                let (len, next) = varint(block, next)?;
                let target = block.get(next..next.checked_add(usize::try_from(len).ok()?)?)?;
                (Some(Value::Symbolic(target.to_vec())), next + target.len())
            }
            _ => return None,
        };
        records.push((name.clone(), value));
        at = next;
    }
    (at == end).then_some(())
}

fn u24(bytes: &[u8], at: usize) -> Option<usize> {
    let b = bytes.get(at..at + 3)?;
    Some(usize::from(b[0]) << 16 | usize::from(b[1]) << 8 | usize::from(b[2]))
}
