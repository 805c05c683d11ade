#include "io/upscaler_names.h"

#include <doctest/doctest.h>

#include "core/testing.h"

using namespace pangu;
using namespace pangu::io;

namespace {

using Names = std::vector<std::string>;

// What the names become, in their order.
Names renamed(const Names& names) {
  const auto map = rrdb_names(names, "x.safetensors");
  Names all;
  for (const std::string& name : names) all.push_back(map.at(name));
  return all;
}

const Names kOwn = {
    "conv_first.weight", "body.0.rdb1.conv1.weight", "body.11.rdb3.conv5.bias", "conv_body.bias",
    "conv_up1.weight",   "conv_up2.weight",          "conv_hr.weight",          "conv_last.bias"};

}  // namespace

TEST_CASE("all three spellings of an ESRGAN's layers become one") {
  CHECK(renamed(kOwn) == kOwn);
  CHECK(renamed({"conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight",
                 "RRDB_trunk.11.RDB3.conv5.bias", "trunk_conv.bias", "upconv1.weight",
                 "upconv2.weight", "HRconv.weight", "conv_last.bias"}) == kOwn);
  CHECK(renamed({"model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight",
                 "model.1.sub.11.RDB3.conv5.0.bias", "model.1.sub.12.bias", "model.3.weight",
                 "model.6.weight", "model.8.weight", "model.10.bias"}) == kOwn);
  CHECK(renamed({"params_ema.conv_first.weight", "params_ema.body.0.rdb1.conv1.weight"}) ==
        Names{"conv_first.weight", "body.0.rdb1.conv1.weight"});
}

TEST_CASE("the first code's places say how often a file doubles") {
  const Names once = {"model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight", "model.3.weight",
                      "model.5.weight", "model.7.weight"};
  CHECK(renamed(once)[2] == "conv_up1.weight");
  CHECK(renamed(once)[3] == "conv_hr.weight");
  CHECK(renamed(once)[4] == "conv_last.weight");
  const Names never = {"model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight", "model.2.weight",
                       "model.4.weight"};
  CHECK(renamed(never)[2] == "conv_hr.weight");
  CHECK(renamed(never)[3] == "conv_last.weight");
}

TEST_CASE("files of other networks are refused by the first name that does not fit") {
  const auto refusal = [](const Names& names) {
    return refusal_of([&] { rrdb_names(names, "'x.safetensors'"); });
  };
  CHECK(
      contains(refusal({"body.0.weight"}), "ESRGAN upscaler (RRDBNet), found the tensor 'body.0"));
  CHECK(contains(refusal({"conv_first.weight"}), "no residual block"));
  CHECK(contains(refusal({}), "no conv_first"));
  CHECK(contains(refusal({"conv_first.weight", "module.conv_first.weight"}), "twice"));
  CHECK(contains(refusal({"body.0.rdb4.conv1.weight"}), "the tensor"));
  CHECK(contains(refusal({"body.0.rdb1.conv6.weight"}), "the tensor"));
  CHECK(contains(refusal({"model.1.sub.0.RDB1.conv1x1.weight"}), "the tensor"));
  CHECK(is_rrdb_net(kOwn));
  CHECK_FALSE(is_rrdb_net({"body.0.weight", "model.0.weight"}));
}
