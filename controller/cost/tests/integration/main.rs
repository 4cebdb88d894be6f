//! Price books and decisions.

mod decision;
mod price_book;
