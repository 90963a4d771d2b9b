//! What the model does, step by step.
//!
//! ```json
//! {"steps": [
//!   {"bash": "cat .env", "say": "Let me look."},
//!   {"read": "README.md"},
//!   {"write": {"path": "a.txt", "content": "hi\n"}},
//!   {"tool": "AnyName", "input": {"exact": "arguments"}},
//!   {"parallel": [{"bash": "true"}, {"bash": "false"}]},
//!   {"error": 529, "times": 2, "then": {"text": "after two failures"}},
//!   {"text": "All done.", "delay_ms": 100}
//! ]}
//! ```
//!
//! Which step is due is read off the conversation: a request with n answers of the model more than the first request had gets step n.
//! So a request that is sent again gets the same answer again, and a resumed conversation starts this script at its beginning.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::dialect::{Answer, Ask, Call};
use super::tools;

/// The steps, and how far conversations are.
#[derive(Debug, Clone, Default)]
pub struct Script {
    steps: Vec<Step>,
    /// How many answers of the model the first request had in it.
    base: Option<usize>,
    /// How often each failing step has failed.
    failed: HashMap<usize, u64>,
}

/// What is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// `None` for a request beside the conversation: a title, a summary.
    pub step: Option<usize>,
    pub delay: Duration,
    pub act: Result<Answer, u16>,
}

#[derive(Debug, Clone)]
struct Step {
    say: String,
    delay: Duration,
    act: Act,
}

#[derive(Debug, Clone)]
enum Act {
    End,
    Do(Vec<Deed>),
    Fail { status: u16, times: u64, then: Box<Step> },
}

/// One thing that the model wants done.
#[derive(Debug, Clone)]
pub enum Deed {
    Bash(String),
    Read(String),
    Write { path: String, content: String },
    Tool { name: String, input: Value },
}

impl Script {
    /// Parses a script: an object with `steps`, or only the steps.
    pub fn parse(value: &Value) -> Result<Script, String> {
        let steps = value.as_array().or_else(|| value["steps"].as_array()).ok_or("a script is a list of steps")?;
        let steps = steps.iter().map(Step::parse).collect::<Result<_, _>>()?;
        Ok(Script { steps, ..Script::default() })
    }

    /// Parses a script's text.
    pub fn from_text(text: &str) -> Result<Script, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("the script is not JSON: {error}"))?;
        Script::parse(&value)
    }

    /// What to answer to a request.
    pub fn due(&mut self, ask: &Ask) -> Due {
        if ask.tools.is_empty() {
            return Due { step: None, delay: Duration::ZERO, act: Ok(Answer { text: aside(ask), calls: Vec::new() }) };
        }
        let base = *self.base.get_or_insert(ask.turns);
        let index = ask.turns.saturating_sub(base);
        let Some(mut step) = self.steps.get(index) else {
            let answer = Answer { text: "(the script has ended)".into(), calls: Vec::new() };
            return Due { step: Some(index), delay: Duration::ZERO, act: Ok(answer) };
        };
        if let Act::Fail { status, times, then } = &step.act {
            let failed = self.failed.entry(index).or_default();
            if *failed < *times {
                *failed += 1;
                return Due { step: Some(index), delay: step.delay, act: Err(*status) };
            }
            step = then;
        }
        let calls = match &step.act {
            Act::Do(deeds) => deeds.iter().map(|deed| tools::call(deed, ask)).collect::<Vec<Call>>(),
            Act::End | Act::Fail { .. } => Vec::new(),
        };
        Due { step: Some(index), delay: step.delay, act: Ok(Answer { text: step.say.clone(), calls }) }
    }
}

/// The answer to a request without tools: what its schema wants, else a word.
fn aside(ask: &Ask) -> String {
    ask.schema.as_ref().map_or_else(|| "aside".to_owned(), |schema| tools::filler(schema).to_string())
}

impl Step {
    fn parse(value: &Value) -> Result<Step, String> {
        let act = match value["error"].as_u64() {
            Some(status) => Act::Fail {
                status: u16::try_from(status).map_err(|_| format!("there is no HTTP status {status}"))?,
                times: value["times"].as_u64().unwrap_or(u64::MAX),
                then: Box::new(match &value["then"] {
                    Value::Null => Step::parse(&json!({"text": ""}))?,
                    then => Step::parse(then)?,
                }),
            },
            None if value["text"].is_string() => Act::End,
            None => match value["parallel"].as_array() {
                Some(deeds) => Act::Do(deeds.iter().map(Deed::parse).collect::<Result<_, _>>()?),
                None => Act::Do(vec![Deed::parse(value)?]),
            },
        };
        let say = value["text"].as_str().or(value["say"].as_str()).unwrap_or_default().to_owned();
        Ok(Step { say, delay: Duration::from_millis(value["delay_ms"].as_u64().unwrap_or(0)), act })
    }
}

impl Deed {
    fn parse(value: &Value) -> Result<Deed, String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let write = || {
            let write = &value["write"];
            Some(Deed::Write { path: text(&write["path"])?, content: text(&write["content"])? })
        };
        text(&value["bash"])
            .map(Deed::Bash)
            .or_else(|| text(&value["read"]).map(Deed::Read))
            .or_else(write)
            .or_else(|| text(&value["tool"]).map(|name| Deed::Tool { name, input: value["input"].clone() }))
            .ok_or_else(|| format!("this is no step: {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::dialect::{Shape, Tool};
    use super::*;

    fn ask(turns: usize) -> Ask {
        let schema = json!({"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]});
        let tool = Tool { name: "Bash".into(), shape: Shape::Function, schema };
        Ask { turns, tools: vec![tool], ..Ask::default() }
    }

    #[test]
    fn steps_follow_the_conversation_and_repeat_with_it() {
        let mut script = Script::from_text(r#"[{"bash": "one"}, {"text": "two"}]"#).unwrap();
        let first = script.due(&ask(3));
        assert_eq!(first.step, Some(0));
        assert_eq!(first.act.as_ref().unwrap().calls[0].input, json!({"command": "one"}));
        assert_eq!(script.due(&ask(3)), first);
        assert_eq!(script.due(&ask(4)).act.unwrap().text, "two");
        assert_eq!(script.due(&ask(5)).act.unwrap().text, "(the script has ended)");
    }

    #[test]
    fn a_step_fails_as_often_as_it_says() {
        let mut script = Script::from_text(r#"[{"error": 529, "times": 2, "then": {"text": "ok"}}]"#).unwrap();
        assert_eq!(script.due(&ask(0)).act, Err(529));
        assert_eq!(script.due(&ask(0)).act, Err(529));
        assert_eq!(script.due(&ask(0)).act.unwrap().text, "ok");
    }

    #[test]
    fn what_is_no_script_is_refused() {
        for text in ["", "{}", "[{}]", r#"[{"write": {"path": "a"}}]"#, r#"[{"error": 99999}]"#] {
            assert!(Script::from_text(text).is_err(), "{text}");
        }
    }
}
