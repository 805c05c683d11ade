// What belongs to each picture of a dataset: the control pictures of a ControlNet's training, made
// of the pictures themselves or read from folders beside them; and the masks of an inpainting
// model's, out of such folders.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>

#include "data/training_list.h"
#include "train/config.h"

namespace pangu::app {

// Returns what gives the control picture of a picture, [3,H,W] u8 of the size that it is trained at
// and cut as it is cut: the edges that config.control asks for, or the file of the same name in
// config.conditioning_data_dir, which is RGB. A name is that inside of the dataset, with its
// folders or without. What it returns throws kBadInput for a picture that has none.
std::function<at::Tensor(const data::TrainingPicture& picture)> control_pictures(
    const train::TrainConfig& config);

// The same of masks: [H,W] u8, 1 where the file in config.mask_data_dir is white, or transparent
// (image/mask.h), and 0 elsewhere. A mask is scaled and cut as its picture is; what lies outside of
// a cut-out stays.
std::function<at::Tensor(const data::TrainingPicture& picture)> mask_pictures(
    const train::TrainConfig& config);

}  // namespace pangu::app
