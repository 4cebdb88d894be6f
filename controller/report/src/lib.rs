//! [`results::Results`] -> a document -> terminal, HTML, PDF, Markdown, CSV, `JUnit`, logs of LoadGen. Pure: returns
//! bytes and text, which the controller's commands write.

#![forbid(unsafe_code)]

pub mod annotations;
pub mod compare;
pub mod csv;
pub mod document;
pub mod history;
pub mod html;
pub mod junit;
pub mod markdown;
pub mod mlperf;
mod one_line;
pub mod pdf;
mod sentences;
mod shortened;
pub mod terminal;
mod text_table;

#[cfg(test)]
mod tests;
