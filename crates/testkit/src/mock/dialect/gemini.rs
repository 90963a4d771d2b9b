//! Gemini's generateContent, bare and wrapped by Code Assist.

use serde_json::{Value, json};

use super::{Answer, Ask, Rendered, Shape, Speaker, Tool, list};

pub fn parse(path: &str, body: &Value) -> Ask {
    let inner = body.get("request").unwrap_or(body);
    let declared = list(&inner["tools"]).flat_map(|tools| list(&tools["functionDeclarations"]));
    let tools = declared.map(|tool| Tool {
        name: tool["name"].as_str().unwrap_or_default().to_owned(),
        shape: Shape::Function,
        schema: tool.get("parametersJsonSchema").unwrap_or(&tool["parameters"]).clone(),
    });
    let config = &inner["generationConfig"];
    let schema = config.get("responseJsonSchema").or(config.get("responseSchema"));
    let model =
        path.rsplit("/models/").next().and_then(|rest| rest.split(':').next()).filter(|_| path.contains("/models/"));
    let mut ask = Ask {
        model: model.unwrap_or_default().to_owned(),
        stream: path.ends_with(":streamGenerateContent"),
        tools: tools.collect(),
        schema: schema.cloned(),
        ..Ask::default()
    };
    ask.listen(list(&inner["contents"]).flat_map(|content| {
        let who = if content["role"] == "model" { Speaker::Model } else { Speaker::Other };
        list(&content["parts"]).map(move |part| match part.get("functionResponse") {
            Some(response) => (Speaker::Tool, &response["response"]),
            None => (who, part),
        })
    }));
    ask
}

pub fn render(ask: &Ask, answer: &Answer, seed: u64) -> Rendered {
    let mut parts = Vec::new();
    if !answer.text.is_empty() || answer.calls.is_empty() {
        parts.push(json!({"text": answer.text}));
    }
    for (n, call) in answer.calls.iter().enumerate() {
        let made = json!({"id": format!("fc_{seed:016}{n:04}"), "name": call.name, "args": call.input});
        parts.push(json!({"functionCall": made, "thoughtSignature": "bW9jaw=="}));
    }
    let chunk = |parts: &[Value], last: bool| {
        let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
        if last {
            candidate["finishReason"] = json!("STOP");
        }
        let usage = json!({"promptTokenCount": 10, "candidatesTokenCount": 10, "totalTokenCount": 20});
        json!({"modelVersion": ask.model, "responseId": format!("{seed:020}"), "candidates": [candidate], "usageMetadata": usage})
    };
    let last = parts.len() - 1;
    let events =
        parts.iter().enumerate().map(|(n, part)| ("", chunk(std::slice::from_ref(part), n == last).to_string()));
    Rendered { whole: chunk(&parts, true), events: events.collect() }
}
