//! A scripted language model that real coding agents talk to.
//!
//! It speaks what they speak: Anthropic's Messages, OpenAI's Responses and Chat Completions, Gemini's generateContent, each whole and
//! streamed. What it "thinks" is a [`Script`]: run this command, write that file, say this. Every request is written to a log with
//! its body, so that a test can see all that would have left for a real model.
//!
//! [`http`] knows nothing of models, [`dialect`] nothing of HTTP, and [`script`] of neither.

pub mod dialect;
pub mod http;
pub mod script;
pub mod server;
mod tools;

pub use script::Script;
pub use server::{Listen, Options, Server};
