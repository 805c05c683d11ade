// RRDBNet against plain PyTorch, f32, made when the test runs by tools/parity/dump_rrdb_net.py;
// without a Python that has torch the case says so loudly and passes.
#include "nn/upscaler/rrdb_net.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include "case.h"
#include "io/upscaler_names.h"
#include "tensors/safetensors.h"

namespace pangu::nn {
namespace {

constexpr double kBound = 1e-4;  // f32 sums in another order

TEST_CASE("the upscaler equals the published architecture in every spelling of its names") {
  const parity::Dump dump("torch, safetensors", "dump_rrdb_net.py");
  if (!dump.made()) return;
  const at::NoGradGuard no_grad;
  size_t cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dump.folder())) {
    const std::string name = entry.path().filename().string();
    CAPTURE(name);
    const TensorMap file =
        tensors::load_safetensors((entry.path() / "weights.safetensors").string());
    std::vector<std::string> names;
    for (const auto& [tensor, value] : file) names.push_back(tensor);
    TensorMap weights;
    TensorShapes shapes;
    for (const auto& [from, to] : io::rrdb_names(names, name)) {
      weights[to] = file.at(from);
      shapes[to] = file.at(from).sizes().vec();
    }
    RrdbNet net(rrdb_config_from_shapes(shapes));
    load_into(net, weights);
    const TensorMap t = tensors::load_safetensors((entry.path() / "tensors.safetensors").string());
    parity::Worst worst;
    worst.add("image", net.forward(t.at("in/image")), t.at("out/image"));
    worst.report("rrdb_net " + name, kBound);
    CHECK(rrdb_config_from_shapes(shapes_of(net)) == net.config());
    ++cases;
  }
  CHECK(cases == 6);
}

}  // namespace
}  // namespace pangu::nn
