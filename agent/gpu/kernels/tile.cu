// Products of many rows, for encoders: tiles of 64 rows by 64 outputs, summed over the inputs in order.
#include "weights.cuh"

constexpr int TILE = 64;
constexpr int DEPTH = 16;
// Rows of shared memory start in different banks.
constexpr int STRIDE = TILE + 4;

// Where a row of the result goes: to the same row, or to the place that `places` names.
struct Target {
    int adds;
    int is_half;
    void* to;
    const int* places;

    __device__ __forceinline__ void put(int row, int outputs, int n, float sum) const {
        const size_t at = static_cast<size_t>(places != nullptr ? places[row] : row) * outputs + n;
        if (is_half) {
            store(static_cast<__half*>(to) + at, sum);
        } else {
            float* place = static_cast<float*>(to) + at;
            *place = adds ? *place + sum : sum;
        }
    }
};

// `to = x W^T + bias`, or `to += x W^T + bias`. `x`: `[rows, inputs]`, `to`: `[rows, outputs]`, f32 or
// f16; `scales` and `bias`: of the weights' rows, or null.
template <typename W>
__device__ __forceinline__ void tile(const float* x, int rows, int inputs, int padded,
                                     const W* weights, const float* scales, const float* bias,
                                     int outputs, const Target& target) {
    __shared__ float4 shared_a[DEPTH * STRIDE / 4];
    __shared__ float4 shared_b[DEPTH * STRIDE / 4];
    float* a = reinterpret_cast<float*>(shared_a);
    float* b = reinterpret_cast<float*>(shared_b);
    const int first_row = blockIdx.y * TILE;
    const int first_output = blockIdx.x * TILE;
    const int loaded = threadIdx.x / 4;
    const int deep = threadIdx.x % 4 * 4;
    const int column = threadIdx.x % 16 * 4;
    const int row = threadIdx.x / 16 * 4;
    float sums[4][4] = {};
    for (int k = 0; k < padded; k += DEPTH) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int at = k + deep + i;
            const int r = first_row + loaded;
            const int n = first_output + loaded;
            const bool in_x = r < rows && at < inputs;
            a[(deep + i) * STRIDE + loaded] = in_x ? x[static_cast<size_t>(r) * inputs + at] : 0.0f;
            const bool in_w = n < outputs && at < padded;
            b[(deep + i) * STRIDE + loaded] =
                in_w ? value(weights + static_cast<size_t>(n) * padded + at) : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < DEPTH; i++) {
            const float4 p = *reinterpret_cast<const float4*>(a + i * STRIDE + row);
            const float4 q = *reinterpret_cast<const float4*>(b + i * STRIDE + column);
            const float from_a[4] = {p.x, p.y, p.z, p.w};
            const float from_b[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
            for (int r = 0; r < 4; r++) {
#pragma unroll
                for (int n = 0; n < 4; n++) sums[r][n] = fmaf(from_a[r], from_b[n], sums[r][n]);
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int r = first_row + row + i;
        if (r >= rows) break;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int n = first_output + column + j;
            if (n >= outputs) break;
            float sum = sums[i][j];
            if (scales != nullptr) sum *= scales[n];
            if (bias != nullptr) sum += bias[n];
            target.put(r, outputs, n, sum);
        }
    }
}

#define TILE_PRODUCT(NAME, W)                                                                       \
    extern "C" __global__ void __launch_bounds__(256)                                               \
        NAME(const float* x, int rows, int inputs, int padded, const W* weights,                    \
             const float* scales, const float* bias, int outputs, Target target) {                  \
        tile<W>(x, rows, inputs, padded, weights, scales, bias, outputs, target);                   \
    }

TILE_PRODUCT(tile_f32, float)
TILE_PRODUCT(tile_f16, __half)
TILE_PRODUCT(tile_bf16, Bf16)
TILE_PRODUCT(tile_int8, signed char)

constexpr int MMA_DEPTH = 32;
// In halves; a multiple of 8 keeps 16-byte vectors aligned, and 4 words per row spread the banks.
constexpr int MMA_STRIDE = MMA_DEPTH + 8;

__device__ __forceinline__ unsigned word(const __half* from) {
    return *reinterpret_cast<const unsigned*>(from);
}

// The same with f16 inputs and f32 sums on tensor cores. Four warps, each with 32 rows and outputs.
extern "C" __global__ void __launch_bounds__(128)
    tile_mma(const float* x, int rows, int inputs, int padded, const __half* weights,
             const float* scales, const float* bias, int outputs, Target target) {
    __shared__ uint4 shared_a[TILE * MMA_STRIDE / 8];
    __shared__ uint4 shared_b[TILE * MMA_STRIDE / 8];
    __half* a = reinterpret_cast<__half*>(shared_a);
    __half* b = reinterpret_cast<__half*>(shared_b);
    const int first_row = blockIdx.y * TILE;
    const int first_output = blockIdx.x * TILE;
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    const int group = lane / 4;
    const int pair = lane % 4 * 2;
    const int warp_row = warp / 2 * 32;
    const int warp_output = warp % 2 * 32;
    const int loaded = threadIdx.x / 2;
    const int deep = threadIdx.x % 2 * 16;
    float sums[2][4][4] = {};
    for (int k = 0; k < padded; k += MMA_DEPTH) {
        const int r = first_row + loaded;
        const int n = first_output + loaded;
#pragma unroll
        for (int i = 0; i < 16; i++) {
            const int at = k + deep + i;
            const bool is_in = r < rows && at < inputs;
            const float from = is_in ? x[static_cast<size_t>(r) * inputs + at] : 0.0f;
            a[loaded * MMA_STRIDE + deep + i] = __float2half_rn(from);
        }
        // Rows of weights are padded to whole vectors.
#pragma unroll
        for (int i = 0; i < 16; i += 8) {
            const int at = k + deep + i;
            uint4 bits = make_uint4(0, 0, 0, 0);
            if (n < outputs && at < padded) {
                const __half* from = weights + static_cast<size_t>(n) * padded + at;
                bits = __ldg(reinterpret_cast<const uint4*>(from));
            }
            *reinterpret_cast<uint4*>(b + loaded * MMA_STRIDE + deep + i) = bits;
        }
        __syncthreads();
#pragma unroll
        for (int step = 0; step < MMA_DEPTH; step += 8) {
            unsigned of_b[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                of_b[j] = word(b + (warp_output + j * 8 + group) * MMA_STRIDE + step + pair);
            }
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const int top = warp_row + i * 16 + group;
                const unsigned upper = word(a + top * MMA_STRIDE + step + pair);
                const unsigned lower = word(a + (top + 8) * MMA_STRIDE + step + pair);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    float(&c)[4] = sums[i][j];
                    asm volatile(
                        "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
                        "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                        : "r"(upper), "r"(lower), "r"(of_b[j]));
                }
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
#pragma unroll
            for (int c = 0; c < 4; c++) {
                const int r = first_row + warp_row + i * 16 + group + c / 2 * 8;
                const int n = first_output + warp_output + j * 8 + pair + c % 2;
                if (r < rows && n < outputs) {
                    float sum = sums[i][j][c];
                    if (scales != nullptr) sum *= scales[n];
                    if (bias != nullptr) sum += bias[n];
                    target.put(r, outputs, n, sum);
                }
            }
        }
    }
}
