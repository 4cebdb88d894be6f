//! Any bytes as an adapter's model.tar.gz. They are packed where the first says so: a gzip checksum
//! is hard to guess.

use std::fs::File;
use std::io::Write;

pub(crate) fn check(bytes: &[u8]) {
    let Some((&kind, content)) = bytes.split_first() else { return };
    // In memory, of this process alone.
    let path = format!("/dev/shm/fleetmark-adapter-{}.tar.gz", std::process::id());
    let mut file = File::create(&path).expect("there is memory");
    if kind % 2 == 0 {
        file.write_all(content).expect("there is memory");
    } else {
        let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        packed.write_all(content).expect("there is memory");
        packed.finish().expect("there is memory");
    }
    let found = agent::model_source::find_adapter(&path);
    drop(std::fs::remove_file(path));
    match found {
        Err(error) => assert!(!error.to_string().is_empty(), "an error has words"),
        Ok(adapter) => assert!(adapter.sha256().is_ok(), "what was read into memory has a hash"),
    }
}
