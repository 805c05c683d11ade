// Only carries the precompiled libtorch headers of the torch rooms (torch.cmake).
