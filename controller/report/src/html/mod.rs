//! A document -> one self-contained HTML page: no network, no other files. It is complete without its script, which sorts
//! tables, toggles series and shows tooltips.
//!
//! The template escapes every text, and what would act on the page without being markup; only the style and script of this module are inserted verbatim, and the page's
//! content security policy blocks everything else.

mod blocks;

use super::document::{Detail, Document, Section, Span, Ties, Tone, Verdict};
use super::one_line::one_line;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use model::text::{LineBreaks, printable};
use plot::font;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

pub fn render(document: &Document) -> String {
    let font = BASE64_STANDARD.encode(font::WEB);
    let style = STYLE.replace("url(font)", &format!("url(data:font/woff2;base64,{font})"));
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text.as_bytes()));
    let policy = format!(
        "default-src 'none'; base-uri 'none'; form-action 'none'; font-src data:; style-src 'sha256-{}'; script-src 'sha256-{}'",
        hash(&style),
        hash(SCRIPT)
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "Fleetmark " (one_line(&document.version)) };
                meta name="description" content=(one_line(&document.verdict.text()));
                title { (one_line(&document.title)) " · Fleetmark" }
                style { (PreEscaped(style)) }
            }
            body {
                (PreEscaped(printable(&body(document).into_string(), LineBreaks::Kept)))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// All that shows a text of the campaign. Markup needs no character that acts, so it is escaped as a whole.
fn body(document: &Document) -> Markup {
    html! {
        a.skip href="#report" { "Skip to the report" }
        (contents(document))
        main #report {
            (masthead(document))
            @for section in &document.sections { (section_of(section)) }
            footer {
                "Fleetmark " (document.version) ". Campaign " span.id { (document.campaign) }
                ". Hover over a dash for its reason. results.json has all figures unrounded; its Parquet file has all samples."
            }
        }
    }
}

fn contents(document: &Document) -> Markup {
    html! {
        nav.contents aria-label="Contents" {
            p.brand { "Fleetmark" }
            ol {
                li { a href="#verdict" { "Verdict" } }
                @for section in &document.sections {
                    li { a href={ "#" (section.id) } { (section.title) } }
                }
            }
        }
    }
}

fn masthead(document: &Document) -> Markup {
    let verdict = &document.verdict;
    html! {
        header #verdict {
            p.over { "Benchmark report · " time { (document.created_at) } }
            h1 { (document.title) }
            p.chips { (chips(verdict)) }
            p.verdict {
                @for span in &verdict.sentence {
                    @match span {
                        Span::Plain(text) => { (text) }
                        Span::Strong(text) => { strong { (text) } }
                    }
                }
            }
            @if let Some(ties) = &verdict.ties { (ties_of(ties)) }
            @if !verdict.notes.is_empty() {
                ul.notes { @for note in &verdict.notes { li { (note) } } }
            }
            dl.facts {
                @for fact in &verdict.facts {
                    div {
                        dt { (fact.title) }
                        dd {
                            span.value { (fact.value) }
                            @if !fact.unit.is_empty() { " " span.unit { (fact.unit) } }
                            @if !fact.detail.is_empty() { span.detail { (fact.detail) } }
                        }
                    }
                }
            }
        }
    }
}

fn ties_of(ties: &Ties) -> Markup {
    html! {
        div.ties {
            p { (ties.title) }
            dl {
                @for (target, details) in &ties.cells {
                    div {
                        dt { (target) }
                        @for detail in details { @if !detail.is_empty() { dd { (detail) } } }
                    }
                }
                @if ties.more > 0 { div { dt { "and " (ties.more) " more" } } }
            }
            @if let Some(advice) = &ties.advice { p.muted { (advice) } }
        }
    }
}

fn chips(verdict: &Verdict) -> Markup {
    let class = |tone| match tone {
        Tone::Good => "chip good",
        Tone::Bad => "chip bad",
        Tone::Warn | Tone::Plain | Tone::Muted => "chip warn",
    };
    html! { @for (text, tone) in verdict.status() { span class=(class(tone)) { (text) } } }
}

fn section_of(section: &Section) -> Markup {
    let heading = format!("{}-heading", section.id);
    let class = (section.detail == Detail::Page).then_some("further");
    html! {
        section id=(section.id) aria-labelledby=(heading) class=[class] {
            h2 id=(heading) { (section.title) }
            @if !section.lead.is_empty() { p.lead { (section.lead) } }
            @for block in &section.blocks { (blocks::block(block)) }
        }
    }
}
