//! placeholder until the room's owner lands it
use proto::ids::SampleId;
/// d
#[derive(Debug, Clone)]
pub struct Dialogue {
    /// id
    pub id: SampleId,
    /// d
    pub dialogue: String,
    /// s
    pub summary: Option<String>,
}
/// c
#[derive(Debug, Clone, Default)]
pub struct Columns {
    /// i
    pub id: String,
    /// d
    pub dialogue: String,
    /// s
    pub summary: String,
}
/// s
#[derive(Debug)]
pub enum Source {
    /// b
    Builtin,
    /// f
    File(String),
}
impl std::str::FromStr for Source {
    type Err = std::io::Error;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Ok(if s.starts_with("builtin:") { Self::Builtin } else { Self::File(s.to_owned()) })
    }
}
/// d
#[derive(Debug)]
pub struct Dataset {
    /// d
    pub dialogues: Vec<Dialogue>,
    /// s
    pub sha256: String,
}
/// r
/// # Errors
/// e
pub fn read(s: &Source, _: &Columns) -> Result<Dataset, std::io::Error> {
    let dialogues = match s {
        Source::Builtin => (0..256)
            .map(|i| Dialogue {
                id: format!("b{i}").try_into().unwrap(),
                dialogue: format!("Ann: hello {i}, {}\nBob: fine", "how are you ".repeat(i % 30)),
                summary: Some("Ann and Bob talk.".into()),
            })
            .collect(),
        Source::File(f) => std::fs::read_to_string(f)?
            .lines()
            .map(|l| {
                let v: serde_json::Value = serde_json::from_str(l).unwrap();
                Dialogue {
                    id: v["id"].as_str().unwrap().try_into().unwrap(),
                    dialogue: v["dialogue"].as_str().unwrap().into(),
                    summary: v["summary"].as_str().map(Into::into),
                }
            })
            .collect(),
    };
    Ok(Dataset { dialogues, sha256: "0".repeat(64) })
}
/// s
pub fn sample(all: usize, n: usize, _seed: u64) -> Vec<usize> {
    (0..if n == 0 { all } else { n }).collect()
}
/// o
pub fn outside(all: usize, measured: &[usize], needed: usize, _seed: u64) -> Vec<usize> {
    (0..all).filter(|i| !measured.contains(i)).take(needed).collect()
}
/// h
pub fn hexadecimal(b: &[u8]) -> String {
    b.iter().map(|b| format!("{b:02x}")).collect()
}
