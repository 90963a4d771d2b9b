//! What pinfold costs, measured beside other ways to do the same. Each program in `bin/` answers one question.
//!
//! A number of milliseconds says more about the machine than about the program. So everything that is compared runs in one race, each
//! round in a new random order, and what counts is the ratio to another contestant of the same round. Whatever else the machine is
//! doing then hits all of them alike.
//!
//! A contestant that cannot start is not left out in silence: its reason stands in the table.

#![forbid(unsafe_code)]

pub mod ground;
pub mod memory;
pub mod race;
pub mod stats;
pub mod table;
