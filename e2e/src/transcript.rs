//! What the agent wanted and what it saw, from the model's log, for people to read.

use serde_json::Value;

/// The conversation as Markdown.
pub fn markdown(title: &str, log: &[u8]) -> String {
    let mut text =
        format!("# {title}\n\nWhat the scripted model asked for, and what the agent's tools sent back to it.\n");
    for line in String::from_utf8_lossy(log).lines() {
        let Ok(record) = serde_json::from_str::<Value>(line) else { continue };
        let served = &record["served"];
        if served["step"].is_null() {
            continue;
        }
        for result in served["tool_results"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            text.push_str(&format!("\nThe agent saw:\n\n```text\n{}\n```\n", plain(result)));
        }
        text.push_str(&format!("\n## Step {}\n\n{}\n", served["step"], served["text"].as_str().unwrap_or_default()));
        for call in served["calls"].as_array().into_iter().flatten() {
            text.push_str(&format!(
                "\n`{}` {}\n",
                call["tool"].as_str().unwrap_or_default(),
                plain(&call["input"].to_string())
            ));
        }
    }
    text
}

/// The tool results of each step, joined: what a real model would have been sent.
pub fn results(log: &[u8]) -> String {
    let lines = String::from_utf8_lossy(log).into_owned();
    let records = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let results = records.flat_map(|record| record["served"]["tool_results"].as_array().cloned().unwrap_or_default());
    results.filter_map(|result| result.as_str().map(str::to_owned)).collect::<Vec<_>>().join("\n")
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\n' || *c == '\t').take(4000).collect()
}
