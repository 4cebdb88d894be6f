// Products of a decoder step: a few rows of f32 by weights of any dtype, with what precedes and follows.
//
// Every block first writes its rows to shared memory, through a norm if there is a gain. Then each
// warp computes one output of all these rows. A lane adds every 32nd vector of the inputs in order, and
// the lanes' sums are added in a tree: an order that neither the number of rows nor the block affects.
#include "activation.cuh"
#include "norm.cuh"
#include "weights.cuh"

constexpr int WARPS = 8;

// How rows become inputs.
struct Input {
    // Of the norm, `[inputs]`. No norm without a gain, an RMS norm without a bias.
    const float* gain;
    const float* bias;
    float epsilon;
    // Of the rows after the norm.
    float factor;
    // Where the rows are kept after that, `[rows, inputs]`, or null.
    float* kept;
};

// What happens to an output.
enum Epilogue { STORE = 0, ADD = 1, SPLIT = 2, GATE = 3 };

struct Output {
    int kind;
    int activation;
    // `[rows, stride]`.
    float* to;
    // ADD: what the product is added to, `[rows, stride]`.
    const float* residual;
    int stride;
    // SPLIT: outputs from this one on go to the cache, at `first[row] + position[row]`, as rows of
    // `cache_stride`.
    int columns;
    void* cache;
    int cache_stride;
    int cache_is_half;
    const int* first;
    const int* position;
};

template <typename W, int ROWS>
__device__ __forceinline__ void dots(const W* weights, const float* x, int padded, int lane,
                                     float (&sums)[ROWS]) {
    constexpr int SIZE = Vector<W>::SIZE;
#pragma unroll
    for (int row = 0; row < ROWS; row++) sums[row] = 0.0f;
#pragma unroll(SIZE > 8 ? 1 : 2)
    for (int k = lane * SIZE; k < padded; k += 32 * SIZE) {
        float w[SIZE];
        Vector<W>::load(weights + k, w);
#pragma unroll
        for (int row = 0; row < ROWS; row++) {
#pragma unroll
            for (int i = 0; i < SIZE; i += 4) {
                const float4 a = *reinterpret_cast<const float4*>(x + row * padded + k + i);
                sums[row] = fmaf(w[i], a.x, sums[row]);
                sums[row] = fmaf(w[i + 1], a.y, sums[row]);
                sums[row] = fmaf(w[i + 2], a.z, sums[row]);
                sums[row] = fmaf(w[i + 3], a.w, sums[row]);
            }
        }
    }
#pragma unroll
    for (int row = 0; row < ROWS; row++) sums[row] = warp_sum(sums[row]);
}

// `x`: `[rows, inputs]`; `scales` and `bias`: of the weights' rows, or null.
template <typename W, int ROWS>
__device__ __forceinline__ void product(const float* x, int rows, int inputs, int padded,
                                        const Input& input, const W* weights,
                                        const float* scales, const float* bias, int outputs,
                                        const Output& output) {
    extern __shared__ float4 staged4[];
    float* staged = reinterpret_cast<float*>(staged4);
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    const int first_row = blockIdx.y * ROWS;
#pragma unroll 1
    for (int row = warp; row < ROWS; row += WARPS) {
        const bool is_there = first_row + row < rows;
        const float* from = x + static_cast<size_t>(first_row + row) * inputs;
        Moments norm = {0.0f, 1.0f};
        if (input.gain != nullptr && is_there) {
            norm = moments(from, inputs, input.bias != nullptr, input.epsilon, lane);
        }
#pragma unroll 1
        for (int k = lane; k < padded; k += 32) {
            float value = 0.0f;
            if (is_there && k < inputs) {
                value = (from[k] - norm.mean) * norm.scale;
                if (input.gain != nullptr) value *= input.gain[k];
                if (input.bias != nullptr) value += input.bias[k];
                value *= input.factor;
                if (input.kept != nullptr && blockIdx.x == 0) {
                    input.kept[static_cast<size_t>(first_row + row) * inputs + k] = value;
                }
            }
            staged[row * padded + k] = value;
        }
    }
    __syncthreads();
    const int n = blockIdx.x * WARPS + warp;
    if (n >= outputs) return;
    float sums[ROWS];
    dots<W, ROWS>(weights + static_cast<size_t>(n) * padded, staged, padded, lane, sums);
    float others[ROWS] = {};
    if (output.kind == GATE) {
        const size_t other = static_cast<size_t>(n) + outputs;
        dots<W, ROWS>(weights + other * padded, staged, padded, lane, others);
    }
    // Every lane has all sums: lane r writes that of row r.
    const int r = first_row + lane;
    if (lane >= ROWS || r >= rows) return;
    float sum = sums[0];
    float other = others[0];
#pragma unroll
    for (int row = 1; row < ROWS; row++) {
        sum = lane == row ? sums[row] : sum;
        other = lane == row ? others[row] : other;
    }
    if (scales != nullptr) sum *= scales[n];
    if (bias != nullptr) sum += bias[n];
    if (output.kind == SPLIT && n >= output.columns) {
        const size_t token = output.first[r] + output.position[r];
        const size_t place = token * output.cache_stride + (n - output.columns);
        if (output.cache_is_half) {
            store(static_cast<__half*>(output.cache) + place, sum);
        } else {
            store(static_cast<float*>(output.cache) + place, sum);
        }
        return;
    }
    const size_t place = static_cast<size_t>(r) * output.stride + n;
    float* to = output.to + place;
    if (output.kind == ADD) {
        *to = output.residual[place] + sum;
        return;
    }
    float result = activate(output.activation, sum);
    if (output.kind == GATE) {
        if (scales != nullptr) other *= scales[n + outputs];
        if (bias != nullptr) other += bias[n + outputs];
        result *= other;
    }
    *to = result;
}

#define PRODUCT(NAME, W, ROWS)                                                                        \
    extern "C" __global__ void __launch_bounds__(32 * WARPS) NAME(                                   \
        const float* x, int rows, int inputs, int padded, Input input, const W* weights,             \
        const float* scales, const float* bias, int outputs, Output output) {                        \
        product<W, ROWS>(x, rows, inputs, padded, input, weights, scales, bias, outputs, output);    \
    }

PRODUCT(product_f32_1, float, 1)
PRODUCT(product_f32_4, float, 4)
PRODUCT(product_f32_8, float, 8)
PRODUCT(product_f16_1, __half, 1)
PRODUCT(product_f16_4, __half, 4)
PRODUCT(product_f16_8, __half, 8)
PRODUCT(product_bf16_1, Bf16, 1)
PRODUCT(product_bf16_4, Bf16, 4)
PRODUCT(product_bf16_8, Bf16, 8)
PRODUCT(product_int8_1, signed char, 1)
PRODUCT(product_int8_4, signed char, 4)
PRODUCT(product_int8_8, signed char, 8)
