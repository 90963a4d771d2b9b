//! OpenAI's Responses, which codex speaks.

use serde_json::{Value, json};

use super::{Answer, Ask, Call, Rendered, Shape, Speaker, Tool, list, pieces};

pub fn parse(body: &Value) -> Ask {
    let schema = &body["text"]["format"]["schema"];
    let mut ask =
        Ask { stream: body["stream"] == true, schema: schema.is_object().then(|| schema.clone()), ..Ask::default() };
    let later =
        list(&body["input"]).filter(|item| item["type"] == "additional_tools").flat_map(|item| list(&item["tools"]));
    ask.tools = list(&body["tools"]).chain(later).filter_map(tool).collect();
    ask.listen(list(&body["input"]).map(|item| match item["type"].as_str().unwrap_or("message") {
        "message" if item["role"] == "assistant" => (Speaker::Model, item),
        "message" | "additional_tools" => (Speaker::Other, item),
        kind if kind.ends_with("_output") => (Speaker::Tool, &item["output"]),
        _call_or_reasoning => (Speaker::Model, item),
    }));
    ask
}

fn tool(tool: &Value) -> Option<Tool> {
    let name = tool["name"].as_str().unwrap_or_default().to_owned();
    let (name, shape) = match tool["type"].as_str()? {
        "local_shell" => ("local_shell".to_owned(), Shape::LocalShell),
        "custom" => (name, Shape::Custom),
        "function" => (name, Shape::Function),
        _ => return None,
    };
    Some(Tool { name, shape, schema: tool["parameters"].clone() })
}

/// The stream, numbered as it goes.
#[derive(Default)]
struct Stream(Vec<(&'static str, String)>);

impl Stream {
    fn emit(&mut self, kind: &'static str, mut data: Value) {
        data["type"] = json!(kind);
        data["sequence_number"] = json!(self.0.len());
        self.0.push((kind, data.to_string()));
    }

    fn message(&mut self, index: usize, id: &str, text: &str) -> Value {
        let item = json!({"type": "message", "id": id, "status": "in_progress", "role": "assistant", "content": []});
        self.emit("response.output_item.added", json!({"output_index": index, "item": item}));
        let at = |more: Value| merged(json!({"item_id": id, "output_index": index, "content_index": 0}), more);
        let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
        self.emit("response.content_part.added", at(json!({"part": part("")})));
        for piece in pieces(text) {
            self.emit("response.output_text.delta", at(json!({"delta": piece})));
        }
        self.emit("response.output_text.done", at(json!({"text": text})));
        self.emit("response.content_part.done", at(json!({"part": part(text)})));
        let item =
            json!({"type": "message", "id": id, "status": "completed", "role": "assistant", "content": [part(text)]});
        self.done(index, item)
    }

    fn call(&mut self, index: usize, id: &str, call: &Call) -> Value {
        let plain = call.input.as_str().map_or_else(|| call.input.to_string(), str::to_owned);
        let (kind, field, value, events) = match call.shape {
            Shape::Function => {
                let events = ("response.function_call_arguments.delta", "response.function_call_arguments.done");
                ("function_call", "arguments", json!(call.input.to_string()), Some(events))
            }
            Shape::Custom => {
                let events = ("response.custom_tool_call_input.delta", "response.custom_tool_call_input.done");
                ("custom_tool_call", "input", json!(plain), Some(events))
            }
            Shape::LocalShell => {
                ("local_shell_call", "action", json!({"type": "exec", "command": call.input, "env": {}}), None)
            }
        };
        let item = json!({"type": kind, "id": id, "call_id": format!("call_{id}"), "name": call.name, "status": "in_progress"});
        let empty = if events.is_some() { json!({field: ""}) } else { json!({field: value}) };
        self.emit("response.output_item.added", json!({"output_index": index, "item": merged(item.clone(), empty)}));
        if let Some((delta, done)) = events {
            let at = |more: Value| merged(json!({"item_id": id, "output_index": index}), more);
            for piece in pieces(value.as_str().unwrap_or_default()) {
                self.emit(delta, at(json!({"delta": piece})));
            }
            self.emit(done, at(json!({field: value})));
        }
        self.done(index, merged(item, json!({field: value, "status": "completed"})))
    }

    fn done(&mut self, index: usize, item: Value) -> Value {
        self.emit("response.output_item.done", json!({"output_index": index, "item": item}));
        item
    }
}

pub fn render(ask: &Ask, answer: &Answer, seed: u64) -> Rendered {
    let mut stream = Stream::default();
    let head = json!({"id": format!("resp_{seed:020}"), "object": "response", "created_at": 0, "model": ask.model, "error": null});
    let started = json!({"response": merged(head.clone(), json!({"status": "in_progress", "output": []}))});
    stream.emit("response.created", started.clone());
    stream.emit("response.in_progress", started);
    let mut items: Vec<Value> = Vec::new();
    if !answer.text.is_empty() || answer.calls.is_empty() {
        items.push(stream.message(0, &format!("msg_{seed:020}"), &answer.text));
    }
    for call in &answer.calls {
        let (index, id) = (items.len(), format!("fc_{seed:016}{:04}", items.len()));
        items.push(stream.call(index, &id, call));
    }
    let usage = json!({
        "input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 20,
    });
    let whole = merged(head, json!({"status": "completed", "output": items, "usage": usage}));
    stream.emit("response.completed", json!({"response": whole}));
    Rendered { whole, events: stream.0 }
}

/// `base` with the fields of `more` put over its own.
fn merged(mut base: Value, more: Value) -> Value {
    if let (Some(base), Value::Object(more)) = (base.as_object_mut(), more) {
        base.extend(more);
    }
    base
}
