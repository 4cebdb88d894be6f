#!/usr/bin/env bash
# Compiles the agent with feature `cuda` for Turing (sm_75), without needing a GPU.
#
# usage: tools/check_cuda.sh [CARGO COMMAND...]     default: check --release -p agent --features cuda
# Installs nvcc from PyPI into target/nvcc (about 150 MB) unless CUDA_HOME is set. Version 13.0, because
# candle-kernels 0.11.1 doesn't compile for Turing with 13.2, and cudarc 0.19 doesn't support 13.5.
# Compiling the kernels once takes about 9 minutes on one core.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${CUDA_HOME:-}" ]; then
    nvcc=$PWD/target/nvcc
    if [ ! -e "$nvcc/ready" ]; then
        python3 -m venv "$nvcc"
        "$nvcc/bin/pip" install --quiet --no-deps nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 \
            nvidia-nvvm==13.0.88 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
        touch "$nvcc/ready"
    fi
    CUDA_HOME=$(echo "$nvcc"/lib/python3*/site-packages/nvidia/cu13)
fi
export CUDA_HOME PATH="$CUDA_HOME/bin:$PATH"
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-75}
export CUDAFORGE_THREADS=${CUDAFORGE_THREADS:-$(nproc)}
# A separate folder, because the feature would make other builds recompile candle.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target/cuda}

if [ $# -eq 0 ]; then
    set -- check --release -p agent --features cuda
fi
cargo "$@"
