//! [`results::Results`] -> a document -> terminal, HTML, PDF, Markdown, CSV, JUnit. Pure: bytes and text come out, and
//! the controller's commands write them.

#![forbid(unsafe_code)]

pub mod annotations;
mod capacity;
pub mod compare;
pub mod csv;
pub mod document;
mod endpoint;
pub mod history;
pub mod html;
pub mod junit;
pub mod markdown;
mod pairs;
pub mod pdf;
mod summary;
pub mod table;

#[cfg(test)]
mod tests;
