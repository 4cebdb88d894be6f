//! TOML -> values, or every problem of the file with its line.

use std::ops::RangeInclusive;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The problems of a file so far.
#[derive(Debug)]
pub(super) struct Problems<'t> {
    text: &'t str,
    found: Vec<(usize, String)>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, found: Vec::new() }
    }

    fn add(&mut self, at: usize, message: &str) {
        let line = self.text[..at.min(self.text.len())].matches('\n').count() + 1;
        self.found.push((line, format!("line {line}: {message}")));
    }

    /// Sorted by line.
    pub(super) fn take(mut self) -> Vec<String> {
        self.found.sort_by_key(|(line, _)| *line);
        self.found.into_iter().map(|(_, message)| message).collect()
    }
}

/// A table and the keys that were read from it.
#[derive(Debug)]
pub(super) struct Section<'p, 't, 'i> {
    name: &'static str,
    at: usize,
    table: Option<&'p DeTable<'i>>,
    known: Vec<&'static str>,
    problems: &'p mut Problems<'t>,
}

impl<'p, 't, 'i> Section<'p, 't, 'i> {
    /// The table `name` of the file; an absent one is empty.
    pub(super) fn of(
        root: &'p DeTable<'i>,
        name: &'static str,
        problems: &'p mut Problems<'t>,
    ) -> Self {
        let found = root.iter().find(|(key, _)| key.get_ref() == name);
        let (at, value) =
            found.map_or((0, None), |(key, value)| (key.span().start, Some(value.get_ref())));
        let table = value.and_then(DeValue::as_table);
        if value.is_some() && table.is_none() {
            problems.add(at, &format!("{name}: expected a table ([{name}])"));
        }
        Self { name, at, table, known: Vec::new(), problems }
    }

    /// A table within a table of the file; `None` if there is none. `name` is the path that errors state.
    pub(super) fn within(
        root: &'p DeTable<'i>,
        [outer, key]: [&str; 2],
        name: &'static str,
        problems: &'p mut Problems<'t>,
    ) -> Option<Self> {
        let (_, outer) = root.iter().find(|(name, _)| name.get_ref() == outer)?;
        let (found, value) =
            outer.get_ref().as_table()?.iter().find(|(name, _)| name.get_ref() == key)?;
        let (at, table) = (found.span().start, value.get_ref().as_table());
        if table.is_none() {
            problems.add(at, &format!("{name}: expected a table ([{name}])"));
            return None;
        }
        Some(Self { name, at, table, known: Vec::new(), problems })
    }

    /// A key that is read on its own.
    pub(super) fn expect(&mut self, key: &'static str) {
        self.known.push(key);
    }

    fn find(&self, key: &str) -> Option<&'p Spanned<DeValue<'i>>> {
        let mut entries = self.table?.iter();
        entries.find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    pub(super) fn problem(&mut self, key: &str, message: &str) {
        let at = self.find(key).map_or(self.at, |value| value.span().start);
        self.problems.add(at, &format!("{}.{key}: {message}", self.name));
    }

    fn value(&mut self, key: &'static str) -> Option<&'p DeValue<'i>> {
        self.known.push(key);
        self.find(key).map(Spanned::get_ref)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let value = self.value(key)?;
        let text = value.as_str().filter(|text| !text.trim().is_empty());
        if text.is_none() {
            self.problem(key, "expected a string that is not empty");
        }
        text.map(str::to_owned)
    }

    /// One of the words.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let message = unknown(&text, &words.iter().map(|(word, _)| *word).collect::<Vec<_>>());
            self.problem(key, &message);
        }
        found
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        let text = |entry: &Spanned<DeValue<'_>>| Some(entry.get_ref().as_str()?.to_owned());
        let texts = value.as_array().and_then(|list| list.iter().map(text).collect());
        let texts: Option<Vec<String>> = texts;
        match &texts {
            None => self.problem(key, "expected a list of strings"),
            Some(texts) if texts.is_empty() => self.problem(key, "expected at least one entry"),
            Some(_) => {}
        }
        texts.filter(|texts| !texts.is_empty())
    }

    /// A list of words, each once.
    pub(super) fn words<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<Vec<T>> {
        let Some(list) = self.value(key)?.as_array() else {
            self.problem(key, "expected a list of strings");
            return None;
        };
        let mut values = Vec::new();
        for entry in list {
            let text = entry.get_ref().as_str().unwrap_or_default();
            match words.iter().find(|(word, _)| *word == text) {
                Some((_, value)) => values.push(*value),
                None => {
                    let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                    self.problem(key, &unknown(text, &known));
                    return None;
                }
            }
        }
        if values.is_empty() {
            self.problem(key, "expected at least one entry");
            return None;
        }
        Some(values)
    }

    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        let value = self.value(key)?;
        let number = number(value).filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high) = (range.start(), range.end());
            self.problem(key, &format!("expected a number from {low} to {high}"));
        }
        number
    }

    /// `count` numbers of at least 0 and not all 0.
    pub(super) fn weights(&mut self, key: &'static str, count: usize) -> Option<Vec<f64>> {
        let list = self.value(key)?.as_array();
        let numbers: Option<Vec<f64>> =
            list.and_then(|list| list.iter().map(|one| number(one.get_ref())).collect());
        let is_weight = |weight: &f64| (0.0..=1e9).contains(weight);
        let numbers = numbers.filter(|list| list.len() == count && list.iter().all(is_weight));
        match numbers {
            None => {
                self.problem(key, &format!("expected {count} numbers of at least 0"));
                None
            }
            Some(list) if list.iter().all(|weight| *weight == 0.0) => {
                self.problem(key, "all rates are zero: expected at least one above 0");
                None
            }
            list => list,
        }
    }

    pub(super) fn whole(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.value(key)?;
        let whole = value
            .as_integer()
            .and_then(|integer| u32::from_str_radix(integer.as_str(), integer.radix()).ok())
            .filter(|whole| range.contains(whole));
        if whole.is_none() {
            let (low, high) = (range.start(), range.end());
            self.problem(key, &format!("expected a whole number from {low} to {high}"));
        }
        whole
    }

    /// Reports every key that wasn't read.
    pub(super) fn finish(self) {
        let Some(table) = self.table else { return };
        for (key, _) in table {
            if !self.known.contains(&key.get_ref().as_ref()) {
                let message = unknown(key.get_ref(), &self.known);
                let message = format!("{}.{}: {message}", self.name, key.get_ref());
                self.problems.add(key.span().start, &message);
            }
        }
    }
}

/// Reports every table of the file but these.
pub(super) fn only(root: &DeTable<'_>, tables: &[&'static str], problems: &mut Problems<'_>) {
    for (key, _) in root {
        if !tables.contains(&key.get_ref().as_ref()) {
            problems.add(key.span().start, &unknown(key.get_ref(), tables));
        }
    }
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    let text = match value {
        DeValue::Integer(integer) => integer.as_str(),
        DeValue::Float(float) => float.as_str(),
        _ => return None,
    };
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// ``unknown `rat`: did you mean `rate`?`` or the valid words.
pub(super) fn unknown(found: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(a, found).total_cmp(&strsim::jaro_winkler(b, found)));
    let valid = known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    match nearest {
        Some(word) if strsim::jaro_winkler(word, found) > 0.85 => {
            format!("unknown `{found}`: did you mean `{word}`? (expected {valid})")
        }
        _ => format!("unknown `{found}`: expected {valid}"),
    }
}
