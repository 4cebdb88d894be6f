#!/usr/bin/env bash
# Compiles the agent with its feature `cuda`, for Turing (sm_75) and without a GPU.
#
# usage: tools/check_cuda.sh [CARGO COMMAND...]     default: check --release -p agent --features cuda
# nvcc comes from PyPI into target/nvcc (about 150 MB) unless CUDA_HOME names another; 13.0, since candle-kernels 0.11.1
# doesn't compile for Turing with 13.2, and cudarc 0.19 knows no 13.5. Kernels take about 9 minutes of one core, once.
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
# A folder of its own: the feature would have every other build compile candle again.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target/cuda}

if [ $# -eq 0 ]; then
    set -- check --release -p agent --features cuda
fi
cargo "$@"
