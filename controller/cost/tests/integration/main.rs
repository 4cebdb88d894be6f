//! Price books and decisions.

mod aws;
mod decision;
mod price_book;
