// The norm of a row by one warp. All lanes add in one order.
#pragma once
#include "weights.cuh"

// `(x - mean) * scale` is the row before gain and bias.
struct Moments {
    float mean;
    float scale;
};

// Of a layer norm, or of an RMS norm, which has no mean.
__device__ __forceinline__ Moments moments(const float* x, int width, bool has_mean, float epsilon,
                                           int lane) {
    Moments found = {0.0f, 0.0f};
    if (has_mean) {
        float sum = 0.0f;
#pragma unroll 4
        for (int k = lane; k < width; k += 32) sum += x[k];
        found.mean = warp_sum(sum) / static_cast<float>(width);
    }
    float sum = 0.0f;
#pragma unroll 4
    for (int k = lane; k < width; k += 32) {
        const float apart = x[k] - found.mean;
        sum = fmaf(apart, apart, sum);
    }
    found.scale = 1.0f / sqrtf(warp_sum(sum) / static_cast<float>(width) + epsilon);
    return found;
}
