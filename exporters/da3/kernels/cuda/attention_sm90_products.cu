// Sizes of a warp group's work and its two products, for attention_sm90.cu (compile-time: KEYS, HALF).

constexpr int kRows = 64;                    // queries of a warp group
constexpr int kHead = 64;                    // channels
constexpr int kQueryBytes = kRows * kHead * 2;
constexpr int kBlockBytes = KEYS * kHead * 2;
constexpr int kScores = KEYS / 2;            // fp32 scores of a thread: 64 × KEYS / 128
constexpr int kPairs = KEYS / 4;             // the same, packed in pairs
constexpr int kValues = 32;                  // fp32 sums of a thread: 64 × 64 / 128
#define kLargest 32768.0f                    // sum of weights from which on a reference is raised (REFERENCE 1)

__device__ __forceinline__ float infinity() { return __int_as_float(0x7f800000); }

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
