//! Anthropic's Messages.

use serde_json::{Value, json};

use super::{Answer, Ask, Rendered, Shape, Speaker, Tool, list, pieces};

pub fn parse(body: &Value) -> Ask {
    let tools = list(&body["tools"]).filter(|tool| tool["input_schema"].is_object()).map(|tool| Tool {
        name: tool["name"].as_str().unwrap_or_default().to_owned(),
        shape: Shape::Function,
        schema: tool["input_schema"].clone(),
    });
    let format =
        [&body["output_config"]["format"], &body["output_format"]].into_iter().find(|format| format.is_object());
    let mut ask = Ask {
        stream: body["stream"] == true,
        tools: tools.collect(),
        schema: format.map(|format| format["schema"].clone()),
        ..Ask::default()
    };
    ask.listen(list(&body["messages"]).flat_map(parts));
    ask
}

fn parts(message: &Value) -> Vec<(Speaker, &Value)> {
    let who = if message["role"] == "assistant" { Speaker::Model } else { Speaker::Other };
    match message["content"].as_array() {
        None => vec![(who, &message["content"])],
        Some(blocks) => blocks
            .iter()
            .map(|block| match block["type"].as_str() {
                Some("tool_result") => (Speaker::Tool, &block["content"]),
                _ => (who, block),
            })
            .collect(),
    }
}

pub fn render(ask: &Ask, answer: &Answer, seed: u64) -> Rendered {
    let mut blocks = Vec::new();
    if !answer.text.is_empty() || answer.calls.is_empty() {
        blocks.push(json!({"type": "text", "text": answer.text}));
    }
    for (n, call) in answer.calls.iter().enumerate() {
        blocks.push(json!({"type": "tool_use", "id": format!("toolu_{seed:016}{n:04}"), "name": call.name, "input": call.input}));
    }
    let reason = if answer.calls.is_empty() { "end_turn" } else { "tool_use" };
    let usage = json!({"input_tokens": 10, "output_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0});
    let mut whole = json!({
        "id": format!("msg_{seed:020}"), "type": "message", "role": "assistant", "model": ask.model, "content": blocks,
        "stop_reason": reason, "stop_sequence": null, "usage": usage,
    });

    let mut events = Vec::new();
    let mut emit = |name: &'static str, mut data: Value| {
        data["type"] = json!(name);
        events.push((name, data.to_string()));
    };
    let mut start = whole.clone();
    (start["content"], start["stop_reason"]) = (json!([]), Value::Null);
    emit("message_start", json!({"message": start}));
    for (index, block) in blocks.iter().enumerate() {
        let (empty, kind, field, text) = match block["input"].is_null() {
            true => (json!({"type": "text", "text": ""}), "text_delta", "text", answer.text.clone()),
            false => {
                let mut empty = block.clone();
                empty["input"] = json!({});
                (empty, "input_json_delta", "partial_json", block["input"].to_string())
            }
        };
        emit("content_block_start", json!({"index": index, "content_block": empty}));
        for piece in pieces(&text) {
            emit("content_block_delta", json!({"index": index, "delta": {"type": kind, field: piece}}));
        }
        emit("content_block_stop", json!({"index": index}));
    }
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    emit("message_delta", json!({"delta": delta, "usage": {"output_tokens": 10}}));
    emit("message_stop", json!({}));
    whole["stop_reason"] = json!(reason);
    Rendered { whole, events }
}
