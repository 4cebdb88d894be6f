//! Which files of a repository or folder make one split, by the names that the field gives them:
//! `test.csv`, `data/test-00000-of-00002.parquet`, `validation/part.jsonl`.

use super::source::{Format, format_of};

/// Words that mean the same split; the first is its name.
const SPLITS: [&[&str]; 3] = [
    &["train", "training"],
    &["validation", "valid", "val", "dev"],
    &["test", "testing", "eval", "evaluation"],
];

/// Formats in the order in which they are taken where a split is there in several.
const FORMATS: [Format; 4] = [Format::Parquet, Format::JsonLines, Format::Json, Format::Csv];

/// Why no files can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unclear {
    /// No file is data.
    NoData,
    /// A split must be named: these are there.
    Unnamed(Vec<String>),
    /// The named one isn't there; these are.
    Missing(Vec<String>),
    /// These could all be meant.
    Several(Vec<String>),
}

/// Chooses the files of a split, in order; without a name, of the only one.
pub(super) fn choose(files: &[String], split: Option<&str>) -> Result<Vec<String>, Unclear> {
    let data: Vec<&String> = files.iter().filter(|file| format_of(file).is_some()).collect();
    if data.is_empty() {
        return Err(Unclear::NoData);
    }
    let chosen = match split {
        Some(split) => {
            let chosen: Vec<&String> =
                data.iter().copied().filter(|file| is_of(file, split)).collect();
            if chosen.is_empty() {
                return Err(Unclear::Missing(splits(&data)));
            }
            chosen
        }
        None if splits(&data).len() > 1 => return Err(Unclear::Unnamed(splits(&data))),
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
    if is_one { Ok(chosen) } else { Err(Unclear::Several(chosen)) }
}

/// The splits that files are named for.
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

/// `data/test-00000-of-00002.parquet` -> what its other shards share with it.
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

    fn chosen(files: &[&str], split: Option<&str>) -> Result<Vec<String>, Unclear> {
        choose(&files.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>(), split)
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    const SAMSUM: &[&str] = &["README.md", "train.csv", "validation.csv", "test.csv"];

    #[test]
    fn a_split_is_found_by_the_names_of_its_files() {
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
    fn parquet_comes_before_the_same_in_another_format() {
        let files = ["test.csv", "data/test-00000-of-00001.parquet"];
        assert_eq!(chosen(&files, Some("test")), Ok(texts(&[files[1]])));
    }

    #[test]
    fn what_is_unclear_says_what_there_is() {
        let all = texts(&["train", "validation", "test"]);
        assert_eq!(chosen(SAMSUM, None), Err(Unclear::Unnamed(all.clone())));
        assert_eq!(chosen(SAMSUM, Some("holdout")), Err(Unclear::Missing(all)));
        assert_eq!(chosen(&["README.md"], Some("test")), Err(Unclear::NoData));
        let two = ["en/test.csv", "fr/test.csv"];
        assert_eq!(chosen(&two, Some("test")), Err(Unclear::Several(texts(&two))));
    }
}
