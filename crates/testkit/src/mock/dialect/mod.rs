//! The protocols, each in its file: how a request becomes an [`Ask`], and an [`Answer`] becomes JSON, whole and in events.

mod anthropic;
mod chat;
mod gemini;
mod responses;

use serde_json::{Value, json};

/// A protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    #[default]
    Anthropic,
    Chat,
    Responses,
    Gemini,
}

/// What the script needs to know of a request.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    pub dialect: Dialect,
    pub model: String,
    pub stream: bool,
    pub tools: Vec<Tool>,
    /// How many answers of the model are in the conversation.
    pub turns: usize,
    /// What the tools said since the last of them.
    pub results: Vec<String>,
    /// What the answer has to fit.
    pub schema: Option<Value>,
}

/// A tool that the agent offers.
#[derive(Debug, Clone)]
pub struct Tool {
    pub name: String,
    pub shape: Shape,
    pub schema: Value,
}

/// How a tool wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Arguments as JSON.
    Function,
    /// One text.
    Custom,
    /// OpenAI's own shell: a list of words.
    LocalShell,
}

/// What the model says.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub text: String,
    pub calls: Vec<Call>,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub name: String,
    pub shape: Shape,
    pub input: Value,
}

impl Call {
    pub fn new(name: &str, shape: Shape, input: Value) -> Call {
        Call { name: name.to_owned(), shape, input }
    }
}

/// An answer in the words of a protocol.
#[derive(Debug, Clone)]
pub struct Rendered {
    pub whole: Value,
    /// The name of each event, which may be empty, and its data.
    pub events: Vec<(&'static str, String)>,
}

impl Dialect {
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Anthropic => "anthropic",
            Dialect::Chat => "chat",
            Dialect::Responses => "responses",
            Dialect::Gemini => "gemini",
        }
    }

    /// Which protocol a path belongs to. Any prefix is fine: agents let people choose it.
    pub fn of(path: &str) -> Option<Dialect> {
        let gemini = [":generateContent", ":streamGenerateContent"].iter().any(|method| path.ends_with(method));
        [("/messages", Dialect::Anthropic), ("/chat/completions", Dialect::Chat), ("/responses", Dialect::Responses)]
            .into_iter()
            .find(|(end, _)| path.ends_with(end))
            .map(|(_, dialect)| dialect)
            .or(gemini.then_some(Dialect::Gemini))
    }

    pub fn parse(self, path: &str, body: &Value) -> Ask {
        let mut ask = match self {
            Dialect::Anthropic => anthropic::parse(body),
            Dialect::Chat => chat::parse(body),
            Dialect::Responses => responses::parse(body),
            Dialect::Gemini => gemini::parse(path, body),
        };
        ask.dialect = self;
        if ask.model.is_empty() {
            ask.model = body["model"].as_str().unwrap_or("mock-model").to_owned();
        }
        ask
    }

    /// `seed` makes the ids of this answer differ from those of others.
    pub fn render(self, ask: &Ask, answer: &Answer, seed: u64) -> Rendered {
        match self {
            Dialect::Anthropic => anthropic::render(ask, answer, seed),
            Dialect::Chat => chat::render(ask, answer, seed),
            Dialect::Responses => responses::render(ask, answer, seed),
            Dialect::Gemini => gemini::render(ask, answer, seed),
        }
    }

    /// An error as the protocol's clients expect it.
    pub fn refusal(self, status: u16, message: &str) -> Value {
        let kind = match status {
            401 => "authentication_error",
            429 => "rate_limit_error",
            529 => "overloaded_error",
            _ => "api_error",
        };
        match self {
            Dialect::Anthropic => json!({"type": "error", "error": {"type": kind, "message": message}}),
            Dialect::Gemini => json!({"error": {"code": status, "message": message, "status": "UNAVAILABLE"}}),
            Dialect::Chat | Dialect::Responses => {
                json!({"error": {"message": message, "type": kind, "code": status.to_string()}})
            }
        }
    }
}

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Model,
    Tool,
    Other,
}

impl Ask {
    /// Counts the model's answers, however many parts each has, and keeps what the tools said after the last.
    fn listen<'a>(&mut self, parts: impl IntoIterator<Item = (Speaker, &'a Value)>) {
        let mut before = Speaker::Other;
        for (speaker, said) in parts {
            match speaker {
                Speaker::Model => {
                    self.turns += usize::from(before != Speaker::Model);
                    self.results.clear();
                }
                Speaker::Tool => self.results.push(text_of(said)),
                Speaker::Other => {}
            }
            before = speaker;
        }
    }
}

/// The text in a value, however deep.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(text_of).collect::<Vec<_>>().join("\n"),
        Value::Object(fields) => ["text", "output", "content", "response", "parts"]
            .iter()
            .find_map(|name| fields.get(*name))
            .map_or_else(|| value.to_string(), text_of),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Text in pieces, as a model streams it: never cutting a character.
fn pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(48).map(|piece| piece.iter().collect()).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_tell_the_protocol() {
        assert_eq!(Dialect::of("/x/v1/messages"), Some(Dialect::Anthropic));
        assert_eq!(Dialect::of("/backend-api/codex/responses"), Some(Dialect::Responses));
        assert_eq!(Dialect::of("/v1beta/models/m:streamGenerateContent"), Some(Dialect::Gemini));
        assert_eq!(Dialect::of("/v1/models"), None);
    }

    /// In every protocol: two answers of the model, the second of several parts, then two results.
    #[test]
    fn conversations_are_read_alike() {
        let asks = [
            Dialect::Anthropic.parse("/messages", &json!({"messages": [
                {"role": "user", "content": "go"}, {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
                {"role": "user", "content": "on"},
                {"role": "assistant", "content": [{"type": "text", "text": "b"}, {"type": "tool_use", "id": "1", "name": "n", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "content": "r1"}, {"type": "tool_result", "content": [{"type": "text", "text": "r2"}]}]},
            ]})),
            Dialect::Chat.parse("/chat/completions", &json!({"messages": [
                {"role": "user", "content": "go"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "on"},
                {"role": "assistant", "tool_calls": []}, {"role": "tool", "content": "r1"}, {"role": "tool", "content": "r2"},
            ]})),
            Dialect::Responses.parse("/responses", &json!({"input": [
                {"role": "user", "content": "go"}, {"type": "message", "role": "assistant", "content": "a"}, {"role": "user", "content": "on"},
                {"type": "reasoning"}, {"type": "function_call"},
                {"type": "function_call_output", "output": "r1"}, {"type": "function_call_output", "output": "r2"},
            ]})),
            Dialect::Gemini.parse("/m:generateContent", &json!({"contents": [
                {"role": "user", "parts": [{"text": "go"}]}, {"role": "model", "parts": [{"text": "a"}]}, {"role": "user", "parts": [{"text": "on"}]},
                {"role": "model", "parts": [{"text": "b"}, {"functionCall": {}}]},
                {"role": "user", "parts": [{"functionResponse": {"response": {"output": "r1"}}}, {"functionResponse": {"response": {"output": "r2"}}}]},
            ]})),
        ];
        for ask in asks {
            assert_eq!(
                (ask.turns, ask.results.as_slice()),
                (2, ["r1".to_owned(), "r2".to_owned()].as_slice()),
                "{ask:?}"
            );
        }
    }

    /// Every protocol's stream holds the text and the arguments, in pieces that join to the whole.
    #[test]
    fn streams_hold_the_whole_answer() {
        let long = "word ".repeat(40);
        let call = Call::new("Bash", Shape::Function, json!({"command": long}));
        let answer = Answer { text: long.clone(), calls: vec![call] };
        for dialect in [Dialect::Anthropic, Dialect::Chat, Dialect::Responses, Dialect::Gemini] {
            let rendered = dialect.render(&Ask { dialect, ..Ask::default() }, &answer, 1);
            assert!(rendered.whole.to_string().contains(&long), "{dialect:?}");
            assert!(rendered.events.len() > 1, "{dialect:?}");
            assert!(
                rendered.events.iter().all(|(_, data)| data == "[DONE]" || serde_json::from_str::<Value>(data).is_ok())
            );
        }
    }
}
