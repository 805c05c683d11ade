// What saving has put around a model's tensors, taken off again: the prefixes of wrappers that a
// network was trained in, and the scales of weights that were squeezed into fp8. Names of families
// are not known here. Not a public contract of the room (io/weights_file.h is).
#pragma once
#include <string>

#include "io/safetensors.h"

namespace pangu::io {

// Names without "_orig_mod." (torch.compile) and "_fsdp_wrapped_module." (FSDP), wherever they
// stand, and without a "module." (DataParallel) that every name begins with. Error kBadInput if two
// names become one; `name` is how it calls the file.
TensorViews without_wrappers(TensorViews tensors, const std::string& name);

// Weights M.weight in fp8 with M.scale_weight (ComfyUI) or M.weight_scale (compressed-tensors,
// torchao), one number or one a row, get them as TensorView::scales; the tensors of scales and of
// activations' scales are then gone. Error kBadInput that names the kind for other quantised
// weights (bitsandbytes, GPTQ and AWQ, NVFP4, ...), and for a scale of another shape.
TensorViews with_scales(TensorViews tensors, const std::string& name);

}  // namespace pangu::io
