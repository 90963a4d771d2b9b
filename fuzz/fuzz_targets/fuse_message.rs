//! Requests of the FUSE protocol: any bytes are parsed or refused, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinfold_maskfs::abi::Reader;

fuzz_target!(|bytes: &[u8]| {
    let Ok((header, mut body)) = Reader::message(bytes) else { return };
    assert!(bytes.len() >= 40);
    match header.opcode % 4 {
        0 => drop(body.name().and_then(|_| body.name())),
        1 => drop(body.u64().and_then(|count| body.bytes(count as usize))),
        2 => while body.u32().is_ok() {},
        _ => while body.name().is_ok() {},
    }
});
