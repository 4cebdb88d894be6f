//! A document -> one page that needs nothing else: no network, no other file. It says everything without its script, which
//! sorts tables, hides series and shows what a mark is.
//!
//! Every text is escaped by the template; only this room's own style and script are put in as they are, and the page's
//! policy lets nothing else run.

mod blocks;

use super::document::{Document, Reach, Rivals, Section, Span, Verdict};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plot::font;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Renders the page.
pub fn render(document: &Document) -> String {
    let font = BASE64_STANDARD.encode(font::WEB);
    let style = STYLE.replace("url(typeface)", &format!("url(data:font/woff2;base64,{font})"));
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
                meta name="generator" content={ "Fleetmark " (document.version) };
                meta name="description" content=(document.verdict.text());
                title { (document.title) " · Fleetmark" }
                style { (PreEscaped(style)) }
            }
            body {
                a.skip href="#report" { "Skip to the report" }
                (contents(document))
                main #report {
                    (masthead(document))
                    @for section in &document.sections { (section_of(section)) }
                    footer {
                        "Fleetmark " (document.version) ". Campaign " span.id { (document.campaign) }
                        ". All figures stand unrounded in results.json, all samples in its Parquet file."
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn contents(document: &Document) -> Markup {
    html! {
        nav.contents aria-label="Contents" {
            p.brand { "Fleetmark" }
            ol {
                li { a href="#verdict" { "The verdict" } }
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
            @if let Some(rivals) = &verdict.rivals { (rivals_of(rivals)) }
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

fn rivals_of(rivals: &Rivals) -> Markup {
    html! {
        div.rivals {
            p { (rivals.title) }
            dl {
                @for (target, details) in &rivals.cells {
                    div {
                        dt { (target) }
                        @for detail in details { @if !detail.is_empty() { dd { (detail) } } }
                    }
                }
                @if rivals.more > 0 { div { dt { "and " (rivals.more) " more" } } }
            }
            @if let Some(advice) = &rivals.advice { p.muted { (advice) } }
        }
    }
}

fn chips(verdict: &Verdict) -> Markup {
    let [valid, degraded, invalid] = verdict.cells;
    let cells = |count: u64| if count == 1 { "cell" } else { "cells" };
    html! {
        @if verdict.is_complete { span.chip.good { "Complete" } } @else { span.chip.bad { "Incomplete" } }
        @if valid > 0 { span.chip.good { (valid) " " (cells(valid)) " VALID" } }
        @if degraded > 0 { span.chip.warn { (degraded) " " (cells(degraded)) " DEGRADED" } }
        @if invalid > 0 { span.chip.bad { (invalid) " " (cells(invalid)) " INVALID" } }
    }
}

fn section_of(section: &Section) -> Markup {
    let heading = format!("{}-heading", section.id);
    let class = (section.reach == Reach::Page).then_some("further");
    html! {
        section id=(section.id) aria-labelledby=(heading) class=[class] {
            h2 id=(heading) { (section.title) }
            @if !section.lead.is_empty() { p.lead { (section.lead) } }
            @for block in &section.blocks { (blocks::block(block)) }
        }
    }
}
