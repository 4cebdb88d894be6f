// Small kernels for each check of the software GPU: one that it must catch, and a right twin.
//
// Blocks have 64 threads unless the test says otherwise.

// Reads of uninitialized memory.
extern "C" __global__ void global_unset(const float* in, float* out) {
    out[threadIdx.x] = in[threadIdx.x] + 1.0f;
}

extern "C" __global__ void shared_unset_wrong(float* out) {
    __shared__ float held[64];
    if (threadIdx.x < 63) held[threadIdx.x] = 1.0f;
    __syncthreads();
    out[threadIdx.x] = held[threadIdx.x];
}

extern "C" __global__ void shared_unset_right(float* out) {
    __shared__ float held[64];
    held[threadIdx.x] = 1.0f;
    __syncthreads();
    out[threadIdx.x] = held[threadIdx.x];
}

// Bounds and alignment.
extern "C" __global__ void scale(float* values, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) values[i] *= 2.0f;
}

extern "C" __global__ void wide_load(const char* in, float4* out, int offset) {
    if (threadIdx.x == 0) out[0] = *(const float4*)(in + offset);
}

extern "C" __global__ void shared_bounds(float* out, int n) {
    __shared__ float held[64];
    held[threadIdx.x] = 0.0f;
    __syncthreads();
    if (threadIdx.x == 0) {
        float sum = 0.0f;
        for (int i = 0; i < n; i++) sum += held[i];
        out[0] = sum;
    }
}

// Races in shared memory: a neighbor's value without and with a barrier.
extern "C" __global__ void shared_race_wrong(float* out) {
    __shared__ float held[64];
    held[threadIdx.x] = threadIdx.x;
    out[threadIdx.x] = held[threadIdx.x ^ 63];
}

extern "C" __global__ void shared_race_right(float* out) {
    __shared__ float held[64];
    held[threadIdx.x] = threadIdx.x;
    __syncthreads();
    out[threadIdx.x] = held[threadIdx.x ^ 63];
}

// The same between lanes of a warp, which is not synchronous.
extern "C" __global__ void warp_race_wrong(float* out) {
    __shared__ float held[64];
    held[threadIdx.x] = threadIdx.x;
    out[threadIdx.x] = held[threadIdx.x ^ 1];
}

extern "C" __global__ void warp_race_right(float* out) {
    __shared__ float held[64];
    held[threadIdx.x] = threadIdx.x;
    __syncwarp();
    out[threadIdx.x] = held[threadIdx.x ^ 1];
}

// A value is overwritten while others still read it: a barrier is missing at the end of the loop.
extern "C" __global__ void reuse_race_wrong(const float* in, float* out) {
    __shared__ float held[64];
    float sum = 0.0f;
    for (int i = 0; i < 2; i++) {
        held[threadIdx.x] = in[i * 64 + threadIdx.x];
        __syncthreads();
        sum += held[63 - threadIdx.x];
    }
    out[threadIdx.x] = sum;
}

extern "C" __global__ void reuse_race_right(const float* in, float* out) {
    __shared__ float held[64];
    float sum = 0.0f;
    for (int i = 0; i < 2; i++) {
        held[threadIdx.x] = in[i * 64 + threadIdx.x];
        __syncthreads();
        sum += held[63 - threadIdx.x];
        __syncthreads();
    }
    out[threadIdx.x] = sum;
}

// Races in global memory: all blocks add to one place.
extern "C" __global__ void count_wrong(int* total) {
    if (threadIdx.x == 0) *total += 1;
}

extern "C" __global__ void count_right(int* total) {
    if (threadIdx.x == 0) atomicAdd(total, 1);
}

// A block reads what another one writes; the right one reads its own.
extern "C" __global__ void shift_wrong(float* values) {
    values[blockIdx.x * 64 + threadIdx.x] = values[(blockIdx.x + 1) % gridDim.x * 64 + threadIdx.x] + 1.0f;
}

extern "C" __global__ void shift_right(float* values) {
    values[blockIdx.x * 64 + threadIdx.x] = values[blockIdx.x * 64 + threadIdx.x] + 1.0f;
}

// Through the read-only cache, of which the compiler is told that nobody writes it.
extern "C" __global__ void constant_race(const float* __restrict__ in, float* __restrict__ out, int from) {
    out[blockIdx.x * 64 + threadIdx.x] = in[from + threadIdx.x] + 1.0f;
}

// Barriers that not all threads reach.
extern "C" __global__ void barrier_wrong(float* out, int n) {
    __shared__ float held[64];
    held[threadIdx.x] = 1.0f;
    if (threadIdx.x < n) __syncthreads();
    out[threadIdx.x] = held[threadIdx.x];
}

extern "C" __global__ void barrier_right(float* out, int n) {
    __shared__ float held[64];
    held[threadIdx.x] = 1.0f;
    __syncthreads();
    if (threadIdx.x < n) out[threadIdx.x] = held[threadIdx.x];
}

// Shuffles from lanes that don't take part.
extern "C" __global__ void shuffle_wrong(int* out, int n) {
    int value = threadIdx.x;
    if (threadIdx.x % 32 < n) value = __shfl_xor_sync(0xffffffffu, value, 16);
    out[threadIdx.x] = value;
}

extern "C" __global__ void shuffle_outside(int* out, int n) {
    int value = threadIdx.x;
    if (threadIdx.x % 32 < n) value = __shfl_sync(0x0000ffffu, value, 20);
    out[threadIdx.x] = value;
}

extern "C" __global__ void shuffle_right(int* out, int n) {
    int value = threadIdx.x;
    if (threadIdx.x % 32 < n) value = __shfl_xor_sync(0x0000ffffu, value, 8);
    out[threadIdx.x] = value;
}

// Two halves of a warp shuffle on their own, then together.
extern "C" __global__ void halves(int* out) {
    int value = threadIdx.x, lane = threadIdx.x % 32;
    if (lane < 16) {
        value = 2 * __shfl_xor_sync(0x0000ffffu, value, 1);
    } else {
        value = 3 * __shfl_xor_sync(0xffff0000u, value, 2);
    }
    out[threadIdx.x] = value + __shfl_down_sync(0xffffffffu, value, 4, 8)
        + __popc(__ballot_sync(0xffffffffu, lane > 10)) + (__any_sync(0xffffffffu, lane == 40) ? 1000 : 0);
}

// A register that lanes of odd threads never write: the volatile assembly hides it from the compiler.
extern "C" __global__ void register_unset(int* out, int all) {
    int value;
    asm volatile("{.reg .pred p; .reg .b32 r; setp.ne.u32 p, %1, 0; @p mov.u32 r, 7; add.u32 %0, r, 1;}"
                 : "=r"(value) : "r"((unsigned)(all || threadIdx.x % 2 == 0)));
    out[threadIdx.x] = value;
}

// Never ends if it is told so.
extern "C" __global__ void trapped(int* out, int n) {
    if (threadIdx.x == n) asm volatile("trap;");
    out[threadIdx.x] = 1;
}
