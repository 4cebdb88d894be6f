// Attention of one query over a run of keys, one block for each row and head.
//
// Serves encoders (queries of packed prompts), the decoder's own cache, and its encoded prompts. A row's
// keys start at `first[row]`; their number and the query's position come from `count` and `position`.
// The order of all sums depends on the number of keys alone.
#include "weights.cuh"

constexpr int WARPS = 4;
// Elements of a head per lane: heads are at most 128 wide.
constexpr int PER_LANE = 4;

template <typename C>
__device__ __forceinline__ void attend(const float* queries, int query_stride, const C* keys,
                                       const C* values, int key_stride, const int* first,
                                       const int* count, int more, const int* position,
                                       const float* bias, int offsets, int zero, int width,
                                       float* to, int to_stride) {
    // The scores, then each warp's share of the result.
    extern __shared__ float scores[];
    const int row = blockIdx.x;
    const int head = blockIdx.y;
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    const int keys_here = count[row] + more;
    const size_t start = static_cast<size_t>(first[row]) * key_stride + head * width;
    float query[PER_LANE];
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        const int d = lane + 32 * i;
        query[i] = d < width ? queries[static_cast<size_t>(row) * query_stride + head * width + d]
                             : 0.0f;
    }
    const float* biases = nullptr;
    if (bias != nullptr) biases = bias + head * offsets + (zero - position[row]);
    for (int key = warp; key < keys_here; key += WARPS) {
        const C* from = keys + start + static_cast<size_t>(key) * key_stride;
        float sum = 0.0f;
#pragma unroll
        for (int i = 0; i < PER_LANE; i++) {
            const int d = lane + 32 * i;
            if (d < width) sum = fmaf(query[i], value(from + d), sum);
        }
        sum = warp_sum(sum);
        if (lane == 0) {
            if (biases != nullptr) sum += biases[key];
            scores[key] = sum;
        }
    }
    __syncthreads();
    float most = __int_as_float(0xff800000);
    for (int key = lane; key < keys_here; key += 32) most = fmaxf(most, scores[key]);
    most = warp_max(most);
    __syncthreads();
    for (int key = threadIdx.x; key < keys_here; key += 32 * WARPS) {
        scores[key] = expf(scores[key] - most);
    }
    __syncthreads();
    float total = 0.0f;
    for (int key = lane; key < keys_here; key += 32) total += scores[key];
    total = warp_sum(total);
    float sums[PER_LANE] = {};
    for (int key = warp; key < keys_here; key += WARPS) {
        const C* from = values + start + static_cast<size_t>(key) * key_stride;
        const float weight = scores[key];
#pragma unroll
        for (int i = 0; i < PER_LANE; i++) {
            const int d = lane + 32 * i;
            if (d < width) sums[i] = fmaf(weight, value(from + d), sums[i]);
        }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        const int d = lane + 32 * i;
        if (d < width) scores[warp * width + d] = sums[i];
    }
    __syncthreads();
    for (int d = threadIdx.x; d < width; d += 32 * WARPS) {
        float sum = scores[d];
#pragma unroll
        for (int other = 1; other < WARPS; other++) sum += scores[other * width + d];
        to[static_cast<size_t>(row) * to_stride + head * width + d] = sum / total;
    }
}

#define ATTEND(NAME, C)                                                                             \
    extern "C" __global__ void __launch_bounds__(32 * WARPS)                                        \
        NAME(const float* queries, int query_stride, const C* keys, const C* values,                \
             int key_stride, const int* first, const int* count, int more, const int* position,     \
             const float* bias, int offsets, int zero, int width, float* to, int to_stride) {       \
        attend<C>(queries, query_stride, keys, values, key_stride, first, count, more, position,    \
                  bias, offsets, zero, width, to, to_stride);                                       \
    }

ATTEND(attend_f32, float)
ATTEND(attend_f16, __half)
