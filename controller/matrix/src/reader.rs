//! TOML tables -> checked values, or all problems with their path and line. Serde would stop at the
//! first one. Independent of the content of a matrix.

use super::duration::duration;
use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1; 0 for options of the command line.
    pub line: usize,
    /// Such as `factors.batch_sizes[1]`; empty for the file as a whole.
    pub path: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "on the command line: ")?,
            line => write!(f, "line {line}: ")?,
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// The problems of one file so far. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Problems {
    line_starts: Rc<[usize]>,
    length: usize,
    found: Rc<RefCell<Vec<Problem>>>,
}

impl Problems {
    pub(super) fn new(text: &str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
        Self { line_starts: starts.collect(), length: text.len(), found: Rc::default() }
    }

    pub(super) fn add(&self, at: usize, path: &str, message: impl Into<String>) {
        let is_in_file = at <= self.length;
        let line = self.line_starts.partition_point(|start| *start <= at);
        let line = if is_in_file { line } else { 0 };
        let problem = Problem { line, path: path.to_owned(), message: message.into() };
        self.found.borrow_mut().push(problem);
    }

    pub(super) fn take(&self) -> Vec<Problem> {
        let mut found = std::mem::take(&mut *self.found.borrow_mut());
        found.sort_by_key(|problem| problem.line);
        found
    }
}

/// A table and the keys read from it.
#[derive(Debug)]
pub(super) struct Section<'t, 'i> {
    path: String,
    at: usize,
    table: Option<&'t DeTable<'i>>,
    known: Vec<&'static str>,
    problems: Problems,
}

impl<'t, 'i> Section<'t, 'i> {
    pub(super) fn root(table: &'t Spanned<DeTable<'i>>, problems: &Problems) -> Self {
        let (path, problems) = (String::new(), problems.clone());
        Self { path, at: 0, table: Some(table.get_ref()), known: Vec::new(), problems }
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn problem(&self, key: &str, message: impl Into<String>) {
        let at = self.find(key).map_or(self.at, |value| value.span().start);
        self.problems.add(at, &self.path_of(key), message);
    }

    fn find(&self, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
        let table = self.table?;
        table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    pub(super) fn value(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.known.push(key);
        self.find(key)
    }

    /// Whether the key exists, valid or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    pub(super) fn is_absent(&self) -> bool {
        self.table.is_none()
    }

    fn wrong_type(&self, key: &str, expected: &str, found: &DeValue<'_>) {
        self.problem(key, format!("expected {expected}, found {}", describe(found)));
    }

    /// A string that isn't blank.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let value = self.value(key)?.get_ref();
        match value.as_str() {
            Some(text) if text.trim().is_empty() => {
                self.problem(key, "is empty");
                None
            }
            Some(text) => Some(text.to_owned()),
            None => {
                self.wrong_type(key, "a string", value);
                None
            }
        }
    }

    pub(super) fn required_text(&mut self, key: &'static str, example: &str) -> Option<String> {
        self.require(key, example);
        self.text(key)
    }

    /// Reports a missing key.
    pub(super) fn require(&self, key: &str, example: &str) {
        if !self.has(key) {
            self.problem(key, format!("is missing, for example: {key} = {example}"));
        }
    }

    /// A duration of at most `most`; `expected` describes it in the message.
    pub(super) fn time(
        &mut self,
        key: &'static str,
        expected: &str,
        most: Duration,
    ) -> Option<Duration> {
        let text = self.text(key)?;
        let time = duration(&text).filter(|time| *time <= most);
        if time.is_none() {
            self.problem(key, format!("expected {expected}, found `{text}`"));
        }
        time
    }

    pub(super) fn whole<T>(&mut self, key: &'static str, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + fmt::Display,
    {
        let value = self.value(key)?;
        self.whole_of(key, value, &range)
    }

    fn whole_of<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        range: &RangeInclusive<T>,
    ) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + fmt::Display,
    {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let add = |found: &str| {
            let message = format!("expected {expected}, found {found}");
            self.problems.add(value.span().start, &self.path_of(key), message);
        };
        let Some(integer) = value.get_ref().as_integer() else {
            add(&describe(value.get_ref()));
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|n| T::try_from(n).ok()).filter(|n| range.contains(n));
        if number.is_none() {
            add(integer.as_str());
        }
        number
    }

    pub(super) fn truth(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?.get_ref();
        let truth = value.as_bool();
        if truth.is_none() {
            self.wrong_type(key, "true or false", value);
        }
        truth
    }

    pub(super) fn positive(&mut self, key: &'static str) -> Option<f64> {
        let value = self.value(key)?;
        self.positive_of(key, value)
    }

    fn positive_of(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<f64> {
        self.number_of(key, value, "a number above zero", |number| number > 0.0)
    }

    /// Any finite number.
    pub(super) fn number(&mut self, key: &'static str) -> Option<f64> {
        let value = self.value(key)?;
        self.number_of(key, value, "a number", |_| true)
    }

    fn number_of(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
        is_valid: fn(f64) -> bool,
    ) -> Option<f64> {
        let add = |message| self.problems.add(value.span().start, &self.path_of(key), message);
        let number = match value.get_ref() {
            DeValue::Float(float) => float.as_str().replace('_', "").parse().ok(),
            DeValue::Integer(integer) => integer.as_str().replace('_', "").parse::<f64>().ok(),
            other => {
                add(format!("expected {expected}, found {}", describe(other)));
                return None;
            }
        };
        let number = number.filter(|n: &f64| n.is_finite() && is_valid(*n));
        if number.is_none() {
            add(format!("expected {expected}"));
        }
        number
    }

    pub(super) fn positive_list(&mut self, key: &'static str) -> Option<Vec<f64>> {
        self.list(key, "[1, 2.5]", Self::positive_of)
    }

    /// One word of a fixed list.
    pub(super) fn word<T>(&mut self, key: &'static str) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let text = self.text(key)?;
        text.parse().map_err(|error: T::Err| self.problem(key, error.to_string())).ok()
    }

    /// A non-empty list without duplicates; `None` if the key is absent or invalid.
    fn list<T: PartialEq>(
        &mut self,
        key: &'static str,
        example: &str,
        mut item: impl FnMut(&Self, &str, &Spanned<DeValue<'_>>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = self.value(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, &format!("a list, for example {example}"), value.get_ref());
            return None;
        };
        if array.is_empty() {
            self.problem(key, format!("is empty, for example: {key} = {example}"));
            return None;
        }
        let mut items = Vec::new();
        let mut is_whole = true;
        for (index, value) in array.iter().enumerate() {
            let name = format!("{key}[{index}]");
            match item(self, &name, value) {
                Some(found) if items.contains(&found) => {
                    let path = self.path_of(&name);
                    self.problems.add(value.span().start, &path, "duplicate value");
                }
                Some(found) => items.push(found),
                None => is_whole = false,
            }
        }
        is_whole.then_some(items)
    }

    pub(super) fn whole_list<T>(
        &mut self,
        key: &'static str,
        range: &RangeInclusive<T>,
    ) -> Option<Vec<T>>
    where
        T: TryFrom<i64> + PartialOrd + fmt::Display,
    {
        self.list(key, "[1, 8]", |section, name, value| section.whole_of(name, value, range))
    }

    pub(super) fn word_list<T>(&mut self, key: &'static str, example: &str) -> Option<Vec<T>>
    where
        T: FromStr + PartialEq,
        T::Err: fmt::Display,
    {
        self.list(key, example, |section, name, value| {
            let path = section.path_of(name);
            let at = value.span().start;
            let add = |message: String| section.problems.add(at, &path, message);
            let Some(text) = value.get_ref().as_str() else {
                add(format!("expected a string, found {}", describe(value.get_ref())));
                return None;
            };
            text.parse().map_err(|error: T::Err| add(error.to_string())).ok()
        })
    }

    /// A table; an absent one reads as empty.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'t, 'i> {
        let path = self.path_of(key);
        let value = self.value(key);
        let at = value.map_or(self.at, |value| value.span().start);
        let table = value.and_then(|value| {
            let table = value.get_ref().as_table();
            if table.is_none() {
                self.wrong_type(key, &format!("a table [{path}]"), value.get_ref());
            }
            table
        });
        Section { path, at, table, known: Vec::new(), problems: self.problems.clone() }
    }

    /// A table of strings with arbitrary keys.
    pub(super) fn texts(&self) -> Vec<(String, String)> {
        let mut texts = Vec::new();
        for (key, value) in self.table.into_iter().flatten() {
            let name = key.get_ref().to_string();
            match value.get_ref().as_str() {
                Some(text) => texts.push((name, text.to_owned())),
                None => self.wrong_type(&name, "a string", value.get_ref()),
            }
        }
        texts
    }

    /// An array of tables; empty if absent.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Section<'t, 'i>> {
        let path = self.path_of(key);
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, &format!("tables [[{path}]]"), value.get_ref());
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (index, item) in array.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let at = item.span().start;
            let table = item.get_ref().as_table();
            if table.is_none() {
                self.problems.add(at, &path, "expected a table");
                continue;
            }
            let (known, problems) = (Vec::new(), self.problems.clone());
            sections.push(Section { path, at, table, known, problems });
        }
        sections
    }

    /// An array of tables or a single table; empty if absent.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Section<'t, 'i>> {
        let is_one = self.find(key).is_some_and(|value| value.get_ref().as_table().is_some());
        if is_one { vec![self.section(key)] } else { self.sections(key) }
    }

    /// Reports all keys that weren't read, each with the nearest known one.
    pub(super) fn finish(self) {
        let Some(table) = self.table else { return };
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let hint = match nearest(name, &self.known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            let path = self.path_of(name);
            self.problems.add(key.span().start, &path, format!("unknown key; {hint}"));
        }
    }
}

/// `; did you mean ...?`, or nothing.
pub(super) fn hint(word: &str, known: &[&str]) -> String {
    nearest(word, known).map_or(String::new(), |near| format!("; did you mean `{near}`?"))
}

/// The known word nearest to `word`, if it is near enough for a typo.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance = |known: &str| strsim::damerau_levenshtein(word, known);
    let near = known.iter().min_by_key(|known| distance(known))?;
    (distance(near) <= 1 + near.len() / 4).then_some(*near)
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string \"{text}\""),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
