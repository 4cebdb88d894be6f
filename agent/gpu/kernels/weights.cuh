// Weights of a linear layer: rows of `padded` elements, zero from `inputs` on; 16 bytes are read at a
// time and become f32 in registers.
#pragma once
#include <cuda_fp16.h>

template <typename W>
struct Vector;

template <>
struct Vector<float> {
    static constexpr int SIZE = 4;
    static __device__ __forceinline__ void load(const float* from, float (&to)[SIZE]) {
        const float4 bits = __ldg(reinterpret_cast<const float4*>(from));
        to[0] = bits.x;
        to[1] = bits.y;
        to[2] = bits.z;
        to[3] = bits.w;
    }
};

__device__ __forceinline__ void halves(unsigned bits, float& low, float& high) {
    low = __half2float(__ushort_as_half(static_cast<unsigned short>(bits & 0xffffu)));
    high = __half2float(__ushort_as_half(static_cast<unsigned short>(bits >> 16)));
}

template <>
struct Vector<__half> {
    static constexpr int SIZE = 8;
    static __device__ __forceinline__ void load(const __half* from, float (&to)[SIZE]) {
        const uint4 bits = __ldg(reinterpret_cast<const uint4*>(from));
        halves(bits.x, to[0], to[1]);
        halves(bits.y, to[2], to[3]);
        halves(bits.z, to[4], to[5]);
        halves(bits.w, to[6], to[7]);
    }
};

// The upper half of an f32.
struct Bf16 {
    unsigned short bits;
};

template <>
struct Vector<Bf16> {
    static constexpr int SIZE = 8;
    static __device__ __forceinline__ void load(const Bf16* from, float (&to)[SIZE]) {
        const uint4 bits = __ldg(reinterpret_cast<const uint4*>(from));
        const unsigned words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            to[2 * i] = __uint_as_float(words[i] << 16);
            to[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
        }
    }
};

// Four signed bytes, lowest first.
__device__ __forceinline__ void bytes(int bits, float& a, float& b, float& c, float& d) {
    a = static_cast<float>((bits << 24) >> 24);
    b = static_cast<float>((bits << 16) >> 24);
    c = static_cast<float>((bits << 8) >> 24);
    d = static_cast<float>(bits >> 24);
}

template <>
struct Vector<signed char> {
    static constexpr int SIZE = 16;
    static __device__ __forceinline__ void load(const signed char* from, float (&to)[SIZE]) {
        const int4 bits = __ldg(reinterpret_cast<const int4*>(from));
        bytes(bits.x, to[0], to[1], to[2], to[3]);
        bytes(bits.y, to[4], to[5], to[6], to[7]);
        bytes(bits.z, to[8], to[9], to[10], to[11]);
        bytes(bits.w, to[12], to[13], to[14], to[15]);
    }
};

// One element.
__device__ __forceinline__ float value(const float* from) { return __ldg(from); }
__device__ __forceinline__ float value(const __half* from) {
    const unsigned short bits = __ldg(reinterpret_cast<const unsigned short*>(from));
    return __half2float(__ushort_as_half(bits));
}
__device__ __forceinline__ float value(const Bf16* from) {
    const unsigned bits = __ldg(reinterpret_cast<const unsigned short*>(from));
    return __uint_as_float(bits << 16);
}
__device__ __forceinline__ float value(const signed char* from) {
    return static_cast<float>(static_cast<int>(__ldg(from)));
}

__device__ __forceinline__ void store(float* to, float value) { *to = value; }
__device__ __forceinline__ void store(__half* to, float value) { *to = __float2half_rn(value); }

// The sum over a warp, in the same order for every lane.
__device__ __forceinline__ float warp_sum(float sum) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
        sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    }
    return sum;
}

__device__ __forceinline__ float warp_max(float most) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, offset));
    }
    return most;
}
