//! Tensors in, packed weights out: in the storage of a dtype, or as the file has them.

use checkpoint::{Error, Tensors};
use kernels::{Dispatch, Layout, Storage, Weights};

/// In what the weights of a product are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredAs {
    Storage(Storage),
    /// As in the file: blocks as blocks, f16 and bf16 as they are, all else as f32.
    File,
}

impl StoredAs {
    /// Packs tensors, one below the other, for one product.
    pub fn pack(
        self,
        tensors: &Tensors,
        dispatch: &'static Dispatch,
        layout: Layout,
        names: &[String],
    ) -> Result<Weights, Error> {
        let storage = match self {
            Self::Storage(storage) => storage,
            Self::File => match pack_blocks(tensors, dispatch, layout, names)? {
                Some(weights) => return Ok(weights),
                None => exact_storage(tensors, names),
            },
        };
        let inputs = tensors.inputs(&names[0]);
        if storage.is_blocks() {
            let outputs = names.iter().map(|name| tensors.outputs(name)).sum();
            return Weights::pack_parts(dispatch, storage, layout, (outputs, inputs), |take| {
                names.iter().try_for_each(|name| tensors.read_rows(name, take))
            });
        }
        let values = tensors.stacked(names)?;
        let shape = (values.len() / inputs, inputs);
        Ok(Weights::pack(dispatch, storage, layout, shape, &values))
    }
}

/// Packs the blocks of tensors as the file has them. `None` if not all are blocks, or if no packed
/// form holds them all.
pub fn pack_blocks(
    tensors: &Tensors,
    dispatch: &'static Dispatch,
    layout: Layout,
    names: &[String],
) -> Result<Option<Weights>, Error> {
    let mut matrices = Vec::new();
    for name in names {
        match tensors.blocks(name)? {
            Some(matrix) => matrices.push(matrix),
            None => return Ok(None),
        }
    }
    Ok(Weights::pack_blocks(dispatch, layout, matrices))
}

/// The storage that keeps every value of all these tensors.
fn exact_storage(tensors: &Tensors, names: &[String]) -> Storage {
    let mut storages = names.iter().map(|name| tensors.exact_storage(name));
    let first = storages.next().unwrap_or(Storage::F32);
    if storages.all(|storage| storage == first) { first } else { Storage::F32 }
}
