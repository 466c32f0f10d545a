"""The static network written for ONNX Runtime's CUDA provider, node by node (target `ort-cuda`).

Tracing gives a graph that runs anywhere; rewriting it into the few operators this provider has fused kernels for would
mean finding every block again by its shape. Here the graph is emitted from the network's modules instead, with torch's
parameters as initializers. It computes the same function; what differs is exact in real arithmetic:

- Tokens keep their heads side by side, as `MultiHeadAttention` takes them, and queries, keys and values are three
  matrix products: a joint one would have to be copied apart again.
- A residual branch is added by the LayerNorm that follows (`SkipLayerNormalization`), along with its bias.
- QK-norm adds the projection's bias as it goes. The bias of the values moves into the output projection (the weights of
  a softmax sum to one), and that of the keys is left out where nothing stands between it and the softmax, which is
  invariant to it.
- Rotary embedding: channels are permuted so that pairs lie half a head apart, as `RotaryEmbedding` takes them. Attention
  across views rotates all patches alike, so only the special tokens are turned, the other way.
- Views stay in their order: attention does not tell views apart by it, only by which of them has the reference's token.
- The head works on maps (V, h, w, C) (`NhwcConv`); 1×1 convolutions and transposed ones without overlap are matrix
  products, and a 1×1 convolution goes before the upsampling it follows.
- A resize is two matrix products, one an axis.
- The convolution's response to the UV embedding is a constant.

The residual stream is in the backbone's dtype, which the portable graph keeps in fp32: half of what a block moves.
"""
