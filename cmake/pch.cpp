// Only carries the precompiled <torch/torch.h> of the torch rooms.
