//! Slack's form: blocks, with a text for notifications. Limits from Slack's Block Kit reference: header 150 characters,
//! section text 3,000, 50 blocks. `&`, `<` and `>` are escaped, so that no name can ping a channel.

use super::message::{File, Message, cut};
use serde_json::{Value, json};

const HEADER: usize = 150;
const SECTION: usize = 3_000;

pub fn body(message: &Message) -> String {
    let mut blocks = vec![
        json!({ "type": "header", "text": { "type": "plain_text", "text": cut(&message.title, HEADER), "emoji": false } }),
        section(&escape(&message.verdict)),
    ];
    if !message.lines.is_empty() {
        blocks.push(json!({ "type": "divider" }));
    }
    blocks.extend(
        message.lines.iter().map(|line| {
            section(&format!("*{}*\n{}", escape(&line.name()), escape(&line.figures())))
        }),
    );
    if message.more_lines > 0 {
        blocks.push(context(&format!("and {} more in the report", message.more_lines)));
    }
    if !message.notes.is_empty() {
        blocks.push(context(&escape(&message.notes.join("\n"))));
    }
    if !message.files.is_empty() {
        // An element each: a signed address is long, and a text has a limit. No context holds more than ten.
        let link =
            |file: &File| mrkdwn(&format!("<{}|{}>", escape_link(&file.url), escape(&file.name)));
        let elements: Vec<Value> = message.files.iter().take(10).map(link).collect();
        blocks.push(json!({ "type": "context", "elements": elements }));
    }
    let campaign = escape(&message.campaign);
    blocks.push(match &message.link {
        Some(link) => {
            context(&format!("<{}|Read the report> · campaign {campaign}", escape_link(link)))
        }
        None => context(&format!("campaign {campaign}")),
    });
    let text = format!("{} – {}", escape(&message.title), escape(&message.verdict));
    json!({ "text": cut(&text, SECTION), "blocks": blocks }).to_string()
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": mrkdwn(text) })
}

fn context(text: &str) -> Value {
    json!({ "type": "context", "elements": [mrkdwn(text)] })
}

fn mrkdwn(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": cut(text, SECTION), "verbatim": true })
}

/// An address between `<` and `|`, where Slack reads no marks.
fn escape_link(url: &str) -> String {
    url.replace('&', "&amp;").replace('<', "%3C").replace('>', "%3E").replace('|', "%7C")
}

/// As Slack's documentation of message formatting asks. Marks of its own that would change how a name looks get a
/// zero-width space, since it knows no escape for them.
fn escape(text: &str) -> String {
    let mut escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for mark in ["*", "_", "~", "`"] {
        escaped = escaped.replace(mark, &format!("\u{200b}{mark}\u{200b}"));
    }
    escaped
}
