// The functions of feed-forward layers, by the numbers of `gpu::Activation`.
#pragma once

// NewGELU, with tanh(u) = 1 - 2 / (exp(2u) + 1): exact at both ends, where exp is 0 or infinite.
__device__ __forceinline__ float gelu_tanh(float x) {
    const float u = 0.7978845608028654f * (x + 0.044715f * x * x * x);
    const float tanh = 1.0f - 2.0f / (expf(2.0f * u) + 1.0f);
    return 0.5f * x * (1.0f + tanh);
}

__device__ __forceinline__ float activate(int activation, float x) {
    if (activation == 1) return fmaxf(x, 0.0f);
    if (activation == 2) return 0.5f * x * (1.0f + erff(x * 0.7071067811865476f));
    if (activation == 3) return gelu_tanh(x);
    return x;
}
