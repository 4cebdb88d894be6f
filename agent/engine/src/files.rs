//! Model and adapter files, and the interface that finds them by name.

use model::engine::EngineSpec;
use ops::input_file;
use ops::placeholder::{PREFIX_BYTES, Placeholder};
use ops::text;
use sha2::{Digest, Sha256};
use std::{fmt, fs::File, io, io::SeekFrom, os::unix::fs::FileExt, path::Path};

/// What to do about a tokenizer that is a `spiece.model`.
pub const CONVERT_PIECES: &str = "convert it with `python3 -c \"from transformers import AutoTokenizer as T; \
     T.from_pretrained('FOLDER').save_pretrained('FOLDER')\"`, or specify the tokenizer.json of its base \
     model (--tokenizer FILE; in a matrix: tokenizer = \"FILE\")";

#[derive(Debug)]
pub struct Model {
    pub config: Blob,
    /// `generation_config.json`.
    pub generation: Option<Blob>,
    pub weights: Weights,
    /// A model without one accepts token ids only.
    pub tokenizer: Option<TokenizerFiles>,
    /// The name of a `spiece.model`, which is not read but explains why there is no tokenizer.
    pub pieces: Option<String>,
    pub chat: ChatFiles,
    /// Commit on the hub.
    pub revision: Option<String>,
    /// Remarks for the report.
    pub notes: Vec<String>,
}

/// How a chat model's prompts are written.
#[derive(Debug, Default)]
pub struct ChatFiles {
    /// `chat_template.jinja`, which replaces the template in `settings`.
    pub template: Option<Blob>,
    /// `tokenizer_config.json`: special tokens by name, and in most models the template.
    pub settings: Option<Blob>,
}

#[derive(Debug)]
pub enum TokenizerFiles {
    /// `tokenizer.json`.
    Whole(Blob),
    /// Byte-level BPE as `vocab.json` and `merges.txt`.
    Bpe { vocabulary: Blob, merges: Blob },
}

#[derive(Debug)]
pub enum Weights {
    /// One or more safetensors files.
    Stored(Vec<Blob>),
    /// One GGUF file, from whose metadata the configurations were made.
    Gguf(Blob),
    /// Random numbers from this seed.
    Seeded(u64),
}

#[derive(Debug)]
pub struct Adapter {
    pub config: Blob,
    pub weights: Blob,
    /// Commit on the hub.
    pub revision: Option<String>,
}

pub trait ModelSource: fmt::Debug + Send + Sync {
    fn model(&self, spec: &EngineSpec) -> Result<Model, SourceError>;

    fn adapter(&self, name: &str) -> Result<Adapter, SourceError>;
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SourceError(Box<dyn std::error::Error + Send + Sync>);

impl SourceError {
    pub fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot open {file}")]
    Open { file: String, source: io::Error },
    #[error("{file} {source}")]
    Text { file: String, source: text::Error },
}

impl Model {
    /// SHA-256 of the list of file hashes, in the format of `sha256sum`, over both configs and
    /// weights; that of a GGUF file.
    pub fn sha256(&self) -> Result<String, ReadError> {
        let line = |blob: &Blob| -> Result<String, ReadError> {
            Ok(format!("{}  {}\n", blob.sha256()?, blob.file_name))
        };
        let mut list = line(&self.config)?;
        if let Some(generation) = &self.generation {
            list += &line(generation)?;
        }
        let weights = match &self.weights {
            // The configurations are in the file.
            Weights::Gguf(file) => return file.sha256(),
            Weights::Seeded(seed) => format!("seeded weights, seed {seed}\n"),
            Weights::Stored(files) => files.iter().map(line).collect::<Result<_, _>>()?,
        };
        Ok(sha256_of(&(list + &weights)))
    }
}

impl TokenizerFiles {
    /// For errors.
    pub fn name(&self) -> &str {
        match self {
            Self::Whole(blob) => blob.name(),
            Self::Bpe { vocabulary, .. } => vocabulary.name(),
        }
    }

    /// SHA-256 of `tokenizer.json`, or of the list of both files in the format of `sha256sum`.
    pub fn sha256(&self) -> Result<String, ReadError> {
        match self {
            Self::Whole(blob) => blob.sha256(),
            Self::Bpe { vocabulary, merges } => {
                let (vocabulary, merges) = (vocabulary.sha256()?, merges.sha256()?);
                Ok(sha256_of(&format!("{vocabulary}  vocab.json\n{merges}  merges.txt\n")))
            }
        }
    }
}

impl Adapter {
    /// A remark that names the hub commit that `name` resolved to.
    pub fn commit_note(&self, name: &str) -> Option<String> {
        let commit = self.revision.as_ref()?;
        Some(format!("adapter {name} resolved to commit {commit}"))
    }

    /// SHA-256 over both files. Independent of whether they come from a folder or an archive.
    pub fn sha256(&self) -> Result<String, ReadError> {
        let (config, weights) = (self.config.sha256()?, self.weights.sha256()?);
        let list = format!("{config}  adapter_config.json\n{weights}  adapter_model.safetensors\n");
        Ok(sha256_of(&list))
    }
}

const CHUNK_BYTES: usize = 1 << 20;
/// Files that are parsed as a whole have a few MB.
const MAX_READ_BYTES: u64 = 1 << 30;

/// A file, or bytes built into the program, with a name for error messages.
#[derive(Debug)]
pub struct Blob {
    name: String,
    /// Without its folder, wherever it lies.
    file_name: String,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    File { file: File, length: u64 },
    Held(Vec<u8>),
}

impl Blob {
    /// Opens a regular file; anything else is an error.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_as(path, &path.display().to_string())
    }

    /// Opens a regular file that errors call `name`: where the user sees it, if `path` is a cached
    /// copy.
    pub fn open_as(path: &Path, name: &str) -> io::Result<Self> {
        let file = input_file::open(path)?;
        let facts = file.metadata()?;
        if !facts.is_file() {
            // A pipe has no length.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self {
            name: name.to_owned(),
            file_name: file_name(path),
            bytes: Bytes::File { file, length: facts.len() },
        })
    }

    pub fn held(name: &str, bytes: Vec<u8>) -> Self {
        let file_name = file_name(Path::new(name));
        Self { name: name.to_owned(), file_name, bytes: Bytes::Held(bytes) }
    }

    /// What the file holds in place of its content, if it is not the content.
    pub fn placeholder(&self) -> Result<Option<Placeholder>, ReadError> {
        let length = usize::try_from(self.len()).unwrap_or(PREFIX_BYTES).min(PREFIX_BYTES);
        let mut prefix = vec![0; length];
        self.read_at(0, &mut prefix)
            .map_err(|source| ReadError::Open { file: self.name.clone(), source })?;
        Ok(Placeholder::of(&prefix))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    #[expect(clippy::len_without_is_empty, reason = "no caller needs it")]
    pub fn len(&self) -> u64 {
        match &self.bytes {
            Bytes::File { length, .. } => *length,
            Bytes::Held(bytes) => bytes.len() as u64,
        }
    }

    /// Fills `into` with the bytes from `offset` on.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        match &self.bytes {
            Bytes::File { file, .. } => file.read_exact_at(into, offset),
            Bytes::Held(bytes) => {
                let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
                let end = start.checked_add(into.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
                into.copy_from_slice(bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    /// All bytes of a config, an index or a tokenizer; weights are read in parts. A larger file is an error.
    pub fn read(&self) -> Result<Vec<u8>, ReadError> {
        let length = usize::try_from(self.len().min(MAX_READ_BYTES + 1)).ok();
        let length = length.filter(|length| *length as u64 <= MAX_READ_BYTES);
        let length = length.ok_or_else(|| io::ErrorKind::FileTooLarge.into());
        let read = |length| {
            let mut bytes = vec![0; length];
            self.read_at(0, &mut bytes).map(|()| bytes)
        };
        length.and_then(read).map_err(|source| ReadError::Open { file: self.name.clone(), source })
    }

    /// Reads from the start.
    pub fn reader(&self) -> BlobReader<'_> {
        BlobReader { blob: self, at: 0 }
    }

    /// All bytes as text, in whatever encoding they are.
    pub fn text(&self) -> Result<String, ReadError> {
        let bytes = self.read()?;
        let text = text::decode(&bytes).map(Into::into);
        text.map_err(|source| ReadError::Text { file: self.name.clone(), source })
    }

    /// SHA-256 of all bytes, in hexadecimal.
    pub fn sha256(&self) -> Result<String, ReadError> {
        self.hash().map_err(|source| ReadError::Open { file: self.name.clone(), source })
    }

    fn hash(&self) -> io::Result<String> {
        let mut hash = Sha256::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        while offset < self.len() {
            let taken =
                usize::try_from(self.len() - offset).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            self.read_at(offset, &mut chunk[..taken])?;
            hash.update(&chunk[..taken]);
            offset += taken as u64;
        }
        Ok(hex::encode(hash.finalize()))
    }
}

/// The bytes of a [`Blob`] for libraries that read streams.
#[derive(Debug)]
pub struct BlobReader<'a> {
    blob: &'a Blob,
    at: u64,
}

impl io::Read for BlobReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.blob.len().saturating_sub(self.at);
        let taken = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if taken > 0 {
            self.blob.read_at(self.at, &mut into[..taken])?;
        }
        self.at += taken as u64;
        Ok(taken)
    }
}

impl io::Seek for BlobReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.blob.len().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// SHA-256 of a text, in hexadecimal.
pub fn sha256_of(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_ends_with_the_bytes_and_seeks_within_them() {
        use io::{Read, Seek};
        let blob = Blob::held("abc", b"abcdef".to_vec());
        let (mut reader, mut text) = (blob.reader(), String::new());
        assert_eq!(reader.seek(SeekFrom::End(-4)).unwrap(), 2);
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "cdef");
        assert_eq!(reader.seek(SeekFrom::Current(-5)).unwrap(), 1);
        assert_eq!(reader.seek(SeekFrom::Start(9)).unwrap(), 9);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        assert!(reader.seek(SeekFrom::Current(-10)).is_err());
    }

    #[test]
    fn the_hash_of_held_bytes_is_that_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        let blob = Blob::held("abc", b"abc".to_vec());
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(blob.sha256().unwrap(), expected);
        assert_eq!(sha256_of("abc"), expected);
    }

    #[test]
    fn a_model_has_the_same_hash_wherever_its_files_are() {
        let config = |name: &str| Blob::held(name, b"{}".to_vec());
        let model = |config, generation| Model {
            config,
            generation,
            weights: Weights::Seeded(1),
            tokenizer: None,
            pieces: None,
            chat: ChatFiles::default(),
            revision: None,
            notes: Vec::new(),
        };
        let file = tempfile::Builder::new().suffix(".x").tempdir().unwrap();
        let path = file.path().join("config.json");
        std::fs::write(&path, "{}").unwrap();
        let opened = Blob::open_as(&path, "model.tar.gz:config.json").unwrap();
        assert_eq!(opened.name(), "model.tar.gz:config.json");
        let expected = model(config("a/config.json"), None).sha256().unwrap();
        assert_eq!(model(opened, None).sha256().unwrap(), expected);
        let generation = Some(config("generation_config.json"));
        assert_ne!(model(config("config.json"), generation).sha256().unwrap(), expected);
    }

    #[test]
    fn text_has_no_mark_and_what_is_not_text_is_named() {
        let text = |bytes: &[u8]| Blob::held("m/config.json", bytes.to_vec()).text();
        assert_eq!(text(b"\xEF\xBB\xBF{}").unwrap(), "{}");
        assert_eq!(text(b"\xFF\xFE{\0}\0").unwrap(), "{}");
        let error = text(b"version https://git-lfs.github.com/spec/v1\n").unwrap_err();
        assert!(error.to_string().starts_with("m/config.json is a Git LFS pointer"), "{error}");
    }

    #[test]
    fn reading_past_the_end_is_an_error() {
        let blob = Blob::held("abc", b"abc".to_vec());
        assert!(blob.read_at(2, &mut [0; 2]).is_err());
        assert!(blob.read_at(u64::MAX, &mut [0; 2]).is_err());
    }
}
