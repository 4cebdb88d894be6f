//! The message as HTML that mail programs show: tables and inline styles, no images, no scripts. The chart of costs is
//! drawn with table cells, so that nothing has to be loaded or allowed.

use crate::message::{File, Line, Message, with_interval};
use plot::number::shown;
use stats::validity::Status;
use std::fmt::Write;

const FONT: &str = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif";
const INK: &str = "#1b1f24";
const QUIET: &str = "#5c6670";
const BAR: &str = "#0f6e84";
const INTERVAL: &str = "#8cc3cf";
const EMPTY: &str = "#eef1f3";

/// Renders a message. `left_out` are files that were too large.
pub(super) fn render(message: &Message, left_out: &[String]) -> String {
    let mut html = String::new();
    // Writing to a String can't fail, here and below.
    let _ = write!(
        html,
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\
         <body style=\"margin:0;padding:24px 12px;background:#ffffff;color:{INK};{FONT};font-size:15px;line-height:1.5\">\
         <table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" style=\"max-width:640px;margin:0 auto\"><tr><td>\
         <h1 style=\"font-size:20px;line-height:1.3;margin:0 0 8px\">{title}</h1>\
         <p style=\"font-size:16px;margin:0 0 20px\">{verdict}</p>",
        title = escape(&message.title),
        verdict = escape(&message.verdict),
    );
    if !message.lines.is_empty() {
        costs(&mut html, message);
    }
    for note in message
        .notes
        .iter()
        .cloned()
        .chain(left_out.iter().map(|name| format!("{name} is too large to attach")))
    {
        let _ = write!(
            html,
            "<p style=\"color:{QUIET};font-size:13px;margin:0 0 4px\">{}</p>",
            escape(&note)
        );
    }
    if let Some(link) = &message.link {
        let link = escape(link);
        let _ = write!(
            html,
            "<p style=\"margin:20px 0\"><a href=\"{link}\" style=\"background:{BAR};color:#ffffff;padding:10px 16px;\
             border-radius:6px;text-decoration:none\">Read the report</a></p>"
        );
    }
    if !message.files.is_empty() {
        let link = |file: &File| {
            let (url, name) = (escape(&file.url), escape(&file.name));
            format!("<a href=\"{url}\" style=\"color:{BAR}\">{name}</a>")
        };
        let links: Vec<String> = message.files.iter().map(link).collect();
        let _ = write!(
            html,
            "<p style=\"font-size:13px;margin:12px 0 0\">Files: {}</p>",
            links.join(" · ")
        );
    }
    let campaign = escape(&message.campaign);
    let _ = write!(
        html,
        "<p style=\"color:{QUIET};font-size:13px;margin:16px 0 0\">campaign {campaign}</p></td></tr></table></body></html>"
    );
    html
}

fn costs(html: &mut String, message: &Message) {
    let ends = message.lines.iter().filter_map(|line| {
        let cost = &line.usd_per_1000_requests;
        cost.ci_high.or(cost.value)
    });
    let longest = ends.fold(0.0_f64, f64::max);
    let _ = write!(
        html,
        "<table width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" style=\"border-collapse:collapse;margin:0 0 20px\">\
         <caption style=\"text-align:left;font-weight:600;padding:0 0 8px\">USD per 1,000 requests, with 95% CIs</caption>"
    );
    for line in &message.lines {
        let colour = if line.status == Status::Invalid { QUIET } else { INK };
        let _ = write!(
            html,
            "<tr><td style=\"padding:8px 0 12px;border-top:1px solid {EMPTY};color:{colour}\">\
             <div style=\"font-weight:600\">{}</div>{}<div style=\"font-size:13px;color:{QUIET}\">{} · {} · {}</div></td></tr>",
            escape(&line.name()),
            bar(line, longest),
            escape(&with_interval(&line.usd_per_1000_requests, "USD")),
            escape(&with_interval(&line.throughput, "samples/s")),
            escape(&with_interval(&line.p95_ms, "ms at p95")),
        );
    }
    if message.more_lines > 0 {
        let _ = write!(
            html,
            "<tr><td style=\"color:{QUIET};font-size:13px\">and {} more in the report</td></tr>",
            message.more_lines
        );
    }
    html.push_str("</table>");
}

/// From zero to the lower end of the interval in full color, the interval paler, up to the longest bar of all.
fn bar(line: &Line, longest: f64) -> String {
    let cost = &line.usd_per_1000_requests;
    let Some(value) = cost.value.filter(|_| longest > 0.0) else { return String::new() };
    let (low, high) = cost.interval().unwrap_or((value, value));
    let share = |usd: f64| (usd / longest * 100.0).clamp(0.0, 100.0);
    let (sure, open) = (share(low), share(high) - share(low));
    let label = escape(&format!("{} USD", shown(value)));
    let cell = |width: f64, colour: &str| {
        if width < 0.1 {
            return String::new();
        }
        format!(
            "<td width=\"{width:.1}%\" style=\"background:{colour};height:10px;font-size:0;line-height:0\">&nbsp;</td>"
        )
    };
    format!(
        "<table role=\"img\" aria-label=\"{label}\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" style=\"margin:4px 0\"><tr>{}{}{}</tr></table>",
        cell(sure, BAR),
        cell(open, INTERVAL),
        cell(100.0 - sure - open, EMPTY),
    )
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}
