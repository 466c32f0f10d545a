"""A second, independent reading of a saved Core ML package: parse it, check it, run it, on any machine.

The converter and Apple's runtime are closed to inspection off a Mac; a package that was never run is a claim. Here the
package is read from its own bytes (:mod:`wire`, :mod:`blob`, :mod:`package`), every operation's declared type and shape
is checked against what it computes (:mod:`interpreter`), and its outputs are compared with the network's
(:mod:`parity`). :mod:`divergence` says at which operation fp16 leaves fp32, :mod:`ranges` how near activations come to
fp16's limits, :mod:`ane` which operations the Neural Engine is predicted to refuse.

What this proves is the package's mathematics: that the operations, constants and types in the file, by the meaning the
MIL specification gives them, compute the network. It does not prove Apple's kernels. A Mac may accumulate in another
order or precision, use lookup tables (the Neural Engine does, for exponentials, GELU and softmax), or run an operation
somewhere else; that is measured on a Mac and nowhere else.

Imports neither coremltools nor protobuf; :mod:`interpreter` imports torch.
"""
