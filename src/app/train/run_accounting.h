// The accounting of a denoiser's training: train/accounting.h filled in from its networks, its data
// and the model that came of it.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "pipeline/model.h"
#include "pipeline/request.h"
#include "train/accounting.h"
#include "train/config.h"
#include "train/latent_set.h"
#include "train/trainer.h"

namespace pangu::app {

// Where it is, beside the checkpoint: OUTPUT_DIR/accounting.json.
std::string accounting_file(const std::string& output_dir);

// Of a run that trained `network` on `set`; pictures and the drawn picture are left to the caller.
train::Accounting accounting_of(const train::TrainConfig& config,
                                const std::shared_ptr<train::LatentSet>& set,
                                const torch::nn::Module& network, const train::TrainResult& result);

// The operations, in 10^9, of the denoisers of a model folder of our own for one picture of a
// resolved request, whose conditions have `context_length` tokens.
double gflop_a_picture(const std::string& folder, const pipeline::Model& model,
                       const pipeline::Request& request, int64_t context_length);

// Draws a picture with the model of this folder as it draws by default, and fills in what that
// cost. A model that draws from a picture is left at 0.
void account_a_picture(const std::string& folder, train::Accounting& accounting_);

}  // namespace pangu::app
