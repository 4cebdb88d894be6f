//! All cases of BART and PEGASUS on a GPU, which take the software GPU long: `cargo xtask ignored
//! gpu_complete`. `families_on_a_gpu` has the shortest ones.

use super::families::{MODELS, Seq2Seq, committed};
use super::families_on_a_gpu::assert_exact;
use super::generated::Fixture;

#[test]
#[ignore = "needs a CUDA driver, and minutes on the software GPU"]
fn every_case_gives_the_tokens_of_pytorch() {
    for model in MODELS {
        assert_exact(&committed(model), usize::MAX);
    }
}

#[test]
#[ignore = "needs a CUDA driver, FLEETMARK_TEST_LM, and long on the software GPU"]
fn every_case_of_a_larger_bart_gives_the_tokens_of_pytorch() {
    assert_exact(&Fixture::<Seq2Seq>::given("bart"), usize::MAX);
}
