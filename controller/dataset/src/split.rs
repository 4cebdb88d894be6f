//! File names of a repository or folder -> the files of one split, by convention: `test.csv`,
//! `data/test-00000-of-00002.parquet`, `validation/part.jsonl`. Pure.

use super::source::{Format, format_of};

/// Synonyms of each split; the first is its name.
const SPLITS: [&[&str]; 3] = [
    &["train", "training"],
    &["validation", "valid", "val", "dev"],
    &["test", "testing", "eval", "evaluation"],
];

/// Precedence of the formats if a split exists in several.
const FORMATS: [Format; 4] = [Format::Parquet, Format::JsonLines, Format::Json, Format::Csv];

/// Why no files can be selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ambiguity {
    NoData,
    /// A split must be named, one of these.
    Unnamed(Vec<String>),
    /// The named split doesn't exist; these do.
    Missing(Vec<String>),
    /// All of these match.
    Several(Vec<String>),
}

/// Selects the files of a split, in order. Without a name, there must be only one split.
pub(super) fn choose(files: &[String], split: Option<&str>) -> Result<Vec<String>, Ambiguity> {
    let data: Vec<&String> = files.iter().filter(|file| format_of(file).is_some()).collect();
    if data.is_empty() {
        return Err(Ambiguity::NoData);
    }
    let chosen = match split {
        Some(split) => {
            let chosen: Vec<&String> =
                data.iter().copied().filter(|file| is_of(file, split)).collect();
            if chosen.is_empty() {
                return Err(Ambiguity::Missing(splits(&data)));
            }
            chosen
        }
        None if splits(&data).len() > 1 => return Err(Ambiguity::Unnamed(splits(&data))),
        None => data,
    };
    let of = |format| chosen.iter().copied().filter(move |file| format_of(file) == Some(format));
    let format = FORMATS.into_iter().find(|format| of(*format).next().is_some());
    let mut chosen: Vec<String> =
        format.into_iter().flat_map(|format| of(format).cloned()).collect();
    chosen.sort();
    let is_one = chosen.windows(2).all(|pair| {
        let stems = (stem_of_shard(&pair[0]), stem_of_shard(&pair[1]));
        stems.0.is_some() && stems.0 == stems.1
    });
    if is_one { Ok(chosen) } else { Err(Ambiguity::Several(chosen)) }
}

/// The splits of the files, by their names.
fn splits(files: &[&String]) -> Vec<String> {
    let is_there = |names: &&&[&str]| files.iter().any(|file| is_of(file, names[0]));
    SPLITS.iter().filter(is_there).map(|names| names[0].to_owned()).collect()
}

fn is_of(file: &str, split: &str) -> bool {
    let split = split.to_lowercase();
    let names = SPLITS.iter().find(|names| names.contains(&split.as_str()));
    let words = file.to_lowercase();
    words
        .split(|c: char| !c.is_alphanumeric())
        .any(|word| names.map_or(word == split, |names| names.contains(&word)))
}

/// The common parts of the names of shards such as `data/test-00000-of-00002.parquet`.
fn stem_of_shard(file: &str) -> Option<(&str, &str)> {
    let (start, end) = file.rsplit_once("-of-")?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (stem, number) = start.rsplit_once('-')?;
    let (count, _) = end.split_once('.')?;
    (is_number(number) && is_number(count)).then_some((stem, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(files: &[&str], split: Option<&str>) -> Result<Vec<String>, Ambiguity> {
        choose(&files.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>(), split)
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    const SAMSUM: &[&str] = &["README.md", "train.csv", "validation.csv", "test.csv"];

    #[test]
    fn a_split_is_found_by_file_names() {
        assert_eq!(chosen(SAMSUM, Some("test")), Ok(texts(&["test.csv"])));
        assert_eq!(chosen(SAMSUM, Some("val")), Ok(texts(&["validation.csv"])));
        let shards = ["data/test-00001-of-00002.parquet", "data/test-00000-of-00002.parquet"];
        let sorted = texts(&[shards[1], shards[0]]);
        assert_eq!(chosen(&shards, Some("test")), Ok(sorted.clone()));
        assert_eq!(chosen(&shards, None), Ok(sorted), "the only split needs no name");
        assert_eq!(chosen(&["dialogues.jsonl"], None), Ok(texts(&["dialogues.jsonl"])));
        assert_eq!(chosen(&["latest.csv", "test/a.csv"], Some("test")), Ok(texts(&["test/a.csv"])));
    }

    #[test]
    fn parquet_takes_precedence() {
        let files = ["test.csv", "data/test-00000-of-00001.parquet"];
        assert_eq!(chosen(&files, Some("test")), Ok(texts(&[files[1]])));
    }

    #[test]
    fn an_ambiguous_split_lists_the_candidates() {
        let all = texts(&["train", "validation", "test"]);
        assert_eq!(chosen(SAMSUM, None), Err(Ambiguity::Unnamed(all.clone())));
        assert_eq!(chosen(SAMSUM, Some("holdout")), Err(Ambiguity::Missing(all)));
        assert_eq!(chosen(&["README.md"], Some("test")), Err(Ambiguity::NoData));
        let two = ["en/test.csv", "fr/test.csv"];
        assert_eq!(chosen(&two, Some("test")), Err(Ambiguity::Several(texts(&two))));
    }
}
