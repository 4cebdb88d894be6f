// Right kernels of the software GPU's own tests, one for each family of instructions.
#include <cuda_fp16.h>

extern "C" __global__ void vector_add(const float* __restrict__ a, const float* __restrict__ b, float* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = a[i] + b[i];
}

// Sum of each row: warps by shuffles, the block through shared memory.
extern "C" __global__ void row_sums(const float* __restrict__ in, float* out, int columns) {
    __shared__ float partial[32];
    const float* row = in + (size_t)blockIdx.x * columns;
    float sum = 0.0f;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += row[i];
    for (int step = 16; step > 0; step >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if ((threadIdx.x & 31) == 0) partial[threadIdx.x >> 5] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        float value = threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : 0.0f;
        for (int step = 16; step > 0; step >>= 1) value += __shfl_xor_sync(0xffffffffu, value, step);
        if (threadIdx.x == 0) out[blockIdx.x] = value;
    }
}

// out[16, 8] = a[16, k] * b[8, k]^T in f16 with f32 sums; one warp; k is a multiple of 8.
extern "C" __global__ void mma_product(const half* __restrict__ a, const half* __restrict__ b, float* out, int k) {
    int lane = threadIdx.x, group = lane >> 2, member = lane & 3;
    float c[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int start = 0; start < k; start += 8) {
        unsigned a0 = *(const unsigned*)(a + group * k + start + member * 2);
        unsigned a1 = *(const unsigned*)(a + (group + 8) * k + start + member * 2);
        unsigned b0 = *(const unsigned*)(b + group * k + start + member * 2);
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a0), "r"(a1), "r"(b0));
    }
    float2* upper = (float2*)(out + group * 8 + member * 2);
    float2* lower = (float2*)(out + (group + 8) * 8 + member * 2);
    *upper = make_float2(c[0], c[1]);
    *lower = make_float2(c[2], c[3]);
}

// Softmax of each row in f16; one warp a row.
extern "C" __global__ void softmax_rows(const half* __restrict__ in, half* out, int columns) {
    const half* row = in + (size_t)blockIdx.x * columns;
    float most = -INFINITY;
    for (int i = threadIdx.x; i < columns; i += 32) most = fmaxf(most, __half2float(row[i]));
    for (int step = 16; step > 0; step >>= 1) most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, step));
    float sum = 0.0f;
    for (int i = threadIdx.x; i < columns; i += 32) sum += __expf(__half2float(row[i]) - most);
    for (int step = 16; step > 0; step >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    for (int i = threadIdx.x; i < columns; i += 32)
        out[(size_t)blockIdx.x * columns + i] = __float2half_rn(__expf(__half2float(row[i]) - most) / sum);
}

// RMS norm of x[k] and y[row] = w[row, k] * norm(x), w in f16; a warp a row; 16-byte loads; k is a multiple of 256.
extern "C" __global__ void norm_matvec(const float* __restrict__ x, const half* __restrict__ w, float* y, int k, int rows) {
    extern __shared__ float normed[];
    __shared__ float partial[8];
    float sum = 0.0f;
    for (int i = threadIdx.x; i < k; i += blockDim.x) sum = fmaf(x[i], x[i], sum);
    for (int step = 16; step > 0; step >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if ((threadIdx.x & 31) == 0) partial[threadIdx.x >> 5] = sum;
    __syncthreads();
    float total = 0.0f;
    for (int i = 0; i < blockDim.x / 32; i++) total += partial[i];
    float scale = rsqrtf(total / k + 1e-6f);
    for (int i = threadIdx.x; i < k; i += blockDim.x) normed[i] = x[i] * scale;
    __syncthreads();
    int row = blockIdx.x * (blockDim.x / 32) + (threadIdx.x >> 5);
    if (row >= rows) return;
    float acc = 0.0f;
    for (int i = (threadIdx.x & 31) * 8; i < k; i += 256) {
        uint4 raw = *(const uint4*)(w + (size_t)row * k + i);
        const half2* h = (const half2*)&raw;
        for (int j = 0; j < 4; j++) {
            float2 f = __half22float2(h[j]);
            acc = fmaf(f.x, normed[i + 2 * j], acc);
            acc = fmaf(f.y, normed[i + 2 * j + 1], acc);
        }
    }
    for (int step = 16; step > 0; step >>= 1) acc += __shfl_down_sync(0xffffffffu, acc, step);
    if ((threadIdx.x & 31) == 0) y[row] = acc;
}

// The largest value's index as a packed key: the first one of equals.
extern "C" __global__ void argmax(const float* __restrict__ in, unsigned long long* best, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned long long key = 0;
    if (i < n) {
        unsigned bits = __float_as_uint(in[i]);
        bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
        key = (unsigned long long)bits << 32 | (0xffffffffu - (unsigned)i);
    }
    for (int step = 16; step > 0; step >>= 1) {
        unsigned long long other = __shfl_xor_sync(0xffffffffu, key, step);
        if (other > key) key = other;
    }
    if ((threadIdx.x & 31) == 0) atomicMax(best, key);
}

// Steps of the Collatz sequence: lanes leave the loop one by one.
extern "C" __global__ void collatz(const unsigned* __restrict__ in, unsigned* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    unsigned value = in[i], steps = 0;
    while (value != 1) {
        if (value % 2 == 0) value /= 2;
        else value = 3 * value + 1;
        steps++;
    }
    out[i] = steps;
}

// int8 weights: dp4a, and conversion in registers.
extern "C" __global__ void dot_int8(const int* __restrict__ a, const int* __restrict__ b, int* dot, float* mixed, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    dot[i] = __dp4a(a[i], b[i], 7);
    float sum = 0.0f;
    for (int j = 0; j < 4; j++) sum += (float)(signed char)(a[i] >> (8 * j));
    mixed[i] = sum * 0.125f;
}

// Products of f16 matrices from shared memory by ldmatrix: out[16, 8] = a[16, 8] * b[8, 8].
extern "C" __global__ void mma_shared(const half* __restrict__ a, const half* __restrict__ b, float* out) {
    __shared__ __align__(16) half shared_a[16 * 8];
    __shared__ __align__(16) half shared_b[8 * 8];
    int lane = threadIdx.x;
    for (int i = lane; i < 16 * 8; i += 32) shared_a[i] = a[i];
    for (int i = lane; i < 8 * 8; i += 32) shared_b[i] = b[i];
    __syncthreads();
    unsigned at = (unsigned)__cvta_generic_to_shared(shared_a + (lane % 16) * 8);
    unsigned bt = (unsigned)__cvta_generic_to_shared(shared_b + (lane % 8) * 8);
    unsigned a0, a1, b0;
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(a0), "=r"(a1) : "r"(at));
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(b0) : "r"(bt));
    float c[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a0), "r"(a1), "r"(b0));
    int group = lane >> 2, member = lane & 3;
    out[group * 8 + member * 2] = c[0];
    out[group * 8 + member * 2 + 1] = c[1];
    out[(group + 8) * 8 + member * 2] = c[2];
    out[(group + 8) * 8 + member * 2 + 1] = c[3];
}

__device__ const int SQUARES[8] = {0, 1, 4, 9, 16, 25, 36, 49};

// Integers: what the host computes with the same formulas.
extern "C" __global__ void integers(const unsigned* __restrict__ a, const unsigned* __restrict__ b, unsigned* out) {
    unsigned x = a[threadIdx.x], y = b[threadIdx.x];
    int s = (int)x;
    unsigned* to = out + threadIdx.x * 16;
    to[0] = x / (y | 1) + x % (y | 1);
    to[1] = (unsigned)(s / (int)(y | 1)) ^ (unsigned)(s % (int)(y | 1));
    to[2] = __umulhi(x, y);
    to[3] = (unsigned)__mulhi(s, (int)y);
    to[4] = __popc(x) + __clz(x) * 64 + __ffs(x) * 4096;
    to[5] = __byte_perm(x, y, 0x7351);
    to[6] = __funnelshift_l(x, y, 13) ^ __funnelshift_rc(x, y, 45);
    to[7] = (unsigned)(s >> (y & 31)) ^ x << (y & 15) ^ x >> (y & 7);
    to[8] = (unsigned)((unsigned long long)x * y >> 17);
    to[9] = (unsigned)(((long long)s << 20) / (long long)(y | 1));
    to[10] = SQUARES[x & 7];
    to[11] = (x & y) | (~x & 0x0f0f0f0f) | (x ^ y) << 1;
    to[12] = (unsigned)min(s, (int)y) ^ max(x, y);
    to[13] = (unsigned)(short)(x) + (unsigned)(unsigned char)(y) + (unsigned)(signed char)(x >> 8);
    to[14] = __brev(x) + (x >> 9 & 0x1f);
    to[15] = s < (int)y ? (x < y ? 1 : 2) : (x == y ? 3 : 4);
}

// f16 and f32 by their instructions; what the host computes in f64 and rounds.
extern "C" __global__ void floats(const float* __restrict__ a, const float* __restrict__ b, float* out) {
    float x = a[threadIdx.x], y = b[threadIdx.x];
    half h = __float2half_rn(x), g = __float2half_rn(y);
    half2 both = __halves2half2(h, g);
    float* to = out + threadIdx.x * 16;
    to[0] = x + y;
    to[1] = fmaf(x, y, x);
    to[2] = x / y;
    to[3] = sqrtf(fabsf(x));
    to[4] = __half2float(__hadd(h, g));
    to[5] = __half2float(__hmul(h, g));
    to[6] = __half2float(__hfma(h, g, h));
    to[7] = __low2float(__hfma2(both, both, both)) + __high2float(__hadd2(both, both));
    to[8] = fminf(x, y) - fmaxf(x, y);
    to[9] = rintf(x) + floorf(y) + truncf(x) + ceilf(y);
    to[10] = (float)(int)x + (float)(unsigned)fabsf(y);
    to[11] = (float)((double)x * (double)y + 1.0);
    to[12] = rsqrtf(fabsf(x));
    to[13] = exp2f(y);
    to[14] = 1.0f / (1.0f + __expf(-x));
    to[15] = __fdividef(x, y);
}
