// Attention forward for Hopper (sm_90a), 64 channels a head.
//
// Warp-specialised: one warp feeds keys and values through a ring of shared-memory stages by TMA; each of CONSUMERS
// warp groups owns 64 queries. A group keeps two products in flight while its exponentials run: the scores of the next
// block of keys, and the values of the last block. See attention.py for the algorithm and its sources.
//
// Weights are powers of two relative to a reference of their row. Softmax takes the largest score so far, and searches it
// in every block. Any reference gives the same result as long as no weight overflows, so:
//   REFERENCE 0: none (zero). For bounded scores in bf16, whose exponents suffice.
//   REFERENCE 1: the largest score of the first block, raised when the sum of a block's weights shows that one came near
//     the end of fp16. For scores so bounded that weights can't overflow fp32.
//   REFERENCE 2: the same for any scores: raised when a score exceeds it by HEADROOM.
// Raising is rare, so it is a branch that a warp almost never takes.
//
// Compile-time: CONSUMERS, KEYS (64 or 128), STAGES, REFERENCE, HEADROOM (exponent), HALF ("bf16" or "f16").

struct alignas(1024) Shared {
    unsigned char queries[CONSUMERS][kQueryBytes];
    unsigned char keys[STAGES][kBlockBytes];
    unsigned char values[STAGES][kBlockBytes];
    alignas(8) u64 queries_full;
    u64 keys_full[STAGES], keys_empty[STAGES], values_full[STAGES], values_empty[STAGES];
};

__device__ __forceinline__ float power(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float widest(float x) {   // largest of the four threads that share a row
    x = fmaxf(x, __shfl_xor_sync(0xffffffff, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffff, x, 2));
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

    // Scores to weights, in place. Where it returns true, the sums so far are to be multiplied by `fade`; the answer is
    // the same throughout a warp.
    __device__ __forceinline__ bool weigh(float (&s)[kScores], Rows &rows, float (&fade)[2], bool first) {
        bool raised = false;
#if REFERENCE
        float top[2] = {s[0], s[2]};
        if (REFERENCE == 2 || first) {
#pragma unroll
            for (int i = 0; i < kScores; i++) top[i / 2 % 2] = fmaxf(top[i / 2 % 2], s[i]);
        }
        if (first) {
#pragma unroll
            for (int r = 0; r < 2; r++) rows.top[r] = widest(top[r]) * scale;
        }
#endif
#if REFERENCE == 2
        const float above = fmaxf(fmaf(top[0], scale, -rows.top[0]), fmaf(top[1], scale, -rows.top[1]));
        raised = __any_sync(0xffffffff, above > HEADROOM);
        if (raised) {
#pragma unroll
            for (int r = 0; r < 2; r++) {
                const float higher = fmaxf(rows.top[r], widest(top[r]) * scale);
                fade[r] = power(rows.top[r] - higher);
                rows.top[r] = higher;
                rows.norm[r] *= fade[r];
            }
        }
#endif
#if REFERENCE == 1
        float sum[2] = {0.0f, 0.0f};
#else
        float (&sum)[2] = rows.norm;
#endif
#pragma unroll
        for (int i = 0; i < kScores; i++) {
            const int r = i / 2 % 2;
            s[i] = power(REFERENCE == 0 ? s[i] : REFERENCE == 1 ? s[i] - rows.top[r] : fmaf(s[i], scale, -rows.top[r]));
            sum[r] += s[i];
        }
#if REFERENCE == 1
        raised = __any_sync(0xffffffff, fmaxf(sum[0], sum[1]) > kLargest);
        if (raised) {
#pragma unroll
            for (int r = 0; r < 2; r++) {
                const float most = widest(sum[r]);
                const int exponent = most > kLargest ? (__float_as_int(most) >> 23) - 127 : 0;
                fade[r] = __int_as_float((127 - exponent) << 23);
                rows.top[r] += exponent;
                rows.norm[r] *= fade[r];
                sum[r] *= fade[r];
            }
#pragma unroll
            for (int i = 0; i < kScores; i++) s[i] *= fade[i / 2 % 2];
        }
        rows.norm[0] += sum[0];
        rows.norm[1] += sum[1];
#endif
        return raised;
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
    Rows rows{{0.0f, 0.0f}, {0.0f, 0.0f}};
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
        const bool raised = self.weigh(s, rows, fade, j == 0);
        barrier_wait(&shared.values_full[stage], j / STAGES % 2);
        mma_wait<1>();
        pin(o);
        if (lane == 0 && j > 0) barrier_arrive(&shared.values_empty[(j - 1) % STAGES]);
        if (raised) {
#pragma unroll
            for (int i = 0; i < kValues; i++) o[i] *= fade[i / 2 % 2];
        }
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
        const bool raised = self.weigh(s, rows, fade, blocks == 1);
        barrier_wait(&shared.values_full[(blocks - 1) % STAGES], (blocks - 1) / STAGES % 2);
        mma_wait<0>();
        pin(o);
        if (raised) {
#pragma unroll
            for (int i = 0; i < kValues; i++) o[i] *= fade[i / 2 % 2];
        }
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
