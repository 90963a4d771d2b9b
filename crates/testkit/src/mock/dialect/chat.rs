//! OpenAI's Chat Completions, which many others speak.

use serde_json::{Value, json};

use super::{Answer, Ask, Rendered, Shape, Speaker, Tool, list, pieces};

pub fn parse(body: &Value) -> Ask {
    let tools = list(&body["tools"]).map(|tool| &tool["function"]).filter(|tool| tool["name"].is_string());
    let tools = tools.map(|tool| Tool {
        name: tool["name"].as_str().unwrap_or_default().to_owned(),
        shape: Shape::Function,
        schema: tool["parameters"].clone(),
    });
    let schema = &body["response_format"]["json_schema"]["schema"];
    let mut ask = Ask {
        stream: body["stream"] == true,
        tools: tools.collect(),
        schema: schema.is_object().then(|| schema.clone()),
        ..Ask::default()
    };
    ask.listen(list(&body["messages"]).map(|message| {
        let who = match message["role"].as_str() {
            Some("assistant") => Speaker::Model,
            Some("tool") => Speaker::Tool,
            _ => Speaker::Other,
        };
        (who, &message["content"])
    }));
    ask
}

pub fn render(ask: &Ask, answer: &Answer, seed: u64) -> Rendered {
    let calls: Vec<Value> = answer
        .calls
        .iter()
        .enumerate()
        .map(|(n, call)| {
            let function = json!({"name": call.name, "arguments": call.input.to_string()});
            json!({"id": format!("call_{seed:016}{n:04}"), "type": "function", "function": function})
        })
        .collect();
    let finish = if calls.is_empty() { "stop" } else { "tool_calls" };
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20});
    let mut message = json!({"role": "assistant", "content": answer.text});
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    let head = |object: &str| json!({"id": format!("chatcmpl-{seed:020}"), "object": object, "created": 0, "model": ask.model});
    let mut whole = head("chat.completion");
    whole["choices"] = json!([{"index": 0, "message": message, "finish_reason": finish}]);
    whole["usage"] = usage.clone();

    let mut events = Vec::new();
    let mut emit = |delta: Value, finish: Value| {
        let mut chunk = head("chat.completion.chunk");
        chunk["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        events.push(("", chunk.to_string()));
    };
    emit(json!({"role": "assistant", "content": ""}), Value::Null);
    for piece in pieces(&answer.text) {
        emit(json!({"content": piece}), Value::Null);
    }
    for (index, call) in calls.iter().enumerate() {
        let mut start = call.clone();
        (start["index"], start["function"]["arguments"]) = (json!(index), json!(""));
        emit(json!({"tool_calls": [start]}), Value::Null);
        for piece in pieces(call["function"]["arguments"].as_str().unwrap_or_default()) {
            emit(json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}), Value::Null);
        }
    }
    emit(json!({}), json!(finish));
    let mut last = head("chat.completion.chunk");
    (last["choices"], last["usage"]) = (json!([]), usage);
    events.push(("", last.to_string()));
    events.push(("", "[DONE]".to_owned()));
    Rendered { whole, events }
}
