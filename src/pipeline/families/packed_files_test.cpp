// Files of packed weights: written beside the use of a network, read by another process.
#include "pipeline/families/packed_files.h"

#include <doctest/doctest.h>
#include <torch/nn.h>
#include <torch/types.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "core/testing.h"
#include "nn/conv.h"
#include "nn/linear.h"

namespace pangu::pipeline {
namespace {

struct PackedPairImpl : torch::nn::Module {
  nn::Linear linear{32, 48};
  nn::Conv2d conv = nn::same_conv2d(32, 48, 3);
  PackedPairImpl() {
    register_module("linear", linear);
    register_module("conv", conv);
  }
};

std::shared_ptr<PackedPairImpl> packed_pair() {
  torch::manual_seed(5);
  auto network = std::make_shared<PackedPairImpl>();
  network->to(at::kBFloat16);
  nn::pack_weights(*network);
  return network;
}

std::shared_ptr<PackedPairImpl> empty_pair() {
  const nn::SkipInitialisation skip;
  return std::make_shared<PackedPairImpl>();
}

TEST_CASE("a network that was written with packed weights is read as it was") {
  const at::NoGradGuard no_grad;
  const TestFolder folder;
  const std::string path = folder.file("below/network.packed");
  const auto network = packed_pair();
  CHECK_FALSE(read_packed_file(*empty_pair(), path, at::kBFloat16));
  {
    const PackedFileWriter writer(network, path);
  }  // waits
  REQUIRE(std::filesystem::exists(path));
  {
    const auto again = empty_pair();
    REQUIRE(read_packed_file(*again, path, at::kBFloat16));
    CHECK_FALSE(again->is_training());
    const at::Tensor x = at::randn({2, 32, 6, 7}).to(at::kBFloat16);
    CHECK(again->conv->forward(x).equal(network->conv->forward(x)));
    CHECK(again->linear->forward(at::ones({3, 32}).to(at::kBFloat16))
              .equal(network->linear->forward(at::ones({3, 32}).to(at::kBFloat16))));
  }
  CHECK_FALSE(read_packed_file(*empty_pair(), path, at::kFloat));
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  CHECK_FALSE(read_packed_file(*empty_pair(), path, at::kBFloat16));
}

TEST_CASE("packed weights that cannot be written are no error") {
  const TestFolder folder;
  std::ofstream(folder.file("file")) << "no folder";
  {
    const PackedFileWriter writer(packed_pair(), folder.file("file/network.packed"));
  }
  {
    const PackedFileWriter writer(packed_pair(), "");
  }
  CHECK(std::filesystem::is_regular_file(folder.file("file")));
}

TEST_CASE("weights that are few, or that no folder keeps, have no file") {
  Component component;
  CHECK(packed_file_of("", component, at::kBFloat16).empty());
  component.files = std::make_shared<std::vector<io::WeightsFile>>();
  CHECK(packed_file_of("folder", component, at::kBFloat16).empty());
}

}  // namespace
}  // namespace pangu::pipeline
