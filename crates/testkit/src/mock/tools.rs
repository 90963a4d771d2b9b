//! Putting a deed into whatever tool the agent offers: which tool, and under which of its arguments.

use serde_json::{Map, Value, json};

use super::dialect::{Ask, Call, Shape, Tool};
use super::script::Deed;

/// What agents call their tools, the most specific first.
const SHELLS: [&str; 10] = [
    "bash",
    "exec_command",
    "shell_command",
    "shell",
    "local_shell",
    "run_shell_command",
    "execute_command",
    "run_command",
    "developer__shell",
    "terminal",
];
const READERS: [&str; 4] = ["read", "read_file", "view", "view_file"];
const WRITERS: [&str; 4] = ["write", "write_file", "write_to_file", "create_file"];

/// What they call the arguments.
const COMMANDS: [&str; 3] = ["command", "cmd", "script"];
const PATHS: [&str; 5] = ["file_path", "absolute_path", "filePath", "path", "target_file"];
const CONTENTS: [&str; 4] = ["content", "contents", "file_text", "text"];

/// The workspace, to which relative paths of a script belong: agents want absolute ones.
const WORKSPACE: &str = "/workspace";

/// The deed as a call of one of the agent's tools. An agent that has no reader or writer gets a shell command.
pub fn call(deed: &Deed, ask: &Ask) -> Call {
    match deed {
        Deed::Tool { name, input } => {
            let shape = ask.tools.iter().find(|tool| tool.name == *name).map_or(Shape::Function, |tool| tool.shape);
            Call::new(name, shape, input.clone())
        }
        Deed::Bash(command) => shell(command, ask),
        Deed::Read(path) => match find(ask, &READERS) {
            Some(tool) => Call::new(&tool.name, tool.shape, fill(tool, &[(&PATHS, absolute(path))])),
            None => shell(&format!("cat -- {}", quoted(path)), ask),
        },
        Deed::Write { path, content } => match find(ask, &WRITERS) {
            Some(tool) => {
                let input = fill(tool, &[(&PATHS, absolute(path)), (&CONTENTS, content.clone())]);
                Call::new(&tool.name, tool.shape, input)
            }
            None => shell(&format!("printf %s {} > {}", quoted(content), quoted(path)), ask),
        },
    }
}

fn shell(command: &str, ask: &Ask) -> Call {
    match find(ask, &SHELLS) {
        Some(tool) if tool.shape == Shape::LocalShell => {
            Call::new(&tool.name, tool.shape, json!(["bash", "-lc", command]))
        }
        Some(tool) => Call::new(&tool.name, tool.shape, fill(tool, &[(&COMMANDS, command.to_owned())])),
        None => Call::new("bash", Shape::Function, json!({ "command": command })),
    }
}

fn find<'a>(ask: &'a Ask, names: &[&str]) -> Option<&'a Tool> {
    names.iter().find_map(|name| ask.tools.iter().find(|tool| tool.name.eq_ignore_ascii_case(name)))
}

/// The tool's required arguments with something in each, and ours under the first name that the tool knows.
fn fill(tool: &Tool, ours: &[(&[&str], String)]) -> Value {
    let known = tool.schema["properties"].as_object();
    let mut input = match filler(&tool.schema) {
        Value::Object(input) => input,
        _ => Map::new(),
    };
    for (names, value) in ours {
        let name = names.iter().find(|name| known.is_some_and(|known| known.contains_key(**name))).unwrap_or(&names[0]);
        let list = kind(&tool.schema["properties"][name]) == "array";
        let value = if list { json!(["bash", "-lc", value]) } else { json!(value) };
        input.insert((*name).to_owned(), value);
    }
    Value::Object(input)
}

/// A small value that a JSON schema allows.
pub fn filler(schema: &Value) -> Value {
    if let Some(value) = schema.get("const").or(schema.get("default")).or(schema["enum"].get(0)) {
        return value.clone();
    }
    let options = schema["anyOf"].as_array().or(schema["oneOf"].as_array());
    if let Some(option) = options.and_then(|options| options.iter().find(|option| kind(option) != "null")) {
        return filler(option);
    }
    match kind(schema) {
        "object" => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            Value::Object(required.map(|name| (name.to_owned(), filler(&schema["properties"][name]))).collect())
        }
        "array" => json!([]),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "boolean" => json!(false),
        "null" => Value::Null,
        _ => json!("filler"),
    }
}

/// The schema's type in lower case: Gemini writes it in capitals. Of several, the first that is not null.
fn kind(schema: &Value) -> &'static str {
    const KINDS: [&str; 7] = ["object", "array", "integer", "number", "boolean", "null", "string"];
    let named = |value: &Value| {
        let name = value.as_str()?;
        KINDS.into_iter().find(|kind| name.eq_ignore_ascii_case(kind))
    };
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(named).find(|kind| *kind != "null").unwrap_or("null"),
        Value::Null if schema["properties"].is_object() => "object",
        one => named(one).unwrap_or("string"),
    }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{WORKSPACE}/{path}") }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, schema: Value) -> Ask {
        Ask { tools: vec![Tool { name: name.into(), shape: Shape::Function, schema }], ..Ask::default() }
    }

    #[test]
    fn a_command_goes_where_the_tool_wants_it() {
        let deed = Deed::Bash("ls".into());
        let schema = json!({"type": "object", "properties": {"cmd": {"type": "string"}, "n": {"type": "integer"}}, "required": ["n"]});
        assert_eq!(call(&deed, &ask("exec_command", schema)).input, json!({"cmd": "ls", "n": 1}));
        let schema = json!({"type": "OBJECT", "properties": {"command": {"type": "ARRAY"}}});
        assert_eq!(call(&deed, &ask("shell", schema)).input, json!({"command": ["bash", "-lc", "ls"]}));
    }

    #[test]
    fn without_a_writer_the_shell_writes() {
        let deed = Deed::Write { path: "it's".into(), content: "a b".into() };
        let made = call(&deed, &ask("Bash", json!({"properties": {"command": {}}})));
        assert_eq!(made.input, json!({"command": r"printf %s 'a b' > 'it'\''s'"}));
    }

    #[test]
    fn paths_become_absolute() {
        let schema = json!({"properties": {"file_path": {}, "content": {}}});
        let made = call(&Deed::Write { path: "a".into(), content: "c".into() }, &ask("Write", schema));
        assert_eq!(made.input, json!({"file_path": "/workspace/a", "content": "c"}));
    }
}
