// Attention forward for Hopper (sm_90a), 64 channels a head.
//
// Warp-specialised: one warp feeds keys and values through a ring of shared-memory stages by TMA; each of CONSUMERS
// warp groups owns 64 queries. A group keeps two products in flight while its exponentials run: the scores of the next
// block of keys, and the values of the last block. See attention_cuda.py for the algorithm and its sources.
//
// Compile-time: CONSUMERS, KEYS (64 or 128), STAGES, BOUNDED, HALF ("bf16" or "f16"), POLYNOMIAL (every how many-th
// exponential is a polynomial on the FMA units instead of the special-function unit; 0: none).

typedef unsigned int u32;
typedef unsigned long long u64;

struct alignas(128) TensorMap { u64 words[16]; };

constexpr int kRows = 64;                    // queries of a warp group
constexpr int kHead = 64;                    // channels
constexpr int kQueryBytes = kRows * kHead * 2;
constexpr int kBlockBytes = KEYS * kHead * 2;
constexpr int kScores = KEYS / 2;            // fp32 scores of a thread: 64 × KEYS / 128
constexpr int kPairs = KEYS / 4;             // the same, packed in pairs
constexpr int kValues = 32;                  // fp32 sums of a thread: 64 × 64 / 128

struct alignas(1024) Shared {
    unsigned char queries[CONSUMERS][kQueryBytes];
    unsigned char keys[STAGES][kBlockBytes];
    unsigned char values[STAGES][kBlockBytes];
    alignas(8) u64 queries_full;
    u64 keys_full[STAGES], keys_empty[STAGES], values_full[STAGES], values_empty[STAGES];
};

__device__ __forceinline__ float infinity() { return __int_as_float(0x7f800000); }

__device__ __forceinline__ u32 address(const void *pointer) { return (u32)__cvta_generic_to_shared(pointer); }

__device__ __forceinline__ void barrier_init(u64 *barrier, u32 count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address(barrier)), "r"(count));
}

__device__ __forceinline__ void barrier_expect(u64 *barrier, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address(barrier)), "r"(bytes) : "memory");
}

__device__ __forceinline__ void barrier_arrive(u64 *barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(address(barrier)) : "memory");
}

__device__ __forceinline__ void barrier_wait(u64 *barrier, u32 parity) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again;\n"
        "}\n" ::"r"(address(barrier)), "r"(parity) : "memory");
}

__device__ __forceinline__ void load_tile(void *target, const TensorMap *map, u64 *barrier, int column, int row) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::
            "r"(address(target)), "l"(map), "r"(address(barrier)), "r"(column), "r"(row) : "memory");
}

// Shared-memory descriptor of a tile of 128-byte rows in 128-byte swizzle: groups of 8 rows are 1024 bytes apart.
__device__ __forceinline__ u64 descriptor(u32 start) {
    return (u64)((start & 0x3FFFF) >> 4) | (1ull << 16) | (64ull << 32) | (1ull << 62);
}

__device__ __forceinline__ void mma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void mma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int Pending>
__device__ __forceinline__ void mma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory"); }

template <int Count>
__device__ __forceinline__ void pin(float (&x)[Count]) {
#pragma unroll
    for (int i = 0; i < Count; i++) asm volatile("" : "+f"(x[i])::"memory");
}

#define F4(x, i) "+f"(x[i]), "+f"(x[i + 1]), "+f"(x[i + 2]), "+f"(x[i + 3])
#define F16(x, i) F4(x, i), F4(x, i + 4), F4(x, i + 8), F4(x, i + 12)

// scores (64 × KEYS) = queries (64 × 16, shared) · keysᵀ (shared)
__device__ __forceinline__ void mma_scores(float (&s)[kScores], u64 q, u64 k, int accumulate) {
#if KEYS == 128
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32." HALF "." HALF " "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "%64, %65, p, 1, 1, 0, 0;\n}\n"
        : F16(s, 0), F16(s, 16), F16(s, 32), F16(s, 48) : "l"(q), "l"(k), "r"(accumulate));
#else
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32." HALF "." HALF " "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
        "%32, %33, p, 1, 1, 0, 0;\n}\n"
        : F16(s, 0), F16(s, 16) : "l"(q), "l"(k), "r"(accumulate));
#endif
}

// sums (64 × 64) += weights (64 × 16, registers) · values (16 × 64, shared, keys along rows)
__device__ __forceinline__ void mma_values(float (&o)[kValues], const u32 *p, u64 v) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n64k16.f32." HALF "." HALF " "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
        "{%32, %33, %34, %35}, %36, 1, 1, 1, 1;\n"
        : F16(o, 0), F16(o, 16) : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "l"(v));
}

__device__ __forceinline__ float power(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// 2**x for |x| < 126 on the FMA units: 2**round(x) by the exponent bits, 2**fraction by a cubic (relative error 1e-4,
// a twentieth of the rounding to bf16 that follows).
__device__ __forceinline__ float power_polynomial(float x) {
    const float magic = 12582912.0f;
    float shifted = x + magic;
    float fraction = x - (shifted - magic);
    float y = fmaf(0.05517164f, fraction, 0.24261372f);
    y = fmaf(y, fraction, 0.69324773f);
    y = fmaf(y, fraction, 0.99992522f);
    return __int_as_float(__float_as_int(y) + (__float_as_int(shifted) << 23));
}

__device__ __forceinline__ float weight(float x, int index) {
    return (POLYNOMIAL && index % (POLYNOMIAL ? POLYNOMIAL : 1) == 0) ? power_polynomial(x) : power(x);
}

__device__ __forceinline__ u32 pack(float low, float high) {
    u32 y;
    asm("cvt.rn." HALF "x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}

struct Rows { float norm[2], top[2]; };      // of the two rows, 8 apart, that a thread holds a part of

struct Consumer {
    Shared &shared;
    u32 queries;                             // shared-memory address of this group's queries
    float scale;

    __device__ __forceinline__ void start_scores(float (&s)[kScores], int stage) {
        u32 keys = address(shared.keys[stage]);
        mma_fence();
#pragma unroll
        for (int k = 0; k < 4; k++) mma_scores(s, descriptor(queries + 32 * k), descriptor(keys + 32 * k), k);
        mma_commit();
    }

    __device__ __forceinline__ void start_values(float (&o)[kValues], const float (&s)[kScores], u32 (&p)[kPairs], int stage) {
        u32 values = address(shared.values[stage]);
#pragma unroll
        for (int i = 0; i < kPairs; i++) p[i] = pack(s[2 * i], s[2 * i + 1]);
        mma_fence();
#pragma unroll
        for (int k = 0; k < KEYS / 16; k++) mma_values(o, p + 4 * k, descriptor(values + 2048 * k));
        mma_commit();
    }

    // Scores to weights, in place; unbounded, also what the sums so far must be multiplied by.
    __device__ __forceinline__ void weigh(float (&s)[kScores], Rows &rows, float (&fade)[2], bool exact = false) {
#if !BOUNDED
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float top = s[2 * r];
#pragma unroll
            for (int i = 0; i < kScores; i += 4) top = fmaxf(top, fmaxf(s[i + 2 * r], s[i + 2 * r + 1]));
            top = fmaxf(top, __shfl_xor_sync(0xffffffff, top, 1));
            top = fmaxf(top, __shfl_xor_sync(0xffffffff, top, 2)) * scale;
            top = fmaxf(top, rows.top[r]);
            fade[r] = power(rows.top[r] - top);
            rows.top[r] = top;
            rows.norm[r] *= fade[r];
        }
#endif
#pragma unroll
        for (int i = 0; i < kScores; i++) {
            const int r = i / 2 % 2;
#if BOUNDED
            s[i] = exact ? power(s[i]) : weight(s[i], i);
#else
            {
                const float x = fmaf(s[i], scale, -rows.top[r]);
                s[i] = exact ? power(x) : weight(x, i);
            }
#endif
            rows.norm[r] += s[i];
        }
    }
};

__device__ __forceinline__ void consume(Shared &shared, int member, int first, int row, int column, int blocks,
                                        unsigned short *out, int out_stride, int length, float scale) {
#if CONSUMERS == 2
    asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
#else
    asm volatile("setmaxnreg.inc.sync.aligned.u32 160;");
#endif
    const int lane = threadIdx.x % 32;
    Consumer self{shared, address(shared.queries[member]), scale};
    float s0[kScores], s1[kScores], o[kValues], fade[2];
    u32 p[kPairs];
    Rows rows{{0.0f, 0.0f}, {-infinity(), -infinity()}};
#pragma unroll
    for (int i = 0; i < kValues; i++) o[i] = 0.0f;

    barrier_wait(&shared.queries_full, 0);
    barrier_wait(&shared.keys_full[0], 0);
    self.start_scores(s0, 0);
    mma_wait<0>();
    pin(s0);
    if (lane == 0) barrier_arrive(&shared.keys_empty[0]);

    // Block j of the keys: s holds its scores; t receives those of block j + 1.
    auto step = [&](int j, float (&s)[kScores], float (&t)[kScores]) {
        const int stage = j % STAGES, next = (j + 1) % STAGES;
        barrier_wait(&shared.keys_full[next], (j + 1) / STAGES % 2);
        self.start_scores(t, next);
        self.weigh(s, rows, fade);
        barrier_wait(&shared.values_full[stage], j / STAGES % 2);
        mma_wait<1>();
        pin(o);
        if (lane == 0 && j > 0) barrier_arrive(&shared.values_empty[(j - 1) % STAGES]);
#if !BOUNDED
#pragma unroll
        for (int i = 0; i < kValues; i++) o[i] *= fade[i / 2 % 2];
#endif
        self.start_values(o, s, p, stage);
        mma_wait<1>();
        pin(t);
        if (lane == 0) barrier_arrive(&shared.keys_empty[next]);
    };
    // The last block may be partly filled: what lies beyond the group gets weight 0.
    auto finish = [&](float (&s)[kScores]) {
        const int left = length - (blocks - 1) * KEYS;
#pragma unroll
        for (int i = 0; i < kScores; i++) {
            const int key = 8 * (i / 4) + 2 * (lane % 4) + i % 2;
            if (key >= left) s[i] = -infinity();
        }
        self.weigh(s, rows, fade, true);
        barrier_wait(&shared.values_full[(blocks - 1) % STAGES], (blocks - 1) / STAGES % 2);
        mma_wait<0>();
        pin(o);
#if !BOUNDED
#pragma unroll
        for (int i = 0; i < kValues; i++) o[i] *= fade[i / 2 % 2];
#endif
        self.start_values(o, s, p, (blocks - 1) % STAGES);
        mma_wait<0>();
        pin(o);
    };
    int j = 0;
#pragma unroll 1
    for (; j + 2 < blocks; j += 2) {
        step(j, s0, s1);
        step(j + 1, s1, s0);
    }
    if (j + 1 < blocks) {
        step(j, s0, s1);
        finish(s1);
    } else {
        finish(s0);
    }

#pragma unroll
    for (int r = 0; r < 2; r++) {
        rows.norm[r] += __shfl_xor_sync(0xffffffff, rows.norm[r], 1);
        rows.norm[r] += __shfl_xor_sync(0xffffffff, rows.norm[r], 2);
        rows.norm[r] = 1.0f / rows.norm[r];
    }
    // Through this group's own query tile, which it has read for the last time, so that rows go out in 16-byte pieces.
    // Pieces of a row are swizzled by the row, so that neither side of the exchange has bank conflicts.
    unsigned char *tile = shared.queries[member];
    const int top = (threadIdx.x % 128) / 32 * 16 + lane / 4;
#pragma unroll
    for (int i = 0; i < kValues; i += 2) {
        const int r = (i / 2) % 2, line = top + 8 * r, piece = i / 4;
        *reinterpret_cast<u32 *>(tile + line * 128 + ((piece ^ (line % 8)) * 16) + (lane % 4) * 4) =
            pack(o[i] * rows.norm[r], o[i + 1] * rows.norm[r]);
    }
    asm volatile("bar.sync %0, 128;" ::"r"(member + 1) : "memory");
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int at = i * 128 + threadIdx.x % 128, line = at / 8, piece = at % 8;
        const int query = row + (member) * kRows + line;
        if (query < length) {
            const uint4 bytes = *reinterpret_cast<const uint4 *>(tile + line * 128 + ((piece ^ (line % 8)) * 16));
            *reinterpret_cast<uint4 *>(out + (u64)(first + query) * out_stride + column + piece * 8) = bytes;
        }
    }
}

extern "C" __global__ void __launch_bounds__((CONSUMERS + 1) * 128, 1)
attention(const __grid_constant__ TensorMap q_map, const __grid_constant__ TensorMap k_map,
          const __grid_constant__ TensorMap v_map, unsigned short *out, int out_stride, int length, float scale) {
    extern __shared__ unsigned char raw[];
    Shared &shared = *reinterpret_cast<Shared *>((reinterpret_cast<u64>(raw) + 1023) & ~1023ull);
    const int group = threadIdx.x / 128;
    const int first = blockIdx.z * length;
    const int column = blockIdx.y * kHead;
    const int row = blockIdx.x * (CONSUMERS * kRows);
    const int blocks = (length + KEYS - 1) / KEYS;
    if (threadIdx.x == 0) {
        barrier_init(&shared.queries_full, 1);
        for (int i = 0; i < STAGES; i++) {
            barrier_init(&shared.keys_full[i], 1);
            barrier_init(&shared.values_full[i], 1);
            barrier_init(&shared.keys_empty[i], 4 * CONSUMERS);
            barrier_init(&shared.values_empty[i], 4 * CONSUMERS);
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    }
    __syncthreads();

    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
        if (threadIdx.x == 0) {
            barrier_expect(&shared.queries_full, CONSUMERS * kQueryBytes);
#pragma unroll
            for (int i = 0; i < CONSUMERS; i++)
                load_tile(shared.queries[i], &q_map, &shared.queries_full, column, first + row + i * kRows);
            int stage = 0;
            u32 parity = 1;
            for (int j = 0; j < blocks; j++) {
                barrier_wait(&shared.keys_empty[stage], parity);
                barrier_expect(&shared.keys_full[stage], kBlockBytes);
                load_tile(shared.keys[stage], &k_map, &shared.keys_full[stage], column, first + j * KEYS);
                barrier_wait(&shared.values_empty[stage], parity);
                barrier_expect(&shared.values_full[stage], kBlockBytes);
                load_tile(shared.values[stage], &v_map, &shared.values_full[stage], column, first + j * KEYS);
                if (++stage == STAGES) { stage = 0; parity ^= 1; }
            }
        }
    } else {
        consume(shared, group - 1, first, row, column, blocks, out, out_stride, length, scale);
    }
}
