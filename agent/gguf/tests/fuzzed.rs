//! Any bytes as a GGUF file: refused or read, never a panic, and no more memory than the file's
//! size asks for.

use engine::files::Blob;
use gguf::{File, Model};
use kernels::{BlockMatrix, Dispatch, InstructionSet, Layout, Weights};

/// Packing panics if quants and coefficients aren't those of whole blocks.
fn assert_packs(matrix: BlockMatrix, name: &str, values: usize) {
    assert_eq!(matrix.quants.len(), values, "{name}");
    let dispatch = Dispatch::with(InstructionSet::Portable).expect("every machine is portable");
    let weights = Weights::pack_blocks(dispatch, Layout::Plain, vec![matrix]);
    let weights = weights.expect("one matrix has one form");
    assert_eq!(weights.outputs() * weights.inputs(), values, "{name}");
}

pub fn check(bytes: &[u8]) {
    let file = match File::open(Blob::held("model.gguf", bytes.to_vec())) {
        Ok(file) => file,
        Err(error) => return assert!(error.to_string().contains("model.gguf"), "{error}"),
    };
    for (name, tensor) in file.tensors() {
        let values = file.values(tensor).expect("a tensor that was checked can be read");
        assert_eq!(values.len(), tensor.rows() * tensor.columns(), "{name}");
        if let Some(matrix) = file.blocks(tensor).expect("and so can its blocks") {
            assert_packs(matrix, name, values.len());
        }
    }
    let Ok(model) = Model::new(file) else { return };
    for (name, shape) in model.tensors() {
        let values = model.values(name).expect("a tensor of the model").expect("it can be read");
        assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
        if let Some(matrix) = model.blocks(name).expect("its blocks can be read") {
            assert_packs(matrix, name, values.len());
        }
    }
    let texts = [
        model.tokenizer().map(Option::unwrap_or_default),
        model.generation(),
        model.tokenizer_config(),
    ];
    for text in texts {
        match text {
            Ok(json) => assert!(!json.to_string().is_empty()),
            Err(error) => assert!(error.to_string().contains("model.gguf"), "{error}"),
        }
    }
}

#[test]
fn kept_files_are_checked() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/gguf");
    let inputs: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!inputs.is_empty());
    for path in inputs {
        check(&std::fs::read(path).unwrap());
    }
}
