//! The escape corpus: attacks on a box, as data, and what runs them.
//!
//! `cases/*.toml` hold the attacks, one file for each class; [`case`] says what a case may contain. [`trial`] runs one case in one
//! launcher and reports what the attack achieved, knowing nothing of whose launcher it is. [`judge`] puts the two together: an attack
//! has to work on its baseline, or the case proves nothing, and has to achieve nothing on pinfold. `tests/corpus.rs` runs them all.

#![forbid(unsafe_code)]

pub mod case;
pub mod judge;
pub mod table;
pub mod trial;
