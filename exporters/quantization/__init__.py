"""Static 8-bit quantization, and 16 bits, of the network's matrix products and convolutions that keep its poses.

What a naive int8 model loses is the pose: it is read from one token a view, and an error of one percent in that token
turns the camera by a degree. So

* the camera token's row of every linear layer stays fp32 beside the int8 product of the patches' rows: one row in a
  thousand, and its error no longer reaches the pose directly;
* weights are rounded channel by channel with what the rounding of earlier inputs left over made good in later ones
  (:mod:`depthport.exporters.quantization.rounding`, GPTQ), which leaves a third of the error;
* ranges come from photographs (:mod:`depthport.exporters.quantization.images`), and channels with outliers are balanced
  against the weights they meet (SmoothQuant), folded into the LayerNorm before them;
* every layer is tried alone (:mod:`depthport.exporters.quantization.trial`), and only those are taken whose errors together
  stay within a budget (:mod:`depthport.exporters.quantization.mix`), which held-out pictures decide
  (:mod:`depthport.exporters.quantization.verify`).

The same choice between fp32, bf16 and int8, part by part, is :mod:`depthport.exporters.quantization.half`.

Camera decoder, reference-view selection, norms, softmax, patch embedding and the last layer with its exponential are
never quantized. Sources: GPTQ (Frantar et al. 2023, arXiv 2210.17323), SmoothQuant (Xiao et al. 2023, arXiv
2211.10438), Nagel et al. 2021 (arXiv 2106.08295) on ranges and granularity.
"""
