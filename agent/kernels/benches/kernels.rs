//! The products of flan-t5-small on two threads: weights once read and multiplied, by storage and
//! rows.
//!
//! `cargo bench -p kernels --bench kernels`. Items are multiplications with their additions.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use kernels::{Dispatch, Epilogue, Kernels, Layout, Rows, Storage, Weights};

const THREADS: usize = 2;
const STORAGES: [Storage; Storage::COUNT] = Storage::ALL;

fn main() {
    divan::main();
}

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|place| ((place * 7919 % 1013) as f32 - 506.0) / 506.0).collect()
}

fn product(bencher: Bencher, storage: Storage, rows: usize, (outputs, inputs): (usize, usize)) {
    let dispatch = Dispatch::best();
    let mut kernels = Kernels::new(dispatch, THREADS);
    let packed = values(outputs * inputs);
    let weights = Weights::pack(dispatch, storage, Layout::Plain, (outputs, inputs), &packed);
    let (mut x, mut result) = (Rows::new(inputs), Rows::new(outputs));
    x.resize(rows);
    for row in 0..rows {
        x.row_mut(row).copy_from_slice(&packed[row..row + inputs]);
    }
    bencher
        .counter(ItemsCount::new(rows * outputs * inputs))
        .counter(BytesCount::new(weights.bytes()))
        .bench_local(|| kernels.gemm(&weights, &x, Epilogue::Store, &mut result));
}

/// The encoder's widest product over one dialogue.
#[divan::bench(args = STORAGES)]
fn encoder_205_rows(bencher: Bencher, storage: Storage) {
    product(bencher, storage, 205, (2048, 512));
}

/// And over many.
#[divan::bench(args = STORAGES)]
fn encoder_1024_rows(bencher: Bencher, storage: Storage) {
    product(bencher, storage, 1024, (2048, 512));
}

/// And the narrow one after it.
#[divan::bench(args = STORAGES)]
fn encoder_wo_1024_rows(bencher: Bencher, storage: Storage) {
    product(bencher, storage, 1024, (512, 1024));
}

/// The head, which is larger than the caches, for one row.
#[divan::bench(args = STORAGES)]
fn head_1_row(bencher: Bencher, storage: Storage) {
    product(bencher, storage, 1, (32128, 512));
}

/// And for sixteen.
#[divan::bench(args = STORAGES)]
fn head_16_rows(bencher: Bencher, storage: Storage) {
    product(bencher, storage, 16, (32128, 512));
}

/// A product that fits into the caches: what a section costs.
#[divan::bench(args = STORAGES)]
fn small_1_row(bencher: Bencher, storage: Storage) {
    product(bencher, storage, 1, (384, 512));
}
