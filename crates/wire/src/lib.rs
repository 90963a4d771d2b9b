//! What pinfold's processes say to each other: values, and their bytes.
//!
//! A message is one JSON object in an envelope with a version, at most [`MAX_MESSAGE`] bytes, one per packet. Parsing
//! never panics and never trusts: the processes are of one binary, but one of them lives in the box, and another parses
//! what the box asks of it. Nothing here reads, writes or knows of a socket; descriptors travel beside the bytes, and the
//! doc comment of a message says which.
#![forbid(unsafe_code)]

mod git;
mod init;
mod maskfs;

pub use git::{BadOid, GitKnown, GitOffer, HostRef, MAX_REF_NAME, MAX_REFS, MAX_REPOSITORIES, Oid, RefTip};
pub use init::{Ending, FromInit, Stage, ToInit};
pub use maskfs::{CANARY_NAME, FromMaskFs, MaskFsConfig, ToMaskFs, maskfs_fd};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Of this vocabulary. Processes of one run are one binary; another number means that the binary was replaced meanwhile.
pub const VERSION: u32 = 2;
/// Bytes of the longest message.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// The hidden roles of the binary, as its first argument.
pub const ROLE_MASKFS: &str = "__maskfs";
pub const ROLE_INIT: &str = "__init";

#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("a message of {0} bytes, and {MAX_MESSAGE} is the most")]
    TooLong(usize),
    #[error("a message of vocabulary {0}, and this is {VERSION}")]
    Version(u32),
    #[error("a message that is none")]
    Malformed(#[source] serde_json::Error),
}

mod sealed {
    /// Which values are messages. Closed, so that `encode` can't be given anything else by mistake.
    pub trait Message {}
    impl Message for crate::ToInit {}
    impl Message for crate::FromInit {}
    impl Message for crate::ToMaskFs {}
    impl Message for crate::FromMaskFs {}
}

pub trait Message: sealed::Message + Serialize + DeserializeOwned {}
impl<T: sealed::Message + Serialize + DeserializeOwned> Message for T {}

#[derive(Serialize)]
struct Sent<'a, T> {
    v: u32,
    m: &'a T,
}

#[derive(Deserialize)]
struct Head {
    v: u32,
}

#[derive(Deserialize)]
struct Body<T> {
    m: T,
}

pub fn encode<T: Message>(message: &T) -> Result<Vec<u8>, WireError> {
    let bytes = serde_json::to_vec(&Sent { v: VERSION, m: message }).map_err(WireError::Malformed)?;
    if bytes.len() > MAX_MESSAGE { Err(WireError::TooLong(bytes.len())) } else { Ok(bytes) }
}

pub fn decode<T: Message>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(WireError::TooLong(bytes.len()));
    }
    // The version first: a message of another vocabulary shall say so, and not that it is malformed.
    let head: Head = serde_json::from_slice(bytes).map_err(WireError::Malformed)?;
    if head.v != VERSION {
        return Err(WireError::Version(head.v));
    }
    let body: Body<T> = serde_json::from_slice(bytes).map_err(WireError::Malformed)?;
    Ok(body.m)
}
