"""The network for shapes that are known only at run time: everything that the static one has as a constant, computed.

It reuses the static network's blocks, decoder and convolutions and differs in what depends on the shape: position
embedding, RoPE tables, UV embedding, sizes, the reference-view rule. A table stands where exactness asks for double
precision, which not every runtime has: see :mod:`depthport.exporters.da3.dynamic.positions`.
"""
