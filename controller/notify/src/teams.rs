//! Teams' form: an Adaptive Card in a message, as the Workflows trigger "When a Teams webhook request is received" takes
//! it. A message over 28 KB is refused there, and some clients already fail above 21 KB: lines are left out until it fits.

use super::message::{Message, with_interval};
use serde_json::{Value, json};

const MOST_BYTES: usize = 20_000;

pub fn body(message: &Message) -> String {
    let mut shown = message.lines.len();
    loop {
        let body = card(message, shown).to_string();
        if body.len() <= MOST_BYTES || shown == 0 {
            return body;
        }
        shown -= 1;
    }
}

fn card(message: &Message, shown: usize) -> Value {
    let mut body = vec![
        json!({ "type": "TextBlock", "text": escape(&message.title), "size": "Large", "weight": "Bolder", "wrap": true }),
        json!({ "type": "TextBlock", "text": escape(&message.verdict), "wrap": true }),
    ];
    for line in &message.lines[..shown] {
        body.push(json!({ "type": "TextBlock", "text": escape(&line.name()), "weight": "Bolder", "wrap": true, "separator": true }));
        let fact = |title: &str, value: String| json!({ "title": title, "value": escape(&value) });
        body.push(json!({ "type": "FactSet", "facts": [
            fact("Cost", with_interval(&line.usd_per_1000_requests, "USD per 1,000 requests")),
            fact("Throughput", with_interval(&line.throughput, "samples/s")),
            fact("Latency", with_interval(&line.p95_ms, "ms at p95")),
        ] }));
    }
    let more = message.more_lines + message.lines.len() - shown;
    if more > 0 {
        body.push(subtle(&format!("and {more} more in the report")));
    }
    body.extend(message.notes.iter().map(|note| subtle(note)));
    body.push(subtle(&format!("campaign {}", message.campaign)));
    if !message.files.is_empty() {
        // Beyond this no line would fit any more.
        let mut room = MOST_BYTES / 2;
        let links: Vec<String> = (message.files.iter())
            .map(|file| format!("[{}]({})", escape(&file.name), escape_link(&file.url)))
            .take_while(|link| {
                let fits = link.len() <= room;
                room = room.saturating_sub(link.len());
                fits
            })
            .collect();
        let text = links.join(" · ");
        body.push(json!({ "type": "TextBlock", "text": text, "size": "Small", "wrap": true }));
    }
    let actions: Vec<Value> = message
        .link
        .iter()
        .map(|link| json!({ "type": "Action.OpenUrl", "title": "Read the report", "url": link }))
        .collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
                "actions": actions,
            },
        }],
    })
}

fn subtle(text: &str) -> Value {
    json!({ "type": "TextBlock", "text": escape(text), "isSubtle": true, "size": "Small", "wrap": true })
}

/// An address between the brackets of Markdown.
fn escape_link(url: &str) -> String {
    url.replace('(', "%28").replace(')', "%29").replace(' ', "%20")
}

/// Text blocks and facts read a part of Markdown: its marks are escaped.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '*' | '_' | '[' | ']' | '`' | '#' | '~' | '<') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
