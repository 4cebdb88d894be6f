// Row by row: embeddings, norms, gates, the next token, and copies within caches.
#include "activation.cuh"
#include "norm.cuh"
#include "weights.cuh"

// `to`: `[rows, width]`; `embedding`: rows of `stride`, times `scale`; `table`: a row of `width` for
// each position, which is added, or null. One block for each row.
template <typename E>
__device__ __forceinline__ void embed(const int* tokens, const E* embedding, int width, int stride,
                                      float scale, const float* table, const int* position,
                                      float* to) {
    const E* from = embedding + static_cast<size_t>(tokens[blockIdx.x]) * stride;
    const float* added = nullptr;
    if (table != nullptr) added = table + static_cast<size_t>(position[blockIdx.x]) * width;
    for (int k = threadIdx.x; k < width; k += blockDim.x) {
        float sum = value(from + k) * scale;
        if (added != nullptr) sum += added[k];
        to[static_cast<size_t>(blockIdx.x) * width + k] = sum;
    }
}

#define EMBED(NAME, E)                                                                              \
    extern "C" __global__ void NAME(const int* tokens, const E* embedding, int width, int stride,   \
                                    float scale, const float* table, const int* position,           \
                                    float* to) {                                                    \
        embed(tokens, embedding, width, stride, scale, table, position, to);                        \
    }

EMBED(embed_f32, float)
EMBED(embed_f16, __half)
EMBED(embed_bf16, Bf16)

// The norm of `[rows, width]`: an RMS norm without a bias. One warp for each row.
extern "C" __global__ void norm_rows(const float* x, int rows, int width, const float* gain,
                                     const float* bias, float epsilon, float* to) {
    const int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    if (row >= rows) return;
    const float* from = x + static_cast<size_t>(row) * width;
    const Moments norm = moments(from, width, bias != nullptr, epsilon, lane);
    for (int k = lane; k < width; k += 32) {
        float value = (from[k] - norm.mean) * norm.scale * gain[k];
        if (bias != nullptr) value += bias[k];
        to[static_cast<size_t>(row) * width + k] = value;
    }
}

// `to[row, n] = act(x[row, n]) * x[row, width + n]`, or without the factor if `is_gated` is 0.
extern "C" __global__ void gate(const float* x, int width, int is_gated, int activation, float* to) {
    const size_t row = blockIdx.x;
    const float* from = x + row * (is_gated ? 2 * width : width);
    for (int n = threadIdx.x; n < width; n += blockDim.x) {
        float value = activate(activation, from[n]);
        if (is_gated) value *= from[width + n];
        to[row * width + n] = value;
    }
}

// Whether a logit precedes another: NaN first, then the higher one, then the lower id.
__device__ __forceinline__ bool precedes(float logit, int id, float other, int other_id) {
    const bool is_nan = logit != logit;
    const bool other_is_nan = other != other;
    if (is_nan || other_is_nan) return is_nan && (!other_is_nan || id < other_id);
    return logit > other || (logit == other && id < other_id);
}

// The next token of each row and its logit. Advances the row's position, if there is one. One block of
// 256 threads for each row.
extern "C" __global__ void __launch_bounds__(256)
    choose(const float* logits, int vocabulary, int* tokens, float* best, int* position) {
    __shared__ float shared_logits[8];
    __shared__ int shared_ids[8];
    const size_t row = blockIdx.x;
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    float logit = __int_as_float(0xff800000);
    int id = 0x7fffffff;
    for (int k = threadIdx.x; k < vocabulary; k += 256) {
        const float found = logits[row * vocabulary + k];
        if (precedes(found, k, logit, id)) {
            logit = found;
            id = k;
        }
    }
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, logit, offset);
        const int other_id = __shfl_xor_sync(0xffffffffu, id, offset);
        if (precedes(other, other_id, logit, id)) {
            logit = other;
            id = other_id;
        }
    }
    if (lane == 0) {
        shared_logits[warp] = logit;
        shared_ids[warp] = id;
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int other = 1; other < 8; other++) {
        if (precedes(shared_logits[other], shared_ids[other], logit, id)) {
            logit = shared_logits[other];
            id = shared_ids[other];
        }
    }
    tokens[row] = id;
    best[row] = logit;
    if (position != nullptr) position[row] += 1;
}

// Copies 4-byte words of cache rows: `count[i]` rows of `words` from row `from[i]` to row `to[i]`. One
// block for each copy and layer; layers are `layer_words` apart.
extern "C" __global__ void fork(unsigned* cache, size_t layer_words, int words, const int* from,
                                const int* to, const int* count) {
    unsigned* layer = cache + blockIdx.y * layer_words;
    const unsigned* source = layer + static_cast<size_t>(from[blockIdx.x]) * words;
    unsigned* target = layer + static_cast<size_t>(to[blockIdx.x]) * words;
    const int all = count[blockIdx.x] * words;
    for (int k = threadIdx.x; k < all; k += blockDim.x) target[k] = source[k];
}
